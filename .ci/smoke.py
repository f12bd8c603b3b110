"""An installed tfcells at work: trains, saves and loads a model. python smoke.py, where no tfcells lies beside it."""

import importlib.util
import os
import tempfile

import keras
import numpy as np

import tfcells

backend = os.environ["KERAS_BACKEND"]
assert keras.backend.backend() == backend
assert "site-packages" in tfcells.__file__, tfcells.__file__
others = {"jax", "tensorflow", "torch"} - {backend}
unwanted = [
    name for name in (*others, "lab", "matplotlib", "pytest", "recipes", "sklearn") if importlib.util.find_spec(name)
]
assert not unwanted, f"installed without being asked for: {unwanted}"

cell = tfcells.VariationalDropout(tfcells.RHNCell(8, depth=2), input_rate=0.25, state_rate=0.25)
model = keras.Sequential(
    [
        keras.Input((None,)),
        keras.layers.Embedding(10, 4, mask_zero=True),
        keras.layers.Bidirectional(tfcells.RNN(tfcells.LSTMCell(4), return_sequences=True)),
        tfcells.RNN([tfcells.MinGRUCell(8), cell]),
        tfcells.Dense(1),
    ]
)
model.compile("adam", "mse")
words = np.random.default_rng(0).integers(0, 10, (16, 12))
losses = model.fit(words, words[:, :1] / 10, epochs=3, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/model.keras")
    loaded = keras.models.load_model(f"{folder}/model.keras")
np.testing.assert_array_equal(model.predict(words, verbose=0), loaded.predict(words, verbose=0))
print(f"tfcells {tfcells.__version__}, Keras {keras.__version__} on {backend}: trained, saved and loaded")
