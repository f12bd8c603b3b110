"""Cells that a search found."""

import numpy as np

import tfcells
from tests.cases.gated import PASSED
from tests.cases.maths import blocks, identity, relu, s, sigmoid, tanh
from tests.cases.row import SHARED, H, names


def mut1(x, h, W, U, b=0, P=None, p=0):
    """Jozefowicz et al. 2015, MUT1; x_ is x, as wide as the state."""
    W, U, b = dict(blocks("zr", W)), dict(blocks("rh", U)), dict(blocks("zrh", b))
    x_ = x if P is None else x @ P + p
    z = s(x @ W["z"] + b["z"])
    r = s(x @ W["r"] + h @ U["r"] + b["r"])
    h = tanh((r * h) @ U["h"] + tanh(x_) + b["h"]) * z + h * (1 - z)
    return h, h


def mut2(x, h, W, U, b=0, P=None):
    """Jozefowicz et al. 2015, MUT2."""
    W, U, b = dict(blocks("zh", W)), dict(blocks("zrh", U)), dict(blocks("zrh", b))
    x_ = x if P is None else x @ P
    z = s(x @ W["z"] + h @ U["z"] + b["z"])
    r = s(x_ + h @ U["r"] + b["r"])
    h = tanh((r * h) @ U["h"] + x @ W["h"] + b["h"]) * z + h * (1 - z)
    return h, h


def mut3(x, h, W, U, b=0):
    """Jozefowicz et al. 2015, MUT3."""
    W, U, b = (dict(blocks("zrh", a)) for a in (W, U, b))
    z = s(x @ W["z"] + tanh(h) @ U["z"] + b["z"])
    r = s(x @ W["r"] + h @ U["r"] + b["r"])
    h = tanh((r * h) @ U["h"] + x @ W["h"] + b["h"]) * z + h * (1 - z)
    return h, h


def nas(x, h, c, W, U, b=0):
    """Zoph & Le 1611.01578, the cell found for Penn Treebank, leaf by leaf."""
    x = [x @ W_k for _, W_k in blocks(range(8), W)]
    u = [h @ U_k + b_k for _, U_k, b_k in blocks(range(8), U, b)]
    one, two = s(x[0] + u[0]), relu(x[1] + u[1])
    three, four = s(x[2] + u[2]), relu(x[3] * u[3])
    five, six = tanh(x[4] + u[4]), s(x[5] + u[5])
    seven, eight = tanh(x[6] + u[6]), s(x[7] + u[7])
    c = tanh(tanh(one * two) + c) * tanh(three + four)
    h = tanh(c * tanh(tanh(five * six) + s(seven + eight)))
    return h, h, c


NODES = {
    "darts_v1": ("relu", 0, "relu", 1, "tanh", 2, "relu", 3, "relu", 4, "id", 1, "relu", 5, "relu", 1),
    "darts_v2": ("sigmoid", 0, "relu", 1, "relu", 1, "id", 1, "tanh", 2, "sigmoid", 5, "tanh", 3, "relu", 5),
    "enas": ("sigmoid", 0, "tanh", 1, "relu", 2, "sigmoid", 2, "tanh", 4, "tanh", 5, "sigmoid", 3, "sigmoid", 6),
    "tanh0-identity0-sigmoid1": ("tanh", 0, "id", 0, "sigmoid", 1),
    "own": ("tanh", 0, "id", 0, "sigmoid", 1),
}
OWN = (("tanh", 0), ("identity", 0), ("sigmoid", 1))


def genotype(x, h, W, nodes, **levels):
    """Liu et al. 1806.09055's rnn/model.py: W_0 of [x; h], then W_i of an earlier node, without biases there."""
    functions = {"tanh": np.tanh, "relu": relu, "sigmoid": sigmoid, "id": identity}

    def highway(s_prev, ch, f):
        c, g = np.split(ch, 2, -1)
        return s_prev + s(c) * (f(g) - s_prev)

    wide = np.concatenate([x, h], -1) @ np.concatenate([W, levels["U0"]])
    states = [highway(h, wide + levels.get("b0", 0), tanh)]
    for i, (name, p) in enumerate(zip(nodes[::2], nodes[1::2], strict=True), 1):
        ch = states[p] @ levels[f"U{i}"] + levels.get(f"b{i}", 0)
        states.append(highway(states[p], ch, functions[name]))
    h = np.mean(states[1:], 0)
    return h, h


def rows():
    yield "mut1", tfcells.MUT1Cell, {"units": 3, "project": False}, mut1, names(SHARED)
    yield "mut1-projected", tfcells.MUT1Cell, H | {"project": True}, mut1, names(SHARED + PASSED)
    yield "mut2", tfcells.MUT2Cell, {"units": 3, "project": False}, mut2, names(SHARED)
    projected = names(SHARED + "P:projection_kernel")
    yield "mut2-projected", tfcells.MUT2Cell, H | {"project": True}, mut2, projected
    yield "mut3", tfcells.MUT3Cell, H, mut3, names(SHARED)
    yield "nas", tfcells.NASCell, H, nas, names(SHARED)
    for name, nodes in NODES.items():
        levels = range(len(nodes) // 2 + 1)
        weights = {"W": "kernel"} | {f"U{i}": f"recurrent_kernel_{i}" for i in levels}
        arguments = H | {"genotype": name}
        if name == "own":
            weights |= {f"b{i}": f"bias_{i}" for i in levels}
            arguments = H | {"genotype": OWN, "use_bias": True}
        yield f"genotype-{name}", tfcells.GenotypeCell, arguments, genotype, weights, {"nodes": nodes}
