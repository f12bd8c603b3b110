"""Cells around cells."""

from typing import Any

import keras

from tfcells.contract.cell import Call, Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights


class Wrapper(Cell):
    """A cell around a cell: states, sizes and slots are the inner one's, its weights are w.cell.

    A subclass acts where it has to: in `bind` on the weights and the noise of a call, in `inputs` on what
    the cell reads, in `step` on the state and the update. It may call the cell's `inputs` in its step.

    needs: the slots that the inner cell must have. Wrappers with the same seed draw the same numbers:
    give each one of its own, or none.
    """

    needs: frozenset[str] = frozenset()

    def __init__(self, cell: Cell | dict, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = keras.saving.deserialize_keras_object(cell) if isinstance(cell, dict) else cell
        if not isinstance(self.cell, Cell):
            raise ValueError(f"cell must be a tfcells.Cell, got {cell!r}")
        missing = self.needs - self.cell.slots
        if missing:
            raise ValueError(
                f"cell: {type(self.cell).__name__} has no {sorted(missing)[0]} slot, on which "
                f"{type(self).__name__} acts; it has {sorted(self.cell.slots)}"
            )

    states = property(lambda self: self.cell.states)
    clocks = property(lambda self: self.cell.clocks)
    attends = property(lambda self: self.cell.attends)
    slots = property(lambda self: self.cell.slots)
    units = property(lambda self: self.cell.units)
    state_size = property(lambda self: self.cell.state_size)
    output_size = property(lambda self: self.cell.output_size)

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        return self.cell.get_initial_state(batch_size)

    def adopt_dtype(self, policy: Any) -> None:
        super().adopt_dtype(policy)
        self.cell.adopt_dtype(policy)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        if not self.cell.built:  # loading has built it already
            self.cell.build(input_shape)
            self.cell.built = True

    def bind(self, call: Call) -> Weights:
        return Weights({"cell": self.cell.bind(call)} | super().bind(call).items)

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return self.cell.inputs(x, w.cell)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        return self.cell.step(x, state, w.cell.updating(w.update))

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        return self.cell.finish(outputs, w.cell)

    @property
    def fixes_noise_along_time(self) -> bool:
        return self.cell.fixes_noise_along_time
