"""GRUs."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, norm, s, tanh
from tests.cases.row import EPSILON, SHARED, H, names


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


def rows():
    yield "gru-after", tfcells.GRUCell, H, gru_v1, names(SHARED)
    yield "gru-before", tfcells.GRUCell, H | {"reset_after": False}, gru_v3, names(SHARED)
    weights = names(SHARED + "Wg:kernel_gain Ug:recurrent_gain")
    for joint in (True, False):
        settings = EPSILON | {"joint": joint}
        name = f"lngru-{'joint' if joint else 'split'}"
        yield name, tfcells.LayerNormGRUCell, H | settings, norm_gru, weights, settings
