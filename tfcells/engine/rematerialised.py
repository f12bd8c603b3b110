"""The compiled pair with less to remember: a stride of steps is computed anew on the way back."""

from typing import Any

import tensorflow as tf

from tfcells.contract.linear import Projection, Tensor
from tfcells.engine.differentiated import TWICE
from tfcells.engine.products import backward_factors, forward_factors
from tfcells.engine.program import (
    Program,
    arrays,
    exponent,
    floats,
    is_float,
    length_of,
    narrowed,
    power_of_two,
    read,
    replaced,
    stack,
    tensors_of,
    wide,
    write,
)


class Rematerialised(Program):
    """Goes stride by stride, and remembers of each the state before it.

    A stride's products of the input, too, are made when its turn comes, and again on the way back: slices
    may be `Projection`s. Strides follow one another in TensorFlow, which multiplies what concerns a
    whole one; the steps of one are XLA's.
    """

    @property
    def spent(self) -> list[int]:
        return []

    def length(self, steps: Any) -> Any:
        """As they are: a copy would cost what is to be saved."""
        return steps

    def stride(self, steps: Any) -> Any:
        """The steps of a stride: a power of two, about the root of all steps, and no more than these."""
        return power_of_two((exponent(steps) + 1) // 2)

    def ahead(self, slices: Any, state: list, matrices: list, tensors: list, steps: Any) -> tuple:
        moving, fixed = apart(slices)
        stride, strides = self.cut(moving)
        factors = forward_factors(matrices, moving[0].shape[0])

        def body(number: Any, state: list, outputs: Tensor, marks: list) -> tuple:
            block = together(slices, taken(moving, number, stride), fixed)
            end = tf.minimum(stride, steps - number * stride)
            output, new = self.forward(block, state, factors, tensors, end)
            return (
                number + 1,
                shaped(new, state),
                outputs.write(number, output),
                write(number, marks, state),
            )

        start = 0, state, tf.TensorArray(self.output.dtype, strides), arrays(state, strides)
        _, final, outputs, marks = tf.while_loop(lambda number, *_: number < strides, body, start)
        return joined(outputs, steps), final, stack(marks)

    def back(
        self,
        d_outputs: Tensor,
        d_final: list,
        marks: list,
        slices: Any,
        matrices: list,
        tensors: list,
        steps: Any,
        padded: bool,
    ) -> tuple:
        moving, fixed = apart(slices)
        stride, strides = self.cut(moving)
        factors = forward_factors(matrices, moving[0].shape[0])
        transposed = backward_factors(matrices)

        def body(number: Any, d_state: list, d_moving: Any, *totals: list) -> tuple:
            *moved, d_output = taken([*moving, d_outputs], number, stride)
            with tf.GradientTape() as tape:
                tape.watch([*floats(moved), *fixed])
                block = together(slices, moved, fixed)
            end = tf.minimum(stride, steps - number * stride)
            before = read(number, marks)
            d_block, d_new, d_tensors, inputs, d_products, befores = self.backward(
                d_output, d_state, block, before, factors, transposed, tensors, end
            )
            d_moved, d_fixed = tape.gradient(floats(block), [floats(moved), fixed], d_block)
            if any(x is None for x in [*d_moved, *d_fixed]):
                raise NotImplementedError(TWICE)  # forward mode takes the tape's gradients
            d_matrices = self.weight_gradients(matrices, inputs, d_products, befores, d_block, None)
            return (
                number - 1,
                shaped(d_new, d_state),
                write(number, d_moving, d_moved),
                *map(added, totals, (d_fixed, d_matrices, d_tensors)),
            )

        totals = [[tf.zeros_like(x, wide(x.dtype)) for x in floats(group)] for group in (fixed, matrices, tensors)]
        start = strides - 1, d_final, arrays(floats(moving), strides), *totals
        _, d_state, d_moving, *totals = tf.while_loop(lambda number, *_: number >= 0, body, start)
        d_fixed, d_matrices, d_tensors = map(narrowed, totals, (fixed, matrices, tensors))
        along, still = iter(d_moving), iter(d_fixed)
        d_slices = []
        for leaf in slices:
            first, *rest = tensors_of(leaf)
            d_slices += [joined(next(along), steps)] if is_float(first) else []
            d_slices += [next(still) for _ in rest]
        return d_slices, d_state, d_matrices, d_tensors

    def run_forward(self, slices: Any, state: list, factors: list, tensors: list, steps: Any) -> tuple:
        """Outputs and final state of a stride."""
        return super().run_forward(slices, state, factors, tensors, steps)[:2]

    def run_backward(  # type: ignore[override]
        self,
        d_outputs: Tensor,
        d_state: list,
        slices: Any,
        state: list,
        factors: list,
        transposed: list,
        tensors: list,
        steps: Any,
    ) -> tuple:
        """What any program's does, and the states before each step; from the state before the stride."""
        _, _, records, befores = super().run_forward(slices, state, factors, tensors, steps)
        sums, products = self.replayed(slices, records)
        slices = replaced(slices, sums)
        found = super().run_backward(d_outputs, d_state, slices, befores, transposed, tensors, products, steps)
        return *found, befores

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


def shaped(values: list, like: list) -> list:
    """The values, known to have the shapes of others."""
    return [tf.ensure_shape(x, y.shape) for x, y in zip(values, like, strict=True)]


def added(totals: list, terms: list) -> list:
    sums = [total + tf.cast(x, total.dtype) for total, x in zip(totals, terms, strict=True)]
    return shaped(sums, totals)
