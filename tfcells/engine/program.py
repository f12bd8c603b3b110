"""A program: one step's way along time, compiled, and shared by all layers whose steps are equal."""

import collections
import threading
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree

from tfcells.contract.linear import Projection, Tensor
from tfcells.contract.weights import Weights
from tfcells.engine.differentiated import Differentiated, debugged
from tfcells.engine.pair import Arguments
from tfcells.engine.pieces import in_pieces, may_be_cut
from tfcells.engine.sequences import BatchSizes, filled, floats, length_of, tensors_of
from tfcells.engine.step import Step
from tfcells.engine.strides import Strides
from tfcells.engine.whole import Whole

KEPT = 64  # programs that wait for a layer equal to one that died


class Program:
    """The compiled loop as one function with a gradient. Weights are arguments, so that layers can share it."""

    shared: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
    recent: collections.OrderedDict = collections.OrderedDict()  # those used last live on when their layers die
    lock = threading.RLock()  # a step may hold a tfcells.RNN

    def __init__(self, key: tuple, step: Step, way: Whole | Strides) -> None:
        self.key, self.step, self.way = key, step, way
        self.calls: dict[bool, Differentiated] = {}  # by whether the steps are padded
        self.batch_sizes = BatchSizes()

    @classmethod
    def of(
        cls,
        way: type[Whole | Strides],
        key_of: Callable,
        cell: Any,
        step_of: Callable,
        slices: Any,
        state: tuple,
        weights: Weights,
        half: Any = None,
    ) -> "Program":
        """The program for the step `step_of(cell)`; equal layers share it.

        key_of(cell): hashable; equal keys promise equal steps. half: the dtype in which to multiply for the
        gradients of kernels, if not their own. Raises ValueError if the step reads a weight that it was not
        given, or draws random numbers; or if `bind` gives functions, which another cell's would stand for.
        """
        weights.check_functions()
        leaves = [getattr(leaf, "matrix", leaf) for leaf in weights.leaves()]
        key = (
            way,
            key_of(cell),
            half,
            debugged(),
            str(weights),
            str(tree.map_structure(lambda x: (x.dtype, x.shape[2:]), slices)),
            *((x.dtype, *x.shape[1:]) for x in state),
            *((tf.as_dtype(x.dtype), *x.shape[1:]) for x in leaves),
        )
        with cls.lock:
            program = cls.shared.get(key)
            if program is None:
                step = Step(key_of, step_of, cell, slices, list(state), weights)
                program = cls.shared[key] = cls(key, step, way(step, half))
            program.step.cells.add(cell)
            cls.recent[key] = program
            cls.recent.move_to_end(key)
            if len(cls.recent) > KEPT:
                cls.recent.popitem(last=False)
            return program

    def __call__(self, cell: Any, slices: Any, state: tuple, weights: Weights, training: bool) -> tuple[Tensor, tuple]:
        """The outputs and the final state. cell: what a tape has to keep.

        Raises NotImplementedError when differentiated twice.
        """
        leaves = tree.flatten(slices)
        known = leaves[0].shape[:2]
        leaves, steps, padded = self.padded(leaves)
        batch = known[1] if known[1] is not None else tf.shape(tensors_of(leaves[0])[0])[1]
        exact = training or self.step.mixes_rows or isinstance(self.way, Strides) or not may_be_cut(known[1], weights)
        size = self.batch_sizes(batch, exact)
        if size is not batch:
            leaves, state = [filled(x, 1, size) for x in leaves], tuple(filled(x, 0, size) for x in state)
            weights = weights.map_rows(lambda x: filled(x, 0, size))

        def run(leaves: list, state: tuple, weights: Weights) -> list:
            given = Arguments([tensors_of(leaf) for leaf in leaves], list(state), *self.step.read(weights))
            if padded not in self.calls:
                self.calls[padded] = self.differentiated(leaves, given, padded)
            return self.calls[padded](steps, *tree.flatten(given), alive=cell)

        outputs, *final = in_pieces(run, self.way.least_rows, leaves, state, weights)
        outputs = outputs[:steps] if padded else outputs
        if size is not batch:
            outputs, final = outputs[:, :batch], [x[:batch] for x in final]
        return tf.ensure_shape(outputs, known + self.step.output.shape[1:]), tuple(final)

    def padded(self, slices: list) -> tuple[list, Tensor, bool]:
        """The slices, padded to the length that is wanted; the true number of steps; whether they were padded."""
        first = tensors_of(slices[0])[0]
        steps = length_of(first)
        length = self.way.length(steps)
        if length is steps or (first.shape[0] is not None and length == steps):
            return slices, tf.convert_to_tensor(steps), False

        def pad(x: Tensor) -> Tensor:
            return tf.pad(x, [[0, length - steps]] + [[0, 0]] * (len(x.shape) - 1))

        return list(map(pad, slices)), tf.convert_to_tensor(steps), True

    def differentiated(self, slices: list, given: Arguments, padded: bool) -> Differentiated:
        """Outputs and final state as a function of the steps and all tensors in `Arguments` like those given."""
        like = [each.blank() if isinstance(each, Projection) else None for each in slices]
        structure = tree.map_structure(lambda _: 0, given)

        def regroup(flat: Any) -> Arguments:
            parts, *others = tree.pack_sequence_as(structure, list(flat))
            return Arguments([each.using(p) if each else p[0] for each, p in zip(like, parts, strict=True)], *others)

        def forward(steps: Tensor, *flat: Tensor) -> tuple:
            outputs, final, kept = self.way.forward(regroup(flat), steps)
            return [outputs, *final], kept

        def backward(d: list, kept: Any, tensors: list) -> list:
            steps, *flat = tensors
            return tree.flatten(self.way.backward(d[0], floats(d[1:]), kept, regroup(flat), steps, padded))

        return Differentiated(forward, backward, [1 + place for place in self.way.spent])
