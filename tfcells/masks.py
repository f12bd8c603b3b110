"""Where masks are drawn; the wrappers apply them."""

from typing import Any

import keras
from keras import ops

from tfcells.contract.linear import Tensor

RESOLUTION = 2**24  # of a rate


def keep_mask(shape: tuple, rate: float, seed: keras.random.SeedGenerator) -> Tensor:
    """True with probability 1 - rate. seed: a `keras.random.SeedGenerator`.

    Drawn as whole numbers, since XLA makes other floats of the same random bits.
    """
    drawn = keras.random.randint(shape, 0, RESOLUTION, dtype="int32", seed=seed)
    return drawn >= round(rate * RESOLUTION)


def dropout_mask(shape: tuple, rate: float, dtype: Any, seed: keras.random.SeedGenerator) -> Tensor:
    """1 / (1 - rate) with probability 1 - rate, else 0."""
    return ops.cast(keep_mask(shape, rate, seed), dtype) / (1 - rate)
