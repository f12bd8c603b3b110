"""Cells whose recurrent weights are vectors."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, memory, norm, relu, s, tanh
from tests.cases.row import EPSILON, H, names


def ind_rnn(x, h, W, u, b=0, f=relu):
    """Li et al. 1803.04831."""
    h = f(x @ W + u * h + b)
    return h, h


def norm_ind_rnn(x, h, W, u, b=0, g=1, epsilon=0, f=relu):
    """The same with Ba et al. 2016, equation 4, for what it reads of the input."""
    h = f(norm(x @ W, g, b, epsilon) + u * h)
    return h, h


def indy_lstm(x, h, c, W, u, b=0):
    """Gonnet & Deselaers 1903.08023: an LSTM with diagonal recurrent matrices."""
    a = {y: x @ W_y + u_y * h + b_y for y, W_y, u_y, b_y in blocks("ifgo", W, u, b)}
    h, c = memory(a, c)
    return h, h, c


def sru(x, c, W, p, b=0, alpha=1.0, f=identity):
    """Lei et al. 1709.02755: p_f and p_r (its v) read the old c; a fourth block of W where x is not as wide as c."""
    a = dict(zip("gfrs", np.split(x @ W, W.shape[-1] // c.shape[-1], -1), strict=False))
    gates = {y: s(a[y] + p_y * c + b_y) for y, p_y, b_y in blocks("fr", p, b)}
    c = gates["f"] * c + (1 - gates["f"]) * a["g"]
    h = gates["r"] * f(c) + (1 - gates["r"]) * a.get("s", alpha * x)
    return h, c


def heads_of(x, W, heads):
    """x W, where W has the rows of one head, and its columns gate by gate, by head in each gate."""
    gates = [np.split(gate, heads, -1) for gate in np.split(W, 3, -1)]
    parts = np.split(x, heads, -1)
    return np.concatenate([part @ gate[k] for gate in gates for k, part in enumerate(parts)], -1)


def para_gru(x, h, W, a, b=0, heads=1):
    """2510.21450: r scales the h that the candidate reads."""
    (_, x_z, a_z, b_z), (_, x_r, a_r, b_r), (_, x_g, a_g, b_g) = blocks("zrg", heads_of(x, W, heads), a, b)
    z, r = s(x_z + a_z * h + b_z), s(x_r + a_r * h + b_r)
    h = z * tanh(x_g + a_g * h * r + b_g) + (1 - z) * h
    return h, h


def para_lstm(x, h, c, W, a, b=0, p=0, heads=1):
    """2510.21450: coupled gates; f peeps at the old c, o at the new one."""
    a = {y: x_y + a_y * h + b_y for y, x_y, a_y, b_y in blocks("fog", heads_of(x, W, heads), a, b)}
    p = dict(blocks("fo", p))
    f = s(a["f"] + p["f"] * c)
    c = f * c + (1 - f) * tanh(a["g"])
    h = s(a["o"] + p["o"] * c) * tanh(c)
    return h, h, c


def rows():
    weights = names("W:kernel u:recurrent_vector b:bias")
    arguments, settings = H | {"activation": "tanh"}, {"f": lambda a: tanh(a)}  # relu has kinks
    yield "indrnn", tfcells.IndRNNCell, arguments, ind_rnn, weights, settings
    arguments, settings = arguments | EPSILON, settings | EPSILON
    yield "indrnn-norm", tfcells.LayerNormIndRNNCell, arguments, norm_ind_rnn, weights | names("g:gain"), settings
    yield "indylstm", tfcells.IndyLSTMCell, H, indy_lstm, weights
    weights = names("W:kernel p:recurrent_vector b:bias")
    arguments, settings = {"units": 3, "highway_bias": -2.0}, {"alpha": np.sqrt(1 + 2 * np.exp(-2.0))}
    yield "sru-square", tfcells.SRUCell, arguments, sru, weights, settings
    yield "sru", tfcells.SRUCell, H | {"activation": "tanh"}, sru, weights, {"f": np.tanh}
    weights, heads = names("W:kernel a:recurrent_vector b:bias"), {"heads": 3}
    yield "para-gru", tfcells.ParaGRUCell, {"units": 6} | heads, para_gru, weights, heads
    weights = weights | names("p:peephole")
    yield "para-lstm", tfcells.ParaLSTMCell, {"units": 6} | heads, para_lstm, weights, heads
