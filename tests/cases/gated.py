"""Cells with one state, whose gates are neither an LSTM's nor a GRU's."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, relu, s, sums, tanh
from tests.cases.row import SHARED, H, names


def ugrnn(x, h, W, U, b=0):
    """Collins et al. 1611.09913: g keeps, c is the candidate."""
    a = sums("gc", x, h, W, U, b)
    g = s(a["g"])
    h = g * h + (1 - g) * tanh(a["c"])
    return h, h


def intersection(x, h, W, U, b=0, P=None, p=0):
    """Collins et al. 1611.09913, "+RNN": g_y, g_h gate depth and time, y_in, h_in are their candidates."""
    y_gate, h_gate, y_in, h_in = sums("abcd", x, h, W, U, b).values()
    passed = x if P is None else x @ P + p
    y = s(y_gate) * passed + (1 - s(y_gate)) * relu(y_in)
    h = s(h_gate) * h + (1 - s(h_gate)) * tanh(h_in)
    return y, h


def cfn(x, h, W, U, b=0):
    """Laurent & von Brecht 1612.06212, equations 1 and 2; theta forgets, eta admits."""
    W = dict(blocks(("theta", "eta", "x"), W))
    U = dict(blocks(("theta", "eta"), U))
    b = dict(blocks(("theta", "eta", "x"), b))
    theta, eta = (s(h @ U[y] + x @ W[y] + b[y]) for y in ("theta", "eta"))
    h = theta * tanh(h) + eta * tanh(x @ W["x"] + b["x"])
    return h, h


def ran(x, h, c, W, U, b=0):
    """Lee et al. 1705.07393, equations 1 to 4: the content is linear."""
    W, U, b = dict(blocks("ifc", W)), dict(blocks("if", U)), dict(blocks("if", b))
    i, f = (s(h @ U[y] + x @ W[y] + b[y]) for y in "if")
    c = i * (x @ W["c"]) + f * c
    h = tanh(c)
    return h, h, c


def atr(x, h, W, U, b=(0, 0), f=identity):
    """Zhang et al. 1810.12546, equations 9 to 12. f: of the content, none in the paper."""
    p, q = x @ W + b[0], h @ U + b[1]
    i, forget = s(p + q), s(p - q)
    h = i * f(p) + forget * h
    return h, h


def brc(x, h, W, u, b=0):
    """Vecoven et al., PLOS ONE 0252676: each unit reads itself, by a vector for each gate."""
    u_a, u_c = np.split(u, 2)
    return bistable(x, h, W, b, u_a * h, u_c * h)


def nbrc(x, h, W, U, b=0):
    """The same, neuromodulated: the units read one another."""
    U = dict(blocks("ac", U))
    return bistable(x, h, W, b, h @ U["a"], h @ U["c"])


def bistable(x, h, W, b, read_a, read_c):
    x = {y: x @ W_y + b_y for y, W_y, b_y in blocks("ach", W, b)}
    a, c = 1 + tanh(x["a"] + read_a), s(x["c"] + read_c)
    h = c * h + (1 - c) * tanh(x["h"] + a * h)
    return h, h


PASSED = "P:projection_kernel p:projection_bias"


def rows():
    shared = names(SHARED)
    yield "ugrnn", tfcells.UGRNNCell, H, ugrnn, shared
    cell = tfcells.IntersectionRNNCell
    yield "intersection", cell, {"units": 3, "project": False}, intersection, shared
    yield "intersection-projected", cell, H | {"project": True}, intersection, names(SHARED + PASSED)
    yield "cfn", tfcells.CFNCell, H, cfn, shared
    yield "ran", tfcells.RANCell, H, ran, shared
    yield "atr", tfcells.ATRCell, H, atr, shared
    yield "brc", tfcells.BRCCell, H, brc, names("W:kernel u:recurrent_vector b:bias")
    yield "nbrc", tfcells.NBRCCell, H, nbrc, shared
