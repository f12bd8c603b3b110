"""The compiled pair: forward, which records the products; backward, which replays them."""

import functools
import threading
import weakref
from typing import NamedTuple

import tensorflow as tf
from keras import tree

from tfcells.cells.base import Kernel, multiply
from tfcells.engine.products import times


class Site(NamedTuple):
    """One product of a step, y = kernel(x), and where else its x and its dy are to be had.

    before: the state that x is. slice: that which y is added to, and nothing else is done with either,
    so that their gradients are equal, and their sum is all that need be recorded. Indices among all
    states and the slices of floats, or None.
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
    def of(cls, key, step, slices, state, weights, half=None):
        """The program for that step; equal layers share it while one of them keeps it.

        key: hashable; equal keys promise equal steps. half: the dtype in which to multiply for the
        gradients of kernels, if not their own. Raises ValueError if the step uses a tensor that
        it was not given.
        """
        leaves = [getattr(leaf, "matrix", leaf) for leaf in weights.leaves()]
        key = (
            cls,
            key,
            half,
            str(weights),
            str(tree.map_structure(lambda x: (x.dtype, x.shape[2:]), slices)),
            *((x.dtype, *x.shape[1:]) for x in state),
            *((x.dtype, *x.shape[1:]) for x in leaves),
        )
        with cls.lock:
            program = cls.shared.get(key)
            if program is None:
                program = cls(step, slices, state, weights)
                program.key, program.half = key, half
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

    def run_forward(self, slices, state, factors, tensors, steps):
        """Outputs, final state, and for the way back: the products and the states before each step.

        factors: of `forward_factors`.
        """
        size = tf.shape(slices[0])[0]
        return self.walk(0, steps, size, state, slices, factors, tensors)

    def walk(self, first, end, size, state, slices, factors, tensors):
        """Steps first to end - 1: outputs, state, records and states before, (size, batch, ...).

        A record is a product, or its sum with the slice that it is added to. Each step reads ahead
        what the next one needs: XLA does element-wise work several times as fast on what the loop
        carries as on a slice taken in the midst of it. XLA would compile anew for each `end` if it
        were part of an index.
        """
        last = tf.shape(slices[0])[0] - 1

        def body(t, now, state, outputs, records, befores):
            recorded, here = [], t - first

            def product(kernel, x):
                y, site = times(x, factors[kernel]), self.sites[len(recorded)]
                recorded.append(y if site.slice is None else floats(now)[site.slice] + y)
                return y

            output, new = self.advance(now, state, self.bind(product, tensors))
            return (
                t + 1,
                read(tf.minimum(t + 1, last), slices),
                new,
                outputs.write(here, output),
                write(here, records, recorded),
                write(here, befores, state),
            )

        outputs = tf.TensorArray(self.output.dtype, size)
        records = arrays([site.y for site in self.sites], size)
        start = first, read(first, slices), state, outputs, records, arrays(state, size)
        _, _, state, outputs, records, befores = tf.while_loop(lambda t, *_: t < end, body, start)
        return outputs.stack(), state, stack(records), stack(befores)

    def replayed(self, slices, factors, records):
        """What `backward` needs of what `forward` got and found: the sums, by the index of the slice
        in whose place each is, and the argument `products`.
        """
        where = [i for i, x in enumerate(slices) if is_float(x)]
        found = list(zip(self.sites, records))
        sums = {where[site.slice]: record for site, record in found if site.slice is not None}
        return sums, [record for site, record in found if site.slice is None]

    def run_backward(
        self, d_outputs, d_state, slices, befores, matrices, transposed, tensors, products, steps
    ):
        """Gradients of slices, state and tensors, and what `weight_gradients` needs besides.

        slices: with the sums in their places. transposed: of `backward_factors`. products: those in no sum.
        """
        size = tf.shape(slices[0])[0]
        found = d_state, self.zero_totals(tensors), arrays(floats(slices), size)
        d_state, d_tensors, d_slices, inputs, d_products = self.walk_back(
            0, steps, size, found, d_outputs, slices, befores, transposed, tensors, products
        )
        d_tensors = [tf.cast(d, x.dtype) for d, x in zip(d_tensors, floats(tensors))]
        return stack(d_slices), d_state, d_tensors, inputs, d_products

    def zero_totals(self, tensors):
        """Where the gradients of tensors are summed over time: at least in float32."""
        wide = [tf.float64 if x.dtype == tf.float64 else tf.float32 for x in floats(tensors)]
        return [tf.zeros_like(x, dtype) for x, dtype in zip(floats(tensors), wide)]

    def walk_back(
        self, first, end, size, found, d_outputs, slices, befores, transposed, tensors, products
    ):
        """Back from step end - 1 to step first, whose records are at index 0 of befores and products.

        found: the gradients so far of the state, the tensors (totals) and the slices (arrays); returned
        as they are then, with the inputs and gradients of products, (size, batch, ...), that are not
        to be had elsewhere.
        """
        constants = floats(tensors)

        def body(t, d_state, d_tensors, d_slices, inputs, d_products):
            here = t - first
            now, before = read(t, slices), read(here, befores)
            recorded = iter(read(here, products))
            values = [
                next(recorded) if site.slice is None else tf.zeros_like(floats(now)[site.slice])
                for site in self.sites
            ]
            taps = [tf.zeros_like(y) for y in values]
            factors = []

            def product(kernel, x):
                @tf.custom_gradient
                def replay(x, y, tap):
                    return tf.identity(y), lambda dy: (times(dy, transposed[kernel]), None, dy)

                site = len(factors)
                factors.append(x)
                return replay(x, values[site], taps[site])

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
                write(here, inputs, self.inputs_of(factors)),
                write(here, d_products, self.gradients_of(d_taps)),
            )

        inputs = arrays(self.inputs_of([site.x for site in self.sites]), size)
        d_products = arrays(self.gradients_of([site.y for site in self.sites]), size)
        start = end - 1, *found, inputs, d_products
        _, *found, inputs, d_products = tf.while_loop(lambda t, *_: t >= first, body, start)
        return *found, stack(inputs), stack(d_products)

    def inputs_of(self, values):
        """Of values at all sites, those where an input must be recorded."""
        return [value for value, site in zip(values, self.sites) if site.before is None]

    def gradients_of(self, values):
        """Of values at all sites, those where a gradient must be recorded."""
        return [value for value, site in zip(values, self.sites) if site.slice is None]

    def weight_gradients(self, matrices, inputs, d_products, befores, d_slices, steps):
        """One large product per use of a kernel: stacked inputs^T @ stacked gradients."""
        found, inputs, d_products = [[] for _ in matrices], iter(inputs), iter(d_products)
        for site in self.sites:
            x = next(inputs) if site.before is None else befores[site.before]
            d = next(d_products) if site.slice is None else d_slices[site.slice]
            x, d = (x, d) if steps is None else (x[:steps], d[:steps])
            matrix = matrices[site.kernel]
            x, d = (tf.cast(v, self.half or v.dtype) for v in (x, d))
            if len(matrix.shape) == 3:
                product = tf.einsum("tbgi,tbgo->gio", x, d)
            else:
                x, d = (tf.reshape(v, (-1, v.shape[-1])) for v in (x, d))
                product = tf.matmul(x, d, transpose_a=True)
            found[site.kernel].append(tf.cast(product, matrix.dtype))
        return [tf.add_n(f) if f else tf.zeros_like(m) for f, m in zip(found, matrices)]


def split(weights):
    """The kernels and the tensors of `Weights`."""
    leaves = weights.leaves()
    kernels = [leaf for leaf in leaves if isinstance(leaf, Kernel)]
    return kernels, [leaf for leaf in leaves if not isinstance(leaf, Kernel)]


def is_float(x):
    return x.dtype.is_floating


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


def read(t, sequences):
    return [sequence[t] for sequence in sequences]


def write(t, arrays, values):
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]


def stack(arrays):
    return [array.stack() for array in arrays]
