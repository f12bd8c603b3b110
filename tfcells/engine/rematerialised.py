"""The compiled pair with less to remember: steps are computed again instead of recorded."""

import tensorflow as tf

from tfcells.engine.products import times
from tfcells.engine.program import Program, arrays, floats, stack, write


class Rematerialised(Program):
    """Records the states of some steps only, and on the way back runs the steps between them again."""

    def probe(self, slices, state, weights):
        """As any program's, but no product's gradient is a slice's: those are of all steps."""
        output, sites = super().probe(slices, state, weights)
        return output, [site._replace(slice=None) for site in sites]

    def run_forward(self, slices, state, factors, tensors, steps):
        """Outputs, final state, and the states after each stride of steps."""
        stride, strides = self.strides(slices)

        def body(t, state, outputs, marks):
            weights = self.bind(lambda kernel, x: times(x, factors[kernel]), tensors)
            output, new = self.advance([s[t] for s in slices], state, weights)
            return t + 1, new, outputs.write(t, output), write(t // stride, marks, new)

        outputs = tf.TensorArray(self.output.dtype, tf.shape(slices[0])[0])
        _, final, outputs, marks = tf.while_loop(
            lambda t, *_: t < steps, body, (0, state, outputs, arrays(state, strides))
        )
        marks = [tf.concat([x[None], after[:-1]], 0) for x, after in zip(state, stack(marks))]
        return outputs.stack(), final, [], marks

    def run_backward(
        self, d_outputs, d_state, slices, marks, matrices, transposed, tensors, factors, steps
    ):
        """Gradients of slices, state and tensors; in place of the products' those of the matrices."""
        stride, _ = self.strides(slices)

        def body(number, d_matrices, *found):
            first = number * stride
            end = tf.minimum(first + stride, steps)
            state = [mark[number] for mark in marks]
            _, _, products, befores = self.walk(first, end, stride, state, slices, factors, tensors)
            *found, inputs, d_products = self.walk_back(
                first, end, stride, found, d_outputs, slices, befores, transposed, tensors, products
            )
            more = super(Rematerialised, self).weight_gradients(
                matrices, inputs, d_products, befores, (), None
            )
            return number - 1, [total + d for total, d in zip(d_matrices, more)], *found

        d_slices = arrays(floats(slices), tf.shape(slices[0])[0])
        _, d_matrices, d_state, d_tensors, d_slices = tf.while_loop(
            lambda number, *_: number >= 0,
            body,
            (
                (steps - 1) // stride,
                [tf.zeros_like(x) for x in matrices],
                d_state,
                self.zero_totals(tensors),
                d_slices,
            ),
        )
        d_tensors = [tf.cast(d, x.dtype) for d, x in zip(d_tensors, floats(tensors))]
        return stack(d_slices), d_state, d_tensors, [], d_matrices

    def replayed(self, slices, factors, records):
        return {}, factors

    def strides(self, slices):
        """Steps of a stride, about the root of all steps, and the number of strides."""
        size = tf.shape(slices[0])[0]
        stride = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(size, tf.float32))), tf.int32)
        return stride, -(-size // stride)

    def weight_gradients(self, matrices, inputs, d_matrices, befores, d_slices, steps):
        return d_matrices
