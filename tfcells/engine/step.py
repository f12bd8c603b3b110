"""A cell's step as the loops run it: on lists of tensors, its products known."""

import collections
import functools
import itertools
import re
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree

from tfcells.contract.cell import Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Kernel, Weights
from tfcells.engine.differentiated import debugged, traced
from tfcells.engine.recording import Search, Site
from tfcells.engine.rows import apart
from tfcells.engine.sequences import floats, shaped

RANDOM = re.compile("Random|Normal|Multinomial|Rng|StatefulUniform")
"""The operations that draw."""
STATELESS = "PyFuncStateless", "StringFormat"
"""Operations that XLA can't run, though they don't count as stateful."""
PURE = "Placeholder", "ReadVariableOp"
"""Operations that count as stateful, though XLA runs them as well as any."""


class Step:
    """The step of equal cells, traced once to find what it uses.

    TensorFlow never forgets what was compiled, so this holds no cell: `step_of(cell)` makes the step anew of one of the
    living cells that have used it and have not been changed since: whose `key_of(cell)` is the same.

    output: what it gives. sites: its products, in order. used: of each leaf of the weights, whether it reads it.
    captured: floats that it reads and was not given. foreign: what it does that XLA can't run, or would leave out.
    mixes_rows: whether a row's numbers depend on others', so that a batch must stay as it is.
    """

    def __init__(
        self, key_of: Callable, step_of: Callable, cell: Any, slices: Any, state: list, weights: Weights
    ) -> None:
        self.key, self.key_of, self.step_of = key_of(cell), key_of, step_of
        self.cells: weakref.WeakSet = weakref.WeakSet([cell])
        self.slices = tree.map_structure(lambda _: 0, slices)
        self.weights = weights.map(
            lambda leaf: Kernel(None, leaf.reads, leaf.blocks) if isinstance(leaf, Kernel) else None
        )
        self.used = [True] * len(weights.leaves())
        self.captured: list[Tensor] = []
        self.foreign: list[str] = []
        self.mixes_rows = False
        self.output, self.sites, self.used = self.probe(cell, tree.flatten(slices), state, weights)
        self.key = key_of(cell)  # the step may have kept what it computed

    def __call__(self, slices: list, state: list, products: Any, tensors: list) -> tuple[Tensor, list]:
        """Output and new states. products: a `Search`, a `Recording` or a `Replay`."""
        cell = next((each for each in self.cells if self.key_of(each) == self.key), None)
        if cell is None:
            raise RuntimeError("the layer was dropped or changed before its gradient was asked for; keep it until then")
        step = self.step_of(cell)
        output, new = step(tree.pack_sequence_as(self.slices, slices), tuple(state), self.bind(products, tensors))
        return output, shaped(new, state)

    def bind(self, products: Any, tensors: list) -> Weights:
        """The weights that the cell's step is given: kernel i, of those that are used, is `products.product(i, x)`."""
        given, kernels, used = iter(tensors), itertools.count(), iter(self.used)

        def bound(leaf: Any) -> Any:
            if not next(used):
                return leaf
            return next(given) if leaf is None else leaf.using(functools.partial(products.product, next(kernels)))

        return self.weights.map(bound)

    def read(self, weights: Weights) -> tuple[list, list]:
        """The matrices and the tensors among the weights that the step uses; `inputs` may have used others."""
        return split([leaf for leaf, used in zip(weights.leaves(), self.used, strict=True) if used])

    def probe(
        self, cell: Any, slices: list, state: list, weights: Weights
    ) -> tuple[tf.TensorSpec, list[Site], list[bool]]:
        """Trace the step without running it: its output, its products, which of the leaves it uses.

        Notes what else it reads, and what of it the compiled loop can't do. Raises ValueError as `refuse_impure` does.
        """
        leaves = weights.leaves()
        matrices, tensors = split(leaves)
        by_row = [x is None for x in weights.map_rows(lambda _: None).leaves() if not isinstance(x, Kernel)]
        found: list[tuple[int, Tensor, Tensor]] = []

        def trace(slices: list, state: list, matrices: list, tensors: list) -> tuple:
            # All that is returned counts as a use, by an identity.
            return self(slices, state, Search(matrices, found), tensors)

        groups = [spec(x, 1) for x in slices], [*map(spec, state)], [*map(spec, matrices)], [*map(spec, tensors)]
        graph = traced(tf.function(trace, autograph=False), *groups)
        refuse_impure(graph, cell)
        self.captured, self.foreign = floats(graph.captured_inputs), foreign(graph.graph.get_operations())
        self.foreign += ["gradients of complex numbers"] * any(x.dtype.is_complex for x in graph.inputs)
        inputs = iter(graph.inputs)
        slices, state, matrices, tensors = ([next(inputs) for _ in group] for group in groups)
        of_rows = [x for x, has in zip(tensors, by_row, strict=True) if has]
        pairs = [(x, y) for _, x, y in found]
        self.mixes_rows = not apart(graph.graph.get_operations(), [*slices, *state, *of_rows], pairs, graph.outputs)
        calls = collections.Counter(kernel for kernel, _, _ in found)
        again = any(len(matrix.consumers()) > calls[number] for number, matrix in enumerate(matrices) if calls[number])
        self.foreign += ["gradients of its own products"] * again
        called = sorted(calls)
        numbers, others = itertools.count(), iter(tensors)
        used = [
            next(numbers) in called if isinstance(leaf, Kernel) else bool(next(others).consumers()) for leaf in leaves
        ]
        sites = [
            Site(called.index(kernel), spec(x), spec(y), index(x, state), index(partner(y), slices))
            for kernel, x, y in found
        ]
        return spec(graph.structured_outputs[0]), sites, used


def refuse_impure(graph: Any, cell: Any) -> None:
    """Raise ValueError if a traced step reads a trainable weight that it was not given, which would get no gradient,
    without a word; or a weight of the cell, which another cell's would stand for; or draws random numbers, which the
    way back would draw anew.
    """
    definition = graph.graph.as_graph_def()
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
    cells = [each for each in cell._flatten_layers() if isinstance(each, Cell)]
    own = {id(each._value) for one in cells for each in one._trainable_variables + one._non_trainable_variables}
    weights = [each.name for each in graph.variables if each.trainable or id(each) in own]
    drawn = [f"{node.op} {node.name}" for node in nodes if RANDOM.search(node.op)]
    if weights or drawn:
        names = ", ".join([*weights, *drawn][:3])
        raise ValueError(
            f"step uses more than it was given ({names}): declare a weight in build and read it as w.NAME, not as "
            "self.NAME, which would get no gradient, and be that of any equal cell; draw random numbers in bind"
        )


def foreign(operations: list) -> list[str]:
    """Of a traced step's operations the types that XLA can't run, or would leave out."""
    found = {op.type for op in operations if op.op_def.is_stateful and op.type not in PURE or op.type in STATELESS}
    return sorted(found) + ["a debugging tool"] * debugged()


def split(leaves: list) -> tuple[list, list]:
    """The matrices of the kernels, and the tensors, among the leaves of `Weights`."""
    matrices = [leaf.matrix for leaf in leaves if isinstance(leaf, Kernel)]
    return matrices, [leaf for leaf in leaves if not isinstance(leaf, Kernel)]


def spec(x: Tensor, start: int = 0) -> tf.TensorSpec:
    return tf.TensorSpec(x.shape[start:], x.dtype)


def index(x: Tensor | None, tensors: list) -> int | None:
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
