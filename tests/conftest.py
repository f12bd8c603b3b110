"""What the tests share: a quiet backend that compiles quickly, fixed seeds, random weights, known masks."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import keras
import numpy as np
import pytest
from keras import ops

from tests.cases import wrappers

GPU = False
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    GPU = bool(tf.config.list_physical_devices("GPU"))
    tf.config.experimental.enable_tensor_float_32_execution(False)  # a GPU's short float32


def pytest_runtest_setup(item):
    if GPU and item.get_closest_marker("cpu"):
        pytest.skip("how products are multiplied on a CPU")


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers in every test, whatever ran before it."""
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

    def dropout_mask(shape, rate, dtype, seed):
        return ops.cast(wrappers.dropout_mask(shape, rate), dtype)

    monkeypatch.setattr("tfcells.masks.dropout_mask", dropout_mask)
    monkeypatch.setattr("tfcells.masks.keep_mask", lambda shape, rate, seed: wrappers.drawn(shape, rate))
