"""Cells without gates."""

import numpy as np

import tfcells
from tests.cases.maths import norm, sigmoid, tanh
from tests.cases.row import EPSILON, SHARED, H, names


def elman(x, h, W, U, b=0):
    """Elman 1990: the hidden units read the input and their own copy of one step before."""
    h = tanh(x @ W + h @ U + b)
    return h, h


def norm_elman(x, h, W, U, b=0, g=1, epsilon=0):
    """Ba et al. 2016, equation 4: the summed inputs of the units are normalized."""
    h = tanh(norm(x @ W + h @ U, g, b, epsilon))
    return h, h


def clockwork(x, h, time, W, U, b=0, periods=()):
    """Koutnik et al. 2014, equations 1 to 4, module by module."""
    new, size, step = [], h.shape[-1] // len(periods), np.floor(time)
    for i, period in enumerate(periods):
        own = slice(i * size, (i + 1) * size)
        a = x @ W[:, own] + (b[own] if np.ndim(b) else 0)
        for j, other in enumerate(periods):
            if other >= period:
                theirs = slice(j * size, (j + 1) * size)
                a = a + h[:, theirs] @ U[theirs, own]
        new.append(np.where(step % period == 0, tanh(a), h[:, own]))
    h = np.concatenate(new, -1)
    return h, h, time + 1


def scrn(x, s, c, A, R, B, P, b=0, alpha=0.95, f=sigmoid):
    """Mikolov et al. 1412.7753, equations 3 and 4: c is its s, s its h; the output layer reads both."""
    c = (1 - alpha) * (x @ B) + alpha * c
    h = f(c @ P + x @ A + s @ R + b)
    return np.concatenate([h, c], -1), h, c


def rows():
    weights = names("A:kernel R:recurrent_kernel b:bias B:context_kernel P:context_recurrent_kernel")
    alpha = {"alpha": 0.75}
    yield "scrn", tfcells.SCRNCell, H | {"context_units": 4} | alpha, scrn, weights, alpha
    yield "elman", tfcells.ElmanCell, H, elman, names(SHARED)
    weights = names(SHARED + "g:gain")
    yield "lnelman", tfcells.LayerNormElmanCell, H | EPSILON, norm_elman, weights, EPSILON
    modules = {"periods": (1, 3, 2)}
    arguments = {"units": 6} | modules
    yield "clockwork", tfcells.ClockworkRNNCell, arguments, clockwork, names(SHARED), modules
