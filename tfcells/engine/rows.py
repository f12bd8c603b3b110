"""Whether a step keeps the samples of a batch apart: then it may run on a part of them, or on more than there are."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcells.contract.linear import Tensor

ELEMENTWISE = set(
    (
        "Abs Acos Acosh Add AddN AddV2 Asin Asinh Atan Atan2 Atanh BiasAdd Cast Ceil CheckNumerics "
        "ClipByValue Conj Cos Cosh Div DivNoNan Elu Equal Erf Erfc Exp Expm1 Floor FloorDiv FloorMod Greater "
        "GreaterEqual Identity IdentityN Imag IsFinite IsInf IsNan LeakyRelu Less LessEqual Log Log1p "
        "LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul MulNoNan Neg NotEqual OnesLike Pow "
        "PreventGradient Real RealDiv Reciprocal Relu Relu6 Round Rsqrt Select SelectV2 Selu Sigmoid Sign Sin "
        "Sinh Softplus Softsign Sqrt Square SquaredDifference StopGradient Sub Tan Tanh Xdivy Xlogy ZerosLike"
    ).split()
)
AXES = (
    {"Split": 0, "GatherV2": 2, "SplitV": 2, "ConcatV2": -1}
    | dict.fromkeys("All Any ArgMax ArgMin Cumprod Cumsum EuclideanNorm ExpandDims Max Mean Min Prod Sum".split(), 1)
    | dict.fromkeys(["LogSoftmax", "Pack", "Softmax", "Squeeze", "Unpack"])
)
"""Operations along axes, and which of their inputs says along which."""


def apart(operations: Iterable, rows: list, products: list, results: list) -> bool:
    """Whether the rows of `results` depend on the same rows of `rows` alone. What is not known to be so, is not.

    operations: of a graph, in order. products: pairs of input and result, whose operations need no look.
    """
    found: dict[int, int] = dict.fromkeys(map(id, rows), 1)  # how many entries of its first axis are a row's; 0: mixed
    inputs = {id(y): x for x, y in products}
    for op in operations:
        given = [x for x in op.inputs if id(x) in found]
        if given and op.outputs and op.type not in ("Shape", "Size", "Rank"):
            counts = {found[id(x)] for x in given}
            count = counts.pop() if len(counts) == 1 and keeps(op, given) else 0
            found.update((id(y), entries(count, given[0], y) if op.type == "Reshape" else count) for y in op.outputs)
        found.update((id(y), found[id(inputs[id(y)])]) for y in op.outputs if id(inputs.get(id(y))) in found)
    return all(found.get(id(y), 1) == 1 for y in results)


def keeps(op: Any, given: list) -> bool:
    """Whether an operation makes of tensors with a row for each sample others, row by row."""
    x, y = given[0].shape, op.outputs[0].shape
    if None in (x.rank, y.rank) or 0 in (x.rank, y.rank):
        return False
    if op.type in ELEMENTWISE:
        return all(each.shape.rank == y.rank for each in given)
    if op.type == "GatherV2" and not op.get_attr("batch_dims") and any(each is op.inputs[1] for each in given):
        return False  # each row by the places that all rows name
    if op.type in AXES:
        axes, rank = axes_of(op), (y if op.type in ("ExpandDims", "Pack") else x).rank
        return axes is not None and all(axis % rank != 0 for axis in np.ravel(axes))
    return op.type in KEEPS and KEEPS[op.type](op, given)


def axes_of(op: Any) -> Any:
    """The axes along which an operation mixes, adds, removes or takes what is there; None if that is not known."""
    if op.type in ("Softmax", "LogSoftmax"):
        return -1
    if op.type in ("Pack", "Unpack"):
        return op.get_attr("axis")
    if op.type == "Squeeze":
        return op.get_attr("squeeze_dims") or None
    return tf.get_static_value(op.inputs[AXES[op.type]])


def entries(count: int, x: Tensor, y: Tensor) -> int:
    """How many entries of the first axis are a row's after a reshape from x to y; 0: that is not known."""
    sizes = [each.shape[1:].num_elements() for each in (x, y)]
    whole = None not in sizes and sizes[1] and count * sizes[0] % sizes[1] == 0
    return count * sizes[0] // sizes[1] if whole else 0


def slices(op: Any, given: list) -> bool:
    """x[:, ...] or x[..., i], the dots for the rows and more."""
    strides = tf.get_static_value(op.inputs[3])
    if strides is None or (op.get_attr("shrink_axis_mask") | op.get_attr("new_axis_mask")) & 1:
        return False
    if op.get_attr("ellipsis_mask") & 1:
        return len(strides) <= given[0].shape.rank
    return bool(op.get_attr("begin_mask") & op.get_attr("end_mask") & 1) and strides[0] == 1


def first(op: Any, given: list) -> bool:
    """Whether the first axis stays the first, or is repeated once."""
    value = tf.get_static_value(op.inputs[1], partial=True)
    return value is not None and value[0] == {"Transpose": 0, "Tile": 1}[op.type]


def multiplies(op: Any, given: list) -> bool:
    if op.type == "MatMul":
        return not op.get_attr("transpose_a") and len(given) == 1 and given[0] is op.inputs[0]
    return all(each.shape.rank == op.outputs[0].shape.rank > 2 for each in given)


def sums(op: Any, given: list) -> bool:
    """An einsum whose first index, of all that have rows and of the result, is the same, and no other's."""
    terms, result = op.get_attr("equation").decode().split("->")
    of_rows = [any(x is each for each in given) for x in op.inputs]
    row = result[:1]
    return row.isalpha() and all(
        (term[:1] == row and row not in term[1:]) if has else row not in term
        for term, has in zip(terms.split(","), of_rows, strict=True)
    )


KEEPS: dict[str, Callable] = {
    "Reshape": lambda op, given: True,  # `entries`
    "StridedSlice": slices,
    "Transpose": first,
    "Tile": first,
    "MatMul": multiplies,
    "BatchMatMulV2": multiplies,
    "Einsum": sums,
}
