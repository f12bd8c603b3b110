"""The compiled pair: forward, which records the products; backward, which replays them."""

import collections
import functools
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from keras import tree

from tfcells.contract.linear import Projection, Tensor, multiply
from tfcells.contract.weights import Kernel, Weights
from tfcells.engine.differentiated import Differentiated, traced
from tfcells.engine.products import backward_factors, forward_factors, times

POWERS = [2**power for power in range(31)]
KEPT = 64  # programs that wait for a layer equal to one that died


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

    The tensors in the lists `slices`, `state`, `matrices`, `tensors` are always arguments. TensorFlow never forgets a
    program, so it holds no cell: whoever traces takes one of the living cells that have used it.
    """

    shared: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
    recent: collections.OrderedDict = collections.OrderedDict()  # those used last live on when their layers die
    lock = threading.RLock()  # a step may hold a tfcells.RNN
    key: tuple
    half: Any
    output: Any
    sites: list[Site]
    sums: list[int]  # the slices in whose places sums are recorded

    def __init__(self, step_of: Callable, slices: Any, weights: Weights) -> None:
        self.step_of = step_of
        self.cells: weakref.WeakSet = weakref.WeakSet()
        self.calls: dict[bool, Differentiated] = {}  # by whether the steps are padded
        self.slices = tree.map_structure(lambda _: 0, slices)
        self.weights = weights.map(lambda leaf: Kernel(None, leaf.reads) if isinstance(leaf, Kernel) else None)
        self.used = [True] * len(weights.leaves())  # by the step
        self.forward = compiled(self.run_forward)
        self.backward = compiled(self.run_backward)

    @classmethod
    def of(
        cls,
        key: Any,
        cell: Any,
        step_of: Callable,
        slices: Any,
        state: list,
        weights: Weights,
        half: Any = None,
    ) -> "Program":
        """The program for the step `step_of(cell)`; equal layers share it.

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
            *((tf.as_dtype(x.dtype), *x.shape[1:]) for x in leaves),
        )
        with cls.lock:
            program = cls.shared.get(key)
            if program is None:
                program = cls(step_of, slices, weights)
                program.cells.add(cell)
                program.key, program.half = key, half
                found = program.probe(slices, state, weights)
                program.output, program.sites, program.sums, program.used = found
                cls.shared[key] = program
            program.cells.add(cell)
            cls.recent[key] = program
            cls.recent.move_to_end(key)
            if len(cls.recent) > KEPT:
                cls.recent.popitem(last=False)
            return program

    def bind(self, product: Callable, tensors: list) -> Weights:
        """`Weights` for one step: kernel i, of those that it uses, multiplies by `product(i, x)`."""
        given, kernels, used = iter(tensors), itertools.count(), iter(self.used)

        def bound(leaf: Any) -> Any:
            if not next(used):
                return leaf
            if leaf is None:
                return next(given)
            return leaf.using(functools.partial(product, next(kernels)))

        return self.weights.map(bound)

    def read(self, weights: Weights) -> list:
        """Of the weights' leaves those that the step uses; `inputs` may have used others."""
        return [leaf for leaf, used in zip(weights.leaves(), self.used, strict=True) if used]

    def advance(self, slices: Any, state: list, w: Weights) -> tuple:
        """One step; returns the output and the new states as a list like the old."""
        cell = next(iter(self.cells), None)
        if cell is None:
            raise RuntimeError("the layer was dropped before its gradient was asked for; keep it until then")
        step = self.step_of(cell)
        output, new = step(tree.pack_sequence_as(self.slices, slices), tuple(state), w)
        return output, list(new)

    def probe(self, slices: Any, state: list, weights: Weights) -> tuple:
        """Trace one step without running it: its output, the `Site` of each product, and which leaves of
        the weights it uses.

        Raises ValueError if the step captures a tensor: it would get no gradient, without a word.
        """
        kernels, tensors = split(weights.leaves())
        slices, found = tree.flatten(slices), []

        def trace(slices: Any, state: list, matrices: list, tensors: list) -> tuple:
            def product(kernel: int, x: Tensor) -> Tensor:
                y = multiply(x, matrices[kernel])
                found.append((kernel, y, x))
                return y

            # All that is returned counts as a use, by an identity.
            return self.advance(slices, state, self.bind(product, tensors))

        def spec(x: Tensor, start: int = 0) -> tf.TensorSpec:
            return tf.TensorSpec(x.shape[start:], x.dtype)

        def specs(tensors: list, start: int = 0) -> list:
            return [spec(x, start) for x in tensors]

        matrices = [kernel.matrix for kernel in kernels]
        given = [specs(slices, 1), specs(state), specs(matrices), specs(tensors)]
        graph = traced(tf.function(trace, autograph=False), *given)
        captured = graph.inputs[len(graph.inputs) - len(graph.captured_inputs) :]
        impure = [op for op in graph.graph.get_operations() if op.op_def.is_stateful and op.type != "Placeholder"]
        if captured or impure:
            names = ", ".join(str(x.name) for x in [*captured, *impure][:3])
            raise ValueError(
                f"step uses more than it was given ({names}), and that would get no gradient: declare "
                "a weight in build, and draw random numbers in bind"
            )
        end = len(slices) + len(state)
        slices, state = graph.inputs[: len(slices)], graph.inputs[len(slices) : end]
        others = iter(graph.inputs[end + len(kernels) : end + len(kernels) + len(tensors)])
        numbers, calls = itertools.count(), {kernel for kernel, _, _ in found}
        used = [
            next(numbers) in calls if isinstance(leaf, Kernel) else bool(next(others).consumers())
            for leaf in weights.leaves()
        ]
        order = {kernel: place for place, kernel in enumerate(sorted(calls))}
        sites = [
            Site(order[kernel], spec(y), spec(x), index(x, state), index(partner(y), floats(slices)))
            for kernel, y, x in found
        ]
        where = [place for place, x in enumerate(slices) if is_float(x)]
        sums = [where[site.slice] for site in sites if site.slice is not None]
        return spec(graph.graph.structured_outputs[0]), sites, sums, used

    @property
    def spent(self) -> list[int]:
        """The slices that the way back does not need."""
        return self.sums

    def length(self, steps: Any) -> Any:
        """To how many steps sequences are padded: a power of two unless the graph knows them, so that
        few programs serve all.
        """
        if isinstance(steps, int) and not tf.executing_eagerly():
            return steps
        return power_of_two(exponent(steps))

    def ahead(self, slices: Any, state: list, matrices: list, tensors: list, steps: Any) -> tuple:
        """Outputs, final state, and what the way back needs of them."""
        factors = forward_factors(matrices, slices[0].shape[0])
        outputs, final, records, befores = self.forward(slices, state, factors, tensors, steps)
        sums, products = self.replayed(slices, records)
        return outputs, final, (sums, products, befores)

    def back(
        self,
        d_outputs: Tensor,
        d_final: list,
        kept: Any,
        slices: Any,
        matrices: list,
        tensors: list,
        steps: Any,
        padded: bool,
    ) -> tuple:
        """The gradients of slices, state, matrices and tensors, of floats alone."""
        sums, products, befores = kept
        slices = replaced(slices, sums)
        transposed = backward_factors(matrices)
        d_slices, d_state, totals, inputs, d_products = self.backward(
            d_outputs, d_final, slices, befores, transposed, tensors, products, steps
        )
        count = steps if padded else None
        d_matrices = self.weight_gradients(matrices, inputs, d_products, befores, d_slices, count)
        return d_slices, d_state, d_matrices, narrowed(totals, tensors)

    def run_forward(self, slices: Any, state: list, factors: list, tensors: list, steps: Any) -> tuple:
        """Outputs, final state, and for the way back: the records and the states before each step.

        A record is a product, or its sum with the slice that it is added to. factors: of
        `forward_factors`. Each step reads ahead what the next one needs: XLA does element-wise work
        several times as fast on what the loop carries as on a slice taken in the midst of it. XLA would
        compile anew for each number of steps if it were part of an index.
        """
        size = tf.shape(slices[0])[0]

        def body(t: Any, now: Any, state: list, outputs: Tensor, records: list, befores: list) -> tuple:
            recorded: list[Tensor] = []

            def product(kernel: int, x: Tensor) -> Tensor:
                y, site = times(x, factors[kernel]), self.sites[len(recorded)]
                recorded.append(y if site.slice is None else floats(now)[site.slice] + y)
                return y

            output, new = self.advance(now, state, self.bind(product, tensors))
            return (
                t + 1,
                read(tf.minimum(t + 1, size - 1), slices),
                new,
                outputs.write(t, output),
                write(t, records, recorded),
                write(t, befores, state),
            )

        outputs = tf.TensorArray(self.output.dtype, size)
        records = arrays([site.y for site in self.sites], size)
        start = 0, read(0, slices), state, outputs, records, arrays(state, size)
        _, _, state, outputs, records, befores = tf.while_loop(lambda t, *_: t < steps, body, start)
        return outputs.stack(), state, stack(records), stack(befores)

    def replayed(self, slices: Any, records: list) -> tuple[dict, list]:
        """The records that are sums, by the index of the slice in whose place each is, and the others."""
        where = [i for i, x in enumerate(slices) if is_float(x)]
        found = list(zip(self.sites, records))
        sums = {where[site.slice]: record for site, record in found if site.slice is not None}
        return sums, [record for site, record in found if site.slice is None]

    def run_backward(
        self,
        d_outputs: Tensor,
        d_state: list,
        slices: Any,
        befores: list,
        transposed: list,
        tensors: list,
        products: list,
        steps: Any,
    ) -> tuple:
        """Gradients of slices, state and tensors, the last in float32 at least, and what
        `weight_gradients` needs besides.

        slices: with the sums in their places. transposed: of `backward_factors`. products: those in no sum.
        """
        size = tf.shape(slices[0])[0]
        constants = floats(tensors)

        def body(t: Any, d_state: list, totals: list, d_slices: list, inputs: list, d_products: list) -> tuple:
            now, before = read(t, slices), read(t, befores)
            recorded = iter(read(t, products))
            values = [
                next(recorded) if site.slice is None else tf.zeros_like(floats(now)[site.slice]) for site in self.sites
            ]
            taps = [tf.zeros_like(y) for y in values]
            factors: list[Tensor] = []

            def product(kernel: int, x: Tensor) -> Tensor:
                @tf.custom_gradient
                def replay(x: Tensor, y: Tensor, tap: Tensor) -> tuple:
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
                [total + tf.cast(d, total.dtype) for total, d in zip(totals, d_used)],
                write(t, d_slices, d_now),
                write(t, inputs, self.inputs_of(factors)),
                write(t, d_products, self.gradients_of(d_taps)),
            )

        start = (
            steps - 1,
            d_state,
            [tf.zeros_like(x, wide(x.dtype)) for x in constants],
            arrays(floats(slices), size),
            arrays(self.inputs_of([site.x for site in self.sites]), size),
            arrays(self.gradients_of([site.y for site in self.sites]), size),
        )
        _, d_state, totals, *found = tf.while_loop(lambda t, *_: t >= 0, body, start)
        d_slices, inputs, d_products = map(stack, found)
        return d_slices, d_state, totals, inputs, d_products

    def inputs_of(self, values: list) -> list:
        """Of values at all sites, those where an input must be recorded."""
        return [value for value, site in zip(values, self.sites) if site.before is None]

    def gradients_of(self, values: list) -> list:
        """Of values at all sites, those where a gradient must be recorded."""
        return [value for value, site in zip(values, self.sites) if site.slice is None]

    def weight_gradients(
        self, matrices: list, inputs: list, d_products: list, befores: list, d_slices: list, steps: Any
    ) -> list:
        """One large product per use of a kernel: stacked inputs^T @ stacked gradients."""
        found: list[list[Tensor]] = [[] for _ in matrices]
        others, products = iter(inputs), iter(d_products)
        for site in self.sites:
            x = next(others) if site.before is None else befores[site.before]
            d = next(products) if site.slice is None else d_slices[site.slice]
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


def compiled(method: Callable) -> Any:
    """A program's method, compiled by XLA."""
    # TensorFlow counts traces by code, and all programs have the same: five programs look like one traced five times.
    own: Any = functools.partial(method)
    own.__name__ = method.__name__
    return tf.function(own, jit_compile=True, autograph=False, reduce_retracing=True)


def split(leaves: list) -> tuple[list, list]:
    """The kernels and the tensors among the leaves of `Weights`."""
    kernels = [leaf for leaf in leaves if isinstance(leaf, Kernel)]
    return kernels, [leaf for leaf in leaves if not isinstance(leaf, Kernel)]


def tensors_of(leaf: Any) -> list:
    """What a slice consists of; what comes first goes along time."""
    return leaf.tensors if isinstance(leaf, Projection) else [leaf]


def replaced(slices: Any, sums: dict) -> list:
    """The slices, with the sums in the places of some."""
    return [sums.get(number, x) for number, x in enumerate(slices)]


def length_of(x: Tensor) -> Any:
    """The steps of a sequence, as a number if they are known."""
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


def is_float(x: Tensor) -> bool:
    return x.dtype.is_floating


def index(x: Tensor, tensors: list) -> int | None:
    """Where a tensor is among others, or None."""
    return next((i for i, other in enumerate(tensors) if other is x), None)


def partner(y: Tensor) -> Tensor | None:
    """What a tensor of a graph is added to, if that is all that is done with either; or None."""
    uses = y.consumers()
    if len(uses) != 1 or uses[0].type != "AddV2":
        return None
    first, second = uses[0].inputs
    other = second if first is y else first
    alike = other.shape.as_list() == y.shape.as_list() and other.dtype == y.dtype
    return other if alike and other is not y and other.consumers() == uses else None


def wide(dtype: Any) -> tf.DType:
    """In what many numbers of that dtype are summed: at least in float32."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def narrowed(totals: list, like: list) -> list:
    """Sums as their terms' dtypes have them: those of the floats among `like`."""
    return [tf.cast(total, x.dtype) for total, x in zip(totals, floats(like), strict=True)]


def exponent(number: Any) -> Any:
    """The least power to which two is at least that number, an int or a tensor."""
    if isinstance(number, int):
        return (number - 1).bit_length()
    return tf.reduce_sum(tf.cast(tf.constant(POWERS) < number, tf.int32))


def power_of_two(exponent: Any) -> Any:
    return 2**exponent if isinstance(exponent, int) else tf.gather(POWERS, exponent)


def floats(tensors: list) -> list:
    return [x for x in tensors if is_float(x)]


def arrays(like: list, size: Any) -> list:
    return [tf.TensorArray(x.dtype, size) for x in like]


def read(t: Any, sequences: list) -> list:
    return [sequence[t] for sequence in sequences]


def write(t: Any, arrays: list, values: list) -> list:
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]


def stack(arrays: list) -> list:
    return [array.stack() for array in arrays]
