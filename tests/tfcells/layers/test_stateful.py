"""The batch size that a layer knows, of its state or of any tensor given, is the loop's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells

STEPS, FEATURES = 3, 3
X = np.random.default_rng(0).normal(size=(4, STEPS, FEATURES)).astype("float32")
MODES = {"compiled": {}, "loop": {"jit_compile": False}, "unrolled": {"unroll": True}, "remat": {"remat": True}}
CELLS = {
    "lstm": lambda: tfcells.LSTMCell(4),
    "stack": lambda: [tfcells.ClockworkRNNCell(4), tfcells.FastWeightsCell(4)],
    "keras": lambda: keras.layers.LSTMCell(4),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, mode, masked",
    [
        ("lstm", "compiled", False),
        ("stack", "compiled", True),
        ("stack", "remat", True),
        ("lstm", "unrolled", True),
        ("lstm", "loop", True),
        ("keras", "loop", True),
    ],
)
def test_a_batch_of_one_from_a_data_set(name, mode, masked):
    """The data set's shapes say nothing of the batch; twice, so that the state is carried on."""
    inputs = keras.Input(batch_shape=(1, STEPS, FEATURES))
    layer = tfcells.RNN(CELLS[name](), stateful=True, **MODES[mode])
    model = keras.Sequential([inputs, *([keras.layers.Masking()] if masked else []), layer])
    found = model.predict(tf.data.Dataset.from_tensor_slices(X).batch(1), verbose=0)
    layer.reset_state() if name != "keras" else [state.assign(state * 0) for state in layer.states]
    np.testing.assert_allclose(found, np.concatenate([model(x[None]) for x in X]), atol=1e-6)
    model.compile("sgd", "mse")
    model.fit(tf.data.Dataset.from_tensor_slices((X, found)).batch(1), verbose=0)


@pytest.mark.slow
def test_a_batch_of_one_in_an_export(tmp_path):
    layer = tfcells.RNN(tfcells.LSTMCell(4), stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(1, STEPS, FEATURES)), layer])
    model.export(tmp_path, verbose=False)
    exported = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(exported.serve(X[:1]), model(X[:1]), atol=1e-6)


KNOWN = ["sequences", "state", "mask", "memory"]


@pytest.mark.parametrize("mode", ["loop", "unrolled", pytest.param("compiled", marks=pytest.mark.slow)])
@pytest.mark.parametrize("known", KNOWN)
def test_one_tensor_of_known_batch_is_enough(known, mode):
    """Broadcasting a batch of one with an unknown one gives an unknown one."""
    cell = tfcells.Attention(tfcells.GRUCell(4), attention_units=2, memory_features=2)
    layer = tfcells.RNN(cell, **MODES[mode])
    given = [X[:1], np.ones((1, 4), "float32"), np.ones((1, STEPS), bool), np.ones((1, 2, 2), "float32")]
    specs = [
        tf.TensorSpec((1 if name == known else None, *x.shape[1:]), x.dtype)
        for name, x in zip(KNOWN, given, strict=True)
    ]

    @tf.function(input_signature=specs)
    def function(x, state, mask, memory):
        return layer(x, initial_state=[state], mask=mask, memory=memory)

    x, state, mask, memory = given
    wanted = layer(x, initial_state=[state], mask=mask, memory=memory)
    np.testing.assert_allclose(function(*given), wanted, atol=1e-6)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="must_agree_in_batch_size"):
        function(*(x if name == known else np.concatenate([x, x]) for name, x in zip(KNOWN, given, strict=True)))
