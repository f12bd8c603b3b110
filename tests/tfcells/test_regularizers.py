"""Penalties on activations: their values, and that a layer adds them to the loss."""

import keras
import numpy as np
import pytest

import tfcells

X = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")


def test_values():
    """Sums over the batch, 3, of what a sample costs."""
    activation = tfcells.ActivationRegularizer(2.0)
    np.testing.assert_allclose(activation(X), 3 * 2 * np.mean(X**2), rtol=1e-6)
    temporal = tfcells.TemporalActivationRegularizer(0.5)
    wanted = 3 * 0.5 * np.mean((X[:, 1:] - X[:, :-1]) ** 2)
    np.testing.assert_allclose(temporal(X), wanted, rtol=1e-6)
    assert temporal(X[:, :1]) == 0 and temporal(X[:, 0]) == 0


@pytest.mark.parametrize("penalty", [tfcells.ActivationRegularizer(2.0), tfcells.TemporalActivationRegularizer(3.0)])
def test_a_layer_adds_them_to_its_loss(penalty, randomise):
    layer = tfcells.RNN(tfcells.LSTMCell(2), return_sequences=True, activity_regularizer=penalty, jit_compile=False)
    model = randomise(keras.Sequential([keras.Input((5, 4)), layer]))
    outputs = np.asarray(model(X))
    np.testing.assert_allclose(3 * sum(model.losses), penalty(outputs), rtol=1e-5)
    model.compile("sgd", "mse")
    loss = model.evaluate(X, outputs, verbose=0)  # nothing but the penalty is left
    np.testing.assert_allclose(3 * loss, penalty(outputs), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", [tfcells.ActivationRegularizer, tfcells.TemporalActivationRegularizer])
def test_other_dtypes(kind, dtype):
    """A sum of so many squares overflows float16."""
    x = keras.ops.cast(np.tile(np.arange(2.0), (20, 35, 325, 1)).reshape(20, -1, 35), dtype)
    x = keras.ops.transpose(x, (0, 2, 1))[:, :, :1] * keras.ops.ones((20, 35, 650), dtype)
    found = kind(2.0)(x)
    assert keras.backend.standardize_dtype(found.dtype) == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_allclose(found, kind(2.0)(keras.ops.cast(x, "float64")), rtol=1e-5)


def test_in_mixed_precision():
    penalty = tfcells.ActivationRegularizer(2.0)
    layer = tfcells.RNN(tfcells.LSTMCell(2), dtype="mixed_bfloat16", activity_regularizer=penalty, jit_compile=False)
    model = keras.Sequential([keras.Input((5, 4)), layer, keras.layers.Dense(1, dtype="float32")])
    model.compile("sgd", "mse")
    history = model.fit(X, np.zeros((3, 1)), verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("kind", [tfcells.ActivationRegularizer, tfcells.TemporalActivationRegularizer])
def test_config_and_wrong_rates(kind):
    saved = keras.saving.serialize_keras_object(kind(0.25))
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is kind and again.rate == 0.25
    for rate in (-1.0, float("nan"), None, "1"):
        with pytest.raises(ValueError, match="rate must be"):
            kind(rate)
