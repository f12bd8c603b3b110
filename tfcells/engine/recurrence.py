"""Recurrences along time whose decays and additions are known for all steps.

On a CPU a compiled loop that does nothing else is fastest: a step of a small state takes a tenth of a microsecond, less
than its gates and products. Where each operation costs more, on a GPU and in loops that are not compiled, the steps are
taken in chunks of the square root of their number: first all chunks side by side, then one chunk after the other.
"""

import functools
from typing import Any

import tensorflow as tf

from tfcells.contract.linear import Tensor
from tfcells.contract.recurrence import STILL
from tfcells.engine.compiler import compiled
from tfcells.engine.differentiated import Differentiated, debugged
from tfcells.engine.sequences import BatchSizes, exponent, filled, length_of, power_of_two, wide


def along(
    kind: str, decay: Tensor, added: Tensor, start: Tensor, compile: bool = True, training: bool = True
) -> Tensor:
    """All states of a recurrence, (steps, ...), as `contract.recurrence.scan` has them.

    Compiled, it can be differentiated once.
    """
    dtype, steps, shape = added.dtype, length_of(added), (added.shape[0], *start.shape)
    if any(x.dtype.is_complex for x in (decay, added, start)):
        raise ValueError("states of a linear cell must be no complex numbers; run the layer with parallel=False")
    tensors = [tf.cast(x, wide(dtype)) for x in (decay, added, start)]
    if not compile or debugged():
        return tf.cast(tf.ensure_shape(states(chunked, kind, steps, *tensors), shape), dtype)
    known = isinstance(steps, int) and not tf.executing_eagerly()
    missing = 0 if known else power_of_two(exponent(steps)) - steps

    def padded(x: Tensor) -> Tensor:
        return x if known or x.shape[0] == 1 else tf.pad(x, [[0, missing]] + [[0, 0]] * (len(x.shape) - 1))

    ones = tuple(n == 1 for n in decay.shape[:2])  # one entry for many, which a relaxed shape would not say
    sizes = ones, *(tuple(x.shape[2:]) for x in (decay, added))
    program, batch_sizes = programs(kind, tensors[1].dtype, sizes)
    decay, added, start = *map(padded, tensors[:2]), tensors[2]
    batch = start.shape[0] if start.shape[0] is not None else tf.shape(start)[0]
    size = batch_sizes(batch, training)
    if size is not batch:
        decay = decay if ones[1] else filled(decay, 1, size)
        added, start = filled(added, 1, size), filled(start, 0, size)
    [found] = program(steps, decay, added, start)
    return tf.cast(tf.ensure_shape(found[:steps, :batch], shape), dtype)


@functools.cache
def programs(kind: str, dtype: Any, sizes: Any) -> tuple[Differentiated, BatchSizes]:
    """The compiled pair for tensors of those sizes, and for which batch sizes."""
    way = chunked if tf.config.list_logical_devices("GPU") else looped
    forward, backward = compiled(states, way, kind), compiled(gradients, way, kind)

    def run(*tensors: Tensor) -> tuple:
        found = forward(*tensors)
        return [found], found

    def back(d: list, found: Tensor, tensors: list) -> list:
        return backward(d[0], found, *tensors)

    return Differentiated(run, back, () if kind == "maximum" else (2,)), BatchSizes()


def states(way: Any, kind: str, steps: Any, decay: Tensor, added: Tensor, start: Tensor) -> Tensor:
    """The states after all steps; what stands beyond `steps` says nothing."""
    if kind == "complex":
        return parts(way("linear", steps, *map(number, (decay, added, start))))
    return way(kind, steps, decay, added, start)


def gradients(
    way: Any, kind: str, d: Tensor, after: Tensor, steps: Any, decay: Tensor, added: Tensor, start: Tensor
) -> list:
    """Of the states' gradient d, those of decay, added and start. after: the states."""
    if kind == "complex":
        d, after, decay, start = map(number, (d, after, decay, start))
        return list(map(parts, gradients(way, "linear", d, after, steps, decay, added, start)))
    before = tf.concat([start[None], after[:-1]], 0)
    passed = tf.math.conj(decay) if kind == "linear" else tf.cast(decay + before >= added, d.dtype)
    total = way("linear", steps, passed, d, tf.zeros_like(start), back=True)
    first = passed[0] * total[0]
    if kind == "linear":
        return [summed(tf.math.conj(before) * total, decay), total, first]
    return [summed(passed * total, decay), (1 - passed) * total, first]


def looped(kind: str, steps: Any, decay: Tensor, added: Tensor, start: Tensor, back: bool = False) -> Tensor:
    """One step after the other. back: from the last, and the decay is that of the step after."""
    found = tf.TensorArray(added.dtype, tf.shape(added)[0], element_shape=start.shape)

    def body(t: Any, h: Tensor, found: Any) -> tuple:
        now = steps - 1 - t if back else t
        decays = tf.minimum(now + 1, steps - 1) if back else now
        h = advance(kind, decay[0 if decay.shape[0] == 1 else decays], added[now], h)
        return t + 1, h, found.write(now, h)

    return tf.while_loop(lambda t, *_: t < steps, body, (0, start, found), maximum_iterations=steps)[2].stack()


def chunked(kind: str, steps: Any, decay: Tensor, added: Tensor, start: Tensor, back: bool = False) -> Tensor:
    """All chunks side by side, each as if it began with nothing; then what they begin with."""
    length = length_of(added)
    decay = tf.broadcast_to(decay, [length, *tf.unstack(tf.shape(decay)[1:])])
    if back:
        decay, added = (tf.reverse(x, [0]) for x in (tf.roll(decay, -1, 0), added))
    size = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(length, tf.float32))), tf.int32)
    count = -(-length // size)

    def cut(x: Tensor, still: Any) -> Tensor:
        missing = tf.fill([count * size - length, *tf.unstack(tf.shape(x)[1:])], tf.cast(still, x.dtype))
        return tf.reshape(tf.concat([x, missing], 0), [count, size, *tf.unstack(tf.shape(x)[1:])])

    stays, nothing = STILL[kind]
    decay, added = cut(decay, stays), cut(added, nothing)
    decays, sums = decay[:, 0], added[:, 0]
    all_decays = tf.TensorArray(decay.dtype, size).write(0, decays)
    all_sums = tf.TensorArray(added.dtype, size).write(0, sums)

    def within(t: Any, decays: Tensor, sums: Tensor, all_decays: Any, all_sums: Any) -> tuple:
        now = decay[:, t]
        decays = now * decays if kind == "linear" else now + decays
        sums = advance(kind, now, added[:, t], sums)
        return t + 1, decays, sums, all_decays.write(t, decays), all_sums.write(t, sums)

    loop = functools.partial(tf.while_loop, parallel_iterations=1)
    _, decays, sums, all_decays, all_sums = loop(
        lambda t, *_: t < size, within, (1, decays, sums, all_decays, all_sums), maximum_iterations=size
    )
    starts = tf.TensorArray(start.dtype, count)

    def between(chunk: Any, h: Tensor, starts: Any) -> tuple:
        return chunk + 1, advance(kind, decays[chunk], sums[chunk], h), starts.write(chunk, h)

    starts = loop(lambda chunk, *_: chunk < count, between, (0, start, starts), maximum_iterations=count)[2]
    found = advance(kind, all_decays.stack(), all_sums.stack(), starts.stack()[None])
    found = tf.reshape(tf.einsum("tc...->ct...", found), [count * size, *tf.unstack(tf.shape(added)[2:])])[:length]
    return tf.reverse(found, [0]) if back else found


def advance(kind: str, decay: Tensor, added: Tensor, h: Tensor) -> Tensor:
    """One step."""
    return decay * h + added if kind == "linear" else tf.maximum(decay + h, added)


def summed(d: Tensor, like: Tensor) -> Tensor:
    """A gradient summed where the tensor has one entry for many."""
    axes = [axis for axis, (many, one) in enumerate(zip(d.shape, like.shape, strict=True)) if one == 1 and many != 1]
    return tf.reduce_sum(d, axes, keepdims=True) if axes else d


def number(x: Tensor) -> Tensor:
    """The complex numbers of their parts, the last axis."""
    return tf.complex(x[..., 0], x[..., 1])


def parts(x: Tensor) -> Tensor:
    return tf.stack([tf.math.real(x), tf.math.imag(x)], -1)
