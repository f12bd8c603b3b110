"""States: of a whole model, where a sequence begins, and lengths. Every row of the table, uncompiled."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases import CASES
from tests.cases import WRAPPED as WRAPPERS
from tests.cases.runs import FEATURES, data
from tests.tfcells.wrappers.test_wrapped import LSTM as WRAPPED

CASE = {case.cell: case for case in CASES}.values()
ROWS = {case.name: case for case in [*CASE, *WRAPPED.values()]}
EVERY = pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
BATCH, STEPS = 2, 4
LOOP = {"jit_compile": False}
UNROLLED = {"unroll": True, "return_sequences": True, "return_state": True, "dtype": "float64"}
X = np.random.default_rng(0).normal(size=(BATCH, 5, 3)).astype("float32")


def equal(found, wanted, tolerance=0.0):
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


# A whole model.


def mixed():
    """Nested, bidirectional, a stack, Keras's own, shared; and a layer that is not stateful."""
    options = {"stateful": True, "return_sequences": True} | LOOP
    inner = [keras.Input((5, 3), batch_size=2), tfcells.RNN([tfcells.LSTMCell(4), tfcells.GRUCell(3)], **options)]
    x = keras.Input((5, 3), batch_size=2)
    y = keras.Sequential(inner, name="inner")(x)
    y = keras.layers.Bidirectional(tfcells.RNN(tfcells.ClockworkRNNCell(4), **options, name="rnn"), name="both")(y)
    y = keras.layers.LSTM(2, stateful=True, return_sequences=True, name="keras")(y)
    y = keras.layers.RNN(
        [keras.layers.GRUCell(2), keras.layers.LSTMCell(2)], stateful=True, name="stack", return_sequences=True
    )(y)
    shared = tfcells.RNN(tfcells.ElmanCell(2), name="shared", **options)
    y = keras.layers.GRU(2, return_sequences=True, name="forgets")(shared(shared(y)))
    return keras.Model(x, y)


def test_the_states_of_a_model():
    """Read, gone on from, written back; begun anew."""
    model = mixed()
    first = model(X)
    kept = tfcells.get_states(model)
    second = model(X)
    assert np.abs(second - first).max() > 1e-3
    tfcells.set_states(model, kept)
    equal(model(X), second)
    tfcells.reset_states(model)
    equal(model(X), first)
    equal(tfcells.get_states(model), kept)
    shapes = keras.tree.map_structure(lambda x: x.shape, kept)
    name = next(key for key in shapes if key.startswith("inner/"))
    assert shapes == {
        name: [[(2, 4), (2, 4)], [(2, 3)]],
        "both/forward_rnn": [(2, 4), (2, 1)],
        "both/backward_rnn": [(2, 4), (2, 1)],
        "keras": [(2, 2), (2, 2)],
        "stack": [[(2, 2)], [(2, 2), (2, 2)]],
        "shared": [(2, 2)],
    }


def test_the_states_of_a_copy(tmp_path):
    """Cloned or loaded, a model has the same keys."""
    model = mixed()
    model(X)
    model.save(tmp_path / "model.keras")
    kept, wanted = tfcells.get_states(model), model(X)
    for copy in keras.models.clone_model(model), keras.saving.load_model(tmp_path / "model.keras"):
        copy.set_weights(model.get_weights())
        tfcells.set_states(copy, kept)
        equal(copy(X), wanted)


def test_layers_of_one_name_are_numbered():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = (tfcells.RNN(tfcells.GRUCell(2), stateful=True, name="r", **LOOP) for _ in "12")

        def call(self, x):
            return self.one(x) + self.two(-x)

    model = Twins()
    with pytest.raises(ValueError, match="model must be built: its layer 'r' has no states yet"):
        tfcells.get_states(model)
    tfcells.reset_states(model)
    first = model(X)
    kept = tfcells.get_states(model)
    assert kept.keys() == {"r", "r (2)"} and np.abs(kept["r"][0] - kept["r (2)"][0]).max() > 1e-3
    second = model(X)
    tfcells.set_states(model, kept)
    equal(model(X), second)
    tfcells.reset_states(model)
    equal(model(X), first)


def test_a_layer_that_is_not_stateful_is_left_out():
    model = keras.Sequential([tfcells.RNN(tfcells.GRUCell(2), **LOOP)])
    model(X)
    assert tfcells.get_states(model) == {}
    tfcells.set_states(model, {})
    tfcells.reset_states(model)
    with pytest.raises(ValueError, match=r"states must be a dict with a key for each stateful layer, \[\], got"):
        tfcells.set_states(model, {model.layers[0].name: [np.zeros((2, 2))]})


def test_states_of_a_layer_alone():
    layer = keras.layers.LSTM(2, stateful=True, name="alone")
    layer(X)
    assert [state.shape for state in tfcells.get_states(layer)["alone"]] == [(2, 2), (2, 2)]


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda s: [*s.values()], "states must be a dict with a key for each stateful layer, .*, got list"),
        (lambda s: {k: v for k, v in s.items() if k != "a"}, r"\['a', 'b'\], got \['b'\]"),
        (lambda s: s | {"c": s["a"]}, r"\['a', 'b'\], got \['a', 'b', 'c'\]"),
        (lambda s: s | {"a": s["a"][:1]}, r"states\['a'\] must be .* \[\(2, 4\), \(2, 4\)\], got \[\(2, 4\)\]"),
        (lambda s: s | {"a": [x[:1] for x in s["a"]]}, r"got \[\(1, 4\), \(1, 4\)\]"),
        (lambda s: s | {"a": [x[:, :3] for x in s["a"]]}, r"got \[\(2, 3\), \(2, 3\)\]"),
        (lambda s: s | {"a": dict(zip("hc", s["a"], strict=True))}, r"states\['a'\] must be .*, got \(\)"),
        (lambda s: s | {"b": s["b"][0]}, r"states\['b'\] must be .* \[\[\(2, 4\), \(2, 4\)\], \[\(2, 3\)\]\], got"),
        (lambda s: s | {"b": [*s["b"][0], *s["b"][1]]}, r"got \[\(2, 4\), \(2, 4\), \(2, 3\)\]"),
        (lambda s: s | {"b": None}, r"states\['b'\] must be"),
    ],
)
def test_wrong_states(change, message):
    """Nothing is set then, not even of the layers before."""
    options = {"stateful": True, "return_sequences": True} | LOOP
    layers = [tfcells.RNN(tfcells.LSTMCell(4), name="a", **options)]
    layers += [tfcells.RNN([tfcells.LSTMCell(4), tfcells.GRUCell(3)], name="b", **options)]
    model = keras.Sequential(layers)
    model(X)
    kept = tfcells.get_states(model)
    other = keras.tree.map_structure(lambda x: x + 1, kept)
    with pytest.raises(ValueError, match=message):
        tfcells.set_states(model, change(other))
    equal(tfcells.get_states(model), kept)


def test_what_is_no_model():
    with pytest.raises(ValueError, match="model must be a Keras model or layer, got 4"):
        tfcells.get_states(4)


def test_keras_layers_begin_with_the_state_of_their_cell():
    """Keras's own reset_state writes zeros, and raises for a stack."""
    layer = keras.layers.RNN(tfcells.SLSTMCell(2), stateful=True)
    layer(X)
    tfcells.reset_states(layer)
    equal(tfcells.get_states(layer)[layer.name], layer.get_initial_state(2))
    assert np.min(layer.states[3]) == -1e4


def test_states_by_name_have_no_order():
    """A dict would be sorted by its keys: c, h."""
    states = {"h": np.zeros((2, 4), "float32"), "c": np.ones((2, 4), "float32")}
    with pytest.raises(ValueError, match="initial_state must be a list of tensors .*, got a dict"):
        tfcells.RNN(tfcells.LSTMCell(4), **LOOP)(X, initial_state=states)


# Where a sequence begins.


def layer_around(case, around, options=UNROLLED):
    """A built layer around the wrapped cell of a row, with the row's weights; without noise."""
    cell = around(case.cell(**case.arguments, dtype="float64"))
    layer = tfcells.RNN(cell, **options)
    layer.build((BATCH, STEPS, FEATURES))
    rows = dict(zip(case.weights, case.build(FEATURES).weights, strict=True))
    assert len(rows) <= len(layer.weights)
    for variable, value in zip(layer.weights[-len(rows) :], data(case)[2].values(), strict=True):
        variable.assign(value)
    return layer


def learned(cell):
    if cell.reset_by_flag:  # goes around
        return cell
    rows = keras.initializers.RandomNormal(stddev=0.3, seed=1)
    return tfcells.TrainableInitialState(cell, rows, dtype="float64")


def given_to(case):
    """What the layer's call of a row is given besides, for this batch and length."""
    given = {name: value for name, value in case.given.items() if name != "training"}
    given = {name: value[:BATCH] for name, value in given.items()}
    return given | ({"reset": np.zeros((BATCH, STEPS), bool)} if "reset" in given else {})


@pytest.mark.slow
@EVERY
def test_a_learned_state_starts_as_the_cells_own(case):
    """With the default initializer, so that nothing is divided by zero."""
    if case.name.startswith("ResetOnFlag"):
        return
    cell = tfcells.TrainableInitialState(case.build(FEATURES))
    cell.build((None, FEATURES))
    cell.built = True
    equal(cell.get_initial_state(3), cell.cell.get_initial_state(3))


@pytest.mark.slow
@EVERY
def test_a_stateful_layer_begins_where_its_cell_does(case):
    """Or where it is told to; goes on from what it remembers; after a reset begins anew; keeps its batch size."""
    x, given = data(case)[0][:BATCH, :STEPS], given_to(case)
    layer, plain = (layer_around(case, learned, UNROLLED | {"stateful": stateful}) for stateful in (True, False))
    plain.set_weights(layer.get_weights())
    begun = layer.get_initial_state(BATCH)
    layer.reset_state()
    equal(layer.states, begun)
    first = layer(x, **given)
    equal(first, plain(x, **given))
    second = plain(x, initial_state=list(first[1:]), **given)
    equal(layer(x, **given), second)
    equal(layer(x, initial_state=list(first[1:]), **given), second)
    equal(layer.states, second[1:])
    layer.reset_state()
    equal(layer.states, begun)
    with pytest.raises(ValueError, match="sequences: the layer is stateful with a batch size of 2, got 1"):
        layer(x[:1], **{name: value[:1] for name, value in given.items()})
    with pytest.raises(ValueError, match="initial_state must be tensors of shapes"):
        layer(x, initial_state=[state[:1] for state in begun], **given)


@pytest.mark.slow
@EVERY
def test_a_flag_begins_a_row_anew(case):
    """In the middle of a sequence, at another step in each row: as sequences that begin there."""

    def around(cell):
        return tfcells.ResetOnFlag(learned(cell), dtype="float64")

    if case.name.startswith("ResetOnFlag"):
        return
    x, given = data(case)[0][:BATCH, :STEPS], given_to(case)
    layer, flags = layer_around(case, around), np.zeros((BATCH, STEPS), bool)
    whole, *_ = layer(x, reset=flags, **given)
    parts = {t: layer(x[:, t:], reset=flags[:, t:], **given) for t in (1, 2)}
    flags[0, 1] = flags[1, 2] = True
    found, *states = layer(x, reset=flags, **given)
    for row, t in enumerate((1, 2)):
        output, *state = parts[t]
        equal(found[row, :t], whole[row, :t], 1e-12)
        equal(found[row, t:], output[row], 1e-12)
        equal([each[row] for each in states], [each[row] for each in state], 1e-12)


@pytest.mark.parametrize("row", WRAPPERS.values(), ids=WRAPPERS)
def test_flags_go_around_all_other_wrappers(row):
    """A state that is read before the step, mixed in after it, or begun otherwise would outlive them."""
    cell = tfcells.ResetOnFlag(tfcells.LSTMCell(6))
    with pytest.raises(ValueError, match="cell: ResetOnFlag must be around all other wrappers, or"):
        row.make(cell)


@pytest.mark.parametrize("name", ["slow", "hyper"])
def test_nor_inside_the_second_cell(name):
    pair, cell = {"slow": tfcells.FastSlow, "hyper": tfcells.Hyper}[name], tfcells.ResetOnFlag(tfcells.LSTMCell(6))
    with pytest.raises(ValueError, match=f"{name}: ResetOnFlag must be around"):
        pair(tfcells.LSTMCell(6), cell)


# Lengths.


LENGTHS = np.array([3, 0])


@pytest.mark.slow
@EVERY
def test_lengths_are_a_mask(case):
    x, given = data(case)[0][:BATCH, :STEPS], given_to(case)
    layer = layer_around(case, lambda cell: cell)
    mask = np.arange(STEPS) < LENGTHS[:, None]
    equal(layer(x, lengths=LENGTHS, **given), layer(x, mask=mask, **given))


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"unroll": True}, {"zero_output_for_mask": True}])
@pytest.mark.parametrize(
    "cell", [lambda: tfcells.MinGRUCell(2), lambda: keras.layers.LSTMCell(2)], ids=["ours", "keras"]
)
def test_lengths_in_every_way(cell, options):
    """A list, 8 bits, an input of a model; what is behind them may be anything."""
    layer, lengths = tfcells.RNN(cell(), return_sequences=True, **LOOP, **options), [3, 1]
    wanted = layer(X, mask=np.arange(5) < np.array(lengths)[:, None])
    inputs = keras.Input((None, 3)), keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer(inputs[0], lengths=inputs[1]))
    for found in layer(X, lengths=lengths), layer(X, lengths=np.uint8(lengths)), model([X, np.int32(lengths)]):
        equal(found, wanted)
    if options == {"go_backwards": True}:
        equal(layer(X[:1], lengths=[3])[:, 2:], layer(X[:1, :3]), 1e-6)
    else:
        equal(layer(X[:1], lengths=[3])[:, :3], layer(X[:1, :3]), 1e-6)


@pytest.mark.parametrize(
    "given,message",
    [
        ({"lengths": [3, 1], "mask": np.ones((2, 5), bool)}, "lengths must be None where there is a mask, "),
        ({"lengths": [3.0, 1.0]}, r"lengths must be whole numbers of shape \(batch,\) = \(2,\), got float32 of shape"),
        ({"lengths": [True, False]}, "lengths must be whole numbers .*, got bool"),
        ({"lengths": [3]}, r"lengths must be .* \(2,\), got int32 of shape \(1,\)"),
        ({"lengths": [[3], [1]]}, r"got int32 of shape \(2, 1\)"),
        ({"lengths": 3}, r"got int32 of shape \(\)"),
        ({"lengths": [3, 6]}, r"lengths must be from 0 to 5, the steps of sequences, got \[3, 6\]"),
        ({"lengths": [-1, 5]}, r"lengths must be from 0 to 5, the steps of sequences, got \[-1, 5\]"),
    ],
)
def test_wrong_lengths(given, message):
    layer = tfcells.RNN(tfcells.GRUCell(2), **LOOP)
    with pytest.raises(ValueError, match=message):
        layer(X, **given)


def test_lengths_that_a_graph_does_not_know():
    """Beyond the steps they mean all of them, below 0 none."""
    layer = tfcells.RNN(tfcells.GRUCell(2), **LOOP)
    call = tf.function(lambda lengths: layer(X, lengths=lengths), input_signature=[tf.TensorSpec((None,), "int64")])
    equal(call(np.array([9, -1])), layer(X, lengths=[5, 0]))


def test_lengths_beside_the_mask_of_an_embedding():
    x = keras.layers.Embedding(4, 3, mask_zero=True)(np.array([[1, 2, 0]]))
    with pytest.raises(ValueError, match="given or passed on by the layer before"):
        tfcells.RNN(tfcells.GRUCell(2), **LOOP)(x, lengths=[2])


def test_lengths_of_a_bidirectional_layer():
    """Keras's has no such argument; the mask that they stand for is its own."""
    layer = keras.layers.Bidirectional(tfcells.RNN(tfcells.GRUCell(2), return_sequences=True, **LOOP))
    found = layer(X, mask=np.arange(5) < np.array([3, 5])[:, None])
    equal(found[:1, :3], layer(X[:1, :3]), 1e-6)
    with pytest.raises(TypeError, match="lengths"):
        layer(X, lengths=[3, 5])
