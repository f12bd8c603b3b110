"""Where masks are drawn; the wrappers apply them. And a choice among states, sample by sample."""

from collections.abc import Sequence
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


def choose(keep: Tensor, new: Sequence[Tensor], old: Sequence[Tensor]) -> tuple:
    """Of each pair of states, of any rank, the new where `keep` holds; keep: (batch, 1)."""

    def select(new: Tensor, old: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (len(new.shape) - 1)
        return ops.where(ops.reshape(keep, shape), new, old)

    return tuple(map(select, new, old))
