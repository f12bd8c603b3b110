"""Penalties on what a recurrent layer puts out: its `activity_regularizer`.

They add up over the batch, by whose size Keras divides: what a layer adds to the loss is the mean.
"""

from typing import Any

import keras
from keras import ops

from tfcells.checks import number, require
from tfcells.contract.linear import Tensor


class ActivityRegularizer(keras.Regularizer):
    """rate * the sum over the batch of the mean square of what `penalized` makes of the outputs."""

    def __init_subclass__(cls) -> None:
        keras.saving.register_keras_serializable("tfcells")(cls)

    def __init__(self, rate: float) -> None:
        self.rate = number("rate", rate)
        require("rate", rate, "at least 0", self.rate >= 0)

    def penalized(self, x: Tensor) -> Tensor:
        """What of the outputs costs its square."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        values = self.penalized(x)
        if keras.backend.standardize_dtype(x.dtype) != "float64":  # halves would overflow
            values = ops.cast(values, "float32")
        in_a_sample = ops.maximum(ops.size(values), 1) / ops.shape(x)[0]
        return self.rate * ops.sum(ops.square(values)) / ops.cast(in_a_sample, values.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate}


class ActivationRegularizer(ActivityRegularizer):
    r"""rate * mean(h ** 2): AR. Source: Merity, McCann & Socher, 1708.01009.

    Keras gives a layer's every output to it: with return_state the final states are penalized, too.

    >>> layer = tfcells.RNN(tfcells.LSTMCell(8), activity_regularizer=tfcells.ActivationRegularizer(2.0))
    >>> outputs = layer(keras.ops.ones((2, 5, 3)))
    >>> len(layer.losses)
    1
    """

    def penalized(self, x: Tensor) -> Tensor:
        return x


class TemporalActivationRegularizer(ActivityRegularizer):
    r"""rate * mean((h_{t+1} - h_t) ** 2): TAR. Source: Merity, McCann & Socher, 1708.01009.

    Of outputs (batch, steps, features); what has no steps, as most final states, or only one, costs nothing. Keras
    gives it every output: with return_state it takes the rows of a matrix state, as `MLSTMCell`'s, for steps.

    >>> penalty = tfcells.TemporalActivationRegularizer(1.0)
    >>> float(penalty(keras.ops.reshape(keras.ops.arange(6.0), (1, 3, 2))))
    4.0
    """

    def penalized(self, x: Tensor) -> Tensor:
        return x[:, 1:] - x[:, :-1] if len(x.shape) > 2 else ops.zeros_like(x)
