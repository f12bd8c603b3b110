"""Cells with a memory of their own."""

import numpy as np

import tfcells
from tests.cases.maths import norm, relu, tanh
from tests.cases.row import EPSILON, SHARED, H, names


def fast_weights(x, h, A, W, U, b=0, g=None, d=0, decay=0, eta=0, inner_steps=1, epsilon=0, f=relu):
    """Ba et al. 1610.06258, equations 1, 2 and 5. W is the paper's C, U its W; A holds h already."""
    sustained = x @ W + h @ U + b
    h = f(sustained)
    for _ in range(inner_steps):
        a = sustained + np.stack([A_n @ h_n for A_n, h_n in zip(A, h, strict=True)])
        h = f(a if g is None else norm(a, g, d, epsilon))
    outer = np.stack([np.outer(h_n, h_n) for h_n in h])
    return h, h, decay * A + eta * outer


def rows():
    settings = {"decay": 0.5, "eta": 0.25}
    arguments = H | settings | {"layer_norm": False, "activation": "tanh"}  # with "relu" it explodes
    settings = settings | {"f": lambda a: tanh(a)}
    yield "fast-plain", tfcells.FastWeightsCell, arguments, fast_weights, names(SHARED), settings
    settings = {"decay": 0.8, "eta": 0.3, "inner_steps": 2} | EPSILON
    weights = names(SHARED + "g:gain d:shift")
    yield "fast-norm", tfcells.FastWeightsCell, H | settings, fast_weights, weights, settings
