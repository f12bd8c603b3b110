"""One row a cell variant: the class, its arguments, and its equations once more, in NumPy.

Every oracle is one time step, `oracle(x, *state, **weights) -> (output, *new state)`, written from
the paper, gate by gate. It reads `tanh` and `s` from this module, where a test can replace them.
A new cell needs a row in CASES, and a value in OTHER for every argument that no cell had before.
"""

import dataclasses
import itertools
from collections.abc import Callable

import keras
import numpy as np

import tfcells
from tfcells.contract.linear import multiplied

tanh = np.tanh


def s(a):
    return 1 / (1 + np.exp(-a))


def blocks(gates, *matrices):
    """For every gate its letter and its columns of each matrix; a bias may be the number 0."""
    columns = (np.split(m, len(gates), -1) if np.ndim(m) else [m] * len(gates) for m in matrices)
    return zip(gates, *columns, strict=True)


def norm(a, gain, shift, epsilon):
    """Layer normalisation with the biased variance (Ba, Kiros & Hinton 2016, equations 3 and 4)."""
    mu = a.sum(-1, keepdims=True) / a.shape[-1]
    sigma = np.sqrt(((a - mu) ** 2).sum(-1, keepdims=True) / a.shape[-1] + epsilon)
    return gain * (a - mu) / sigma + shift


def elman(x, h, W, U, b=0):
    """Elman 1990: the hidden units read the input and their own copy of one step before."""
    h = tanh(x @ W + h @ U + b)
    return h, h


def norm_elman(x, h, W, U, b=0, g=1, epsilon=0):
    """Ba et al. 2016, equation 4: the summed inputs of the units are normalised."""
    h = tanh(norm(x @ W + h @ U, g, b, epsilon))
    return h, h


def memory(a, c, read=lambda c: c):
    """h' and c' of an LSTM (Gers et al. 2000) from its gates before they are squashed."""
    c = s(a["f"]) * c + s(a["i"]) * tanh(a["g"])
    return s(a["o"]) * tanh(read(c)), c


def lstm(x, h, c, W, U, b=0):
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000."""
    a = {y: x @ W_y + h @ U_y + b_y for y, W_y, U_y, b_y in blocks("ifgo", W, U, b)}
    h, c = memory(a, c)
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


def gru_v1(x, h, W, U, b=(0, 0)):
    """Cho et al. 1406.1078v1: the reset gate acts after the product; a bias on either side."""
    w = {y: (x @ W_y + b_y, h @ U_y + d_y) for y, W_y, U_y, b_y, d_y in blocks("zrg", W, U, *b)}
    z, r = s(sum(w["z"])), s(sum(w["r"]))
    h = z * h + (1 - z) * tanh(w["g"][0] + r * w["g"][1])
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


def highway(x, s0, W, gates, **levels):
    """Zilly et al. 2016, equations 6 to 9; R1.. and b1.. by level; c = 1 - t without its gate."""
    state, depth = s0, sum(name[0] == "R" for name in levels)
    for level in range(1, depth + 1):
        R, b = levels[f"R{level}"], levels.get(f"b{level}", 0)
        a = {
            y: (x @ W_y if level == 1 else 0) + state @ R_y + b_y
            for y, W_y, R_y, b_y in blocks(gates, W, R, b)
        }
        t = s(a["t"])
        state = tanh(a["h"]) * t + state * (s(a["c"]) if "c" in a else 1 - t)
    return state, state


def highway_state_gate(x, h, s0, G, gb=0, **rhn):
    """Shoham & Permuter 2018 over `highway`: h and the new s are weighed by a gate that reads both."""
    state, _ = highway(x, s0, **rhn)
    g = s(np.concatenate([h, state], -1) @ G + gb)
    h = g * h + (1 - g) * state
    return h, h, state


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A row: `weights` has the oracle's letters for the cell's weights, in their order."""

    name: str
    cell: type
    arguments: dict
    oracle: Callable
    weights: dict
    settings: dict = dataclasses.field(default_factory=dict)

    def build(self, features, **more):
        """The cell, built for inputs of that width."""
        cell = self.cell(**self.arguments, **more)
        cell.build((None, features))
        cell.built = True
        return cell

    def roll(self, x, state, weights, mask=None):
        """The oracle along (batch, steps, features): all outputs and the final states.

        weights: arrays by the oracle's letters. Where the mask is False, state and output stay.
        """
        y, outputs = 0.0, []
        for t in range(x.shape[1]):
            new = self.oracle(x[:, t], *state, **weights, **self.settings)
            if mask is not None:
                pairs = zip(new, (y, *state), strict=True)
                new = [np.where(mask[:, t, None], now, before) for now, before in pairs]
            y, *state = new
            outputs.append(y)
        return np.stack(outputs, 1), *state


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
        levels = range(1, depth + 1)
        weights = {"W": "kernel"} | {f"R{n}": f"recurrent_kernel_{n - 1}" for n in levels}
        weights |= {f"b{n}": f"bias_{n - 1}" for n in levels}
        name = f"{'coupled' if coupled else 'uncoupled'}-{depth}"
        arguments = H | {"coupled": coupled, "depth": depth}
        gates = {"gates": "ht" if coupled else "htc"}
        yield f"rhn-{name}", tfcells.RHNCell, arguments, highway, weights, gates
        if depth > 1:
            weights = weights | {"G": "gate_kernel", "gb": "gate_shift"}
            cell = tfcells.HighwayStateGateRHNCell
            yield f"hsg-{name}", cell, arguments, highway_state_gate, weights, gates


CASES = [Case(*row) for row in rows()]

# For every argument of every cell a value that is not its default, and values that it must refuse.
OTHER = {
    "units": 7,
    "activation": "softsign",
    "recurrent_activation": "hard_sigmoid",
    "use_bias": False,
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
    "reset_after": False,
    "norm": "gate",
    "cell_norm": "carry",
    "epsilon": 0.125,
    "depth": 2,
    "coupled": False,
    "transform_bias": -1.5,
    "gate_bias": -1.0,
    "peephole_initializer": keras.initializers.Constant(0.125),
    "hyper_units": 3,
    "embedding_units": 2,
    "layer_norm": True,
    "joint": True,
    "periods": (1, 2, 4, 8, 16, 32, 64),
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
