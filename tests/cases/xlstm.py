"""The cells of xLSTM."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, identity, sigmoid, tanh
from tests.cases.row import SHARED, names


def slstm(x, h, c, n, m, W, R, b=0, heads=1):
    """Beck et al. 2405.04517: c and n without their scale exp(m), which is taken out at the end."""
    c, n = c * np.exp(m), n * np.exp(m)
    of_head = {y: np.split(R_y, heads, -1) for y, R_y in blocks("ifzo", R)}
    read = {
        y: np.concatenate([part @ R_k for part, R_k in zip(np.split(h, heads, -1), parts, strict=True)], -1)
        for y, parts in of_head.items()
    }
    a = {y: x @ W_y + read[y] + b_y for y, W_y, b_y in blocks("ifzo", W, b)}
    m = np.maximum(np.log(sigmoid(a["f"])) + m, a["i"])
    c = sigmoid(a["f"]) * c + np.exp(a["i"]) * tanh(a["z"])
    n = sigmoid(a["f"]) * n + np.exp(a["i"])
    h = sigmoid(a["o"]) * c / n
    return h, h, c / np.exp(m), n / np.exp(m), m


def positive_n(h, c, n, m):
    """n sums exponentials: it is never negative."""
    return h, c, 0.5 + np.abs(n), m


def mlstm(x, h, C, n, m, W, b=0, f=identity, heads=1):
    """Beck et al. 2405.04517, head by head, without the scale exp(m), which is taken out at the end."""
    a, d = x @ W + b, (W.shape[-1] - 2 * heads) // 4 // heads
    *parts, gates = np.split(a, [d * heads * k for k in (1, 2, 3, 4)], -1)
    i, forget = np.split(gates, 2, -1)
    outputs, states = [], []
    for k in range(heads):
        query, key, value, o = (part[:, k * d : (k + 1) * d] for part in parts)
        keep, new, scale = sigmoid(forget[:, k, None]), np.exp(i[:, k, None]), np.exp(m[:, k, None])
        memory, size = C[:, k] * scale[..., None], n[:, k] * scale
        memory = keep[..., None] * memory + new[..., None] * f(value)[:, :, None] * key[:, None] / np.sqrt(d)
        size = keep * size + new * key / np.sqrt(d)
        outputs.append(np.einsum("bvk,bk->bv", memory, query) / np.maximum(np.abs((size * query).sum(-1)), 1)[:, None])
        outputs[-1] *= sigmoid(o)
        top = np.maximum(np.log(keep) + m[:, k, None], i[:, k, None])
        states.append((memory / np.exp(top)[..., None], size / np.exp(top), top[:, 0]))
    h = np.concatenate(outputs, -1)
    return h, h, *(np.stack(state, 1) for state in zip(*states, strict=True))


def rows():
    heads, weights = {"heads": 2}, names(SHARED.replace("U:", "R:"))
    yield "slstm", tfcells.SLSTMCell, {"units": 4} | heads, slstm, weights, heads, {}, None, positive_n
    yield "mlstm", tfcells.MLSTMCell, {"units": 4} | heads, mlstm, names("W:kernel b:bias"), heads
