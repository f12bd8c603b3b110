"""Wrappers. Weights that an oracle does not know are those of the cell inside."""

import functools
import itertools

import keras
import numpy as np

import tfcells
from tests.cases.lstm import lstm
from tests.cases.maths import Reading, blocks, identity, s, sigmoid, tanh
from tests.cases.row import SHARED, H, Wrapped, names


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


def attention(x, *state, inner, memory, Wq, Wm, bm, v, memory_mask=None, **weights):
    """Bahdanau et al. 2014, A.1.2, row by row of the memory: the cell reads [x, what s says of it]."""
    rows = range(memory.shape[1])
    e = np.stack([np.tanh(state[0] @ Wq + memory[:, j] @ Wm + bm) @ v[:, 0] for j in rows], 1)
    e = e if memory_mask is None else np.where(memory_mask, e, -np.inf)
    a = np.exp(e - e.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    read = sum(a[:, j, None] * memory[:, j] for j in rows)
    return inner(np.concatenate([x, read], -1), *state, **weights)


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
        lambda cell: names("Wq:query_kernel Wm:memory_kernel bm:score_bias v:score_kernel"),
        settings=memory,
        given=memory,
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
    yield Wrapped(tfcells.Clip, {"limit": 0.4}, clip, settings={"limit": 0.4})
    yield Wrapped(
        tfcells.TrainableInitialState,
        {},
        trainable_initial_state,
        own_initial_states,
        start=learned,
        others={"initializer": keras.initializers.Constant(0.25)},
    )
