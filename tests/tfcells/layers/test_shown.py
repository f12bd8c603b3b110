"""What Keras shows of a layer, and what searches over one."""

import keras
import numpy as np
import pytest

import tfcells


def summary(model):
    lines = []
    model.summary(print_fn=lines.append, line_length=100)
    return "\n".join(lines)


@pytest.mark.parametrize(
    "cell, name",
    [
        (lambda: tfcells.LSTMCell(3), "lstm_rnn"),
        (lambda: tfcells.Zoneout(tfcells.RHNCell(3), 0.1), "zoneout_rhn_rnn"),
        (lambda: [tfcells.GRUCell(3), tfcells.Clip(tfcells.MUT1Cell(3), 1.0)], "gru_clip_mut1_rnn"),
        (lambda: keras.layers.StackedRNNCells([tfcells.GRUCell(3), tfcells.GRUCell(2)]), "gru_gru_rnn"),
        (lambda: tfcells.GRUCell(3, name="memory"), "memory_rnn"),
        (lambda: keras.layers.SimpleRNNCell(3), "simple_rnn_rnn"),
    ],
)
def test_a_layer_is_named_after_its_cells(cell, name):
    keras.backend.clear_session()
    layers = [tfcells.RNN(cell(), return_sequences=True) for _ in range(3)]
    assert [layer.name for layer in layers] == [name, f"{name}_1", f"{name}_2"]
    model = keras.Sequential([keras.Input((None, 3)), *layers[:2]])
    text = summary(model)
    assert f"{name} (RNN)" in text and f"{name}_1 (RNN)" in text
    assert [layer.name for layer in keras.models.clone_model(model).layers] == [name, f"{name}_1"]


def test_a_name_that_is_given_stays():
    layer = tfcells.RNN(tfcells.LSTMCell(3), name="it")
    assert layer.name == "it" and tfcells.RNN.from_config(layer.get_config()).name == "it"


def test_plots_name_the_cell():
    pytest.importorskip("pydot")
    model = keras.Sequential([keras.Input((None, 3)), tfcells.RNN(tfcells.LSTMCell(3), name="lstm_rnn")])
    assert "lstm_rnn" in keras.utils.model_to_dot(model, show_layer_names=True).to_string()


def test_keras_tuner_searches_over_cells(tmp_path):
    tuner_of = pytest.importorskip("keras_tuner")

    def build(choices):
        cell = {"lstm": tfcells.LSTMCell, "gru": tfcells.GRUCell}[choices.Choice("cell", ["lstm", "gru"])]
        layer = tfcells.RNN(cell(choices.Int("units", 2, 3)), jit_compile=False)
        model = keras.Sequential([keras.Input((4, 2)), layer, tfcells.Dense(1)])
        model.compile("adam", "mse")
        return model

    tuner = tuner_of.GridSearch(build, "val_loss", max_trials=4, directory=tmp_path, project_name="it")
    x = np.ones((4, 4, 2), "float32")
    tuner.search(x, x[:, 0, :1], epochs=1, validation_data=(x, x[:, 0, :1]), verbose=0)
    found = {(trial.hyperparameters["cell"], trial.hyperparameters["units"]) for trial in tuner.oracle.trials.values()}
    assert found == {(cell, units) for cell in ("lstm", "gru") for units in (2, 3)}
    assert tuner.get_best_models()[0].predict(x, verbose=0).shape == (4, 1)
