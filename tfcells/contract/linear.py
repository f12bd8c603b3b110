"""Linear maps, made at once or deferred."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
"""A tensor of the Keras backend."""


def multiply(x: Tensor, matrix: Tensor) -> Tensor:
    """x @ matrix; for a rank-3 matrix, group by group: (batch, groups, in) to (batch, groups, out)."""
    if len(matrix.shape) == 3:
        return ops.einsum("bgi,gio->bgo", x, matrix)
    return ops.matmul(x, matrix)


def affine(x: Tensor, matrix: Tensor, bias: Tensor | None = None, product: Callable = ops.matmul) -> Tensor:
    """x @ matrix + bias along the last axis. product: multiplies (rows, inputs).

    The bias is added row by row, so that TensorFlow adds it while it multiplies.
    """
    rows = product(ops.reshape(x, (-1, x.shape[-1])), matrix)
    rows = rows if bias is None else ops.add(rows, bias)
    return ops.reshape(rows, (*ops.shape(x)[:-1], rows.shape[-1]))


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """x + bias along the last axis; row by row, as in `affine`."""
    rows = ops.add(ops.reshape(x, (-1, x.shape[-1])), bias)
    return ops.reshape(rows, ops.shape(x))


class Projection:
    """sequence @ matrix + bias, a slice whose product is still to be made.

    projection[t] is that of the moment t, `whole()` that of all moments at once, which is fastest.
    Adding a vector, or the number 0, gives another projection.

    sequence: (steps, batch, features). dtype: of the product, if not its factors'.
    """

    def __init__(self, sequence: Tensor, matrix: Tensor, bias: Tensor | None = None, dtype: Any = None) -> None:
        self.tensors = [sequence, matrix] if bias is None else [sequence, matrix, bias]
        self.shape = (*sequence.shape[:-1], matrix.shape[-1])
        self.factors = keras.backend.result_type(sequence.dtype, matrix.dtype)
        self.dtype = dtype or self.factors

    def __getitem__(self, step: Any) -> Tensor:
        sequence, *rest = self.tensors
        return self.using([sequence[step], *rest]).whole()

    def __add__(self, bias: Tensor) -> "Projection":
        if isinstance(bias, int):  # a cell without biases has 0 in their place
            return self
        if len(self.tensors) > 2 or len(bias.shape) != 1:
            raise TypeError("a product of the input takes one vector; for more, use whole(product)")
        return self.using([*self.tensors, bias])

    def whole(self, product: Callable = ops.matmul) -> Tensor:
        """The product, made by a function of (rows, inputs) and the matrix."""
        sequence, matrix, bias = [*self.tensors, None][:3]
        y = affine(ops.cast(sequence, self.factors), matrix, bias, product)
        return ops.cast(y, self.dtype)

    def blank(self) -> "Projection":
        """What `using` needs of this one, without its tensors."""
        blank = object.__new__(Projection)
        blank.dtype = self.dtype
        return blank

    def using(self, tensors: Sequence[Tensor]) -> "Projection":
        """The same with other tensors."""
        sequence, matrix, bias = [*tensors, None][:3]
        return Projection(sequence, matrix, bias, self.dtype)


Number = tuple[Tensor, ...]
"""A real number, (x,), or a complex one, (real part, imaginary part): arrays of them, element by element."""


def times(a: Number, b: Number) -> Number:
    """a b."""
    if len(a) == 1:
        return (a[0] * b[0],)
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def plus(a: Number, b: Number) -> Number:
    """a + b."""
    return tuple(one + other for one, other in zip(a, b, strict=True))


def recurrence(decay: Number, added: Number, start: Number) -> Number:
    """h[t] = decay[t] h[t - 1] + added[t] along the first axis, h[-1] = start, by a parallel scan."""

    def joined(early: tuple, late: tuple) -> tuple:
        return times(early[0], late[0]), plus(times(early[1], late[0]), late[1])

    decays, sums = ops.associative_scan(joined, (decay, added))
    return plus(times(decays, start), sums)


def by_heads(kernel: Tensor, heads: int, gates: int) -> Tensor:
    """The whole kernel, (inputs, outputs), where each head of the outputs reads its own inputs alone.

    kernel: (inputs / heads, outputs); its columns are stacked gate by gate, and those of a gate head by head.
    """
    rows, columns = kernel.shape
    apart = ops.reshape(ops.eye(heads, dtype=kernel.dtype), (heads, 1, 1, heads, 1))
    parts = ops.reshape(kernel, (1, rows, gates, heads, columns // (gates * heads)))
    return ops.reshape(apart * parts, (heads * rows, columns))


def whole(x: Tensor | Projection, product: Callable = ops.matmul) -> Tensor:
    """A tensor as it is; a `Projection` as the tensor that it stands for."""
    return x.whole(product) if isinstance(x, Projection) else x


def multiplied(slices: Any, product: Callable = ops.matmul) -> Any:
    """The slices with the product of every `Projection` made."""
    return keras.tree.map_structure(lambda x: whole(x, product), slices)
