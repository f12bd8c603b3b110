"""The layer of a softmax."""

import inspect
from typing import Any

import keras
from keras import ops

from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor, affine

if keras.backend.backend() == "tensorflow":
    from tfcells import engine


class Dense(Configured, keras.layers.Dense):
    """`keras.layers.Dense` with a faster way back for few rows and many units, as those of a softmax.

    In training, on TensorFlow, on a CPU; elsewhere it is Keras's, and so it is once it is quantized.

    >>> keras.ops.shape(tfcells.Dense(4)(keras.ops.ones((2, 5, 3))))
    (2, 5, 4)
    """

    live = frozenset({"activation", "activity_regularizer"})
    of_keras = Configured.of_keras.union(inspect.signature(keras.layers.Dense.__init__).parameters)

    @classmethod
    def arguments(cls) -> dict[str, type]:
        """Without those that Keras sets itself when it adapts or quantizes a layer."""
        return {
            name: owner
            for name, owner in super().arguments().items()
            if not name.startswith(("lora_", "quantization_"))
        }

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Quantize as `keras.layers.Dense` does, which refuses its subclasses; so does this one."""
        super().quantize(mode, type_check=type_check and type(self) is not Dense, config=config)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if self.quantization_mode:  # called by TimeDistributed, without `__call__`
            return self.quantized_call(inputs, training=training)
        if keras.backend.backend() != "tensorflow" or not engine.is_dense(inputs, self.compute_dtype):
            return super().call(inputs, training)
        kernel = ops.convert_to_tensor(self.kernel)
        product = engine.product if training else ops.matmul  # whose gradient no other format has
        return self.activation(affine(inputs, kernel, self.bias, product))
