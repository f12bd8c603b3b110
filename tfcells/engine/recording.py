"""What a step's products leave behind: recorded on the way forward, replayed on the way back.

`Search`, `Recording` and `Replay` each stand for the products of one step: for the trace that finds them, for the way
forward, for the way back. `weight_gradients` comes after the loops.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from tfcells.contract.linear import Tensor, multiply
from tfcells.engine.products import times


class Site(NamedTuple):
    """One product of a step, y = kernel(x), and where else its x and its dy can be found.

    kernel: its number among the matrices. state_read: the number of the state that x is, if it is one; states are kept
    anyway. slice_joined: the number of the slice that y is added to, if nothing else is done with either: their
    gradients are equal then, and their sum is all that a step needs again.
    """

    kernel: int
    x: tf.TensorSpec
    y: tf.TensorSpec
    state_read: int | None
    slice_joined: int | None

    def recorded(self, x: Any, dy: Any) -> "Record":
        """What the way back records of x and dy."""
        return Record(x=x if self.state_read is None else (), dy=dy if self.slice_joined is None else ())


class Record(NamedTuple):
    """What is recorded of one product, at one step or stacked at all of them; () for what is not.

    y: forward; the product, or its sum with the slice that it joins. x, dy: on the way back, for the gradient of the
    kernel; x unless it is a state, dy unless it is the gradient of the slice that y joins.
    """

    x: Any = ()
    y: Any = ()
    dy: Any = ()


class Kept(NamedTuple):
    """What the way forward leaves for the way back: the states before each step, and a `Record` of each product."""

    states: list
    records: list[Record]


class Search(NamedTuple):
    """The products of a step that is traced to find them: made as they are, and noted in `found`."""

    matrices: list
    found: list[tuple[int, Tensor, Tensor]]  # kernel, x, y

    def product(self, kernel: int, x: Tensor) -> Tensor:
        y = multiply(x, self.matrices[kernel])
        self.found.append((kernel, x, y))
        return y


class Recording:
    """The products of one step on the way forward: made and recorded."""

    def __init__(self, sites: list[Site], factors: list, slices: list) -> None:
        self.sites, self.factors, self.slices = sites, factors, slices
        self.records: list[Record] = []

    def product(self, kernel: int, x: Tensor) -> Tensor:
        joined = self.sites[len(self.records)].slice_joined
        y = times(x, self.factors[kernel])
        self.records.append(Record(y=y if joined is None else self.slices[joined] + y))
        return y


def with_sums(sites: list[Site], slices: list, records: list[Record]) -> tuple[list, list[Record]]:
    """The slices, with the recorded sums in the place of those that a product joins; the records of the others."""
    slices, records = list(slices), list(records)
    for number, site in enumerate(sites):
        if site.slice_joined is not None:
            slices[site.slice_joined], records[number] = records[number].y, Record()
    return slices, records


class Replay:
    """The products of one step on the way back: what was recorded, and its gradient.

    slices, records: those of the step, from `with_sums`. A product that is in its slice already is replayed as 0, since
    the step adds it once more. taps: arguments that the products ignore, with the gradient dy: so it leaves the tape.
    """

    def __init__(self, sites: list[Site], transposed: list, slices: list, records: list[Record]) -> None:
        self.sites, self.transposed = sites, transposed
        self.inputs: list[Tensor] = []
        self.products = [
            record.y if site.slice_joined is None else tf.zeros_like(slices[site.slice_joined])
            for site, record in zip(sites, records, strict=True)
        ]
        self.taps = [tf.zeros_like(y) for y in self.products]

    def product(self, kernel: int, x: Tensor) -> Tensor:
        @tf.custom_gradient
        def replay(x: Tensor, y: Tensor, tap: Tensor) -> tuple:
            return tf.identity(y), lambda dy: (times(dy, self.transposed[kernel]), None, dy)

        number = len(self.inputs)
        self.inputs.append(x)
        return replay(x, self.products[number], self.taps[number])

    def records(self, d_taps: list) -> list[Record]:
        """The x, and the dy: the gradients of the taps."""
        return [site.recorded(x, dy) for site, x, dy in zip(self.sites, self.inputs, d_taps, strict=True)]


def weight_gradients(
    sites: list[Site], matrices: list, states: list, records: list[Record], d_slices: list, half: Any
) -> list:
    """The gradients of the matrices: for each product of all steps, one large product x^T @ dy.

    half: the dtype in which to multiply, if not that of x and dy.
    """
    terms: list[list[Tensor]] = [[] for _ in matrices]
    for site, record in zip(sites, records, strict=True):
        x = record.x if site.state_read is None else states[site.state_read]
        dy = record.dy if site.slice_joined is None else d_slices[site.slice_joined]
        matrix = matrices[site.kernel]
        x, dy = (tf.cast(v, half or v.dtype) for v in (x, dy))
        if len(matrix.shape) == 3:
            product = tf.einsum("tbgi,tbgo->gio", x, dy)
        else:
            x, dy = (tf.reshape(v, (-1, v.shape[-1])) for v in (x, dy))
            product = tf.matmul(x, dy, transpose_a=True)
        terms[site.kernel].append(tf.cast(product, matrix.dtype))
    return [tf.add_n(found) if found else tf.zeros_like(matrix) for found, matrix in zip(terms, matrices, strict=True)]
