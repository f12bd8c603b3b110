"""LSTMs."""

import itertools

import tfcells
from tests.cases.maths import blocks, identity, memory, norm, s, tanh
from tests.cases.row import EPSILON, SHARED, H, names


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


BY_GATE, CELL = "g:gain d:shift ", "cg:cell_gain cd:cell_shift "
NORMS = {
    "gate": SHARED + BY_GATE,
    "product": SHARED + "Wg:kernel_gain Ug:recurrent_gain ",
}


def rows():
    yield "lstm", tfcells.LSTMCell, H, lstm, names(SHARED)
    peepholes = names(SHARED + "pi:input_peephole pf:forget_peephole po:output_peephole")
    yield "peephole", tfcells.PeepholeLSTMCell, H, peephole, peepholes
    for kind, cell_norm in itertools.product(NORMS, (None, "carry", "output")):
        yield (
            f"lnlstm-{kind}-{cell_norm}",
            tfcells.LayerNormLSTMCell,
            H | {"norm": kind, "cell_norm": cell_norm} | EPSILON,
            norm_lstm,
            names(NORMS[kind] + (CELL if cell_norm else "")),
            {"cell_norm": cell_norm} | EPSILON,
        )
