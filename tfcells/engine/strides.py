"""Stride by stride, with less to remember: the steps of a stride are computed again on the way back."""

from typing import Any

import tensorflow as tf

from tfcells.contract.linear import Projection, Tensor
from tfcells.engine.compiler import compiled
from tfcells.engine.differentiated import TWICE
from tfcells.engine.pair import Arguments, Pair
from tfcells.engine.products import backward_factors, forward_factors
from tfcells.engine.recording import weight_gradients
from tfcells.engine.sequences import (
    arrays,
    exponent,
    floats,
    is_float,
    length_of,
    narrowed,
    power_of_two,
    read,
    shaped,
    stack,
    tensors_of,
    wide,
    write,
)
from tfcells.engine.step import Step


class Strides:
    """Runs a `Pair` over one stride after the other, and remembers of each the state before it.

    A stride's products of the input, too, are made when its turn comes, and again on the way back: slices may be
    `Projection`s. Strides follow one another in TensorFlow, which multiplies what concerns a whole one; the steps of
    one are XLA's.
    """

    spent: list[int] = []
    least_rows = None  # a batch stays whole: `pieces`

    def __init__(self, step: Step, half: Any) -> None:
        self.step, self.half, self.pair = step, half, Pair(step)
        self.forward_loop, self.backward_loop = compiled(self.stride_forward), compiled(self.stride_backward)

    def length(self, steps: Any) -> Any:
        """As they are: a copy would cost what is to be saved."""
        return steps

    def stride(self, steps: Any) -> Any:
        """The steps of a stride: a power of two, about the root of all steps, and no more than these."""
        return power_of_two((exponent(steps) + 1) // 2)

    def forward(self, given: Arguments, steps: Any) -> tuple[Tensor, list, list]:
        """Outputs, final state, and the states before each stride."""
        slices, state, matrices, tensors = given
        moving, fixed = apart(slices)
        stride, strides = self.cut(moving)
        factors = forward_factors(matrices, moving[0].shape[0])

        def body(number: Any, state: list, outputs: Tensor, marks: list) -> tuple:
            block = together(slices, taken(moving, number, stride), fixed)
            end = tf.minimum(stride, steps - number * stride)
            output, new = self.forward_loop(block, state, factors, tensors, end)
            return number + 1, shaped(new, state), outputs.write(number, output), write(number, marks, state)

        start = 0, state, tf.TensorArray(self.step.output.dtype, strides), arrays(state, strides)
        _, final, outputs, marks = tf.while_loop(lambda number, *_: number < strides, body, start)
        return joined(outputs, steps), final, stack(marks)

    def backward(
        self, d_outputs: Tensor, d_final: list, marks: list, given: Arguments, steps: Any, padded: bool
    ) -> Arguments:
        """The gradients of all that was given, if it is floats."""
        slices, _, matrices, tensors = given
        moving, fixed = apart(slices)
        stride, strides = self.cut(moving)
        factors, transposed = forward_factors(matrices, moving[0].shape[0]), backward_factors(matrices)

        def body(number: Any, d_state: list, d_moving: Any, *totals: list) -> tuple:
            *moved, d_output = taken([*moving, d_outputs], number, stride)
            with tf.GradientTape() as tape:
                tape.watch([*floats(moved), *fixed])
                block = together(slices, moved, fixed)
            end = tf.minimum(stride, steps - number * stride)
            states, (d_block, d_before, d_tensors, records) = self.backward_loop(
                d_output, d_state, transposed, block, read(number, marks), factors, tensors, end
            )
            d_moved, d_fixed = tape.gradient(floats(block), [floats(moved), fixed], tf.nest.flatten(d_block))
            if any(x is None for x in [*d_moved, *d_fixed]):
                raise NotImplementedError(TWICE)  # forward mode takes the tape's gradients
            d_matrices = weight_gradients(self.step.sites, matrices, states, records, d_block, self.half)
            return (
                number - 1,
                shaped(d_before, d_state),
                write(number, d_moving, d_moved),
                *map(added, totals, (d_fixed, d_matrices, d_tensors)),
            )

        totals = [[tf.zeros_like(x, wide(x.dtype)) for x in floats(group)] for group in (fixed, matrices, tensors)]
        start = strides - 1, d_final, arrays(floats(moving), strides), *totals
        _, d_state, d_moving, *totals = tf.while_loop(lambda number, *_: number >= 0, body, start)
        d_fixed, d_matrices, d_tensors = map(narrowed, totals, (fixed, matrices, tensors))
        along, still = iter(d_moving), iter(d_fixed)
        d_slices = [
            [joined(next(along), steps) if is_float(first) else (), *(next(still) for _ in rest)]
            for first, *rest in map(tensors_of, slices)
        ]
        return Arguments(d_slices, d_state, d_matrices, d_tensors)

    def stride_forward(self, *given: Any) -> tuple:
        """What `Pair.forward` gives but for `Kept`: so XLA leaves out what is recorded."""
        return self.pair.forward(*given)[:2]

    def stride_backward(self, d_outputs: Tensor, d_final: list, transposed: list, *given: Any) -> tuple:
        """`Pair.forward` once more, of what it was given, and backward: the states before each step, the gradients."""
        slices, _, _, tensors, steps = given
        kept = self.pair.forward(*given)[2]
        return kept.states, self.pair.backward(d_outputs, d_final, kept, slices, transposed, tensors, steps)

    def cut(self, moving: list) -> tuple:
        """The steps of a stride, and the number of strides, of which the last may be shorter."""
        size = length_of(moving[0])
        stride = self.stride(size)
        return stride, -(-size // stride)


def apart(slices: Any) -> tuple[list, list]:
    """What the slices consist of: what goes along time, and what does not."""
    parts = [tensors_of(leaf) for leaf in slices]
    return [part[0] for part in parts], [x for part in parts for x in part[1:]]


def together(slices: Any, moved: list, fixed: list) -> list:
    """The slices of one stride: of `moved`, where they are `Projection`s with what is `fixed`."""
    still = iter(fixed)
    return [
        leaf.using([x, *(next(still) for _ in leaf.tensors[1:])]).whole() if isinstance(leaf, Projection) else x
        for leaf, x in zip(slices, moved, strict=True)
    ]


def taken(sequences: list, number: Any, stride: Any) -> list:
    """Of each sequence the stride of that number; the last one is filled up with what is to be left alone."""
    steps = tf.minimum(number * stride + tf.range(stride), length_of(sequences[0]) - 1)
    return [tf.gather(x, steps) for x in sequences]


def joined(blocks: Any, steps: Any) -> Tensor:
    """An array of strides, (stride, ...), as one sequence of so many steps."""
    x = blocks.stack()
    return tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0))[:steps]


def added(totals: list, terms: list) -> list:
    sums = [total + tf.cast(x, total.dtype) for total, x in zip(totals, terms, strict=True)]
    return shaped(sums, totals)
