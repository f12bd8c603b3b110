"""Wrappers that join what a cell puts out with something else."""

from typing import Any

from tfcells.contract.cell import Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights
from tfcells.contract.wrapper import Wrapper


class Residual(Wrapper):
    """The input added to the output, and not to the states: y = cell's output + x.

    The input must be as wide as the output. The output is no state any more, so that there is no "state" slot:
    put Residual around `Zoneout`. Source: He et al., 1512.03385; along depth in stacks, Wu et al., 1609.08144.

    Raises a ValueError if the widths differ, or if there is a time among the input.

    >>> cell = tfcells.Residual(tfcells.GRUCell(3))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 3)
    """

    slots = property(lambda self: self.cell.slots - {"state"})

    def __init__(self, cell: Cell | dict, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        if self.timed:
            raise ValueError(f"cell: Residual would add the time that {type(self.cell).__name__} reads to its output")

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        if input_shape[-1] != self.output_size:
            raise ValueError(
                f"sequences: Residual adds the input to the output, so that {self.output_size} "
                f"features are needed, got {input_shape[-1]}"
            )

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        return {"x": x, "cell": super().inputs(x, w)}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        output, state = super().step(x["cell"], state, w)
        return output + x["x"], state
