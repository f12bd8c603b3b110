"""The loop over time in TensorFlow, compiled: products recorded on the way, replayed on the way back.

Forward, one XLA loop: each `w.kernel(x)` multiplies and records its result. Backward, one XLA loop:
each `w.kernel(x)` replays the recorded result, so that only element-wise work is done again; its
gradient is dy @ kernel^T, with the transpose taken once, and dy is stacked over time. Weight gradients
are one large product per kernel after the loop. Only this package knows TensorFlow. docs/engine.md follows a training
step through its files.
"""

from tfcells.engine.compiler import has_compiler
from tfcells.engine.loops import agreeing, check, run
from tfcells.engine.products import is_dense, product, shown
from tfcells.engine.program import Program
from tfcells.engine.recurrence import along
from tfcells.engine.strides import Strides
from tfcells.engine.whole import Whole

__all__ = [
    "Program",
    "Strides",
    "Whole",
    "agreeing",
    "along",
    "check",
    "has_compiler",
    "is_dense",
    "product",
    "run",
    "shown",
]
