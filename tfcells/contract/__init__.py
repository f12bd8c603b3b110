"""The contract of a cell: `build` declares weights, `bind` hands them out, `inputs` and `step` read them."""

from tfcells.contract.cell import Call, Cell, Split, View
from tfcells.contract.kernels import GatedCell, InputCell, KernelCell
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
    "Projection",
    "Split",
    "View",
    "Weights",
    "Wrapper",
]
