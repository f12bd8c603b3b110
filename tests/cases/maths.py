"""What oracles are written with, in NumPy."""

import numpy as np

CHOSEN = {"tanh": np.tanh, "s": lambda a: 1 / (1 + np.exp(-a))}
"""The activations; a test puts others in their place."""


def tanh(a):
    return CHOSEN["tanh"](a)


def s(a):
    return CHOSEN["s"](a)


def sigmoid(a):
    """Where no argument of the cell gives another one."""
    return 1 / (1 + np.exp(-a))


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

    def columns(self, count):
        return [Reading(part, self.seen) for part in columns(self.matrix, count)]


class Scaled:
    """A matrix whose products are scaled and shifted, column by column: x @ Scaled(W, d, b) is d (x @ W) + b."""

    __array_ufunc__ = None

    def __init__(self, matrix, scale, shift):
        self.matrix, self.scale, self.shift, self.ndim = matrix, scale, shift, 2

    def __rmatmul__(self, x):
        return self.scale * (x @ self.matrix) + self.shift

    def columns(self, count):
        parts = (columns(each, count) for each in (self.matrix, self.scale, self.shift))
        return [Scaled(*part) for part in zip(*parts, strict=True)]


def columns(matrix, count):
    """Equal blocks of columns; of a number, that number each time."""
    if isinstance(matrix, Reading | Scaled):
        return matrix.columns(count)
    return np.split(matrix, count, -1) if np.ndim(matrix) else [matrix] * count


def blocks(gates, *matrices):
    """For every gate its letter and its columns of each matrix; a bias may be the number 0."""
    return zip(gates, *(columns(matrix, len(gates)) for matrix in matrices), strict=True)


def sums(gates, x, h, W, U, b):
    """x W + h U + b, gate by gate."""
    return {y: x @ W_y + h @ U_y + b_y for y, W_y, U_y, b_y in blocks(gates, W, U, b)}


def norm(a, gain, shift, epsilon):
    """Layer normalization with the biased variance (Ba, Kiros & Hinton 2016, equations 3 and 4)."""
    mu = a.sum(-1, keepdims=True) / a.shape[-1]
    sigma = np.sqrt(((a - mu) ** 2).sum(-1, keepdims=True) / a.shape[-1] + epsilon)
    return gain * (a - mu) / sigma + shift


def memory(a, c, read=identity, update=identity, capped=False):
    """h' and c' of an LSTM (Gers et al. 2000) from its gates before they are squashed; i may be missing."""
    i = s(a["i"]) if "i" in a else 1 - s(a["f"])
    i = np.minimum(i, 1 - s(a["f"])) if capped else i
    c = s(a["f"]) * c + i * update(tanh(a["g"]))
    return s(a["o"]) * tanh(read(c)), c
