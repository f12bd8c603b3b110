"""Where masks are drawn; the wrappers apply them."""

import keras
from keras import ops


def dropout_mask(shape, rate, dtype, seed):
    """1 / (1 - rate) with probability 1 - rate, else 0. seed: a `keras.random.SeedGenerator`."""
    return keras.random.dropout(ops.ones(shape, dtype=dtype), rate, seed=seed)
