"""The cells. An import here is what registers one."""

from tfcells.cells.base import Cell, GatedCell, Kernel, KernelCell, Projection, Weights
from tfcells.cells.clockwork import ClockworkRNNCell
from tfcells.cells.elman import ElmanCell, LayerNormElmanCell
from tfcells.cells.gru import GRUCell, LayerNormGRUCell
from tfcells.cells.highway import HighwayStateGateRHNCell, RHNCell
from tfcells.cells.hyper import HyperLSTMCell
from tfcells.cells.lstm import LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell

CELLS = {
    name: value
    for name, value in sorted(globals().items())
    if isinstance(value, type)
    and issubclass(value, Cell)
    and value not in (Cell, KernelCell, GatedCell)
}
__all__ = ["CELLS", "Cell", "GatedCell", "Kernel", "KernelCell", "Projection", "Weights", *CELLS]
