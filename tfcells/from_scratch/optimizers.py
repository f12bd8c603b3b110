"""How the gradient changes the weights."""

import math

import numpy as np

from tfcells.checks import number, require
from tfcells.from_scratch.checks import Array
from tfcells.from_scratch.layers import Rows


def clip(gradients: list, largest: float) -> float:
    """Scale all gradients, in place, so that their common norm is at most that; the norm before.

    The norm is the root of the sum of all their squares (Pascanu et al., 2013). With math.inf
    nothing is scaled.

    >>> gradient = np.array([3.0, 4.0])
    >>> tfcells.from_scratch.clip([gradient], 1.0), gradient.tolist()
    (5.0, [0.6..., 0.8...])
    """
    if largest != math.inf:
        number("largest", largest, low=0)
    arrays = [g.values if isinstance(g, Rows) else g for g in gradients]
    # Row by row, and their sum in float64: one float32 sum of millions of squares is 5e-5 off.
    squares = (np.einsum("...i,...i->...", array, array) for array in arrays)
    norm = math.sqrt(sum(float(np.sum(square, dtype="float64")) for square in squares))
    if norm > largest:
        for array in arrays:
            array *= largest / norm
    return norm


class Optimizer:
    """Changes weights in place, against their gradients.

    rate: the learning rate; may be set anew before any `update`.
    arrays: what it remembers, to be kept and put back, in place, with the weights.
    """

    def __init__(self, weights: list, rate: float) -> None:
        require("weights", weights, "at least one array", len(weights) > 0)
        self.weights, self.rate = weights, number("rate", rate, low=0)
        self.arrays: list[Array] = []

    def update(self, gradients: list) -> None:
        """A step; gradients: one a weight, in the same order. They may be overwritten."""
        raise NotImplementedError


class SGD(Optimizer):
    """w' = w - rate dw.

    Only the rows of an embedding that have a gradient are touched.
    """

    def update(self, gradients: list) -> None:
        for w, dw in zip(self.weights, gradients, strict=True):
            if isinstance(dw, Rows):
                w[dw.rows] -= self.rate * dw.values
            else:
                dw *= self.rate
                w -= dw


class Adam(Optimizer):
    r"""Steps of about the same size for all weights, t being their number so far:

        m' = m + (1 - decay) (dw - m);  v' = v + (1 - square_decay) (dw² - v)
        w' = w - rate sqrt(1 - square_decay^t) / (1 - decay^t) m' / (sqrt(v') + epsilon)

    amsgrad: the largest v so far takes its place in the second line. Numbers and names of terms are
    those of `keras.optimizers.Adam`. Source: Kingma & Ba, 1412.6980, in the form before section 2.1;
    Reddi et al., On the convergence of Adam and beyond, 2018, there without the factors of t.
    """

    def __init__(
        self,
        weights: list,
        rate: float = 0.001,
        decay: float = 0.9,
        square_decay: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(weights, rate)
        self.decay = number("decay", decay, low=0, high=1)
        self.square_decay = number("square_decay", square_decay, low=0, high=1)
        self.epsilon = number("epsilon", epsilon, low=0)
        self.amsgrad = require("amsgrad", amsgrad, "True or False", isinstance(amsgrad, bool))
        self.steps = np.zeros((), np.int64)
        self.means, self.squares, self.largest = ([np.zeros_like(w) for w in weights] for _ in range(3))
        self.arrays = [self.steps, *self.means, *self.squares]
        self.arrays += self.largest if amsgrad else []

    def update(self, gradients: list) -> None:
        self.steps += 1
        t = int(self.steps)
        rate = self.rate * math.sqrt(1 - self.square_decay**t) / (1 - self.decay**t)
        for w, dw, m, v, largest in zip(self.weights, gradients, self.means, self.squares, self.largest, strict=True):
            dw = dw.dense(w) if isinstance(dw, Rows) else dw
            m += (1 - self.decay) * (dw - m)
            v += (1 - self.square_decay) * (dw**2 - v)
            if self.amsgrad:
                v = np.maximum(largest, v, out=largest)
            w -= rate * m / (np.sqrt(v) + self.epsilon)
