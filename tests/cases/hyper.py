"""Hypernetworks."""

import itertools

import numpy as np

import tfcells
from tests.cases.lstm import BY_GATE, CELL
from tests.cases.maths import blocks, memory, norm
from tests.cases.row import EPSILON, H, names


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


HYPER = (
    "W:kernel U:recurrent_kernel b:bias hW:hyper_kernel hU:hyper_recurrent_kernel hb:hyper_bias "
    "Z:embedding_kernel e:embedding_bias A:scale_kernel "
)
HYPER_NORM = "hg:hyper_gain hd:hyper_shift hcg:hyper_cell_gain hcd:hyper_cell_shift"
HYPER_SIZES = H | {"hyper_units": 4, "embedding_units": 2}


def rows():
    with_norm = HYPER_SIZES | {"layer_norm": True} | EPSILON
    weights = names(HYPER + BY_GATE + CELL + HYPER_NORM)
    yield "hyper-norm", tfcells.HyperLSTMCell, with_norm, hyper_lstm, weights, EPSILON
    yield "hyper", tfcells.HyperLSTMCell, HYPER_SIZES, hyper_lstm, names(HYPER)
