"""Wrappers that act on what a cell carries on."""

import functools
from typing import Any

import keras
from keras import ops

from tfcells.checks import number, require
from tfcells.contract.cell import Call, Cell
from tfcells.contract.initial import fresh
from tfcells.contract.linear import Tensor
from tfcells.contract.recurrence import restarted
from tfcells.contract.weights import Weights
from tfcells.contract.wrapper import Wrapper, replaced


class Clip(Wrapper):
    """The new states within [-limit, limit], so that nothing grows without bound.

    limit: the largest absolute value, one for all states but those that count or record steps, or one for each by name:
    {"c": 3.0}. An output that is one of the states is the clipped one. The gradient is 0 outside.
    Within a step, what reads the new state still reads the unclipped one: TensorFlow's `cell_clip`
    differs in that, Melis et al.'s code does not. Source: Sak et al., 1402.1128.

    >>> cell = tfcells.Clip(tfcells.LSTMCell(8), {"c": 3.0})
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    live = frozenset({"limit"})

    def __init__(self, cell: Cell | dict, limit: float | dict[str, float], **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.limit = limit
        self.each()  # raises if one is wrong

    def each(self) -> list[float | None]:
        """The limit of each state, if it has one."""
        limits = self.limit if isinstance(self.limit, dict) else dict.fromkeys(self.carried, self.limit)
        for name, value in limits.items():
            allowed = f"a number above 0, or numbers by the states {', '.join(self.carried)}"
            require("limit", self.limit, allowed, name in self.carried)
            number("limit", value, low=0)
        return [limits.get(name) for name in self.states]

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        output, new = super().step(x, state, w)
        clipped = [
            now if limit is None else ops.clip(now, -limit, limit) for now, limit in zip(new, self.each(), strict=True)
        ]
        return replaced(output, new, clipped)


class TrainableInitialState(Wrapper):
    """An initial state that is learned, one row for all samples.

    initializer: what is drawn and added to the cell's own initial state, for a start. A layer begins with it
    unless it is given an initial state. A stateful layer reads it when it is built and at `reset_state`, which is
    needed after weights are loaded; it doesn't train it. States that count or record steps are left as they are.
    Weights: initial_NAME for each state.

    >>> cell = tfcells.TrainableInitialState(tfcells.GRUCell(8))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, cell: Cell | dict, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        for place, (name, shape) in enumerate(zip(self.states, self.state_shapes(1), strict=True)):
            if name in self.carried:
                start = functools.partial(self.start, place)
                setattr(self, f"initial_{name}", self.add_weight(shape[1:], start, name=f"initial_{name}"))

    def start(self, place: int, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """The row of a state before it is learned."""
        own = self.cell.get_initial_state(1)[place]
        return ops.cast(own[0], dtype) + fresh(self.initializer, place)(shape, dtype=dtype)

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """The learned rows, once for each sample. Raises ValueError before they are made."""
        if not self.built:
            raise ValueError("TrainableInitialState has no initial state before it is built")
        states = self.cell.get_initial_state(batch_size)
        for place, name in enumerate(self.states):
            if name in self.carried:
                row = ops.cast(getattr(self, f"initial_{name}"), states[place].dtype)
                states[place] = ops.broadcast_to(row, ops.shape(states[place]))
        return states


class ResetOnFlag(Wrapper):
    """The states of a sample are reset before each step that a flag marks.

    For sequences of several episodes or sentences. The flags, (batch, steps), are given to the layer:
    `tfcells.RNN(cell)(sequence, reset=...)`. What a cell begins with is its `get_initial_state`: zeros, or what
    `TrainableInitialState` has learned. A masked step changes nothing, whether it has a flag or not; with
    go_backwards, a flag is still that of its step.

    It goes around all other wrappers: what one outside does with the old state would outlive the flag. Raises a
    ValueError inside another one, and where there are no flags to read, as in `keras.layers.RNN`.

    >>> cell = tfcells.ResetOnFlag(tfcells.GRUCell(8))
    >>> flags = [[False, False, True, False, False]] * 2
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), reset=keras.ops.array(flags)))
    (2, 8)
    """

    linear = True
    reset_by_flag = True

    def bind(self, call: Call) -> Weights:
        if call.reset is None:
            raise ValueError("reset must be flags; run the cell in tfcells.RNN, and give reset=... when it is called")
        first = dict(zip(self.states, self.get_initial_state(1), strict=True))
        return super().bind(call).including(first=Weights(first)).along(reset=call.reset)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        first = [w.first[name] for name in self.states]
        return super().step(x, restarted(w.reset, first, state), w)
