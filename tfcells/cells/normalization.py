"""Layer normalisation as the cells use it."""

import keras
from keras import ops


def layer_norm(x, gain, shift, epsilon, groups=1):
    """gain (x - mean) / sqrt(var + epsilon) + shift over the last axis, or over each of its groups.

    x: (..., groups * features); gain, shift: (groups * features,), shift may be None. The moments of
    half-precision inputs are taken in float32. Source: Ba, Kiros & Hinton, 1607.06450.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    half = dtype in ("float16", "bfloat16")
    v = ops.cast(x, "float32") if half else x
    if groups > 1:
        v = ops.reshape(v, (-1, groups, x.shape[-1] // groups))
    centred = v - ops.mean(v, axis=-1, keepdims=True)
    v = centred * ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + epsilon)
    if groups > 1:
        v = ops.reshape(v, (-1, x.shape[-1]))
    v = ops.cast(v, dtype) * gain if half else v * gain
    return v if shift is None else v + shift
