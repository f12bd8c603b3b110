"""LSTMs."""

import itertools

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, memory, norm, s, sums, tanh
from tests.cases.row import EPSILON, SHARED, H, names


def lstm(x, h, c, W, U, b=0, update=identity, gates="ifgo", capped=False):
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.

    gates "fgo": i = 1 - f (Greff et al. 1503.04069). capped: i at most 1 - f (Melis et al.).
    """
    h, c = memory(sums(gates, x, h, W, U, b), c, update=update, capped=capped)
    return h, h, c


def peephole(x, h, c, W, U, b=0, pi=0, pf=0, po=0, gates="ifgo", capped=False):
    """Gers et al. 2002: the gates see the memory, the output gate the new one."""
    h, new = peephole_memory(sums(gates, x, h, W, U, b), c, pi, pf, po, capped, tanh)
    return h, h, new


def peephole_memory(a, c, pi, pf, po, capped, read):
    """h' and c', from the gates."""
    f = s(a["f"] + pf * c)
    i = s(a["i"] + pi * c) if "i" in a else 1 - f
    new = f * c + (np.minimum(1 - f, i) if capped else i) * tanh(a["g"])
    return s(a["o"] + po * new) * read(new), new


def residual_lstm(x, h, c, W, U, b=0, pi=0, pf=0, po=0, P=0, V=None, capped=False):
    """Kim et al. 1701.03360, equations 8 to 13: r = tanh(c), m = W_p r, h = o (m + W_h x)."""
    x_ = x if V is None else x @ V
    h, c = peephole_memory(sums("ifgo", x, h, W, U, b), c, pi, pf, po, capped, lambda c: tanh(c) @ P + x_)
    return h, h, c


def integrated_lstm(x, h, c, W, U, b=0, alpha=1, beta1=1, beta2=1, gates="ifgo"):
    """Wu et al. 1606.06630, equation 4, in each gate of an LSTM."""
    parts = blocks(gates, W, U, b, alpha, beta1, beta2)
    a = {}
    for y, W_y, U_y, b_y, alpha_y, beta1_y, beta2_y in parts:
        Wx, Uz = x @ W_y, h @ U_y
        a[y] = alpha_y * Wx * Uz + beta1_y * Uz + beta2_y * Wx + b_y
    h, c = memory(a, c)
    return h, h, c


def original_lstm(x, h, c, W, U, b=0, doubled=True):
    """Hochreiter & Schmidhuber 1997, appendix: g in [-2, 2], h in [-1, 1], written with tanh."""
    a = sums("igo", x, h, W, U, b)
    c = c + s(a["i"]) * (2 * tanh(a["g"] / 2) if doubled else tanh(a["g"]))
    h = s(a["o"]) * (tanh(c / 2) if doubled else tanh(c))
    return h, h, c


def ordered_lstm(x, h, c, W, U, b=0, chunk_size=1):
    """Shen et al. 1810.09536, equations 6 to 14, unit by unit."""
    own, units = 4 * c.shape[-1], c.shape[-1]
    a = x @ W + h @ U + b
    gates = dict(blocks("ifgo", a[:, :own]))
    master_f, master_i = (np.exp(m) / np.exp(m).sum(-1, keepdims=True) for m in np.split(a[:, own:], 2, -1))
    new = []
    for unit in range(units):
        upto = slice(0, unit // chunk_size + 1)
        f_tilde, i_tilde = master_f[:, upto].sum(-1), 1 - master_i[:, upto].sum(-1)
        omega = f_tilde * i_tilde
        f = s(gates["f"][:, unit]) * omega + (f_tilde - omega)
        i = s(gates["i"][:, unit]) * omega + (i_tilde - omega)
        new.append(f * c[:, unit] + i * tanh(gates["g"][:, unit]))
    c = np.stack(new, -1)
    h = s(gates["o"]) * tanh(c)
    return h, h, c


def norm_lstm(x, h, c, W, U, b=0, Wg=None, Ug=None, g=None, d=None, cg=None, cd=None, gates="ifgo", **how):
    """Ba et al. 2016, equations 20 to 22 (joint: Wg, Ug), or Ha et al. 2016, A.3 (gates: g, d)."""
    capped = how.get("capped", False)

    def ln(a, gain, shift=0.0):
        return norm(a, gain, shift, how["epsilon"])

    if g is None:
        a = dict(blocks(gates, ln(x @ W, Wg) + ln(h @ U, Ug) + b))
    else:
        parts = blocks(gates, W, U, b, g, d)
        a = {y: ln(x @ W_y + h @ U_y + b_y, g_y, d_y) for y, W_y, U_y, b_y, g_y, d_y in parts}
    if how["cell_norm"] == "carry":  # TensorFlow Addons
        c = ln(memory(a, c, capped=capped)[1], cg, cd)
        h = s(a["o"]) * tanh(c)
    else:
        h, c = memory(a, c, lambda c: c if cg is None else ln(c, cg, cd), capped=capped)
    return h, h, c


BY_GATE, CELL = "g:gain d:shift ", "cg:cell_gain cd:cell_shift "
NORMS = {
    "gate": SHARED + BY_GATE,
    "product": SHARED + "Wg:kernel_gain Ug:recurrent_gain ",
}


def rows():
    coupled, capped = ({"input_gate": "coupled"}, {"gates": "fgo"}), ({"input_gate": "capped"}, {"capped": True})
    peepholes = names(SHARED + "pi:input_peephole pf:forget_peephole po:output_peephole")
    for name, cell, oracle, weights in (
        ("lstm", tfcells.LSTMCell, lstm, names(SHARED)),
        ("peephole", tfcells.PeepholeLSTMCell, peephole, peepholes),
    ):
        without = {letter: weight for letter, weight in weights.items() if letter != "pi"}
        yield f"{name}-coupled", cell, H | coupled[0], oracle, without, coupled[1]
        yield f"{name}-capped", cell, H | capped[0], oracle, weights, capped[1]
        yield name, cell, H, oracle, weights
    for kind, (argument, setting) in zip(NORMS, (coupled, capped), strict=True):
        yield (
            f"lnlstm-{kind}-{argument['input_gate']}",
            tfcells.LayerNormLSTMCell,
            H | {"norm": kind} | argument | EPSILON,
            norm_lstm,
            names(NORMS[kind] + CELL),
            {"cell_norm": "output"} | setting | EPSILON,
        )
    weights = peepholes | {"P": "output_kernel"}
    arguments = {"units": 3, "project": False} | capped[0]
    yield "residual-lstm", tfcells.ResidualLSTMCell, arguments, residual_lstm, weights, capped[1]
    weights = weights | {"V": "projection_kernel"}
    yield "residual-lstm-projected", tfcells.ResidualLSTMCell, H | {"project": True}, residual_lstm, weights
    weights = names(SHARED + "alpha:product_gain beta1:recurrent_gain beta2:kernel_gain")
    cell = tfcells.MultiplicativeIntegrationLSTMCell
    yield "integrated-lstm-coupled", cell, H | coupled[0], integrated_lstm, weights, coupled[1]
    yield "integrated-lstm", cell, H, integrated_lstm, weights
    for doubled in ({"doubled": False}, {"doubled": True}):
        name = "original-lstm-doubled" if doubled["doubled"] else "original-lstm"
        yield name, tfcells.OriginalLSTMCell, H | doubled, original_lstm, names(SHARED), doubled
    yield "ordered-lstm", tfcells.OrderedNeuronsLSTMCell, H, ordered_lstm, names(SHARED)
    chunks = {"chunk_size": 2}
    yield (
        "ordered-lstm-chunks",
        tfcells.OrderedNeuronsLSTMCell,
        {"units": 6} | chunks,
        ordered_lstm,
        names(SHARED),
        chunks,
    )
    for kind, cell_norm in itertools.product(NORMS, (None, "carry", "output")):
        yield (
            f"lnlstm-{kind}-{cell_norm}",
            tfcells.LayerNormLSTMCell,
            H | {"norm": kind, "cell_norm": cell_norm} | EPSILON,
            norm_lstm,
            names(NORMS[kind] + (CELL if cell_norm else "")),
            {"cell_norm": cell_norm} | EPSILON,
        )
