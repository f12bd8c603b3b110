"""Cells with fewer gates than the GRU."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, relu, s, sigmoid, sums, tanh
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


def janet(x, h, c, W, U, b=0, beta=1.0):
    """van der Westhuizen & Lasenby 1804.04849, equations 6 to 9: s = U_f h + W_f x + b_f."""
    a = sums("sc", x, h, W, U, b)
    c = s(a["s"]) * c + (1 - s(a["s"] - beta)) * tanh(a["c"])
    return c, c, c


def minimal_rnn(x, h, W, U, V, b=0, bz=0):
    """Chen 1711.06788, equations 1 to 3: z = Phi(x)."""
    z = tanh(x @ W + bz)
    u = s(h @ U + z @ V + b)
    h = u * h + (1 - u) * z
    return h, h


def li_gru(x, h, W, U, b=0, f=relu):
    """Ravanelli et al. 1803.10225, equations 6 to 8, without the norm over the batch."""
    a = sums("zh", x, h, W, U, b)
    z = s(a["z"])
    h = z * h + (1 - z) * f(a["h"])
    return h, h


def light_ru(x, h, W, U, b=0):
    """Ye et al. 2024, Electronics 13(16) 3204: f reads both, the candidate reads x alone."""
    (_, W_f, b_f), (_, W_h, b_h) = blocks("fh", W, b)
    f = s(x @ W_f + h @ U + b_f)
    h = (1 - f) * h + f * tanh(x @ W_h + b_h)
    return h, h


def star(x, h, W, U, b=0):
    """Turkoglu et al. 1911.11033, equations 8 to 10."""
    (_, W_k, b_k), (_, W_z, b_z) = blocks("kz", W, b)
    k, z = s(x @ W_k + h @ U + b_k), tanh(x @ W_z + b_z)
    h = tanh((1 - k) * h + k * z)
    return h, h


def rows():
    beta = {"beta": 0.5}
    weights = names(SHARED + "beta:gate_offset")
    yield "janet-trained", tfcells.JANETCell, H | {"train_beta": True}, janet, weights
    yield "janet", tfcells.JANETCell, H | beta, janet, names(SHARED), beta
    weights = names(SHARED + "V:latent_kernel bz:input_bias")
    yield "minimalrnn", tfcells.MinimalRNNCell, H, minimal_rnn, weights
    yield "ligru", tfcells.LiGRUCell, H, li_gru, names(SHARED)
    yield "lightru", tfcells.LightRUCell, H, light_ru, names(SHARED)
    yield "star", tfcells.STARCell, H, star, names(SHARED)
    yield "mgu", tfcells.MGUCell, H, mgu, names(SHARED)
    yield "mingru", tfcells.MinGRUCell, H, min_gru, names("W:kernel b:bias")
    arguments, settings = H | {"activation": "positive"}, {"f": positive}
    yield "mingru-positive", tfcells.MinGRUCell, arguments, min_gru, names("W:kernel b:bias"), settings
