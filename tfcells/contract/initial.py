"""Initial values of weights."""

from typing import Any

import keras
from keras import ops

from tfcells.contract.linear import Tensor


def raise_block(values: Tensor, block: int, blocks: int, amount: float | Tensor) -> Tensor:
    """Add `amount` to one of the equal blocks of the last axis of an initial value."""
    size = values.shape[-1] // blocks
    where = ops.repeat(ops.one_hot(block, blocks, dtype=values.dtype), size)
    return values + amount * where


def log_uniform(like: Tensor, low: float, high: float) -> Tensor:
    """log(u) for each entry, u drawn uniformly from (low, high): chrono initialization (1804.11188)."""
    return ops.log(keras.random.uniform(like.shape, low, high, like.dtype))


def fresh(initializer: Any, number: int) -> Any:
    """The initializer for weight `number`: one seed would give all weights the same values."""
    config = initializer.get_config() if isinstance(initializer, keras.Initializer) else {}
    seed = config.get("seed")
    if "seed" not in config or not isinstance(seed, int | None):
        return initializer
    return type(initializer).from_config(config | {"seed": seed if seed is None else seed + number})
