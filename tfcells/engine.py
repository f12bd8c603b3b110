"""The loop over time in TensorFlow, compiled: products recorded on the way, replayed on the way back.

Forward, one XLA loop: each `w.kernel(x)` multiplies and records its result. Backward, one XLA loop:
each `w.kernel(x)` replays the recorded result, so that only element-wise work is done again; its
gradient is dy @ kernel^T, with the transpose taken once, and dy is stacked over time. Weight gradients
are one large product per kernel after the loop. Only this module knows TensorFlow.
"""

import functools
import threading
import weakref
from typing import NamedTuple

import tensorflow as tf
from keras import tree

from tfcells.cells.base import Kernel, multiply

BUCKETS = [2**power for power in range(31)]


def loop(program, slices, state, weights):
    """The ordinary loop: TensorFlow differentiates it as often as wanted.

    slices: a structure of (steps, ...) tensors; state: a tuple of tensors; weights: `Weights`. Returns
    the outputs, (steps, batch, features), and the final state.
    """
    check(slices, state)
    first = tree.flatten(slices)[0]
    steps = first.shape[0] or tf.shape(first)[0]
    output = program.output
    outputs = tf.TensorArray(output.dtype, steps, element_shape=first.shape[1:2] + output.shape[1:])

    def body(t, state, outputs):
        output, new = program.step(tree.map_structure(lambda s: s[t], slices), state, weights)
        return t + 1, tuple(new), outputs.write(t, output)

    _, state, outputs = tf.while_loop(
        lambda t, *_: t < steps, body, (0, tuple(state), outputs), maximum_iterations=steps
    )
    return outputs.stack(), state


def compiled(program, slices, state, weights):
    """The compiled loop: arguments and results are those of `loop`.

    Raises NotImplementedError when differentiated twice.
    """
    check(slices, state)
    known = tree.flatten(slices)[0].shape[:2]
    slices, steps, padded = to_bucket(slices)
    kernels, tensors = split(weights)
    groups = [tree.flatten(slices), list(state), [kernel.matrix for kernel in kernels], tensors]

    def regroup(flat):
        flat = iter([tf.stop_gradient(x) for x in flat])
        return [[next(flat) for _ in group] for group in groups]

    @tf.custom_gradient
    def run(*flat):
        outputs, final, products, befores = program.forward(*regroup(flat), steps)

        @tf.custom_gradient
        def backward(*given):
            d_outputs, *d_final = (tf.stop_gradient(d) for d in given[: 1 + len(final)])
            now, _, matrices, tensors = regroup(given[1 + len(final) :])
            d_final = [d for d, x in zip(d_final, final) if is_float(x)]
            d_now, d_state, d_tensors, inputs, d_products = program.backward(
                d_outputs, d_final, now, befores, matrices, tensors, products, steps
            )
            inputs, d_products = program.complete(inputs, d_products, befores, d_now)
            count = steps if padded else None
            d_matrices = program.weight_gradients(matrices, inputs, d_products, count)
            return (*d_now, *d_state, *d_matrices, *d_tensors), once

        def gradient(*d):
            d = [d[0], *(x if g is None else g for g, x in zip(d[1:], final))]
            found = iter(backward(*d, *flat))
            return tuple(next(found) if is_float(x) else None for x in flat)

        return (outputs, *final), gradient

    outputs, *final = run(*(tf.convert_to_tensor(x) for group in groups for x in group))
    outputs = outputs[:steps] if padded else outputs
    return tf.ensure_shape(outputs, known + program.output.shape[1:]), tuple(final)


def once(*_):
    raise NotImplementedError(
        "the compiled loop of tfcells.RNN can be differentiated once; for second derivatives use "
        "tfcells.RNN(..., jit_compile=False)"
    )


def check(slices, state):
    """Assert, when the program runs, the agreement of sizes that were unknown when it was traced."""
    first, *others = tree.flatten(slices)
    steps, batch = tf.unstack(tf.shape(first)[:2])
    if None not in first.shape[:2]:
        return
    tf.debugging.assert_positive(steps, "sequences must have at least one step")
    for x in others:
        message = "mask and slices must have the steps and batch size of sequences"
        tf.debugging.assert_equal(tf.shape(x)[:2], [steps, batch], message)
    for x in state:
        message = "initial_state, or the state remembered, must have the batch size of sequences"
        tf.debugging.assert_equal(tf.shape(x)[0], batch, message)


def to_bucket(slices):
    """Pad the steps to a power of two unless the graph knows them, so that few programs serve all.

    Returns the slices, the true number of steps, and whether they were padded.
    """
    flat = tree.flatten(slices)
    known = flat[0].shape[0]
    if known is not None and not tf.executing_eagerly():
        return slices, tf.constant(known), False
    steps = tf.shape(flat[0])[0]
    if known is not None:
        size = next(bucket for bucket in BUCKETS if bucket >= known)
        if size == known:
            return slices, steps, False
    else:
        buckets = tf.constant(BUCKETS)
        size = tf.reduce_min(tf.where(buckets >= steps, buckets, BUCKETS[-1]))

    def pad(x):
        return tf.pad(x, [[0, size - steps]] + [[0, 0]] * (len(x.shape) - 1))

    return tree.map_structure(pad, slices), steps, True


def split(weights):
    """The kernels and the tensors of `Weights`."""
    leaves = weights.leaves()
    kernels = [leaf for leaf in leaves if isinstance(leaf, Kernel)]
    return kernels, [leaf for leaf in leaves if not isinstance(leaf, Kernel)]


def is_float(x):
    return x.dtype.is_floating


class Site(NamedTuple):
    """One product of a step, y = kernel(x), and where else its x and its dy are to be had.

    before: the state that x is. slice: that which y is added to, and nothing else is done with either,
    so that their gradients are equal. Indices among all states and the slices of floats, or None.
    """

    kernel: int
    y: tf.TensorSpec
    x: tf.TensorSpec
    before: int | None
    slice: int | None


class Program:
    """The compiled pair for one step and one structure of its arguments.

    The tensors in the lists `slices`, `state`, `matrices`, `tensors` are always arguments.
    """

    shared = weakref.WeakValueDictionary()
    lock = threading.RLock()  # a step may hold a tfcells.RNN

    def __init__(self, step, slices, state, weights):
        self.step = step
        self.slices = tree.map_structure(lambda _: 0, slices)
        self.weights = weights.map(
            lambda leaf: Kernel(None, leaf.reads) if isinstance(leaf, Kernel) else None
        )
        compile = functools.partial(
            tf.function, jit_compile=True, autograph=False, reduce_retracing=True
        )
        self.forward = compile(self.run_forward)
        self.backward = compile(self.run_backward)

    @classmethod
    def of(cls, key, step, slices, state, weights):
        """The program for that step; equal layers share it while one of them keeps it.

        key: hashable; equal keys promise equal steps. Raises ValueError if the step uses a tensor that
        it was not given.
        """
        leaves = [getattr(leaf, "matrix", leaf) for leaf in weights.leaves()]
        key = (
            cls,
            key,
            str(weights),
            str(tree.map_structure(lambda x: (x.dtype, x.shape[2:]), slices)),
            *((x.dtype, *x.shape[1:]) for x in state),
            *((x.dtype, *x.shape[1:]) for x in leaves),
        )
        with cls.lock:
            program = cls.shared.get(key)
            if program is None:
                program = cls(step, slices, state, weights)
                program.key = key
                program.output, program.sites = program.probe(slices, state, weights)
                cls.shared[key] = program
            return program

    def bind(self, product, tensors):
        """`Weights` for one step: kernel i multiplies by `product(i, x)`."""
        tensors, kernel = iter(tensors), iter(range(len(self.weights.leaves())))
        return self.weights.map(
            lambda leaf: (
                next(tensors)
                if leaf is None
                else leaf.using(functools.partial(product, next(kernel)))
            )
        )

    def advance(self, slices, state, w):
        """One step; returns the output and the new states as a list like the old."""
        output, new = self.step(tree.pack_sequence_as(self.slices, slices), tuple(state), w)
        new = list(new)
        if len(new) != len(state):
            raise ValueError(f"step returned {len(new)} states, the cell declares {len(state)}")
        return output, new

    def probe(self, slices, state, weights):
        """Trace one step without running it: its output, and the `Site` of each product.

        Raises ValueError if the step captures a tensor: it would get no gradient, without a word.
        """
        kernels, tensors = split(weights)
        slices, found = tree.flatten(slices), []

        def trace(slices, state, matrices, tensors):
            def product(kernel, x):
                y = multiply(x, matrices[kernel])
                found.append((kernel, y, x))
                return y

            # All that is returned counts as a use, by an identity.
            return self.advance(slices, state, self.bind(product, tensors))

        def specs(tensors, start=0):
            return [tf.TensorSpec(x.shape[start:], x.dtype) for x in tensors]

        graph = tf.function(trace, autograph=False).get_concrete_function(
            specs(slices, 1), specs(state), specs([k.matrix for k in kernels]), specs(tensors)
        )
        captured = graph.inputs[len(graph.inputs) - len(graph.captured_inputs) :]
        impure = [
            op
            for op in graph.graph.get_operations()
            if op.op_def.is_stateful and op.type != "Placeholder"
        ]
        if captured or impure:
            names = ", ".join(str(x.name) for x in [*captured, *impure][:3])
            raise ValueError(
                f"step uses more than it was given ({names}), and that would get no gradient: let "
                "prepare return it in its slices or Weights; random numbers, too, are drawn there"
            )
        end = len(slices) + len(state)
        slices, state = graph.inputs[: len(slices)], graph.inputs[len(slices) : end]
        sites = [
            Site(kernel, *specs([y, x]), index(x, state), index(partner(y), floats(slices)))
            for kernel, y, x in found
        ]
        return graph.structured_outputs[0], sites

    def run_forward(self, slices, state, matrices, tensors, steps):
        """Outputs, final state, and for the way back: the products and the states before each step."""
        size = tf.shape(slices[0])[0]
        return self.walk(0, steps, size, state, slices, matrices, tensors)

    def walk(self, first, end, size, state, slices, matrices, tensors):
        """Steps first to end - 1: outputs, state, products and states before, (size, batch, ...)."""

        def body(t, state, outputs, products, befores):
            recorded, here = [], t - first

            def product(kernel, x):
                recorded.append(multiply(x, matrices[kernel]))
                return recorded[-1]

            output, new = self.advance([s[t] for s in slices], state, self.bind(product, tensors))
            return (
                t + 1,
                new,
                outputs.write(here, output),
                write(here, products, recorded),
                write(here, befores, state),
            )

        outputs, products = tf.TensorArray(self.output.dtype, size), self.records(size)
        _, state, outputs, products, befores = tf.while_loop(
            lambda t, *_: t < end, body, (first, state, outputs, products, arrays(state, size))
        )
        return outputs.stack(), state, stack(products), stack(befores)

    def records(self, size):
        return arrays([site.y for site in self.sites], size)

    def run_backward(self, d_outputs, d_state, slices, befores, matrices, tensors, products, steps):
        """Gradients of slices, state and tensors, and what `complete` needs of the products."""
        size = tf.shape(slices[0])[0]
        found = d_state, self.zero_totals(tensors), arrays(floats(slices), size)
        d_state, d_tensors, d_slices, inputs, d_products = self.walk_back(
            0, steps, size, found, d_outputs, slices, befores, matrices, tensors, products
        )
        d_tensors = [tf.cast(d, x.dtype) for d, x in zip(d_tensors, floats(tensors))]
        return stack(d_slices), d_state, d_tensors, inputs, d_products

    def zero_totals(self, tensors):
        """Where the gradients of tensors are summed over time: at least in float32."""
        wide = [tf.float64 if x.dtype == tf.float64 else tf.float32 for x in floats(tensors)]
        return [tf.zeros_like(x, dtype) for x, dtype in zip(floats(tensors), wide)]

    def walk_back(
        self, first, end, size, found, d_outputs, slices, befores, matrices, tensors, products
    ):
        """Back from step end - 1 to step first, whose records are at index 0 of befores and products.

        found: the gradients so far of the state, the tensors (totals) and the slices (arrays); returned
        as they are then, with the inputs and gradients of products, (size, batch, ...), that are not
        to be had elsewhere.
        """
        transposed = [tf.linalg.matrix_transpose(matrix) for matrix in matrices]
        constants = floats(tensors)

        def body(t, d_state, d_tensors, d_slices, inputs, d_products):
            here = t - first
            now, before = [s[t] for s in slices], [s[here] for s in befores]
            taps = [tf.zeros_like(y[0]) for y in products]
            read = []

            def product(kernel, x):
                @tf.custom_gradient
                def replay(x, y, tap):
                    return tf.identity(y), lambda dy: (multiply(dy, transposed[kernel]), None, dy)

                site = len(read)
                read.append(x)
                return replay(x, products[site][here], taps[site])

            watched = [floats(now), floats(before), taps, constants]
            with tf.GradientTape() as tape:
                tape.watch(watched)
                output, new = self.advance(now, before, self.bind(product, tensors))
            d_now, d_before, d_taps, d_used = tape.gradient(
                [output, *floats(new)],
                watched,
                [d_outputs[t], *d_state],
                unconnected_gradients="zero",
            )
            return (
                t - 1,
                d_before,
                [total + tf.cast(d, total.dtype) for total, d in zip(d_tensors, d_used)],
                write(t, d_slices, d_now),
                write(here, inputs, self.inputs_of(read)),
                write(here, d_products, self.gradients_of(d_taps)),
            )

        inputs = arrays(self.inputs_of([site.x for site in self.sites]), size)
        d_products = arrays(self.gradients_of([site.y for site in self.sites]), size)
        _, *found, inputs, d_products = tf.while_loop(
            lambda t, *_: t >= first, body, (end - 1, *found, inputs, d_products)
        )
        return *found, stack(inputs), stack(d_products)

    def inputs_of(self, values):
        """Of values at all sites, those where an input must be recorded."""
        return [value for value, site in zip(values, self.sites) if site.before is None]

    def gradients_of(self, values):
        """Of values at all sites, those where a gradient must be recorded."""
        return [value for value, site in zip(values, self.sites) if site.slice is None]

    def complete(self, inputs, d_products, befores, d_slices):
        """The inputs and gradients of every product."""
        x, d = iter(inputs), iter(d_products)
        inputs = [next(x) if s.before is None else befores[s.before] for s in self.sites]
        return inputs, [next(d) if s.slice is None else d_slices[s.slice] for s in self.sites]

    def weight_gradients(self, matrices, inputs, d_products, steps):
        """One large product per use of a kernel: stacked inputs^T @ stacked gradients."""
        found = [[] for _ in matrices]
        for (kernel, *_), x, d in zip(self.sites, inputs, d_products, strict=True):
            x, d = (x, d) if steps is None else (x[:steps], d[:steps])
            if len(matrices[kernel].shape) == 3:
                found[kernel].append(tf.einsum("tbgi,tbgo->gio", x, d))
            else:
                x, d = (tf.reshape(v, (-1, v.shape[-1])) for v in (x, d))
                found[kernel].append(tf.matmul(x, d, transpose_a=True))
        return [tf.add_n(f) if f else tf.zeros_like(m) for f, m in zip(found, matrices)]


class Rematerialised(Program):
    """Records the states of some steps only, and on the way back runs the steps between them again."""

    def run_forward(self, slices, state, matrices, tensors, steps):
        """Outputs, final state, and the states after each stride of steps."""
        stride, strides = self.strides(slices)

        def body(t, state, outputs, marks):
            weights = self.bind(lambda kernel, x: multiply(x, matrices[kernel]), tensors)
            output, new = self.advance([s[t] for s in slices], state, weights)
            return t + 1, new, outputs.write(t, output), write(t // stride, marks, new)

        outputs = tf.TensorArray(self.output.dtype, tf.shape(slices[0])[0])
        _, final, outputs, marks = tf.while_loop(
            lambda t, *_: t < steps, body, (0, state, outputs, arrays(state, strides))
        )
        marks = [tf.concat([x[None], after[:-1]], 0) for x, after in zip(state, stack(marks))]
        return outputs.stack(), final, [], marks

    def run_backward(self, d_outputs, d_state, slices, marks, matrices, tensors, _, steps):
        """Gradients of slices, state and tensors; in place of the products' those of the matrices."""
        stride, _ = self.strides(slices)

        def body(number, d_matrices, *found):
            first = number * stride
            end = tf.minimum(first + stride, steps)
            state = [mark[number] for mark in marks]
            _, _, products, befores = self.walk(
                first, end, stride, state, slices, matrices, tensors
            )
            *found, inputs, d_products = self.walk_back(
                first, end, stride, found, d_outputs, slices, befores, matrices, tensors, products
            )
            more = super(Rematerialised, self).weight_gradients(matrices, inputs, d_products, None)
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

    def inputs_of(self, values):
        return values

    def gradients_of(self, values):
        return values

    def complete(self, inputs, d_matrices, *_):
        return inputs, d_matrices

    def strides(self, slices):
        """Steps of a stride, about the root of all steps, and the number of strides."""
        size = tf.shape(slices[0])[0]
        stride = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(size, tf.float32))), tf.int32)
        return stride, -(-size // stride)

    def weight_gradients(self, matrices, _, d_matrices, steps):
        return d_matrices


def index(x, tensors):
    """Where a tensor is among others, or None."""
    return next((i for i, other in enumerate(tensors) if other is x), None)


def partner(y):
    """What a tensor of a graph is added to, if that is all that is done with either; or None."""
    uses = y.consumers()
    if len(uses) != 1 or uses[0].type != "AddV2":
        return None
    first, second = uses[0].inputs
    other = second if first is y else first
    alike = other.shape.as_list() == y.shape.as_list() and other.dtype == y.dtype
    return other if alike and other is not y and other.consumers() == uses else None


def floats(tensors):
    return [x for x in tensors if is_float(x)]


def arrays(like, size):
    return [tf.TensorArray(x.dtype, size) for x in like]


def write(t, arrays, values):
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]


def stack(arrays):
    return [array.stack() for array in arrays]
