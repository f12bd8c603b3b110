"""Cells whose residual connection along time is weighed by two numbers."""

import tfcells
from tests.cases.maths import s, sigmoid, tanh
from tests.cases.row import SHARED, H, names


def fast_rnn(x, h, W, U, b=0, alpha=0, beta=0):
    """Kusupati et al. 1901.02358, equation 1, with the sigmoids of their code."""
    h = sigmoid(alpha) * tanh(x @ W + h @ U + b) + sigmoid(beta) * h
    return h, h


def fast_grnn(x, h, W=None, U=None, b=(0, 0), zeta=0, nu=0, **low):
    """Kusupati et al. 1901.02358, equation 2: gate and candidate share W and U; of low rank W1 W2 and U1 U2."""
    W = low["W1"] @ low["W2"] if W is None else W
    U = low["U1"] @ low["U2"] if U is None else U
    a = x @ W + h @ U
    z = s(a + b[0])
    h = (sigmoid(zeta) * (1 - z) + sigmoid(nu)) * tanh(a + b[1]) + z * h
    return h, h


LOW = "W1:kernel_right W2:kernel_left U1:recurrent_kernel_right U2:recurrent_kernel_left b:bias "


def rows():
    yield "fastrnn", tfcells.FastRNNCell, H, fast_rnn, names(SHARED + "alpha:alpha beta:beta")
    ranks = {"kernel_rank": 2, "recurrent_rank": 3}
    yield "fastgrnn-rank", tfcells.FastGRNNCell, H | ranks, fast_grnn, names(LOW + "zeta:zeta nu:nu")
    yield "fastgrnn", tfcells.FastGRNNCell, H, fast_grnn, names(SHARED + "zeta:zeta nu:nu")
