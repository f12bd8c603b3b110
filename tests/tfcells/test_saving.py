"""Config, files, copies: what comes back is what went in."""

import copy
import os
import pathlib
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcells

pytestmark = pytest.mark.slow

STEPS, FEATURES = 4, 3
X = np.random.default_rng(0).normal(size=(6, STEPS, FEATURES)).astype("float32")
ROOT = pathlib.Path(__file__).parents[2]


def lstm(**options):
    return tfcells.LSTMCell(
        4, forget_bias=0.5, activation="softsign", recurrent_activation="hard_sigmoid",
        kernel_initializer=keras.initializers.RandomUniform(-0.1, 0.1, seed=3),
        recurrent_regularizer=keras.regularizers.L2(0.01), bias_constraint="non_neg", **options,
    )  # fmt: skip


def rhn(**options):
    return tfcells.RHNCell(3, depth=2, coupled=False, transform_bias=-1.0, **options)


def variational(inner=None, **options):
    rates = {"input_rate": 0.1, "state_rate": 0.2, "output_rate": 0.3, "seed": 7}
    return tfcells.VariationalDropout(inner or rhn(), **rates | options)


def every_wrapper():
    cell = tfcells.RecurrentDropout(lstm(), 0.1, per_sequence=True, seed=1)
    cell = tfcells.WeightDrop(tfcells.Zoneout(cell, {"c": 0.25}, seed=2), 0.5, seed=3)
    return tfcells.VariationalDropout(cell, state_rate=0.3, per_gate=True, seed=4)


CELLS = {
    "lstm": lstm,
    "every_wrapper": every_wrapper,
    "peephole": lambda: tfcells.PeepholeLSTMCell(3, peephole_initializer="ones"),
    "hsg": lambda: tfcells.HighwayStateGateRHNCell(3, gate_bias=-1.0, depth=2),
    "rhn": rhn,
    "hyper": lambda: tfcells.HyperLSTMCell(3, hyper_units=2, embedding_units=2, layer_norm=True),
    "gru": lambda: tfcells.GRUCell(3, reset_after=False, use_bias=False, name="mine"),
    "variational": variational,
    "pair": lambda: tfcells.FastSlow(tfcells.Hyper(lstm(), tfcells.GRUCell(2)), variational(), fast_cells=3),
    "projection": lambda: tfcells.Projection(variational(lstm(), state_rate=0.4), 2),
    "nested": lambda: variational(variational(lstm(), input_rate=0.5), state_rate=0.0, seed=None),
}


def plain(config):
    """The config without the automatic names."""
    if isinstance(config, dict):
        return {k: plain(v) for k, v in config.items() if k not in ("name", "build_config")}
    return [plain(v) for v in config] if isinstance(config, list | tuple) else config


@pytest.mark.parametrize("name", CELLS)
def test_config_of_cells(name):
    cell = CELLS[name]()
    config = keras.saving.serialize_keras_object(cell)
    assert config["registered_name"] == f"tfcells>{type(cell).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(cell) and again is not cell
    assert plain(keras.saving.serialize_keras_object(again)) == plain(config)
    for argument in cell.arguments():
        assert argument in config["config"]
    assert {"name", "dtype", "trainable"} <= set(config["config"])


def test_config_keeps_values():
    again = tfcells.LSTMCell.from_config(lstm().get_config())
    assert (again.units, again.forget_bias) == (4, 0.5)
    assert again.activation is keras.activations.softsign
    assert again.recurrent_activation is keras.activations.hard_sigmoid
    assert again.kernel_initializer.seed == 3
    assert np.isclose(again.recurrent_regularizer.l2, 0.01)
    assert isinstance(again.bias_constraint, keras.constraints.NonNeg)
    again = tfcells.Variational.from_config(variational().get_config())
    assert (again.input_rate, again.state_rate, again.output_rate, again.seed) == (0.1, 0.2, 0.3, 7)
    assert (again.cell.depth, again.cell.coupled, again.cell.transform_bias) == (2, False, -1.0)
    options = {"jit_compile": False, "return_sequences": True, "go_backwards": True, "name": "it",
               "zero_output_for_mask": True, "unroll": True, "return_state": True}  # fmt: skip
    again = tfcells.RNN.from_config(tfcells.RNN(lstm(), **options).get_config())
    assert {name: getattr(again, name) for name in options} == options
    words = tfcells.WordDropout.from_config(tfcells.WordDropout(9, 0.2, seed=4).get_config())
    assert (words.vocabulary_size, words.rate, words.seed) == (9, 0.2, 4)


def functional():
    """Tokens, word dropout, a stack with states in and out, and an output head."""
    tokens = keras.Input((STEPS,), dtype="int32", name="tokens")
    state = [keras.Input((3,)), keras.Input((4,)), keras.Input((4,))]
    embedded = layers.Embedding(9, FEATURES, mask_zero=True)(tokens)
    embedded = tfcells.WordDropout(9, 0.3, seed=5)([tokens, embedded])
    rnn = tfcells.RNN([variational(), lstm()], return_state=True, return_sequences=True)
    outputs, *state_after = rnn(embedded, initial_state=[state[:1], state[1:]])
    results = [layers.Dense(2)(outputs), *keras.tree.flatten(state_after)]
    return keras.Model([tokens, *state], results)


def sequential(*layers):
    return keras.Sequential([keras.Input((STEPS, FEATURES)), *layers])


MODELS = {
    "rnn": lambda: sequential(tfcells.RNN(variational(), jit_compile=True)),
    "mixed_precision": lambda: sequential(tfcells.RNN(variational(lstm()), dtype="mixed_bfloat16")),
    "bidirectional": lambda: sequential(layers.Bidirectional(tfcells.RNN(variational(lstm())), merge_mode="mul")),
    "stack": lambda: sequential(
        tfcells.RNN(layers.StackedRNNCells([variational(), lstm()]), return_sequences=True),
        layers.RNN(tfcells.HyperLSTMCell(3, hyper_units=2, layer_norm=True)),
    ),
    "every_wrapper": lambda: sequential(
        tfcells.RNN(every_wrapper(), activity_regularizer=tfcells.TemporalActivationRegularizer(2.0))
    ),
    "functional": functional,
}


def inputs(model):
    rng = np.random.default_rng(1)
    if len(model.inputs) == 1:
        return X
    return [rng.integers(0, 9, (6, STEPS)), *(rng.normal(size=(6, n)) for n in (3, 4, 4))]


def assert_equal_models(a, b):
    assert [w.path.split("/")[-1] for w in a.weights] == [w.path.split("/")[-1] for w in b.weights]
    for first, second in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    x = inputs(a)
    for first, second in zip(keras.tree.flatten(a(x)), keras.tree.flatten(b(x)), strict=True):
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize("name", MODELS)
def test_keras_files(randomise, tmp_path, name):
    model = randomise(MODELS[name]())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert plain(again.get_config()) == plain(model.get_config())
    assert_equal_models(model, again)
    if name not in ("mixed_precision", "stack"):  # the seed is kept, so are its masks
        x = inputs(model)
        first, second = (keras.tree.flatten(m(x, training=True))[0] for m in (model, again))
        np.testing.assert_array_equal(first, second)
        assert np.any(first != keras.tree.flatten(model(x))[0])


@pytest.mark.parametrize("how", ["clone_model", "deepcopy", "pickle"])
def test_copies(randomise, how):
    model = randomise(functional())
    before = keras.tree.flatten(model(inputs(model)))
    if how == "deepcopy":
        again = copy.deepcopy(model)
    elif how == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        again = keras.models.clone_model(model)
        again.set_weights(model.get_weights())
    assert_equal_models(model, again)
    again.set_weights([0 * w for w in again.get_weights()])
    for a, b in zip(before, keras.tree.flatten(model(inputs(model))), strict=True):
        np.testing.assert_array_equal(a, b)  # a copy shares no weight


def test_weights_of_a_cell_in_a_wrapper(tmp_path):
    """The file is refused, with the way that the message names."""
    bare, wrapped = (
        keras.Sequential([keras.Input((STEPS, FEATURES)), tfcells.RNN(cell)])
        for cell in (lstm(), tfcells.RecurrentDropout(lstm(), 0.1))
    )
    bare.save_weights(tmp_path / "bare.weights.h5")
    with pytest.raises(
        ValueError, match=r"3 weights for RecurrentDropout, which has none.* new.set_weights\(old.get_weights"
    ):
        wrapped.load_weights(tmp_path / "bare.weights.h5")
    wrapped.set_weights(bare.get_weights())
    np.testing.assert_allclose(wrapped.predict(X, verbose=0), bare.predict(X, verbose=0), atol=1e-6)


def test_fit_evaluate_predict(randomise):
    rnn = tfcells.RNN(variational(lstm(), state_rate=0.0, output_rate=0.0))
    model = randomise(sequential(rnn, layers.Dense(1)))
    model.compile(keras.optimizers.Adam(0.03), "mse")
    y = X.sum((1, 2))[:, None]
    before = model.evaluate(X, y, batch_size=3, verbose=0)
    options = {"batch_size": 3, "shuffle": False, "verbose": 0}
    history = model.fit(X, y, epochs=12, validation_data=(X, y), **options).history
    assert np.isfinite(history["loss"]).all() and history["val_loss"][-1] < 0.9 * before
    predicted = model.predict(X, batch_size=4, verbose=0)  # a tail of 2
    np.testing.assert_allclose(predicted, model(X), atol=1e-5)
    penalty = model.losses[0]  # the regularizer that the cell was given
    np.testing.assert_allclose(penalty, 0.01 * np.sum(rnn.cell.cell.recurrent_kernel**2), rtol=1e-5)
    loss = model.evaluate(X, y, batch_size=3, verbose=0)
    assert np.isclose(loss, np.mean((predicted - y) ** 2) + penalty, atol=1e-4)
    assert np.min(rnn.cell.cell.bias) >= 0  # and the constraint


def test_training_goes_on_after_loading(randomise, tmp_path):
    """The optimizer's state is in the file, so the next steps are the same."""
    model = randomise(sequential(tfcells.RNN(lstm()), layers.Dense(1)))
    model.compile("adam", "mse")
    y = X.sum((1, 2))[:, None]
    model.fit(X, y, batch_size=6, epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for m in (model, again):
        m.fit(X, y, batch_size=6, epochs=2, shuffle=False, verbose=0)
    assert_equal_models(model, again)


def test_a_fresh_process_needs_only_the_import(randomise, tmp_path):
    model = randomise(functional())
    model.save(tmp_path / "model.keras")
    x = inputs(model)
    np.savez(tmp_path / "x.npz", *x)
    lines = """
        import sys, keras, numpy as np
        import tfcells
        folder = sys.argv[1]
        model = keras.saving.load_model(f"{folder}/model.keras")
        np.save(f"{folder}/y.npy", model(list(np.load(f"{folder}/x.npz").values()))[0])
    """
    script = "\n".join(line.strip() for line in lines.splitlines())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x)[0], atol=1e-6)


def test_portable_models_know_no_xla(tmp_path):
    """Layers within layers, too; the model itself stays as it is."""
    inner = keras.Sequential([keras.Input((STEPS, FEATURES)), tfcells.RNN(rhn(), remat=True)])
    x = keras.Input((STEPS, FEATURES))
    both = layers.Bidirectional(tfcells.RNN([lstm(), tfcells.GRUCell(3)], return_sequences=True))
    model = keras.Model(x, [both(x), inner(x)])
    copied = tfcells.portable(model)
    copied.export(tmp_path / "saved", verbose=False)
    exported = tf.saved_model.load(tmp_path / "saved")
    for found in (copied(X), exported.serve(X)):
        for one, other in zip(found, model(X), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)

    def compiled(signature):
        functions = signature.graph.as_graph_def().library.function
        return [f for f in functions if f.attr["_XlaMustCompile"].b]

    assert not compiled(exported.signatures["serving_default"])
    model.export(tmp_path / "compiled", verbose=False)
    assert compiled(tf.saved_model.load(tmp_path / "compiled").signatures["serving_default"])
    with pytest.raises(ValueError, match="model must be built"):
        tfcells.portable(keras.Sequential([tfcells.RNN(lstm())]))
