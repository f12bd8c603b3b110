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
        return self.cell.advance(x, state, w.cell.updating(w.update))

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        return self.cell.finish(outputs, w.cell)

    @property
    def fixes_noise_along_time(self) -> bool:
        return self.cell.fixes_noise_along_time


class Inlined(Wrapper):
    """A wrapper around a cell of the class `inner`, under a name of its own.

    Its configuration has the arguments of that cell in place of the cell, and they are its attributes.
    """

    inner: type[Cell]

    @property
    def dtype_is_explicit(self) -> bool:
        return self.cell.dtype_is_explicit

    @dtype_is_explicit.setter
    def dtype_is_explicit(self, value: bool) -> None:
        if "cell" in vars(self):
            self.cell.dtype_is_explicit = value

    def __getattr__(self, name: str) -> Any:
        if name in type(self).inner.arguments():
            return getattr(self.cell, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "cell" in vars(self) and name in type(self).inner.arguments():
            setattr(self.cell, name, value)
        else:
            super().__setattr__(name, value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config.pop("cell")["config"] | config


def apart(arguments: dict[str, Any]) -> tuple[dict, dict]:
    """The arguments of any layer, for an `Inlined` wrapper; and the others and the dtype, for its cell."""
    layer = {name: value for name, value in arguments.items() if name in ("name", "trainable", "dtype")}
    cell = {name: value for name, value in arguments.items() if name not in ("name", "trainable")}
    return layer, cell


def replaced(output: Tensor, new: tuple[Tensor, ...], values: list[Tensor]) -> tuple[Tensor, tuple]:
    """Values in place of the new states, and of the output where it is one of these."""
    same = (value for state, value in zip(new, values, strict=True) if output is state)
    return next(same, output), tuple(values)
