"""Highways along depth."""

import itertools

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, s, tanh
from tests.cases.row import H


def highway(x, s0, W, gates, update=identity, **levels):
    """Zilly et al. 2016, equations 6 to 9; R1.. and b1.. by level; c = 1 - t without its gate."""
    state, depth = s0, sum(name[0] == "R" for name in levels)
    for level in range(1, depth + 1):
        R, b = levels[f"R{level}"], levels.get(f"b{level}", 0)
        a = {y: (x @ W_y if level == 1 else 0) + state @ R_y + b_y for y, W_y, R_y, b_y in blocks(gates, W, R, b)}
        t = s(a["t"])
        state = update(tanh(a["h"])) * t + state * (s(a["c"]) if "c" in a else 1 - t)
    return state, state


def highway_state_gate(x, h, s0, G, gb=0, **rhn):
    """Shoham & Permuter 2018 over `highway`: h and the new s are weighed by a gate that reads both."""
    state, _ = highway(x, s0, **rhn)
    g = s(np.concatenate([h, state], -1) @ G + gb)
    h = g * h + (1 - g) * state
    return h, h, state


def rhn(coupled, depth):
    levels = range(1, depth + 1)
    weights = {"W": "kernel"} | {f"R{n}": f"recurrent_kernel_{n - 1}" for n in levels}
    weights |= {f"b{n}": f"bias_{n - 1}" for n in levels}
    name = f"rhn-{'coupled' if coupled else 'uncoupled'}-{depth}"
    gates = {"gates": "ht" if coupled else "htc"}
    return name, tfcells.RHNCell, H | {"coupled": coupled, "depth": depth}, highway, weights, gates


def rows():
    for coupled, depth in itertools.product((True, False), (1, 3)):
        yield (row := rhn(coupled, depth))
        if depth > 1:
            name, _, arguments, _, weights, gates = row
            weights = weights | {"G": "gate_kernel", "gb": "gate_shift"}
            cell, name = tfcells.HighwayStateGateRHNCell, name.replace("rhn", "hsg")
            yield name, cell, arguments, highway_state_gate, weights, gates
