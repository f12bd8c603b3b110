"""Sequences, (steps, batch, ...), in lists and other structures."""

from typing import Any

import tensorflow as tf

from tfcells.contract.linear import Projection, Tensor

POWERS = [2**power for power in range(31)]


def is_float(x: Tensor) -> bool:
    return x.dtype.is_floating


def floats(tensors: list) -> list:
    return [x for x in tensors if is_float(x)]


def in_place(values: list, like: list) -> list:
    """Values of floats where these are, () elsewhere."""
    found = iter(values)
    return [next(found) if is_float(x) else () for x in like]


def wide(dtype: Any) -> tf.DType:
    """In what many numbers of that dtype are summed: at least in float32."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def narrowed(totals: list, like: list) -> list:
    """Sums as their terms' dtypes have them: those of the floats among `like`."""
    return [tf.cast(total, x.dtype) for total, x in zip(totals, floats(like), strict=True)]


def arrays(like: Any, size: Any) -> Any:
    """A `TensorArray` for each tensor of a structure; below, of such structures, a step or all of them."""
    return tf.nest.map_structure(lambda x: tf.TensorArray(x.dtype, size), like)


def read(t: Any, sequences: Any) -> Any:
    return tf.nest.map_structure(lambda sequence: sequence[t], sequences)


def write(t: Any, arrays: Any, values: Any) -> Any:
    return tf.nest.map_structure(lambda array, value: array.write(t, value), arrays, values)


def stack(arrays: Any) -> Any:
    return tf.nest.map_structure(lambda array: array.stack(), arrays)


def shaped(values: Any, like: Any) -> list:
    """The values, with what is known of the shapes of others: one may come from an input whose batch size is not."""
    for x, y in zip(values, like, strict=True):
        x.set_shape(y.shape)
    return list(values)


def tensors_of(slice: Tensor | Projection) -> list:
    """What a slice consists of; what comes first goes along time."""
    return slice.tensors if isinstance(slice, Projection) else [slice]


def length_of(x: Tensor) -> Any:
    """The steps of a sequence, as a number if they are known."""
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


class BatchSizes:
    """For which batch sizes a program is compiled: the first that eager calls have, as it is, and a few for all others.

    Training and graphs that know their batch size keep to it.
    """

    ALL = [0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, *(k * 2**n for n in range(4, 20) for k in (5, 6, 7, 8))]

    def __init__(self) -> None:
        self.first: int | None = None

    def __call__(self, batch: Any, training: bool) -> Any:
        """The size to which to fill up a batch; a number or a tensor, as it is."""
        known = isinstance(batch, int)
        if training or (known and not tf.executing_eagerly()):
            return batch
        if known and self.first in (None, batch):
            self.first = batch
            return batch
        if known:
            return next((size for size in self.ALL if size >= batch), batch)
        sizes = tf.constant([*self.ALL, tf.int32.max])
        found = sizes[tf.reduce_sum(tf.cast(sizes < batch, tf.int32))]
        return tf.where(found == tf.int32.max, batch, found)


def filled(x: Tensor, axis: int, size: Any) -> Tensor:
    """x, its last entry along an axis repeated up to that size: a step can do with it; zeros may be no state at all."""
    here = x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]
    return tf.concat([x, tf.gather(x, tf.fill([size - here], here - 1), axis=axis)], axis)


def exponent(number: Any) -> Any:
    """The least power to which two is at least that number, an int or a tensor."""
    if isinstance(number, int):
        return (number - 1).bit_length()
    return tf.reduce_sum(tf.cast(tf.constant(POWERS) < number, tf.int32))


def power_of_two(exponent: Any) -> Any:
    return 2**exponent if isinstance(exponent, int) else tf.gather(POWERS, exponent)
