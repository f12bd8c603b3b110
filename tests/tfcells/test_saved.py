"""A model that version 0.1 saved still loads, and computes and draws what it did then."""

import pathlib

import keras
import numpy as np
import pytest

import tfcells

pytestmark = pytest.mark.slow

SAVED = pathlib.Path(__file__).parents[1] / "saved"
FROZEN = pytest.mark.skipif(
    not keras.version().startswith(("3.13", "3.14", "3.15")),
    reason="Keras 3.16 takes training=False, which older versions wrote into files of functional models, as an order: "
    "its own Dropout of such a file drops nothing, either",
)
TOLERANCE = 2e-6  # of float32, and of a loop compiled with other instructions


@pytest.mark.parametrize("training", [False, pytest.param(True, marks=FROZEN)])
def test_version_0_1(training):
    model = keras.models.load_model(SAVED / "version_0_1.keras")
    for layer in model._flatten_layers():
        if isinstance(layer, tfcells.RNN) and not layer.remat:  # which needs the compiled loop
            layer.jit_compile = False
    with np.load(SAVED / "version_0_1.npz") as file:
        arrays = dict(file)
    found = model([arrays[name] for name in ("x", "memory", "tokens")], training=training)
    prefix = "training_" if training else "output_"
    assert {prefix + name for name in found} == {name for name in arrays if name.startswith(prefix)}
    for name, value in found.items():
        expected = arrays[prefix + name]
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE * scale, err_msg=name)
