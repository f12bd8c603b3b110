"""What a language model has around its recurrent layers, and Keras lacks."""

import keras
from keras import ops

from tfcells import masks
from tfcells.cells.base import add_bias, affine
from tfcells.checks import positive, probability

if keras.backend.backend() == "tensorflow":
    from tfcells import engine


@keras.saving.register_keras_serializable("tfcells")
class WordDropout(keras.layers.Layer):
    """Drops whole words of a vocabulary, one draw for each sequence and word.

    Called as `layer([tokens, embeddings])` with tokens (batch, steps), embeddings (batch, steps,
    features): all occurrences of a word in a sequence are kept, scaled by 1 / (1 - rate), or dropped
    together. Nothing is dropped outside training. Source: Gal & Ghahramani, 1512.05287.

    >>> tokens = keras.ops.zeros((2, 5), dtype="int32")
    >>> layer = tfcells.WordDropout(100, 0.5)
    >>> keras.ops.shape(layer([tokens, keras.ops.ones((2, 5, 3))], training=True))
    (2, 5, 3)
    """

    def __init__(self, vocabulary_size, rate, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)  # tokens may come as floats: they stay exact
        self.vocabulary_size = positive("vocabulary_size", vocabulary_size)
        self.rate = probability("rate", rate)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=False):
        tokens, embeddings = inputs
        embeddings = ops.cast(embeddings, self.compute_dtype)
        if not (training and self.rate):
            return embeddings
        shape = (ops.shape(tokens)[0], self.vocabulary_size)
        mask = masks.dropout_mask(shape, self.rate, embeddings.dtype, self.generator)
        kept = ops.take_along_axis(mask, ops.cast(tokens, "int32"), axis=1)
        return embeddings * ops.expand_dims(kept, -1)

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[1]

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def get_config(self):
        own = {name: getattr(self, name) for name in ("vocabulary_size", "rate", "seed")}
        return super().get_config() | own


@keras.saving.register_keras_serializable("tfcells")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense` with a faster way back for few rows and many units, as those of a softmax.

    On TensorFlow, on a CPU; elsewhere it is Keras's.

    >>> keras.ops.shape(tfcells.Dense(4)(keras.ops.ones((2, 5, 3))))
    (2, 5, 4)
    """

    def call(self, inputs, training=None):
        if keras.backend.backend() != "tensorflow" or not engine.is_dense(inputs, self.compute_dtype):
            return super().call(inputs, training)
        kernel = ops.convert_to_tensor(self.kernel)
        return self.activation(affine(inputs, kernel, self.bias, engine.product))


@keras.saving.register_keras_serializable("tfcells")
class Bias(keras.layers.Layer):
    """x + b along the last axis: the bias of a softmax, whose matrix may be the embedding's.

    The sum has the precision of b, float32 under a mixed policy: the softmax is the better for it, and
    b's gradient, a sum over all of a batch, needs it.

    >>> keras.ops.shape(tfcells.Bias()(keras.ops.ones((2, 5, 3))))
    (2, 5, 3)
    """

    def __init__(self, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, input_shape):
        self.bias = self.add_weight(
            (input_shape[-1],), self.initializer, name="bias", autocast=False
        )

    def call(self, inputs):
        return add_bias(keras.ops.cast(inputs, self.bias.dtype), self.bias)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "initializer": keras.initializers.serialize(self.initializer)
        }
