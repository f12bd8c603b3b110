"""The contract of a cell: `build` declares weights, `bind` hands them out, `inputs` and `step` read them."""

from tfcells.contract.cell import Call, Cell, GatedCell, InputCell, KernelCell, LinearCell, View
from tfcells.contract.linear import Projection
from tfcells.contract.weights import Kernel, Weights
from tfcells.contract.wrapper import Wrapper

__all__ = [
    "Call",
    "Cell",
    "GatedCell",
    "InputCell",
    "Kernel",
    "KernelCell",
    "LinearCell",
    "Projection",
    "View",
    "Weights",
    "Wrapper",
]
