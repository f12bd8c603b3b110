"""Cells around cells."""

import inspect
from collections.abc import Iterable
from typing import Any

import keras

from tfcells.contract.cell import Call, Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Kernel, Weights


class Wrapper(Cell):
    """A cell around a cell: states, sizes and slots are the inner one's, its weights are w.cell.

    States of a wrapper's own, `own_states`, come after the cell's.

    A subclass acts where it has to: in `bind` on the weights and the noise of a call, in `inputs` on what
    the cell reads, in `step` on the state and the update. It may call the cell's `inputs` in its step.

    cell: what it is around; a configuration by `keras.saving.serialize_keras_object` is read, too.
    needs: the slots that the inner cell must have. Wrappers with the same seed draw the same numbers:
    give each one of its own, or none.
    """

    needs: frozenset[str] = frozenset()
    linear = True

    def __init__(self, cell: Cell | dict, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = a_cell("cell", cell)
        self.cell.around.add(self)
        missing = self.needs - self.cell.slots
        if missing:
            raise ValueError(
                f"cell: {type(self.cell).__name__} has no {sorted(missing)[0]} slot, on which "
                f"{type(self).__name__} acts; it has {sorted(self.cell.slots)}"
            )

    states = property(lambda self: (*self.cell.states, *self.own_states))
    clocks = property(lambda self: self.cell.clocks)
    records = property(lambda self: self.cell.records)
    timed = property(lambda self: self.cell.timed)
    attends = property(lambda self: self.cell.attends)
    projected = property(lambda self: self.cell.projected)
    slots = property(lambda self: self.cell.slots)
    units = property(lambda self: self.cell.units)
    state_size = property(lambda self: [*self.cell.state_size, *self.own_states.values()])
    output_size = property(lambda self: self.cell.output_size)

    @property
    def innermost(self) -> Cell:
        """The cell inside all wrappers."""
        return self.cell.innermost if isinstance(self.cell, Wrapper) else self.cell

    @property
    def takes_all_steps(self) -> bool:
        return super().takes_all_steps and self.cell.takes_all_steps

    @property
    def own_states(self) -> dict[str, Any]:
        """The sizes of the states that the cell has not, by their names."""
        return {}

    def divided(self, state: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The states of the cell, and the wrapper's own."""
        count = len(self.cell.states)
        return state[:count], state[count:]

    def narrow(self, width: int) -> None:
        self.cell.narrow(width)

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        return [*self.cell.get_initial_state(batch_size), *self.zeros(batch_size, self.own_states)]

    def adopt_dtype(self, policy: Any) -> None:
        super().adopt_dtype(policy)
        self.cell.adopt_dtype(policy)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        for name in self.own_states.keys() & set(self.cell.states):
            raise ValueError(
                f"cell: {type(self).__name__} adds the state {name!r}, and {type(self.cell).__name__} has one of "
                f"that name among its own, {self.cell.states}"
            )
        build_once(self.cell, input_shape)

    def bind(self, call: Call) -> Weights:
        if not self.cell.built:
            raise ValueError(f"{type(self).__name__}.build must call super().build(input_shape), which builds its cell")
        return Weights({"cell": self.cell.bind(call)} | super().bind(call).items)

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return self.cell.inputs(x, w.cell)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        return self.cell.advance(x, state, w.cell.updating(w.update))

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        return self.cell.finish(outputs, w.cell)

    def load_own_variables(self, store: Any) -> None:
        """Called by Keras. Raises ValueError where a file has weights for a wrapper that has none."""
        if store.keys() and not (self._trainable_variables or self._non_trainable_variables):
            raise ValueError(
                f"the file has {len(store.keys())} weights for {type(self).__name__}, which has none: they are of the "
                "cell without it. If the file is of a model with Keras's own layers, tfcells.load_keras_weights(model, "
                "path) loads it; else load it into a model of that cell, then new.set_weights(old.get_weights())"
            )
        super().load_own_variables(store)

    @property
    def fixes_noise_along_time(self) -> bool:
        return self.cell.fixes_noise_along_time


class OutputWrapper(Wrapper):
    """A wrapper that changes what the cell puts out, so that the output is no state any more."""

    slots = property(lambda self: self.cell.slots - {"state", "projection"})

    def finished(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        """The cell's step, with all that concerns its output done to that."""
        output, state = self.cell.advance(x, state, w.cell.updating(w.update))
        return self.cell.finish(output, w.cell), state

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        return outputs


class Pair(Wrapper):
    """A wrapper with a second cell, whose states follow the first's, named after it: slow_h.

    second: the argument and attribute that is the second cell. Its weights are w.SECOND, and
    `second_weights(w)` as it reads them.
    """

    second: str

    def pair(self, other: Cell | dict) -> None:
        """Keep the second cell."""
        setattr(self, self.second, a_cell(self.second, other))

    @property
    def other(self) -> Cell:
        """The second cell."""
        return getattr(self, self.second)

    def second_features(self, features: int) -> int:
        """The width of the second cell's input, from that of the wrapper's."""
        raise NotImplementedError

    def prefixed(self, names: Iterable[str]) -> list[str]:
        return [f"{self.second}_{name}" for name in names]

    slots = shared = property(lambda self: self.cell.slots - ({"state"} - self.other.slots))  # both mix their states
    clocks = property(lambda self: self.cell.clocks.union(self.prefixed(self.other.clocks)))
    records = property(lambda self: self.cell.records.union(self.prefixed(self.other.records)))
    attends = property(lambda self: self.cell.attends or self.other.attends)

    @property
    def own_states(self) -> dict[str, Any]:
        return dict(zip(self.prefixed(self.other.states), self.other.state_size, strict=True))

    @property
    def fixes_noise_along_time(self) -> bool:
        return self.cell.fixes_noise_along_time or self.other.fixes_noise_along_time

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        return [*self.cell.get_initial_state(batch_size), *self.other.get_initial_state(batch_size)]

    def adopt_dtype(self, policy: Any) -> None:
        super().adopt_dtype(policy)
        self.other.adopt_dtype(policy)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        build_once(self.other, (*input_shape[:-1], self.second_features(input_shape[-1])))

    def bind(self, call: Call) -> Weights:
        bound = self.other.bind(call._replace(features=self.second_features(call.features)))
        return super().bind(call).including(**{self.second: bound.map_kernels(self.outside)})

    def outside(self, kernel: Kernel) -> Kernel:
        """A kernel of the second cell, under the name that its state has here."""
        return kernel.reading(kernel.reads and f"{self.second}_{kernel.reads}")

    def second_weights(self, w: Weights) -> Weights:
        def inside(kernel: Kernel) -> Kernel:
            return kernel.reading(kernel.reads and kernel.reads.removeprefix(f"{self.second}_"))

        return w[self.second].map_kernels(inside)

    def second_step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        """A step of the second cell, its output finished. x: its input at this moment."""
        w = self.second_weights(w)
        output, state = self.other.advance(self.other.inputs(x, w), state, w)
        return self.other.finish(output, w), state


class Inlined(Wrapper):
    """A wrapper around a cell of the class `inner`, under a name of its own.

    Its configuration has the arguments of that cell in place of the cell, and they are its attributes.
    """

    inner: type[Cell]

    @classmethod
    def signature(cls) -> inspect.Signature:
        *own, others = super().signature().parameters.values()
        known = {each.name for each in (*own, others)}
        theirs = [each for each in cls.inner.signature().parameters.values() if each.name not in known]
        by_name = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in theirs]
        return inspect.Signature([*(each for each in own if each.name != "cell"), *by_name, others])

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


def a_cell(name: str, cell: Any) -> Cell:
    """The cell, if need be from its configuration; a ValueError that names the argument if it can't be inside."""
    made = keras.saving.deserialize_keras_object(cell) if isinstance(cell, dict) else cell
    if not isinstance(made, Cell):
        raise ValueError(f"{name} must be a tfcells.Cell, got {cell!r}")
    if made.reset_by_flag:
        why = "or a part of the state would outlive its flags"
        raise ValueError(f"{name}: {type(made).__name__} must be around all other wrappers, {why}")
    return made


def build_once(cell: Cell, input_shape: tuple[Any, ...]) -> None:
    """Build a cell unless loading has built it already."""
    if not cell.built:
        cell.build(input_shape)
        cell.built = True


def apart(arguments: dict[str, Any]) -> tuple[dict, dict]:
    """The arguments of any layer, for an `Inlined` wrapper; and the others and the dtype, for its cell."""
    layer = {name: value for name, value in arguments.items() if name in ("name", "trainable", "dtype")}
    cell = {name: value for name, value in arguments.items() if name not in ("name", "trainable")}
    return layer, cell


def replaced(output: Tensor, new: tuple[Tensor, ...], values: list[Tensor]) -> tuple[Tensor, tuple]:
    """Values in place of the new states, and of the output where it is one of these."""
    same = (value for state, value in zip(new, values, strict=True) if output is state)
    return next(same, output), tuple(values)
