"""`tfcells.Dense` is quantized and adapted as Keras's is, number by number."""

import keras
import numpy as np
import pytest

import tfcells

X = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("float32")


def twins(randomise, mine=tfcells.Dense):
    """Models of our layer and of Keras's, with the same weights."""
    models = [
        keras.Sequential([keras.Input((5, 4)), kind(3, activation="tanh")]) for kind in (mine, keras.layers.Dense)
    ]
    for model in models:
        randomise(model)
    return models


@pytest.mark.filterwarnings("error:Layer Dense")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.slow
def test_quantization_is_that_of_keras(randomise, tmp_path, mode):
    mine, theirs = twins(randomise)
    before = mine.predict(X, verbose=0)
    for model in (mine, theirs):
        model.quantize(mode)
    found = mine.predict(X, verbose=0)
    np.testing.assert_array_equal(found, theirs.predict(X, verbose=0))
    if mode == "int8":
        assert mine.layers[0].kernel.dtype == "int8" and 0 < np.abs(found - before).max() < 0.02
    mine.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras").predict(X, verbose=0), found)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_in_time_distributed(randomise, mode):
    """Keras's own Dense multiplies by the whole numbers there, as if they were the kernel."""
    layer = tfcells.Dense(3, activation="tanh")
    model = randomise(keras.Sequential([keras.Input((5, 4)), keras.layers.TimeDistributed(layer)]))
    before = np.asarray(model(X))
    model.quantize(mode)
    found = np.asarray(model(X))
    assert 0 < np.abs(found - before).max() < 0.3
    np.testing.assert_allclose(found, np.stack([layer(x) for x in X.swapaxes(0, 1)], 1), atol=1e-6)


def test_subclasses_are_not_quantized(randomise):
    """What they compute may be anything."""

    class Mine(tfcells.Dense):
        pass

    model, _ = twins(randomise, Mine)
    with pytest.warns(UserWarning, match="(?i)mine"):
        model.quantize("int8")
    assert model.layers[0].kernel.dtype == "float32"


def test_lora_is_that_of_keras(randomise, tmp_path):
    models = twins(randomise)
    for model in models:
        model.layers[0].enable_lora(2, lora_alpha=4)
        randomise(model, seed=1)
        model.compile(keras.optimizers.SGD(0.1), "mse")
    mine, theirs = (model.layers[0] for model in models)
    kernel = mine._kernel.numpy()
    for model in models:
        model.fit(X, np.ones((6, 5, 3)), batch_size=6, verbose=0)
    assert len(mine.trainable_weights) == 3 and (mine._kernel.numpy() == kernel).all()
    for one, other in zip(mine.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    models[0].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), models[0].predict(X, verbose=0), atol=1e-6)
    assert loaded.layers[0].lora_rank is None or loaded.layers[0].lora_enabled
