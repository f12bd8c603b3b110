"""A row for each cell variant and each wrapper: class, arguments, and its equations once more, in NumPy.

Every oracle is one time step, `oracle(x, *state, **weights) -> (output, *new state)`, written from
the paper, gate by gate. It reads `tanh` and `s` from this module, where a test can replace them.
The oracle of a wrapper takes `inner`, the oracle of the cell inside, and leaves it the weights that are
not its own. A new cell needs a row in CASES, and a value in OTHER for every argument that no cell had
before; a new wrapper needs a row in WRAPPED.
"""

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable

import keras
import numpy as np

import tfcells
from tfcells.contract.linear import multiplied
from tfcells.contract.wrapper import Inlined

tanh = np.tanh


def s(a):
    return 1 / (1 + np.exp(-a))


sigmoid = s  # where no argument of the cell gives another one


def identity(a):
    return a


def relu(a):
    return np.maximum(a, 0)


class Reading:
    """A matrix that multiplies what `seen` makes of its input: h @ Reading(U, seen) is seen(h) @ U."""

    __array_ufunc__ = None  # h @ self is for __rmatmul__ to do

    def __init__(self, matrix, seen):
        self.matrix, self.seen, self.ndim = matrix, seen, 2

    def __rmatmul__(self, h):
        return self.seen(h) @ self.matrix


def columns(matrix, count):
    """Equal blocks of columns; of a number, that number each time."""
    if isinstance(matrix, Reading):
        return [Reading(part, matrix.seen) for part in columns(matrix.matrix, count)]
    return np.split(matrix, count, -1) if np.ndim(matrix) else [matrix] * count


def blocks(gates, *matrices):
    """For every gate its letter and its columns of each matrix; a bias may be the number 0."""
    return zip(gates, *(columns(matrix, len(gates)) for matrix in matrices), strict=True)


def norm(a, gain, shift, epsilon):
    """Layer normalization with the biased variance (Ba, Kiros & Hinton 2016, equations 3 and 4)."""
    mu = a.sum(-1, keepdims=True) / a.shape[-1]
    sigma = np.sqrt(((a - mu) ** 2).sum(-1, keepdims=True) / a.shape[-1] + epsilon)
    return gain * (a - mu) / sigma + shift


def elman(x, h, W, U, b=0):
    """Elman 1990: the hidden units read the input and their own copy of one step before."""
    h = tanh(x @ W + h @ U + b)
    return h, h


def norm_elman(x, h, W, U, b=0, g=1, epsilon=0):
    """Ba et al. 2016, equation 4: the summed inputs of the units are normalized."""
    h = tanh(norm(x @ W + h @ U, g, b, epsilon))
    return h, h


def memory(a, c, read=identity, update=identity):
    """h' and c' of an LSTM (Gers et al. 2000) from its gates before they are squashed."""
    c = s(a["f"]) * c + s(a["i"]) * update(tanh(a["g"]))
    return s(a["o"]) * tanh(read(c)), c


def lstm(x, h, c, W, U, b=0, update=identity):
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000."""
    a = {y: x @ W_y + h @ U_y + b_y for y, W_y, U_y, b_y in blocks("ifgo", W, U, b)}
    h, c = memory(a, c, update=update)
    return h, h, c


def peephole(x, h, c, W, U, b=0, pi=0, pf=0, po=0):
    """Gers et al. 2002: the gates see the memory, the output gate the new one."""
    a = {y: x @ W_y + h @ U_y + b_y for y, W_y, U_y, b_y in blocks("ifgo", W, U, b)}
    new = s(a["f"] + pf * c) * c + s(a["i"] + pi * c) * tanh(a["g"])
    h = s(a["o"] + po * new) * tanh(new)
    return h, h, new


def norm_lstm(x, h, c, W, U, b=0, Wg=None, Ug=None, g=None, d=None, cg=None, cd=None, **how):
    """Ba et al. 2016, equations 20 to 22 (joint: Wg, Ug), or Ha et al. 2016, A.3 (gates: g, d)."""

    def ln(a, gain, shift=0.0):
        return norm(a, gain, shift, how["epsilon"])

    if g is None:
        a = dict(blocks("ifgo", ln(x @ W, Wg) + ln(h @ U, Ug) + b))
    else:
        sums = blocks("ifgo", W, U, b, g, d)
        a = {y: ln(x @ W_y + h @ U_y + b_y, g_y, d_y) for y, W_y, U_y, b_y, g_y, d_y in sums}
    if how["cell_norm"] == "carry":  # TensorFlow Addons
        c = ln(s(a["f"]) * c + s(a["i"]) * tanh(a["g"]), cg, cd)
        h = s(a["o"]) * tanh(c)
    else:
        h, c = memory(a, c, lambda c: c if cg is None else ln(c, cg, cd))
    return h, h, c


def gru_v1(x, h, W, U, b=(0, 0), update=identity):
    """Cho et al. 1406.1078v1: the reset gate acts after the product; a bias on either side."""
    w = {y: (x @ W_y + b_y, h @ U_y + d_y) for y, W_y, U_y, b_y, d_y in blocks("zrg", W, U, *b)}
    z, r = s(sum(w["z"])), s(sum(w["r"]))
    h = z * h + (1 - z) * update(tanh(w["g"][0] + r * w["g"][1]))
    return h, h


def gru_v3(x, h, W, U, b=0):
    """Cho et al. 1406.1078v3: the reset gate acts on the state that the candidate reads."""
    (_, *z), (_, *r), (_, *g) = blocks("zrg", W, U, b)
    update, reset = (s(x @ W_y + h @ U_y + b_y) for W_y, U_y, b_y in (z, r))
    h = update * h + (1 - update) * tanh(x @ g[0] + (reset * h) @ g[1] + g[2])
    return h, h


def norm_gru(x, h, W, U, b=(0, 0), Wg=1, Ug=1, epsilon=0, joint=True):
    """Ba et al. 2016, appendix: z and r in one norm, g in another; or all three in one (haste)."""

    def ln(a, gain, shift):
        cut = [] if joint else [2 * a.shape[-1] // 3]
        parts = (np.split(v, cut, -1) for v in (a, gain, shift + np.zeros(a.shape[-1])))
        return np.concatenate([norm(*part, epsilon) for part in zip(*parts, strict=True)], -1)

    parts = ln(x @ W, Wg, b[0]), ln(h @ U, Ug, b[1])
    w = {y: parts for y, *parts in blocks("zrg", *parts)}
    z, r = s(sum(w["z"])), s(sum(w["r"]))
    h = z * h + (1 - z) * tanh(w["g"][0] + r * w["g"][1])
    return h, h


def hyper_lstm(x, h, c, hh, hc, W, U, hW, hU, Z, e, A, b=0, hb=0, epsilon=0, **norms):
    """Ha, Dai & Le 2016, equations 10 to 13, norms of A.3; h begins the hyper LSTM's letters."""

    def lstm_of(a, c, g, d, cg, cd):
        if norms:
            gains = blocks("ifgo", norms[g], norms[d])
            a = {y: norm(a[y], g_y, d_y, epsilon) for y, g_y, d_y in gains}
        return memory(a, c, lambda c: norm(c, norms[cg], norms[cd], epsilon) if norms else c)

    xh = np.concatenate([x, h], -1)
    a = {y: xh @ W_y + hh @ U_y + b_y for y, W_y, U_y, b_y in blocks("ifgo", hW, hU, hb)}
    hh, hc = lstm_of(a, hc, "hg", "hd", "hcg", "hcd")

    where = list(itertools.product("xhb", "ifgo"))
    Z = dict(zip(where, np.split(Z, 12, -1), strict=True))
    e = dict(zip(where[:8], np.split(e, 8), strict=True))
    A = dict(zip(where, A, strict=True))
    scale = {key: (hh @ Z[key] + e.get(key, 0)) @ A[key] for key in where}
    a = {
        y: scale["x", y] * (x @ W_y) + scale["h", y] * (h @ U_y) + scale["b", y] + b_y
        for y, W_y, U_y, b_y in blocks("ifgo", W, U, b)
    }
    h, c = lstm_of(a, c, "g", "d", "cg", "cd")
    return h, h, c, hh, hc


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


def fast_weights(x, h, A, W, U, b=0, g=None, d=0, decay=0, eta=0, inner_steps=1, epsilon=0, f=relu):
    """Ba et al. 1610.06258, equations 1, 2 and 5. W is the paper's C, U its W; A holds h already."""
    sustained = x @ W + h @ U + b
    h = f(sustained)
    for _ in range(inner_steps):
        a = sustained + np.stack([A_n @ h_n for A_n, h_n in zip(A, h, strict=True)])
        h = f(a if g is None else norm(a, g, d, epsilon))
    outer = np.stack([np.outer(h_n, h_n) for h_n in h])
    return h, h, decay * A + eta * outer


# Wrappers. Weights that an oracle does not know are those of the cell inside.


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


def shape_of(batch, size):
    """The shape of a state of a size that a cell gives, a number or a tuple."""
    return (batch, *(size if isinstance(size, tuple) else (size,)))


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A row: `weights` has the oracle's letters for the cell's weights, in their order.

    given: further arguments of the layer's call. start: the states that a cell has of its weights, if
    it is not to be given any, from the batch size and these.
    """

    name: str
    cell: type
    arguments: dict
    oracle: Callable
    weights: dict
    settings: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    start: Callable | None = None

    def build(self, features, **more):
        """The cell, built for inputs of that width."""
        cell = self.cell(**self.arguments, **more)
        cell.build((None, features))
        cell.built = True
        return cell

    def roll(self, x, state, weights, mask=None, **settings):
        """The oracle along (batch, steps, features): all outputs and the final states.

        weights: arrays by the oracle's letters. Where the mask is False, state and output stay.
        """
        y, outputs, state = 0.0, [], self.start(len(x), weights) if self.start else state
        timed = "moment" in inspect.signature(self.oracle).parameters
        for t in range(x.shape[1]):
            more = {"moment": (t, x.shape[1])} if timed else {}
            new = self.oracle(x[:, t], *state, **weights, **self.settings | settings | more)
            if mask is not None:
                pairs = zip(new, (y, *state), strict=True)
                new = [hold(mask[:, t], now, before) for now, before in pairs]
            y, *state = new
            outputs.append(y)
        return np.stack(outputs, 1), *state


def hold(keep, now, before):
    """By sample, what is now or what was before."""
    return np.where(keep.reshape(-1, *[1] * (now.ndim - 1)), now, before)


def names(text):
    return dict(pair.split(":") for pair in text.split())


H = {"units": 5}
SHARED = "W:kernel U:recurrent_kernel b:bias "
BY_GATE, CELL = "g:gain d:shift ", "cg:cell_gain cd:cell_shift "
NORMS = {
    "gate": SHARED + BY_GATE,
    "product": SHARED + "Wg:kernel_gain Ug:recurrent_gain ",
}
HYPER = (
    "W:kernel U:recurrent_kernel b:bias hW:hyper_kernel hU:hyper_recurrent_kernel hb:hyper_bias "
    "Z:embedding_kernel e:embedding_bias A:scale_kernel "
)
HYPER_NORM = "hg:hyper_gain hd:hyper_shift hcg:hyper_cell_gain hcd:hyper_cell_shift"
HYPER_SIZES = H | {"hyper_units": 4, "embedding_units": 2}


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


def rhn(coupled, depth):
    levels = range(1, depth + 1)
    weights = {"W": "kernel"} | {f"R{n}": f"recurrent_kernel_{n - 1}" for n in levels}
    weights |= {f"b{n}": f"bias_{n - 1}" for n in levels}
    name = f"rhn-{'coupled' if coupled else 'uncoupled'}-{depth}"
    gates = {"gates": "ht" if coupled else "htc"}
    return name, tfcells.RHNCell, H | {"coupled": coupled, "depth": depth}, highway, weights, gates


def rows():
    yield "elman", tfcells.ElmanCell, H, elman, names(SHARED)
    epsilon = {"epsilon": 1e-2}
    weights = names(SHARED + "g:gain")
    yield "lnelman", tfcells.LayerNormElmanCell, H | epsilon, norm_elman, weights, epsilon
    modules = {"periods": (1, 3, 2)}
    arguments = {"units": 6} | modules
    yield "clockwork", tfcells.ClockworkRNNCell, arguments, clockwork, names(SHARED), modules
    yield "lstm", tfcells.LSTMCell, H, lstm, names(SHARED)
    peepholes = names(SHARED + "pi:input_peephole pf:forget_peephole po:output_peephole")
    yield "peephole", tfcells.PeepholeLSTMCell, H, peephole, peepholes
    yield "gru-after", tfcells.GRUCell, H, gru_v1, names(SHARED)
    yield "gru-before", tfcells.GRUCell, H | {"reset_after": False}, gru_v3, names(SHARED)
    weights = names(SHARED + "Wg:kernel_gain Ug:recurrent_gain")
    for joint in (True, False):
        settings = epsilon | {"joint": joint}
        name = f"lngru-{'joint' if joint else 'split'}"
        yield name, tfcells.LayerNormGRUCell, H | settings, norm_gru, weights, settings
    for kind, cell_norm in itertools.product(NORMS, (None, "carry", "output")):
        yield (
            f"lnlstm-{kind}-{cell_norm}",
            tfcells.LayerNormLSTMCell,
            H | {"norm": kind, "cell_norm": cell_norm, "epsilon": 1e-2},
            norm_lstm,
            names(NORMS[kind] + (CELL if cell_norm else "")),
            {"cell_norm": cell_norm, "epsilon": 1e-2},
        )
    with_norm = HYPER_SIZES | {"layer_norm": True, "epsilon": 1e-2}
    weights = names(HYPER + BY_GATE + CELL + HYPER_NORM)
    yield "hyper-norm", tfcells.HyperLSTMCell, with_norm, hyper_lstm, weights, {"epsilon": 1e-2}
    yield "hyper", tfcells.HyperLSTMCell, HYPER_SIZES, hyper_lstm, names(HYPER)
    for coupled, depth in itertools.product((True, False), (1, 3)):
        yield (row := rhn(coupled, depth))
        if depth > 1:
            name, _, arguments, _, weights, gates = row
            weights = weights | {"G": "gate_kernel", "gb": "gate_shift"}
            cell, name = tfcells.HighwayStateGateRHNCell, name.replace("rhn", "hsg")
            yield name, cell, arguments, highway_state_gate, weights, gates
    yield "mgu", tfcells.MGUCell, H, mgu, names(SHARED)
    yield "mingru", tfcells.MinGRUCell, H, min_gru, names("W:kernel b:bias")
    arguments, settings = H | {"activation": "positive"}, {"f": positive}
    yield "mingru-positive", tfcells.MinGRUCell, arguments, min_gru, names("W:kernel b:bias"), settings
    settings = {"decay": 0.5, "eta": 0.25}
    arguments = H | settings | {"layer_norm": False, "activation": "tanh"}  # with "relu" it explodes
    settings = settings | {"f": lambda a: tanh(a)}
    yield "fast-plain", tfcells.FastWeightsCell, arguments, fast_weights, names(SHARED), settings
    settings = {"decay": 0.8, "eta": 0.3, "inner_steps": 2} | epsilon
    weights = names(SHARED + "g:gain d:shift")
    yield "fast-norm", tfcells.FastWeightsCell, H | settings, fast_weights, weights, settings
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


CASES = [Case(*row) for row in rows()]


@dataclasses.dataclass(frozen=True, eq=False)
class Wrapped:
    """A row of a wrapper: its arguments, its oracle over that of the cell inside, its own weights.

    settings: of the oracle. given, start: a `Case`'s. units: of the cell inside, if not its row's.
    others: what differs from the defaults besides; the oracle does not know it.
    """

    wrapper: type
    arguments: dict
    oracle: Callable
    weights: Callable = lambda cell: {}
    settings: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    start: Callable | None = None
    units: dict = dataclasses.field(default_factory=dict)
    others: dict = dataclasses.field(default_factory=dict)

    @property
    def name(self):
        return self.wrapper.__name__

    def make(self, cell, **more):
        """The wrapper around a cell."""
        return self.wrapper(cell, **self.arguments | more)

    def around(self, inner):
        """The row of the wrapper around the cell of a row."""

        def make(dtype=None, **more):
            return self.make(inner.cell(**inner.arguments | self.units | more, dtype=dtype), dtype=dtype)

        return Case(
            f"{self.name}-{inner.name}",
            make,
            {},
            functools.partial(self.oracle, inner=functools.partial(inner.oracle, **inner.settings)),
            self.weights(inner.cell(**inner.arguments)) | inner.weights,
            self.settings,
            self.given,
            self.start,
        )


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


WRAPPED = {row.name: row for row in wrappers()}


def arguments(cell):
    """The constructor's arguments that the library itself declares, by name."""
    inner = arguments(cell.inner) if issubclass(cell, Inlined) else {}
    found = {}
    for base in cell.__mro__[: cell.__mro__.index(tfcells.Cell)]:
        found = dict(inspect.signature(base).parameters) | found
    own = {name: p for name, p in found.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if inner:
        own.pop("cell")
    return inner | own


def other(cell, name):
    """A value that is not the argument's default."""
    default = arguments(cell)[name].default
    return not default if isinstance(default, bool) else OTHER[name]


# For every argument of every cell a value that is not its default (of a flag it is the other one), and
# values that it must refuse.
OTHER = {
    "units": 7,
    "activation": "softsign",
    "recurrent_activation": "hard_sigmoid",
    "kernel_initializer": keras.initializers.Constant(0.25),
    "recurrent_initializer": keras.initializers.RandomNormal(stddev=0.5, seed=3),
    "bias_initializer": keras.initializers.Constant(0.5),
    "kernel_regularizer": keras.regularizers.L2(0.125),
    "recurrent_regularizer": keras.regularizers.L1(0.25),
    "bias_regularizer": keras.regularizers.L1L2(0.5, 0.25),
    "kernel_constraint": keras.constraints.MaxNorm(3.0),
    "recurrent_constraint": keras.constraints.UnitNorm(),
    "bias_constraint": keras.constraints.NonNeg(),
    "forget_bias": 2.5,
    "norm": "gate",
    "cell_norm": "carry",
    "epsilon": 0.125,
    "depth": 2,
    "transform_bias": -1.5,
    "gate_bias": -1.0,
    "peephole_initializer": keras.initializers.Constant(0.125),
    "hyper_units": 3,
    "embedding_units": 2,
    "periods": (1, 2, 4, 8, 16, 32, 64),
    "decay": 0.5,
    "eta": 0.25,
    "inner_steps": 3,
    "rounds": 3,
    "rank": 2,
}
BAD = {
    "units": (0, -1, 2.5, "4", True, None),
    "depth": (0, -2, 1.5, None),
    "hyper_units": (0, 2.5),
    "embedding_units": (0, "2"),
    "activation": ("no such function",),
    "recurrent_activation": ("no such function",),
    "norm": ("batch", None, True),
    "cell_norm": ("input", True),
    "epsilon": (0.0, -1e-3),
    "use_bias": ("no", 2),
    "coupled": ("no", 2),
    "reset_after": ("no", 2),
    "layer_norm": ("gate", 2),
    "joint": ("no", 2),
    "forget_bias": ("1", None),
    "transform_bias": ("-2", None),
    "gate_bias": ("-2", None),
    "decay": (1.0, -0.1, None),
    "eta": ("0.5", None, float("inf")),
    "inner_steps": (0, 1.5),
    "rounds": (0, 2.5),
    "rank": (0, "2"),
    "round_biases": ("no", 2),
    "factor_biases": ("no", 2),
    "periods": ((), (0, 1), (1.5,), "12", (1, 2, 3), None, 4),
}


def prepared(cell, sequence, training=False):
    """Slices, (steps, ...), and weights of a built cell, as a layer makes them before its loop."""
    x = keras.ops.convert_to_tensor(sequence)
    w = cell.bind(tfcells.Call(*keras.ops.shape(x), training))
    return (multiplied(cell.inputs(x, w.deferred())), w.along_time()), w


def stepped(cell, slices, t, state, w):
    """The step t of a cell from what `prepared` gave: output and new states."""
    x, now = keras.tree.map_structure(lambda s: s[t], slices)
    return cell.step(x, tuple(state), w.at(now))
