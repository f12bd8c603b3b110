"""Cells that are linear in their state."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, norm, sigmoid, tanh
from tests.cases.row import EPSILON, H, names


def min_lstm(x, h, W, b=0, f=identity):
    """Feng et al. 2410.01201: forget and input gate are made to sum to one."""
    a = {y: x @ W_y + b_y for y, W_y, b_y in blocks("ifg", W, b)}
    i, forget = sigmoid(a["i"]), sigmoid(a["f"])
    h = forget / (forget + i) * h + i / (forget + i) * f(a["g"])
    return h, h


def qrnn(x, c, *later, W, b=0, gates="zfo"):
    """Bradbury et al. 1611.01576. `later`: what the inputs before add to the sums of this step and of the next ones."""
    sums = [x @ rows for rows in np.split(W, len(later) + 1)]
    later = [sum(pair) for pair in zip(sums, [*later, 0], strict=True)]
    a = dict(blocks(gates, later[0] + b))
    f = sigmoid(a["f"])
    c = f * c + (sigmoid(a["i"]) if "i" in a else 1 - f) * tanh(a["z"])
    return sigmoid(a["o"]) * c if "o" in a else c, c, *later[1:]


def lru(x, re, im, W, nu, theta, gamma, C, b=0, f=identity):
    """Orvieto et al. 2303.06349, in complex numbers."""
    B_re, B_im, D = np.split(W, 3, -1)
    C_re, C_im = np.split(C, 2)
    b_re, b_im = np.split(b, 2) if np.ndim(b) else (0, 0)
    h = np.exp(-np.exp(nu) + 1j * np.exp(theta)) * (re + 1j * im)
    h = h + np.exp(gamma) * (f(x @ B_re + b_re) + 1j * f(x @ B_im + b_im))
    return (h @ (C_re + 1j * C_im)).real + x @ D, h.real, h.imag


def rg_lru(x, h, W, L, V=None, b=0, f=identity, heads=1):
    """De et al. 2402.19427; the gates of a head read the head's inputs alone."""
    split = np.split(x, heads, -1)
    gates = [
        np.concatenate([part @ W_h for part, W_h in zip(split, np.split(W_y, heads, -1), strict=True)], -1)
        for W_y in np.split(W, 2, -1)
    ]
    r, i = (sigmoid(a) for a in np.split(np.concatenate(gates, -1) + b, 2, -1))
    a = np.exp(-8 * r * np.log1p(np.exp(L)))
    h = a * h + np.sqrt(1 - a**2) * i * f(x if V is None else x @ V)
    return h, h


def silu(a):
    return a * sigmoid(a)


def hgrn(x, re, im, W, theta, g, d, V, b=0, e=0, f=silu, lower_bound=0, epsilon=0):
    """Qin et al. 2311.04823, in complex numbers."""
    a = {y: x @ W_y + b_y for y, W_y, b_y in blocks(("re", "im", "f", "g1", "g2"), W, b)}
    forget = lower_bound + (1 - lower_bound) * sigmoid(a["f"])
    h = forget * np.exp(1j * theta) * (re + 1j * im) + (1 - forget) * (f(a["re"]) + 1j * f(a["im"]))
    gate = f(np.concatenate([a["g1"], a["g2"]], -1))
    y = (gate * norm(np.concatenate([h.real, h.imag], -1), g, d, epsilon)) @ V + e
    return y, h.real, h.imag


def rows():
    yield "minlstm", tfcells.MinLSTMCell, H, min_lstm, names("W:kernel b:bias")
    for window, gates in ((1, "zfo"), (2, "zf"), (3, "zfoi")):
        pooling = {"zf": "f", "zfo": "fo", "zfoi": "ifo"}[gates]
        arguments = H | {"window": window, "pooling": pooling}
        yield f"qrnn-{pooling}-{window}", tfcells.QRNNCell, arguments, qrnn, names("W:kernel b:bias"), {"gates": gates}
    weights = "W:kernel b:bias nu:radius_vector theta:phase_vector gamma:scale_vector C:output_kernel"
    within = {"gamma": lambda log: -np.abs(log)}  # as sqrt(1 - |lambda|^2), at which it starts
    yield "lru", tfcells.LRUCell, H, lru, names(weights), {}, {}, None, None, within
    heads = {"heads": 3}
    yield "rglru", tfcells.RGLRUCell, H, rg_lru, names("W:kernel V:value_kernel b:bias L:decay_vector")
    yield "rglru-heads", tfcells.RGLRUCell, {"units": 3} | heads, rg_lru, names("W:kernel b:bias L:decay_vector"), heads
    settings = {"lower_bound": 0.3} | EPSILON
    weights = "W:kernel b:bias theta:phase_vector g:gain d:shift V:output_kernel e:output_bias"
    yield "hgrn", tfcells.HGRNCell, H | settings, hgrn, names(weights), settings
