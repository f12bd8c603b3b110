"""Wrappers. Weights that an oracle does not know are those of the cell inside."""

import functools
import itertools

import keras
import numpy as np

import tfcells
from tests.cases.gru import gru_v1
from tests.cases.lstm import lstm
from tests.cases.maths import Reading, Scaled, blocks, identity, s, sigmoid, tanh
from tests.cases.row import SHARED, H, Wrapped, hold, names


def mogrifier(x, h, *rest, inner, **weights):
    """Melis, Kocisky & Blunsom 1909.01792, equations 2 and 3; the rounds are those of the weights.

    Q1, Q3, ... are (units, features), R2, R4, ... (features, units), the paper's transposed; of low rank
    Q1_right (units, rank) before Q1_left (rank, features). Biases: m1, m2, ...
    """
    for i in itertools.count(1):
        letter = f"mogrifier_{'RQ'[i % 2]}{i}"
        names = letter, f"{letter}_right", f"{letter}_left"
        parts = [weights.pop(name) for name in names if name in weights]
        if not parts:
            return inner(x, h, *rest, **weights)
        a = h if i % 2 else x
        for matrix in parts:
            a = a @ matrix
        gate = 2 * sigmoid(a + weights.pop(f"mogrifier_b{i}", 0))
        x, h = (gate * x, h) if i % 2 else (x, gate * h)


def multiplicative(x, *state, inner, Wmx, Wmh, bmx=0, bmh=0, **weights):
    """Krause et al. 1609.07959: kernels read m = (W_mx x) (W_mh h) where they read h, which goes on."""
    factor = x @ Wmx + bmx
    return inner(x, *state, **reading(weights, lambda h: factor * (h @ Wmh + bmh)))


def multiplicative_gru(x, h, W, U, Wmx, Wmh, b=(0, 0), bmx=0, bmh=0):
    """The same around `gru_v1`, written out: the gate z carries on h, and nothing else reads it."""
    m = (x @ Wmx + bmx) * (h @ Wmh + bmh)
    sums = blocks("zrg", W, U, *b)
    z, r, g = ((x @ W_y + b_y, m @ U_y + d_y) for _, W_y, U_y, b_y, d_y in sums)
    h = s(sum(z)) * h + (1 - s(sum(z))) * tanh(g[0] + s(sum(r)) * g[1])
    return h, h


def reading(weights, seen, matrix=identity):
    """The weights with other kernels where a state is read."""
    read = {name: Reading(matrix(weights[name]), seen) for name in weights if name[0] in "UR"}
    return weights | read


def drawn(shape, rate):
    """Which values a mask of that shape keeps, the same ones each time."""
    shape = [int(n) for n in shape]
    return np.random.default_rng(shape).random(shape) >= rate


def dropout_mask(shape, rate):
    """Kept values are scaled, so that the expectation stays."""
    return drawn(shape, rate) / (1 - rate)


def variational(x, *state, inner, input_rate, state_rate, output_rate, **weights):
    """Gal & Ghahramani 1512.05287: one mask a sequence for x, for what reads the state, and for y."""
    weights = reading(weights, lambda h: h * dropout_mask(h.shape, state_rate))
    y, *state = inner(x * dropout_mask(x.shape, input_rate), *state, **weights)
    return y * dropout_mask(y.shape, output_rate), *state


def recurrent_dropout(x, *state, inner, moment, rate, **weights):
    """Semeniuta et al. 1603.05118: a mask on the candidate, new at each step."""
    t, steps = moment
    return inner(x, *state, **weights, update=lambda g: g * dropout_mask((steps, *g.shape), rate)[t])


def put(y, new, values):
    """Values for the new states, and for an output that is one of these."""
    for now, value in zip(new, values, strict=True):
        y = value if y is now else y
    return y, *values


def zoneout(x, *state, inner, moment, rate, **weights):
    """Krueger et al. 1606.01305: units keep the value they had, drawn anew at each step."""
    t, steps = moment
    y, *new = inner(x, *state, **weights)
    pairs = zip(new, state, strict=True)
    zoned = [np.where(drawn((steps, *now.shape), rate)[t], now, old) for now, old in pairs]
    return put(y, new, zoned)


def weight_drop(x, *state, inner, rate, **weights):
    """Merity et al. 1708.02182: entries of the recurrent kernels are zero, for all samples."""
    return inner(x, *state, **reading(weights, identity, lambda U: U * dropout_mask(U.shape, rate)))


def attention(x, *state, inner, memory, Uq, Wm, bm, v, memory_mask=None, **weights):
    """Bahdanau et al. 2014, A.1.2, row by row of the memory: the cell reads [x, what s says of it]."""
    rows = range(memory.shape[1])
    e = np.stack([np.tanh(state[0] @ Uq + memory[:, j] @ Wm + bm) @ v[:, 0] for j in rows], 1)
    e = e if memory_mask is None else np.where(memory_mask, e, -np.inf)
    a = np.exp(e - e.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    read = sum(a[:, j, None] * memory[:, j] for j in rows)
    return inner(np.concatenate([x, read], -1), *state, **weights)


def luong_attention(x, *state, inner, memory, Wm, C, memory_mask=None, **weights):
    """Luong et al. 1508.04025, equations 5, 7 and 8 and input feeding, row by row of the memory."""
    *state, a = state
    h, *state = inner(np.concatenate([x, a], -1), *state, **weights)
    rows = range(memory.shape[1])
    e = np.stack([(h * (memory[:, j] @ Wm)).sum(-1) for j in rows], 1)
    p = softmax(e if memory_mask is None else np.where(memory_mask, e, -np.inf))
    read = sum(p[:, j, None] * memory[:, j] for j in rows)
    a = np.tanh(np.concatenate([read, h], -1) @ C)
    return a, *state, a


def softmax(e):
    a = np.exp(e - e.max(-1, keepdims=True))
    return a / a.sum(-1, keepdims=True)


def last(window, row):
    """The window with the row as its last, and without its first."""
    return np.concatenate([window[:, 1:], row[:, None]], 1)


def kvp(x, *state, inner, WY, Wh, Wr, Wx, w, mode="kvp", include_current=False, partial_window=True, **weights):
    """Daniluk et al. 1702.04521, equations 2 to 13, sample by sample and output by output of the window."""
    *state, keys, values, filled = state
    h, *state = inner(x, *state, **weights)
    k, *rest = np.split(h, len(mode), -1)
    value, p = {"k": (k, k), "kv": (*rest, *rest), "kvp": rest}[mode]
    new = last(keys, k @ WY), last(values, value), np.minimum(filled + 1, keys.shape[1])
    if include_current:
        keys, values, filled = new
    r, length = np.zeros_like(k), keys.shape[1]
    for n in range(len(x)):
        seen = [i for i in range(length) if length - i <= filled[n, 0]]
        if seen:
            a = softmax(np.array([(np.tanh(keys[n, i] + k[n] @ Wh) @ w)[0] for i in seen]))
            r[n] = sum(a_i * values[n, i] for a_i, i in zip(a, seen, strict=True))
    y = np.tanh(r @ Wr + p @ Wx)
    return y if partial_window else np.where(filled >= length, y, k), *state, *new


def window_attention(x, *state, inner, D, i, K, Q, q, k, O, o, **weights):
    """TensorFlow 1's AttentionCellWrapper; of the new states it asks about vectors alone."""
    *state, a, keys, values = state
    h, *state = inner(np.concatenate([x, a], -1) @ D + i, *state, **weights)
    asked = np.concatenate([each for each in state if each.ndim == 2], -1) @ Q + q
    e = np.stack([(np.tanh(keys[:, j] + asked) @ k)[:, 0] for j in range(keys.shape[1])], 1)
    p = softmax(e)
    a = sum(p[:, j, None] * values[:, j] for j in range(keys.shape[1]))
    y = np.concatenate([h, a], -1) @ O + o
    return y, *state, a, last(keys, y @ K), last(values, y)


def hyper(x, *state, inner, Z, e, A, **weights):
    """Ha, Dai & Le 1609.09106, equations 10 to 13 around any cell, with a small LSTM (letters after hyper_)."""
    small, own = {k: v for k, v in weights.items() if k.startswith("hyper_")}, {}
    weights = {k: v for k, v in weights.items() if k not in small}
    *state, small_h, small_c = state
    small = {k.removeprefix("hyper_"): v for k, v in small.items()}
    y, *small = lstm(np.concatenate([x, state[0]], -1), small_h, small_c, **small)
    d = [y @ Z_g + e_g for Z_g, e_g in zip(np.split(Z, len(A), -1), np.split(e, len(e) // A.shape[1]))]
    d += [y @ Z_g for Z_g in np.split(Z, len(A), -1)[len(d) :]]
    d = [d_g @ A_g for d_g, A_g in zip(d, A, strict=True)]
    kernels = [k for k in weights if k[0] in "WUR"]
    gates = {k: weights[k].shape[-1] // A.shape[-1] for k in kernels}

    def taken(k):
        return np.concatenate([d.pop(0) for _ in range(gates[k])], -1)

    scales = {k: taken(k) for k in kernels}
    for k in kernels:
        own[k] = Scaled(weights[k], scales[k], taken(k) if k[0] in "UR" else np.zeros(gates[k] * A.shape[-1]))
    return *inner(x, *state, **weights | own), *small


def fast_slow(x, *state, inner, **weights):
    """Mujika et al. 1705.08639, equations 4 to 8, with a GRU as the slow cell; F_3 .. have no input."""
    by_cell = {}
    for name, weight in weights.items():
        *cell, letter = name.split("_", 1)
        by_cell.setdefault(cell[0] if cell and cell[0].startswith(("slow", "fast")) else "fast1", {})[
            letter if cell and cell[0].startswith(("slow", "fast")) else name
        ] = weight
    *state, z = state
    y, *state = inner(x, *state, **by_cell["fast1"])
    z, _ = gru_v1(y, z, **by_cell["slow"])
    y, *state = inner(z, *state, **by_cell["fast2"])
    y, *state = inner(z[:, :0], *state, **by_cell["fast3"])
    return y, *state, z


def highway(x, *state, inner, T, b_T, **weights):
    """Srivastava et al. 1505.00387, equation 3, with the cell's output as H."""
    y, *state = inner(x, *state, **weights)
    t = sigmoid(x @ T + b_T)
    return y * t + x * (1 - t), *state


def projection(x, *state, inner, Pr, **weights):
    """Sak et al. 1402.1128, equations 7 and 8: the recurrent kernels read r = W_rm m, here Pr."""
    y, m, *rest = inner(x, *state, **weights)
    return y @ Pr, m @ Pr, *rest


def reset_on_flag(x, *state, inner, moment, reset, **weights):
    """A flag of a sample: its states are zero before the step."""
    t, _ = moment
    return inner(x, *(hold(reset[:, t], np.zeros_like(each), each) for each in state), **weights)


def residual(x, *state, inner, **weights):
    """He et al. 1512.03385 over time steps: the states have no x."""
    y, *state = inner(x, *state, **weights)
    return y + x, *state


def clip(x, *state, inner, limit, **weights):
    """Sak et al. 1402.1128: the new states within [-limit, limit]."""
    y, *new = inner(x, *state, **weights)
    return put(y, new, [np.clip(now, -limit, limit) for now in new])


def trainable_initial_state(x, *state, inner, **weights):
    """The step is that of the cell inside."""
    return inner(x, *state, **{k: v for k, v in weights.items() if not k.startswith("initial_")})


FACTORS = "Wmx:factor_kernel Wmh:factor_recurrent_kernel "
FACTOR_BIASES = "bmx:factor_bias bmh:factor_recurrent_bias "


def rounds(count, parts=("",), biases=False):
    """The letters of a mogrifier's own weights."""
    found = {}
    for i in range(1, count + 1):
        for part in parts:
            found[f"mogrifier_{'RQ'[i % 2]}{i}{part}"] = f"mogrifier_kernel_{i - 1}{part}"
        if biases:
            found[f"mogrifier_b{i}"] = f"mogrifier_bias_{i - 1}"
    return found


def rows():
    cell, oracle = tfcells.MogrifierLSTMCell, functools.partial(mogrifier, inner=lstm)
    yield "mogrifier-lstm", cell, H, oracle, rounds(5) | names(SHARED)
    arguments = H | {"rounds": 4, "rank": 2, "round_biases": True}
    weights = rounds(4, ("_right", "_left"), biases=True) | names(SHARED)
    yield "mogrifier-lstm-rank", cell, arguments, oracle, weights
    cell, oracle = tfcells.MultiplicativeLSTMCell, functools.partial(multiplicative, inner=lstm)
    yield "multiplicative-lstm", cell, H, oracle, names(FACTORS + SHARED)
    arguments = H | {"factor_biases": True}
    weights = names(FACTORS + FACTOR_BIASES + SHARED)
    yield "multiplicative-lstm-biases", cell, arguments, oracle, weights


def own_initial_states(cell):
    return {f"initial_{name}": f"initial_{name}" for name in cell.states}


def learned(batch, weights):
    """The learned rows, in the order of the states, once for each sample."""
    rows = [weights[name] for name in weights if name.startswith("initial_")]
    return [np.repeat(row[None], batch, 0) for row in rows]


def fast_slow_weights(weights):
    """Of the slow cell, a GRU, and of two more fast cells."""
    found = names("slow_W:kernel slow_U:recurrent_kernel slow_b:bias")
    return found | {f"fast{number}_{letter}": name for number in (2, 3) for letter, name in weights.items()}


def wrappers():
    training, rate = {"training": True}, {"rate": 0.3}
    rates = {"input_rate": 0.2, "state_rate": 0.3, "output_rate": 0.1}
    more = {"per_gate": True, "seed": 3}
    yield Wrapped(tfcells.VariationalDropout, rates, variational, settings=rates, given=training, others=more)
    more = {"per_sequence": True, "seed": 3}
    yield Wrapped(tfcells.RecurrentDropout, rate, recurrent_dropout, settings=rate, given=training, others=more)
    for wrapper, oracle in ((tfcells.Zoneout, zoneout), (tfcells.WeightDrop, weight_drop)):
        yield Wrapped(wrapper, rate, oracle, settings=rate, given=training, others={"seed": 3})
    memory = {"memory": np.random.default_rng(4).normal(size=(4, 5, 2))}  # a batch of 4
    yield Wrapped(
        tfcells.Attention,
        {"attention_units": 4, "memory_features": 2},
        attention,
        lambda cell: names("Uq:query_kernel Wm:memory_kernel bm:score_bias v:score_kernel"),
        settings=memory,
        given=memory,
    )
    yield Wrapped(
        tfcells.LuongAttention,
        {"attention_units": 4, "memory_features": 2},
        luong_attention,
        lambda cell: names("Wm:memory_kernel C:attention_kernel"),
        settings=memory,
        given=memory,
        others={"score": "dot", "memory_features": 5},
    )
    yield Wrapped(
        tfcells.KVPAttention,
        {"window": 3},
        kvp,
        lambda cell: names("WY:key_kernel Wh:query_kernel Wr:read_kernel Wx:predict_kernel w:score_kernel"),
        units={"units": 6},
        others={"mode": "k", "include_current": True, "partial_window": False},
    )
    yield Wrapped(
        tfcells.WindowAttention,
        {"window": 3, "attention_units": 4},
        window_attention,
        lambda cell: names(
            "D:input_kernel i:input_shift K:key_kernel Q:query_kernel q:query_shift k:score_kernel "
            "O:output_kernel o:output_shift"
        ),
    )
    yield Wrapped(
        tfcells.Hyper,
        {"hyper": functools.partial(tfcells.LSTMCell, 4), "embedding_units": 2},
        hyper,
        lambda cell: names("Z:embedding_kernel e:embedding_bias A:scale_kernel"),
        others={"hyper": tfcells.GRUCell(4)},
        after=lambda weights: names("hyper_W:kernel hyper_U:recurrent_kernel hyper_b:bias"),
    )
    yield Wrapped(
        tfcells.Mogrifier,
        {"rounds": 3, "round_biases": True},
        mogrifier,
        lambda cell: rounds(3, biases=True),
        others={"rank": 2},
    )
    yield Wrapped(
        tfcells.Multiplicative,
        {"factor_biases": True},
        multiplicative,
        lambda cell: names(FACTORS + FACTOR_BIASES),
    )
    yield Wrapped(tfcells.Residual, {}, residual, units={"units": 3})  # as wide as the input
    yield Wrapped(
        tfcells.Highway,
        {"transform_bias": -2.0},
        highway,
        lambda cell: names("T:transform_kernel b_T:transform_shift"),
        units={"units": 3},
    )
    yield Wrapped(tfcells.Projection, {"projection_units": 3}, projection, lambda cell: names("Pr:projection_kernel"))
    yield Wrapped(
        tfcells.FastSlow,
        {"slow": functools.partial(tfcells.GRUCell, 4), "fast_cells": 3},
        fast_slow,
        others={"slow": tfcells.ElmanCell(4)},
        after=fast_slow_weights,
    )
    yield Wrapped(tfcells.Clip, {"limit": 0.4}, clip, settings={"limit": 0.4})
    flags = {"reset": np.array([[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 0], [0] * 6], bool)}
    yield Wrapped(tfcells.ResetOnFlag, {}, reset_on_flag, settings=flags, given=flags)
    yield Wrapped(
        tfcells.TrainableInitialState,
        {},
        trainable_initial_state,
        own_initial_states,
        start=learned,
        others={"initializer": keras.initializers.Constant(0.25)},
    )
