"""The least time that a network's matrix products take, each at the rate of its own shape.

The rates are measured in the same rounds as the contenders: a `Limit` is one of them. A product is
tried in TensorFlow and under XLA, there turned round, too, as w^T x^T; the fastest counts. Products of
one step read their kernels from memory each time, if those are together too large for the caches:
where reading, as a product of one row with that many numbers does it, takes longer than the product by
itself did, its time counts.
"""

import functools
import math
import time
from typing import NamedTuple

import tensorflow as tf
from keras import tree

from tfcells.contract.cell import Call
from tfcells.contract.linear import multiplied

TYPICAL = 1e11  # operations a second, to guess how many small ones make a measurement
MEASUREMENT = 0.02  # seconds
MOST = 300  # products in one measurement: the smallest ones' time is TensorFlow's own
CACHE = 2**23  # bytes: kernels of one step that take less are left in the caches
COLUMNS = 4096  # of the kernel with which reading is measured


class Product(NamedTuple):
    """(rows, inner) @ (inner, columns), so many times.

    layout: "a" if the first factor is stored transposed, "b" if the second is. resident: the bytes
    of all kernels that take turns with this one.
    """

    rows: int
    inner: int
    columns: int
    times: int = 1
    layout: str = ""
    resident: int = 0

    @property
    def operations(self) -> int:
        return 2 * self.rows * self.inner * self.columns

    def __str__(self):
        return f"{self.rows} x {self.inner} x {self.columns}{self.layout and ', ' + self.layout}"


class Limit:
    """A contender: the sum of the products' times."""

    def __init__(self, products: list[Product]):
        self.products = products
        self.samples = {}

    def measure(self) -> float:
        total = 0.0
        for product in self.products:
            alone = speed_of(*product[:3], product.layout).measure()
            self.samples.setdefault(str(product), []).append(product.operations / alone / 1e9)
            reading = 0.0
            if product.resident > CACHE:
                seconds = speed_of(1, product.resident // 4 // COLUMNS, COLUMNS, "").measure()
                self.samples.setdefault("bytes", []).append(product.resident / seconds / 1e9)
                reading = 4 * product.inner * product.columns * seconds / product.resident
            total += product.times * max(alone, reading)
        return total

    def rates(self) -> dict[str, float]:
        """GFLOP/s of each shape, and GB/s as "bytes"; medians."""
        return {name: sorted(samples)[len(samples) // 2] for name, samples in self.samples.items()}


class Speed:
    """Measures one shape, in the way that was the fastest at first."""

    def __init__(self, rows: int, inner: int, columns: int, layout: str):
        operations = 2 * rows * inner * columns
        self.count = min(MOST, math.ceil(MEASUREMENT * TYPICAL / operations))
        self.transposed = {f"transpose_{layout}": True} if layout else {}
        first, second = (rows, inner), (inner, columns)
        self.x = tf.random.normal(first[::-1] if layout == "a" else first)
        self.w = tf.random.normal(second[::-1] if layout == "b" else second)
        plain, xla = (tf.function(self.products, jit_compile=xla) for xla in (False, True))
        ways = [(plain, self.x, self.w), (xla, self.x, self.w)]
        if not layout:
            ways.append((xla, tf.transpose(self.w), tf.transpose(self.x)))
        for way in ways:
            timed(*way)
        self.way = min(ways, key=lambda way: timed(*way))

    def products(self, x, w):
        """Each waits for the one before, by its smaller factor, so that none can be left out."""
        small = x.shape.num_elements() < w.shape.num_elements()

        def body(number, y):
            nothing = 1e-30 * y[0, 0]
            factors = (x + nothing, w) if small else (x, w + nothing)
            return number + 1, tf.matmul(*factors, **self.transposed)

        start = 1, tf.matmul(x, w, **self.transposed)
        return tf.while_loop(lambda number, _: number < self.count, body, start)[1]

    def measure(self) -> float:
        return timed(*self.way) / self.count


speed_of = functools.cache(Speed)


def timed(function, *arguments) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def products_of(cell, batch: int, steps: int, features: int, backward=True) -> list[Product]:
    """The products of a built cell along a sequence: those of `inputs` once, those of `step` each time.

    Backward, each has two more: with the kernel transposed, in the loop once for all steps, and the
    stacked inputs transposed times the stacked gradients.
    """
    sequence = tf.TensorSpec((steps, batch, features))
    state = [tf.TensorSpec(x.shape, x.dtype) for x in cell.get_initial_state(batch)]

    def inputs(sequence, _):
        w = cell.bind(Call(steps, batch, features))
        return multiplied(cell.inputs(sequence, w.deferred()))

    def step(sequence, state):
        now = tree.map_structure(lambda s: s[0], inputs(sequence, state))
        return cell.step(now, tuple(state), cell.bind(Call(steps, batch, features)))

    once = found_in(inputs, sequence, state)
    every = found_in(step, sequence, state)[len(once) :]
    resident = sum(4 * inner * columns for _, inner, columns in every)
    products = [Product(*shape) for shape in once]
    products += [Product(*shape, steps, "", resident) for shape in every]
    if backward:
        for rows, inner, columns in once:
            products.append(Product(rows, columns, inner, layout="b"))
            products.append(Product(inner, rows, columns, layout="a"))
        for rows, inner, columns in every:
            products.append(Product(rows, columns, inner, steps, "", resident))
            products.append(Product(inner, steps * rows, columns, layout="a"))
    return products


def found_in(function, *arguments) -> list[tuple[int, int, int]]:
    """The shapes of the products in a function's graph, in order."""
    graph = tf.function(function, autograph=False).get_concrete_function(*arguments).graph
    found = []
    for operation in graph.get_operations():
        if operation.type in ("MatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"):
            x, w = (tensor.shape for tensor in operation.inputs)
            y = operation.outputs[0].shape
            groups = w[0] if len(w) == 3 else 1
            rows = math.prod(y[:-1]) // groups
            found += groups * [(rows, w.num_elements() // groups // y[-1], y[-1])]
    return found
