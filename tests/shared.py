"""What the tests share: fixed seeds, random weights, known masks. tests/conftest.py sees to a quiet backend."""

import contextlib
import functools
import gc
from unittest import mock

import keras
import numpy as np
import pytest
from keras import ops

from tests.cases import wrappers

GPU, SEEDS = False, contextlib.nullcontext
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    GPU = bool(tf.config.list_physical_devices("GPU"))
    tf.config.experimental.enable_tensor_float_32_execution(False)  # a GPU's short float32
    tf.random.set_seed(0)
    SEEDS = functools.partial(mock.patch.object, tf.random, "set_seed")


def pytest_runtest_setup(item):
    if GPU and item.get_closest_marker("cpu"):
        pytest.skip("how products are multiplied on a CPU")


def pytest_collection_finish():
    """What was imported and collected lives as long as the tests: nobody need look through it again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers of Keras, NumPy and Python in every test, whatever ran before it.

    TensorFlow's own, `tf.random`, go on: with a new seed it forgets all kernels, and making them anew takes most of
    the time of a small test.
    """
    with SEEDS():
        keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def randomise():
    """A function that gives all weights of a built layer, biases too, random values."""

    def apply(layer, seed=0):
        rng = np.random.default_rng(seed)
        for weight in layer.trainable_variables:
            weight.assign(rng.normal(scale=0.5, size=weight.shape))
        return layer

    return apply


@pytest.fixture
def known_masks(monkeypatch):
    """The masks of the oracles, in place of drawn ones."""

    def dropout_mask(shape, rate, dtype, seed, axis=0):
        return ops.cast(wrappers.dropout_mask(shape, rate), dtype)

    monkeypatch.setattr("tfcells.masks.dropout_mask", dropout_mask)
    monkeypatch.setattr("tfcells.masks.keep_mask", lambda shape, rate, seed, axis=0: wrappers.drawn(shape, rate))
