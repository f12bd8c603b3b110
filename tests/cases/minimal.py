"""Cells with fewer gates than the GRU."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, s, sigmoid, tanh
from tests.cases.row import SHARED, H, names


def mgu(x, h, W, U, b=0):
    """Zhou et al. 1603.09420: one gate forgets and resets."""
    (_, *f), (_, *g) = blocks("fg", W, U, b)
    forget = s(x @ f[0] + h @ f[1] + f[2])
    new = tanh(x @ g[0] + (forget * h) @ g[1] + g[2])
    h = (1 - forget) * h + forget * new
    return h, h


def positive(a):
    """Feng et al. 2410.01201, appendix B: a + 0.5 where a >= 0, else s(a); never negative."""
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def min_gru(x, h, W, b=0, f=identity):
    """Feng et al. 2410.01201: nothing of the gate or the candidate reads h. f: `positive`, or none."""
    a = {y: x @ W_y + b_y for y, W_y, b_y in blocks("zg", W, b)}
    z = sigmoid(a["z"])
    h = (1 - z) * h + z * f(a["g"])
    return h, h


def rows():
    yield "mgu", tfcells.MGUCell, H, mgu, names(SHARED)
    yield "mingru", tfcells.MinGRUCell, H, min_gru, names("W:kernel b:bias")
    arguments, settings = H | {"activation": "positive"}, {"f": positive}
    yield "mingru-positive", tfcells.MinGRUCell, arguments, min_gru, names("W:kernel b:bias"), settings
