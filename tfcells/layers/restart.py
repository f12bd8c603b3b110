"""States that are forgotten now and then, as at the beginning of a text."""

from typing import Any

import keras
from keras import ops

from tfcells import masks
from tfcells.checks import probability
from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor
from tfcells.layers.arguments import given_shapes, ranks_of


class Restart(Configured, keras.layers.Layer):
    """In training, sets all states of a sequence to zero with probability `rate`, one draw a sequence.

    Called as `layer(states)` with a list of states, (batch, ...) each; returns such a list. For a
    network whose state is carried from window to window: else it begins with the zero state once an
    epoch, and with layer normalization may need hundreds of steps to find its way from there.
    Nothing is changed outside training, nor with the rate 0.

    Raises a ValueError for a rate outside [0, 1), and for states that are no list of tensors.

    >>> h, c = tfcells.Restart(0.5)([keras.ops.ones((2, 3)), keras.ops.ones((2, 3))], training=True)
    >>> keras.ops.shape(h)
    (2, 3)
    """

    live = frozenset({"rate"})

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # counts of steps stay exact
        self.rate = probability("rate", rate)
        self.draw_from(seed)

    def call(self, states: list[Tensor], training: bool = False) -> list[Tensor]:
        self.compute_output_shape(given_shapes(states))  # which raises for others
        if not (training and self.rate):
            return states
        keep = masks.keep_mask((ops.shape(states[0])[0], 1), self.rate, self.generator)
        return list(masks.choose(keep, states, [ops.zeros_like(state) for state in states]))

    def compute_output_shape(self, shapes: Any) -> Any:
        if None in ranks_of(shapes):
            raise ValueError(f"states must be a list of tensors, each of shape (batch, ...), got {shapes}")
        return shapes

    def compute_output_spec(self, states: Any, training: bool = False) -> Any:
        self.compute_output_shape(given_shapes(states))
        return [keras.KerasTensor(state.shape, state.dtype) for state in states]
