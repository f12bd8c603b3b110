"""Where masks are drawn, which wrappers apply; what a mask of steps hides; a choice among states, sample by sample."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from tfcells.contract.linear import Tensor

RESOLUTION = 2**24  # of a rate
PART: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar("part", default=None)


@contextlib.contextmanager
def part_of_batch(start: int, size: int) -> Iterator[None]:
    """A context in which a batch counts as the rows from `start` on of a batch of `size` rows, and gets their masks.

    Two processes that share a batch then drop what one process drops, if their seeds are the same.

    >>> layer = tfcells.WordDropout(9, 0.5, seed=1)
    >>> with tfcells.part_of_batch(2, 4):
    ...     y = layer([keras.ops.zeros((2, 5), "int32"), keras.ops.ones((2, 5, 3))], training=True)
    >>> keras.ops.shape(y)
    (2, 5, 3)
    """
    token = PART.set((start, size))
    try:
        yield
    finally:
        PART.reset(token)


def whole_batch(shape: tuple, axis: int | None = 0) -> tuple[tuple, Any]:
    """The shape of the noise to draw for the whole batch, and the index of this one's part: for layers that draw.

    axis: that of the batch's rows, None where they share what is drawn.

    >>> tfcells.whole_batch((2, 5))
    ((2, 5), Ellipsis)
    >>> with tfcells.part_of_batch(2, 4):
    ...     tfcells.whole_batch((2, 5))
    ((4, 5), (slice(2, 4, None),))
    """
    part = PART.get()
    if part is None or axis is None:
        return shape, ...
    (start, size), rows = part, shape[axis]
    if isinstance(rows, int) and start + rows > size:
        raise ValueError(f"{rows} rows from row {start} on can't be a part of a batch of {size} rows")
    return (*shape[:axis], size, *shape[axis + 1 :]), (*[slice(None)] * axis, slice(start, start + rows))


def visible(x: Tensor, mask: Tensor | None) -> Tensor:
    """x with zeros where the mask is False: NaN times a gradient of zero would be NaN.

    mask: of the first axes of x, or None.
    """
    if mask is None or len(mask.shape) >= len(x.shape):
        return x
    mask = ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *(1 for _ in x.shape[len(mask.shape) :])))
    return ops.where(mask, x, ops.zeros_like(x))


def keep_mask(shape: tuple, rate: float, seed: keras.random.SeedGenerator, axis: int | None = 0) -> Tensor:
    """True with probability 1 - rate. seed: a `keras.random.SeedGenerator`. axis: that of the batch's rows, or None.

    Drawn as whole numbers, since XLA makes other floats of the same random bits.
    """
    shape, own = whole_batch(shape, axis)
    drawn = keras.random.randint(shape, 0, RESOLUTION, dtype="int32", seed=seed)
    return drawn[own] >= round(rate * RESOLUTION)


def dropout_mask(
    shape: tuple, rate: float, dtype: Any, seed: keras.random.SeedGenerator, axis: int | None = 0
) -> Tensor:
    """1 / (1 - rate) with probability 1 - rate, else 0."""
    return ops.cast(keep_mask(shape, rate, seed, axis), dtype) / (1 - rate)


def choose(keep: Tensor, new: Sequence[Tensor], old: Sequence[Tensor]) -> tuple:
    """Of each pair of states, of any rank, the new where `keep` holds; keep: (batch, 1)."""

    def select(new: Tensor, old: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (len(new.shape) - 1)
        return ops.where(ops.reshape(keep, shape), new, old)

    return tuple(map(select, new, old))
