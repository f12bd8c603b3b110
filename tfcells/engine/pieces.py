"""A batch in pieces: a program with small kernels keeps one core busy, and TensorFlow runs several at the same time.

How many pieces there are depends on sizes alone, never on the number of cores; with a GPU there is one.
"""

import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcells.contract.weights import Kernel, Weights
from tfcells.engine.step import Step

PIECES = 2
ENOUGH = 2**13  # numbers that the products of a step give, from which pieces pay,
LEAST = 16  # if there are so many rows
SMALL = 2**21  # and all kernels have no more numbers: each piece reads them at every step


def least_rows(step: Step) -> int | None:
    """The rows from which a batch is cut; None: it never is."""
    given = sum(site.y.shape[1:].num_elements() for site in step.sites)
    kernels = {site.kernel: site.x.shape[-1] * site.y.shape[1:].num_elements() for site in step.sites}
    if not given or sum(kernels.values()) > SMALL or step.mixes_rows or tf.config.list_logical_devices("GPU"):
        return None
    return max(LEAST, ENOUGH // given)


def may_be_cut(rows: int | None, weights: Weights) -> bool:
    """Whether no tensor but those by row, which are cut, too, looks as if it had a row for each sample."""
    others = weights.map_rows(lambda _: 0).leaves()  # numbers are no leaves
    return not any(not isinstance(x, Kernel) and len(x.shape) > 1 and x.shape[0] == rows for x in others)


def in_pieces(run: Callable, least: int | None, slices: list, state: tuple, weights: Weights) -> list:
    """What `run(slices, state, weights)` gives, [outputs, *states]: in pieces if there are so many rows at least.

    Where the graph does not know the rows, the program decides.
    """
    rows: Any = slices[0].shape[1]

    def cut() -> list:
        number = tf.shape(slices[0])[1] if rows is None else rows
        sizes = [(number + piece) // PIECES for piece in range(PIECES)]
        cut_slices, cut_state = [tf.split(x, sizes, 1) for x in slices], [tf.split(x, sizes, 0) for x in state]
        cut_weights, found = weights.map_rows(lambda x: tf.split(x, sizes, 0)), []
        for piece in map(operator.itemgetter, range(PIECES)):
            found.append(run([*map(piece, cut_slices)], tuple(map(piece, cut_state)), cut_weights.map_rows(piece)))
        return [tf.concat(parts, 1 if place == 0 else 0) for place, parts in enumerate(zip(*found, strict=True))]

    def whole() -> list:
        return run(slices, state, weights)

    if least is None or not may_be_cut(rows, weights):
        return whole()
    if rows is None:
        return tf.cond(tf.shape(slices[0])[1] < least, whole, cut)
    return whole() if rows < least else cut()
