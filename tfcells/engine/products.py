"""Products: how they are fastest on a CPU.

In the compiled loop, XLA's product x @ matrix takes its time to arrange a large matrix anew at every
step. Turned round, as matrix^T @ x^T with matrix^T as it lies in memory, it need not, and can be more than
twice as fast. Outside, where TensorFlow multiplies, by the transposed matrix XLA is faster while there
are few rows.
"""

import functools
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from tfcells.contract.linear import Tensor, multiply
from tfcells.engine.compiler import XLA, avoid_fault
from tfcells.engine.differentiated import Differentiated, debugged

LARGE = 2**19  # numbers in a matrix from which it is turned round where that costs nothing,
VERY_LARGE = 2**22  # and from which it is worth the transposition,
MANY = 16  # if there are so many steps
LANES = 16  # of a processor's vectors: so many rows at a time
FEW = 2**9  # rows up to which XLA multiplies by a transposed matrix,
WORTH = 2**26  # if there are so many multiplications


class Turned(NamedTuple):
    """A matrix to be multiplied turned round: stored transposed, (outputs, inputs)."""

    matrix: tf.Tensor


def shown(layers: list) -> tf.Module:
    """What shows these layers to `tf.train.Checkpoint`, from which Keras hides lists."""
    module = tf.Module()
    module.layers = layers
    return module


def forward_factors(matrices: list, steps: Any) -> list:
    """The matrices as `times` wants them on the way forward; steps: how many, None if not known."""
    many = steps is None or steps >= MANY
    return [
        Turned(tf.linalg.matrix_transpose(matrix)) if many and fits(matrix, VERY_LARGE) else matrix
        for matrix in matrices
    ]


def backward_factors(matrices: list) -> list:
    """The transposed matrices as `times` wants them on the way back."""
    # TensorFlow transposes on one core five times as fast as XLA.
    return [Turned(matrix) if fits(matrix, LARGE) else tf.linalg.matrix_transpose(matrix) for matrix in matrices]


def fits(matrix: Tensor, least: int) -> bool:
    """Whether to turn that matrix round, on a CPU."""
    large = len(matrix.shape) == 2 and matrix.shape.num_elements() >= least
    return large and not tf.config.list_logical_devices("GPU")


def times(x: Tensor, factor: Any) -> Tensor:
    """x @ matrix for a matrix, or for one that is `Turned`."""
    if not isinstance(factor, Turned):
        return multiply(x, factor)
    if len(x.shape) != 2:
        return tf.matmul(x, factor.matrix, transpose_b=True)
    known = x.shape[0]
    rows = known or tf.shape(x)[0]
    missing = -rows % LANES
    x = tf.pad(x, [[0, tf.where(missing < LANES // 2, missing, 0)], [0, 0]])
    # The barrier keeps XLA from undoing it.
    [y] = xla.optimization_barrier(tf.matmul(factor.matrix, x, transpose_b=True))
    return tf.ensure_shape(tf.transpose(y)[:rows], (known, factor.matrix.shape[0]))


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """x @ matrix, of (rows, inputs), with the faster gradient by x, in a graph."""
    return tf.matmul(x, matrix) if tf.executing_eagerly() or debugged() else in_graph(x, matrix)[0]


def back(d: list, kept: Any, factors: list) -> list:
    """The gradients of x and the matrix."""
    (d,), (x, matrix) = d, factors
    way = compiled_by_transposed() if XLA and favors_xla(d, matrix) else by_transposed
    return [way(d, matrix), tf.matmul(x, d, transpose_a=True)]


in_graph = Differentiated(lambda x, matrix: ([tf.matmul(x, matrix)], ()), back)


def by_transposed(d: Tensor, matrix: Tensor) -> Tensor:
    return tf.matmul(d, matrix, transpose_b=True)


@functools.cache
def compiled_by_transposed() -> Any:
    avoid_fault()
    return tf.function(by_transposed, jit_compile=True)


def favors_xla(d: Tensor, matrix: Tensor) -> bool:
    """Whether XLA multiplies d by that matrix, transposed, in less time than TensorFlow, as it does on a
    CPU but in half precision; if the graph knows how many rows there are, since XLA compiles anew for each
    number.
    """
    rows = d.shape[0]
    few = rows is not None and rows <= FEW and rows * matrix.shape.num_elements() >= WORTH
    return few and d.dtype.size >= 4 and not tf.config.list_logical_devices("GPU")


def is_dense(x: Tensor, dtype: Any) -> bool:
    """Whether that is a tensor of that dtype, and no sparse one."""
    return isinstance(x, tf.Tensor) and x.dtype == dtype
