"""The bias of a softmax."""

from typing import Any

import keras

from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor, add_bias


class Bias(Configured, keras.layers.Layer):
    """x + b along the last axis: the bias of a softmax, whose matrix may be the embedding's.

    The sum has the precision of b, float32 under a mixed policy: the softmax is the better for it, and
    b's gradient, a sum over all of a batch, needs it.

    >>> keras.ops.shape(tfcells.Bias()(keras.ops.ones((2, 5, 3))))
    (2, 5, 3)
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight((input_shape[-1],), self.initializer, name="bias", autocast=False)

    def call(self, inputs: Tensor) -> Tensor:
        return add_bias(keras.ops.cast(inputs, self.bias.dtype), self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, self.variable_dtype)
