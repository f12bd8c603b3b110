"""Layer normalization as the cells use it."""

from collections.abc import Callable

import keras
from keras import ops

from tfcells.contract.linear import Tensor


def layer_norm(x: Tensor, gain: Tensor, shift: Tensor, epsilon: float, groups: int = 1) -> Tensor:
    """gain (x - mean) / sqrt(var + epsilon) + shift over the last axis, or over each of its groups.

    x: (..., groups * features); gain, shift: (groups * features,), shift may be 0. The moments of
    half-precision inputs are taken in float32. Source: Ba, Kiros & Hinton, 1607.06450.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    half = dtype in ("float16", "bfloat16")
    v = ops.cast(x, "float32") if half else x
    if groups > 1:
        v = ops.reshape(v, (-1, groups, x.shape[-1] // groups))
    v = standardize(v, epsilon)
    if groups > 1:
        v = ops.reshape(v, (-1, x.shape[-1]))
    v = ops.cast(v, dtype) * gain if half else v * gain
    return v + shift


def standardize(v: Tensor, epsilon: float) -> Tensor:
    """(v - mean) / sqrt(var + epsilon) over the last axis."""

    @ops.custom_gradient
    def standard(v: Tensor) -> tuple[Tensor, Callable]:
        centred = v - mean(v)
        scale = ops.rsqrt(mean(ops.square(centred)) + epsilon)

        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            d = args[0] if upstream is None else upstream
            y = centred * scale
            return scale * (d - mean(d) - y * mean(d * y))

        return centred * scale, gradient

    return standard(v)


def mean(v: Tensor) -> Tensor:
    """The mean along the last axis, kept; by a product: XLA sums slowly what it has just computed."""
    features = v.shape[-1]
    return ops.matmul(v, ops.ones((features, 1), v.dtype)) / features
