"""Layer normalization by itself."""

import numpy as np
import pytest
import tensorflow as tf

from tests.cases.maths import norm
from tfcells.contract.normalization import layer_norm


@pytest.mark.parametrize("size", [0.0, 400.0])
def test_layer_norm_takes_the_moments_of_halves_in_single_precision(size):
    """400 squared overflows float16, and 1e-9 is 0 in it."""
    a, gain = np.linspace(-size, size, 8)[None], np.ones(8)
    found = layer_norm(tf.constant(a, "float16"), tf.constant(gain, "float16"), 0, 1e-9)
    assert found.dtype == "float16"
    np.testing.assert_allclose(found, norm(a, gain, 0, 1e-9), atol=2e-3)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_gradient_of_layer_norm_and_its_own(groups):
    """As TensorFlow differentiates the formula, twice."""
    random = np.random.default_rng(0)
    x, gain, d = (tf.constant(random.normal(size=shape)) for shape in [(3, 8), (8,), (3, 8)])

    def formula(x, gain):
        v = tf.reshape(x, (-1, groups, 8 // groups))
        v -= tf.reduce_mean(v, -1, keepdims=True)
        v *= tf.math.rsqrt(tf.reduce_mean(v**2, -1, keepdims=True) + 1e-3)
        return gain * tf.reshape(v, (-1, 8))

    def gradients(function):
        with tf.GradientTape() as outer:
            outer.watch([x, gain])
            with tf.GradientTape() as inner:
                inner.watch([x, gain])
                y = d * function(x, gain) ** 3
            first = inner.gradient(y, [x, gain])
            sums = [tf.reduce_sum(each**2) for each in first]
        return [*first, *outer.gradient(sums, [x, gain])]

    found = gradients(lambda x, gain: layer_norm(x, gain, 0, 1e-3, groups))
    for got, wanted in zip(found, gradients(formula), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_constant_row_is_zero(dtype, groups):
    """However small epsilon is: one ulp of the mean, times 1e6, would be anything."""
    values = np.random.default_rng(0).normal(size=(50, 1)) * 10.0 ** np.arange(-4, 1).repeat(10)[:, None]
    x = tf.constant(np.repeat(values, 21, 1), dtype)
    found = layer_norm(x, tf.ones(21, dtype), 0, 1e-12, groups)
    np.testing.assert_array_equal(found, tf.zeros_like(x))
