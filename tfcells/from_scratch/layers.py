"""What a network is made of, besides its recurrent layers."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tfcells.checks import positive, require
from tfcells.from_scratch.checks import Array, floating, indices, shaped

Seed = int | np.random.Generator | None


class Layer:
    """A map of arrays, and of the gradient of a loss from its outputs back to its inputs.

    weights: its arrays, which an optimizer changes in place; of the shapes and in the order that
        the Keras layer of the same name has.
    gradients: that of the loss for each weight, as of the last `backward`.
    state: what it remembers from one call of `forward` to the next, a tuple of arrays, (batch,
        units) each; None stands for zeros.
    """

    weights: Sequence[Array] = ()
    gradients: Sequence["Gradient"] = ()
    state: Any = ()
    record: Any = None  # what `forward` leaves for `backward`

    def forward(self, x: Array) -> Array:
        """The outputs y for the inputs x."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array | None:
        """The gradient for x of the last `forward` from that for its y: once for each `forward`.

        That for the weights is in `gradients` then.
        """
        raise NotImplementedError

    def zero_state(self, batch: int) -> Sequence:
        """The state before the first step."""
        return ()

    def reset(self) -> None:
        """Forget what was read so far."""

    def recall(self) -> Any:
        """What `forward` left, and no more after that."""
        if self.record is None:
            raise ValueError("backward must follow a forward of its own")
        record, self.record = self.record, None
        return record


class Rows(NamedTuple):
    """The gradient of a matrix of which most rows have none.

    rows: the numbers of those that have, each once. values: (len(rows), columns).
    """

    rows: Array
    values: Array

    def dense(self, like: Array) -> Array:
        """The same as an array like that one."""
        full = np.zeros_like(like)
        full[self.rows] = self.values
        return full


Gradient = Array | Rows


class Embedding(Layer):
    r"""y = E[x]: row x of a matrix E; dE[k] is the sum of dy wherever x was k.

    x: whole numbers from 0 to words - 1, (batch, steps); they get no gradient. y: (batch, steps,
    units). Weights: E, (words, units), drawn uniformly within 0.05. seed: a number, or a generator
    of NumPy's to draw from; dtype: "float32" or "float64".

    Raises a ValueError for a number that is no row.

    >>> tfcells.from_scratch.Embedding(10, 4).forward([[1, 2, 1]]).shape
    (1, 3, 4)
    """

    def __init__(self, words: int, units: int, seed: Seed = None, dtype: str = "float32") -> None:
        shape = positive("words", words), positive("units", units)
        drawn = np.random.default_rng(seed).uniform(-0.05, 0.05, shape)
        self.embeddings = drawn.astype(floating("dtype", dtype))
        self.weights = [self.embeddings]

    def forward(self, x: ArrayLike) -> Array:
        self.record = indices("x", x, len(self.embeddings))
        return self.embeddings[self.record]

    def backward(self, dy: Array) -> None:
        x = self.recall().ravel()
        units = self.embeddings.shape[1]
        dy = np.asarray(dy, self.embeddings.dtype).reshape(len(x), units)
        order = np.argsort(x, kind="stable")  # the same words side by side
        x = x[order]
        starts = np.flatnonzero(np.r_[True, x[1:] != x[:-1]])
        self.gradients = [Rows(x[starts], np.add.reduceat(dy[order], starts))]


class Dense(Layer):
    r"""y = x W + b;  dx = dy Wᵀ;  dW = xᵀ dy;  db = the sum of dy.

    x: (batch, steps, inputs); y: (batch, steps, units). Weights: W, (inputs, units), drawn as
    Glorot & Bengio (2010) do, and b, (units,), of zeros. seed and dtype as for `Embedding`.

    Raises a ValueError for another shape.

    >>> tfcells.from_scratch.Dense(3, 4).forward(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    def __init__(self, inputs: int, units: int, seed: Seed = None, dtype: str = "float32") -> None:
        random = np.random.default_rng(seed)
        self.inputs, self.units = positive("inputs", inputs), positive("units", units)
        self.dtype = floating("dtype", dtype)
        self.kernel = Affine(glorot(random, inputs, units), np.zeros(units), self.dtype)
        self.weights, self.gradients = self.kernel.weights, self.kernel.gradients

    def forward(self, x: Array) -> Array:
        x = shaped("x", x, (None, None, self.inputs), self.dtype)
        self.record = with_ones(x)
        return self.kernel.product(self.record)

    def backward(self, dy: Array) -> Array:
        x = self.recall()
        dy = shaped("dy", dy, (*x.shape[:2], self.units), self.dtype)
        return self.kernel.product_gradient(x, dy)


class Affine:
    """W and b as one matrix, b being the row for an input that is always 1.

    So b and db need no pass of their own over the outputs, which are large in a softmax over words.
    """

    def __init__(self, kernel: Array, bias: Array, dtype: np.dtype) -> None:
        self.matrix = np.vstack([kernel, bias]).astype(dtype)
        self.gradient = np.zeros_like(self.matrix)
        self.weights = [self.matrix[:-1], self.matrix[-1]]
        self.gradients = [self.gradient[:-1], self.gradient[-1]]

    def product(self, x: Array) -> Array:
        """x W + b, as one product over all steps; x: (..., ..., inputs and 1)."""
        return (rows(x) @ self.matrix).reshape(*x.shape[:2], -1)

    def product_gradient(self, x: Array, dy: Array) -> Array:
        """dx = dy Wᵀ, as one product too; dW and db, as another, are in `gradients` then."""
        np.matmul(rows(x).T, rows(dy), out=self.gradient)
        return (rows(dy) @ self.weights[0].T).reshape(*x.shape[:2], -1)


def with_ones(x: Array) -> Array:
    """x with one more feature, a 1."""
    return np.concatenate([x, np.ones_like(x[..., :1])], axis=-1)


def rows(x: Array) -> Array:
    """All steps of all sequences, one below the other: (batch * steps, features)."""
    return x.reshape(-1, x.shape[-1])


def glorot(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    """A matrix drawn so that values and gradients keep their scale (Glorot & Bengio, 2010)."""
    limit = math.sqrt(6 / (inputs + outputs))
    return random.uniform(-limit, limit, (inputs, outputs))


def orthogonal(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    """A matrix whose rows, or columns, are orthonormal (Saxe et al., 2014)."""
    q, r = np.linalg.qr(random.normal(size=(max(inputs, outputs), min(inputs, outputs))))
    q *= np.sign(np.diag(r))
    return q if inputs >= outputs else q.T


class Network(Layer):
    """Layers, each of which reads what the one before it gives.

    weights, gradients: those of all layers, in order. state: a list of one tuple a layer.
    """

    def __init__(self, *layers: Layer) -> None:
        require("layers", layers, "at least one layer", len(layers) > 0)
        self.layers = layers

    @property
    def weights(self) -> list[Array]:  # type: ignore[override]
        return [weight for layer in self.layers for weight in layer.weights]

    @property
    def gradients(self) -> list[Gradient]:  # type: ignore[override]
        return [gradient for layer in self.layers for gradient in layer.gradients]

    @property
    def state(self) -> list:
        return [layer.state for layer in self.layers]

    @state.setter
    def state(self, states: list) -> None:
        for layer, state in zip(self.layers, states, strict=True):
            layer.state = state

    def zero_state(self, batch: int) -> list:
        return [layer.zero_state(batch) for layer in self.layers]

    def reset(self) -> None:
        for layer in self.layers:
            layer.reset()

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Any) -> Array | None:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy
