"""Linear maps, made at once or deferred."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import keras
from keras import ops

Tensor = Any
"""A tensor of the Keras backend."""


def multiply(x: Tensor, matrix: Tensor) -> Tensor:
    """x @ matrix; for a rank-3 matrix, group by group: (batch, groups, in) to (batch, groups, out).

    Raises ValueError for a matrix of more axes, of which the engine has no gradient.
    """
    if len(matrix.shape) > 3:
        wanted = "(inputs, outputs) or (groups, inputs, outputs)"
        raise ValueError(f"a kernel must have shape {wanted}, got {tuple(matrix.shape)}")
    if len(matrix.shape) == 3:
        return ops.einsum("bgi,gio->bgo", x, matrix)
    if matrix.shape[0] == 0:  # zeros; LiteRT's product of nothing loses a bias that is added to it
        return ops.zeros((ops.shape(x)[0], matrix.shape[1]), x.dtype) + ops.sum(matrix, axis=0)
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
    Adding a vector, or the number 0, gives another projection; all else raises a TypeError.

    sequence: (steps, batch, features). dtype: of the product, if not its factors'.
    """

    def __init__(self, sequence: Tensor, matrix: Tensor, bias: Tensor | None = None, dtype: Any = None) -> None:
        self.tensors = [sequence, matrix] if bias is None else [sequence, matrix, bias]
        self.shape = (*sequence.shape[:-1], matrix.shape[-1])
        self.factors = keras.backend.result_type(sequence.dtype, matrix.dtype)
        self.dtype = dtype or self.factors

    def __getitem__(self, step: Any) -> Tensor:
        if isinstance(step, tuple) or step is Ellipsis:
            self.refuse()
        sequence, *rest = self.tensors
        return self.using([sequence[step], *rest]).whole()

    def __add__(self, bias: Tensor) -> "Projection":
        if isinstance(bias, int) and bias == 0:  # a cell without biases has 0 in their place
            return self
        if len(self.tensors) > 2 or len(getattr(bias, "shape", ())) != 1:
            self.refuse()
        return self.using([*self.tensors, bias])

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "of a sequence, w.kernel(x) is a product that is still to be made: it takes one vector, as in "
            "w.kernel(x) + w.bias, on its right. Do the rest in `step`, or with tfcells.contract.linear.whole(product)"
        )

    __array__ = __iter__ = __neg__ = refuse  # `__array__`: where any backend makes a tensor of it
    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = refuse

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
