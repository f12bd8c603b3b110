"""The public names: which there are, which were, and which a user of Keras may look for."""

import inspect
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells

PUBLIC = """
ActivationRegularizer Attention Bias CELLS Call Cell Clip ClockworkRNNCell Decoded Decoder Dense ElmanCell
FastWeightsCell GRUCell GatedCell HighwayStateGateRHNCell HyperLSTMCell InputCell Kernel KernelCell LSTMCell
LayerNormElmanCell LayerNormGRUCell LayerNormLSTMCell MGUCell MinGRUCell Mogrifier MogrifierLSTMCell
Multiplicative MultiplicativeLSTMCell PeepholeLSTMCell RHNCell RNN RecurrentDropout Residual Restart Split
TemporalActivationRegularizer TrainableInitialState VariationalDropout View WRAPPERS WeightDrop Weights
WordDropout Wrapper Zoneout __version__ cells from_addons from_keras from_torch get_states
load_keras_weights part_of_batch portable reset_states set_states step_model to_keras to_torch trace whole_batch
""".split()


def test_the_list_of_public_names():
    """A name that is taken away needs a deprecation first; a new one is a row of the table, or added here."""
    assert set(PUBLIC) <= set(tfcells.__all__)
    assert set(tfcells.__all__) - set(PUBLIC) <= {row["name"] for row in tfcells.cells.table()}
    assert len(set(tfcells.__all__)) == len(tfcells.__all__)
    for name in PUBLIC:
        assert getattr(tfcells, name) is not None


@pytest.mark.parametrize(
    "name,use",
    [
        ("LSTM", "tfcells.RNN(tfcells.LSTMCell(units))"),
        ("GRU", "tfcells.RNN(tfcells.GRUCell(units))"),
        ("SimpleRNN", "tfcells.RNN(tfcells.ElmanCell(units))"),
        ("SimpleRNNCell", "tfcells.ElmanCell"),
        ("StackedRNNCells", "tfcells.RNN([tfcells.LSTMCell(units), tfcells.LSTMCell(units)])"),
        ("Bidirectional", "keras.layers.Bidirectional(tfcells.RNN(cell))"),
        ("Dropout", "tfcells.VariationalDropout(cell, input_rate=...)"),
    ],
)
def test_names_of_keras_say_what_to_use(name, use):
    with pytest.raises(AttributeError) as caught:
        getattr(tfcells, name)
    assert f"no attribute {name!r}; use {use}" in str(caught.value)


@pytest.mark.parametrize(
    "cell",
    [
        32,
        "lstm",
        None,
        tfcells.LSTMCell,
        keras.layers.LSTM(3),
        tfcells.RNN(tfcells.LSTMCell(3)),
        [tfcells.LSTMCell(3), 4],
        [],
    ],
    ids=["units", "name", "None", "class", "keras", "layer", "stack", "empty"],
)
def test_what_is_no_cell_is_refused(cell):
    with pytest.raises(
        ValueError, match=r"^cell must be a cell such as tfcells.LSTMCell\(32\), or a list of cells, got "
    ):
        tfcells.RNN(cell)


@pytest.mark.parametrize(
    "name,hint",
    [
        ("LSTMCel", "did you mean LSTMCell?"),
        ("lstmcell", "did you mean LSTMCell?"),
        ("ZoneOut", "did you mean Zoneout?"),
        ("from_kears", "did you mean from_keras?"),
        ("Embedding", "it is keras.layers.Embedding"),
        ("_LSTMCell", ""),
    ],
)
def test_a_name_that_is_almost_right(name, hint):
    with pytest.raises(AttributeError) as caught:
        getattr(tfcells, name)
    assert str(caught.value) == f"module 'tfcells' has no attribute {name!r}" + (hint and f"; {hint}")


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'tfcells' has no attribute 'nonsense'$"):
        tfcells.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "cell", [tfcells.LSTMCell, tfcells.MinGRUCell, tfcells.MogrifierLSTMCell], ids=lambda c: c.__name__
)
@pytest.mark.parametrize(
    "argument,value,use",
    [
        ("dropout", 0.2, r"tfcells.VariationalDropout\(cell, input_rate"),
        ("recurrent_dropout", 0.2, r"tfcells.VariationalDropout\(cell, state_rate.*tfcells.Zoneout"),
        ("unit_forget_bias", True, "forget_bias"),
        ("implementation", 2, "one implementation"),
        ("seed", 1, "a seed to each initializer"),
    ],
)
def test_arguments_of_keras_say_what_to_use(cell, argument, value, use):
    with pytest.raises(ValueError, match=f"Cell has no argument '{argument}': .*{use}"):
        cell(4, **{argument: value})


@pytest.mark.parametrize(
    "make", [tfcells.RNN, tfcells.VariationalDropout, tfcells.Residual], ids=lambda make: make.__name__
)
@pytest.mark.parametrize(
    "argument,use",
    [
        ("dropout", r"tfcells.VariationalDropout\(cell, input_rate"),
        ("recurrent_dropout", r"tfcells.VariationalDropout\(cell, state_rate.*tfcells.Zoneout"),
        ("rate", "input_rate, state_rate and output_rate"),
        ("units", r"cells have it, as tfcells.LSTMCell\(..., units="),
        ("activation", r"cells have it, as tfcells.LSTMCell\(..., activation="),
        ("implementation", "one implementation"),
        ("use_cudnn", "one implementation"),
        ("time_major", "swapaxes"),
    ],
)
def test_arguments_of_cells_in_layers_and_wrappers(make, argument, use):
    with pytest.raises(ValueError, match=f"{make.__name__} has no argument '{argument}': .*{use}"):
        make(tfcells.LSTMCell(4), **{argument: 1})


@pytest.mark.parametrize(
    ("make", "argument", "meant"),
    [
        (lambda **more: tfcells.LSTMCell(4, **more), "activaton", "activation"),
        (lambda **more: tfcells.Zoneout(tfcells.LSTMCell(4), 0.1, **more), "sed", "seed"),
        (lambda **more: tfcells.RNN(tfcells.LSTMCell(4), **more), "return_sequence", "return_sequences"),
    ],
)
def test_arguments_with_a_slip(make, argument, meant):
    with pytest.raises(ValueError, match=f"has no argument '{argument}': did you mean '{meant}'"):
        make(**{argument: 0.1})
    with pytest.raises(ValueError, match=f"has no argument 'nothing_like_it': it has .*{meant}"):
        make(nothing_like_it=1)


@pytest.mark.parametrize("argument", ["recurrent_initializer", "recurrent_regularizer", "recurrent_constraint"])
def test_arguments_that_other_cells_have(argument):
    with pytest.raises(ValueError, match=f"MinGRUCell has no argument '{argument}': it has units, .*bias_init"):
        tfcells.MinGRUCell(4, **{argument: None})


def test_an_activity_regularizer_is_the_layer_s():
    layer = tfcells.RNN(tfcells.LSTMCell(4), activity_regularizer="l2")
    layer(np.ones((2, 3, 4), "float32"))
    assert layer.losses[0] > 0
    for make in (
        lambda **more: tfcells.LSTMCell(4, **more),
        lambda **more: tfcells.Zoneout(tfcells.LSTMCell(4), 0.1, **more),
    ):
        with pytest.raises(ValueError, match=r"the layer has it: tfcells.RNN\(cell, activity_regularizer="):
            make(activity_regularizer="l2")
    stack = keras.layers.StackedRNNCells([tfcells.LSTMCell(4)], activity_regularizer="l2")
    with pytest.raises(ValueError, match="a stack can't have an activity_regularizer; give it to tfcells.RNN"):
        tfcells.RNN(stack)


def test_the_signature_has_what_goes_to_the_bases():
    shown = inspect.signature(tfcells.RHNCell).parameters
    assert [*shown][:2] == ["units", "depth"] and {"use_bias", "activation", "recurrent_constraint"} <= shown.keys()
    assert shown["recurrent_activation"].default == "sigmoid"
    assert {"return_sequences", "stateful"} <= inspect.signature(tfcells.RNN).parameters.keys()
    inlined = inspect.signature(tfcells.MogrifierLSTMCell).parameters
    assert "cell" not in inlined and {"units", "rounds", "forget_bias", "use_bias"} <= inlined.keys()
    layer = tfcells.RNN(tfcells.LSTMCell(4))
    assert "cell" not in inspect.signature(layer).parameters  # tf.function reads it
    assert tf.function(layer)(np.ones((2, 3, 5), "float32")).shape == (2, 4)


@pytest.mark.parametrize("argument", ["return_sequences", "return_state", "go_backwards", "stateful", "unroll"])
def test_arguments_of_layers_in_cells_and_wrappers(argument):
    use = rf"has no argument '{argument}': the layer has it: tfcells.RNN\(cell, {argument}="
    for make in (
        lambda **more: tfcells.LSTMCell(4, **more),
        lambda **more: tfcells.Residual(tfcells.LSTMCell(4), **more),
    ):
        with pytest.raises(ValueError, match=use):
            make(**{argument: True})


@pytest.mark.parametrize(
    "kind,given,missing,needed",
    [
        (tfcells.ElmanCell, (), "units", "units"),
        (tfcells.Attention, (tfcells.LSTMCell(4), 4), "memory_features", "cell, attention_units, memory_features"),
        (tfcells.Zoneout, (0.1,), "rate", "cell, rate"),
        (tfcells.Residual, (), "cell", "cell"),
        (tfcells.RNN, (), "cell", "cell"),
    ],
)
def test_a_missing_argument_names_the_class(kind, given, missing, needed):
    text = f"^{kind.__name__}: missing a required argument: '{missing}'; it needs {needed}$"
    with pytest.raises(TypeError, match=text):
        kind(*given)


@pytest.mark.parametrize(
    "function",
    [
        *(tfcells.from_keras, tfcells.to_keras, tfcells.portable, tfcells.step_model, tfcells.to_torch),
        *(
            tfcells.get_states,
            tfcells.reset_states,
            tfcells.Decoder,
            lambda model: tfcells.load_keras_weights(model, ""),
        ),
    ],
    ids=lambda function: function.__name__,
)
def test_what_is_no_model_is_refused(function):
    for given, hint in ("it.keras", "; load it with keras.models.load_model"), (Path("it"), "; load it"), (None, "$"):
        with pytest.raises(ValueError, match=f"^model must be a Keras model or layer, got .*{hint}"):
            function(given)


def test_variational_is_variational_dropout():
    with pytest.warns(DeprecationWarning, match=r"tfcells.VariationalDropout.*0\.4"):
        old = tfcells.Variational
    assert old is tfcells.VariationalDropout
    with pytest.warns(DeprecationWarning, match=r"per_kernel is now per_gate.*0\.4"):
        cell = old(tfcells.LSTMCell(4), state_rate=0.2, per_kernel=True)
    assert cell.per_gate and "per_kernel" not in cell.get_config()
    layer = tfcells.RNN(cell, jit_compile=False)
    assert layer(np.ones((2, 3, 4), "float32"), training=True).shape == (2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tfcells.VariationalDropout(tfcells.LSTMCell(4), state_rate=0.2, per_gate=True)


def test_a_configuration_of_the_old_name_loads():
    """Like a `.keras` file of version 0.1; a whole one is in tests/tfcells/test_saved.py."""
    config = keras.saving.serialize_keras_object(
        tfcells.VariationalDropout(tfcells.LSTMCell(4), 0.1, 0.2, per_gate=True)
    )
    config |= {"class_name": "Variational", "registered_name": "tfcells>Variational"}
    config["config"] = dict(config["config"])
    config["config"]["per_kernel"] = config["config"].pop("per_gate")
    with pytest.warns(DeprecationWarning, match="per_kernel"):
        cell = keras.saving.deserialize_keras_object(config)
    assert isinstance(cell, tfcells.VariationalDropout) and cell.per_gate
    assert (cell.input_rate, cell.state_rate) == (0.1, 0.2)
