"""Cells for inputs that come at irregular times."""

import numpy as np

import tfcells
from tests.cases.lstm import lstm
from tests.cases.maths import s, tanh
from tests.cases.row import SHARED, H, names


def apart(x, timed, otherwise):
    """The time, in the first column or not there, and the features."""
    return (x[:, :1], x[:, 1:]) if timed else (otherwise, x)


def time_lstm(x, h, c, W, U, D, b=0, bD=0, timed=False, **gates):
    """Baytas et al. 2017: the short-term part of the memory is discounted by g(t) = 1 / log(e + t)."""
    delta, x = apart(x, timed, 1.0)
    short = tanh(c @ D + bD)
    discounted = short / np.log(np.exp(1) + delta)
    long = c - short
    return lstm(x, h, long + discounted, W, U, b, **gates)


def phased_lstm(x, h, c, *count, W, U, T, shift, r, b=0, timed=False, leak=0, **gates):
    """Neil et al. 1610.09513, equations 6 to 10, the three phases one by one."""
    time, x = apart(x, timed, *(count or [None]))
    phase = np.mod(time - shift, T) / T
    rising, falling = phase < r / 2, (phase >= r / 2) & (phase < r)
    k = np.where(rising, 2 * phase / r, np.where(falling, 2 - 2 * phase / r, leak * phase))
    _, new_h, new_c = lstm(x, h, c, W, U, b, **gates)
    h, c = k * new_h + (1 - k) * h, k * new_c + (1 - k) * c
    return h, h, c, *(t + 1 for t in count)


def cfc(x, h, W, U, V, b=0, bV=0, timed=False, backbone=lambda a: 1.7159 * np.tanh(0.666 * a)):
    """Hasani et al. 2106.13898, equation 10, and their code: heads g, h (here k), time_a, time_b."""
    delta, x = apart(x, timed, 1.0)
    shared = backbone(np.concatenate([x, h], -1) @ np.concatenate([W, U]) + b)
    g, k, time_a, time_b = np.split(shared @ V + bV, 4, -1)
    t = s(time_a * delta + time_b)
    h = tanh(g) * (1 - t) + t * tanh(k)
    return h, h


OSCILLATION = "T:period shift:phase_shift r:open_ratio"
WITHIN = {"T": lambda a: 2 + np.abs(a), "r": lambda a: 0.6 + 0.3 * np.tanh(a)}


def rows():
    time = names(SHARED + "D:memory_kernel bD:memory_bias")
    phased = names(SHARED + OSCILLATION)
    backbone = H | {"backbone_units": 4}
    heads = names(SHARED + "V:head_kernel bV:head_bias")
    timed, how = {"timed": True}, {"timed": True, "gates": "fgo"}
    arguments = H | timed | {"input_gate": "coupled"}
    yield "timelstm-timed", tfcells.TimeLSTMCell, arguments, time_lstm, time, how
    yield "timelstm", tfcells.TimeLSTMCell, H, time_lstm, time
    arguments, how = H | timed | {"input_gate": "capped"}, timed | {"capped": True}
    yield "phased-timed", tfcells.PhasedLSTMCell, arguments, phased_lstm, phased, how, {}, None, WITHIN
    yield "phased", tfcells.PhasedLSTMCell, H, phased_lstm, phased, {}, {}, None, WITHIN
    yield "cfc-timed", tfcells.CfCCell, backbone | timed, cfc, heads, timed
    yield "cfc", tfcells.CfCCell, backbone, cfc, heads
