"""Zaremba's dropout: new noise at each step. It imports Keras, so networks import it where they are built."""

from typing import Any

import keras
from keras import ops

import tfcells
from lab.task import Tensor


class Dropout(keras.layers.Dropout):
    """Keras's own, with the same bits, which knows when a batch is a part of a larger one."""

    def call(self, inputs: Tensor, training: Any = False) -> Tensor:
        shape, own = tfcells.whole_batch(ops.shape(inputs))
        if own is ... or not training:
            return super().call(inputs, training=training)
        return inputs * super().call(ops.ones(shape, inputs.dtype), training=True)[own]
