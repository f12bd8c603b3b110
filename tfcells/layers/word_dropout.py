"""Dropout of words."""

from typing import Any

import keras
from keras import ops

from tfcells import masks
from tfcells.checks import positive, probability
from tfcells.contract.cell import fits
from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor
from tfcells.layers.arguments import given_shapes, ranks_of


class WordDropout(Configured, keras.layers.Layer):
    """Drops whole words of a vocabulary, one draw for each sequence and word.

    Called as `layer([tokens, embeddings])` with tokens (batch, steps), embeddings (batch, steps,
    features): all occurrences of a word in a sequence are kept, scaled by 1 / (1 - rate), or dropped
    together. Nothing is dropped outside training. Source: Gal & Ghahramani, 1512.05287.

    Raises a ValueError for inputs of other shapes, as of the embeddings alone.

    >>> tokens = keras.ops.zeros((2, 5), dtype="int32")
    >>> layer = tfcells.WordDropout(100, 0.5)
    >>> keras.ops.shape(layer([tokens, keras.ops.ones((2, 5, 3))], training=True))
    (2, 5, 3)
    """

    live = frozenset({"vocabulary_size", "rate"})

    def __init__(self, vocabulary_size: int, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # tokens may come as floats: they stay exact
        self.vocabulary_size = positive("vocabulary_size", vocabulary_size)
        self.rate = probability("rate", rate)
        self.draw_from(seed)
        self.supports_masking = True

    def call(self, inputs: list[Tensor], training: bool = False) -> Tensor:
        self.compute_output_shape(given_shapes(inputs))  # which raises for others
        tokens, embeddings = inputs
        embeddings = ops.cast(embeddings, self.compute_dtype)
        if not (training and self.rate):
            return embeddings
        shape = (ops.shape(tokens)[0], self.vocabulary_size)
        mask = masks.dropout_mask(shape, self.rate, embeddings.dtype, self.generator)
        kept = ops.take_along_axis(mask, ops.cast(tokens, "int32"), axis=1)
        return embeddings * ops.expand_dims(kept, -1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if mask is None else mask[1]

    def compute_output_shape(self, input_shape: Any) -> Any:
        if ranks_of(input_shape) != [2, 3] or not fits(input_shape[0], input_shape[1][:2]):
            wanted = "[tokens, embeddings], of shapes (batch, steps) and (batch, steps, features)"
            raise ValueError(f"inputs must be {wanted}, got {input_shape}")
        return input_shape[1]
