"""Inputs and states of the wrong shape are refused in a sentence, by every cell, in every mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases import CASES, WRAPPED

BATCH, STEPS, FEATURES = 2, 5, 3
X = np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
MODES = {"compiled": {}, "loop": {"jit_compile": False}, "unrolled": {"unroll": True}, "remat": {"remat": True}}
EVERY_MODE = pytest.mark.parametrize("options", MODES.values(), ids=MODES)
CELLS = {case.name: case.cell(**case.arguments) for case in CASES}
CELLS |= {name: row.make(tfcells.LSTMCell(FEATURES)) for name, row in WRAPPED.items()}
EVERY = pytest.mark.parametrize("name", CELLS)


@EVERY_MODE
@pytest.mark.parametrize("shape", [(5,), (7, 5), (7, 5, 3, 2)])
def test_rank(options, shape):
    message = f"sequences must have shape .*expected ndim=3, found ndim={len(shape)}"
    message += ".*return_sequences=True" if len(shape) == 2 else ""
    layer = tfcells.RNN(tfcells.LSTMCell(4), **options)
    for call in (layer.build, lambda shape: layer(np.ones(shape, "float32")), layer.compute_output_shape):
        with pytest.raises(ValueError, match=message):
            call(shape)
    layer.build(X.shape)
    with pytest.raises(ValueError, match=message):
        layer(np.ones(shape, "float32"))


@pytest.mark.parametrize("built", [False, True])
def test_several_tensors(built):
    """As Keras 2 took [sequences, h, c]."""
    layer, states = tfcells.RNN(tfcells.LSTMCell(4), jit_compile=False), np.ones((BATCH, 4), "float32")
    if built:
        layer.build(X.shape)
    for given in ([X, states, states], [keras.Input(x.shape[1:]) for x in (X, states)]):
        with pytest.raises(ValueError, match="sequences must be one tensor, got .*initial_state= or memory="):
            layer(given)


SYMBOLIC = {
    "lengths must be whole numbers of shape .*int32 of shape .None, 1": {"lengths": ((1,), "int32")},
    "lengths must be whole numbers of shape .*float32 of shape": {"lengths": ((), "float32")},
    "mask must have shape": {"mask": ((STEPS + 1,), "bool")},
    "mask must be booleans": {"mask": ((STEPS,), "float32")},
    "initial_state must be tensors of shapes": {"initial_state": ((FEATURES,), "float32")},
    "memory must have shape": {"memory": ((4,), "float32"), "reset": ((STEPS,), "bool")},
    "reset must have shape": {"memory": ((4, 2), "float32")},
}


@pytest.mark.parametrize("message", SYMBOLIC)
def test_symbolic_arguments_are_refused_when_a_model_is_built(message):
    cell, given = tfcells.LSTMCell(4), SYMBOLIC[message]
    if "memory" in given:
        cell = tfcells.ResetOnFlag(tfcells.Attention(cell, 3, memory_features=2))
    inputs = {name: keras.Input(shape, dtype=dtype) for name, (shape, dtype) in given.items()}
    with pytest.raises(ValueError, match=message):
        tfcells.RNN(cell)(keras.Input(X.shape[1:]), **inputs)


@pytest.mark.parametrize("number", [bool, int])
def test_masks_as_lists(number):
    given = [[True, True, False, True, True], [False, True, True, True, False]]
    lists = [list(map(number, row)) for row in given]
    layer = tfcells.RNN(tfcells.LSTMCell(4), jit_compile=False)
    np.testing.assert_array_equal(layer(X, mask=lists), layer(X, mask=np.array(given)))
    layer = tfcells.RNN(tfcells.ResetOnFlag(tfcells.LSTMCell(4)), jit_compile=False)
    np.testing.assert_array_equal(layer(X, reset=lists), layer(X, reset=np.array(given)))
    first = tfcells.RNN(tfcells.LSTMCell(4), return_sequences=True, jit_compile=False)
    again = tfcells.RNN(tfcells.LSTMCell(4), jit_compile=False)
    np.testing.assert_array_equal(again(first(X, mask=lists)), again(first(X, mask=np.array(given))))


def test_rank_in_models():
    first = keras.Input(batch_shape=X.shape)
    for layers in ([first, tfcells.RNN(tfcells.LSTMCell(4)), tfcells.RNN(tfcells.LSTMCell(4))],
                   [keras.Input((8, 8, 3)), tfcells.RNN([tfcells.LSTMCell(4), tfcells.GRUCell(4)])],
                   [keras.Input((8, 8, 3)), keras.layers.Bidirectional(tfcells.RNN(tfcells.LSTMCell(4)))]):  # fmt: skip
        with pytest.raises(ValueError, match="expected ndim=3"):
            keras.Sequential(layers)


@EVERY_MODE
@pytest.mark.parametrize("cell", ["lstm", "Mogrifier", "stack"])
def test_features(options, cell):
    stack = [tfcells.LSTMCell(4), tfcells.GRUCell(4)]
    layer = tfcells.RNN(stack if cell == "stack" else CELLS[cell].from_config(CELLS[cell].get_config()), **options)
    layer.build(X.shape)
    for call in (lambda: layer(np.ones((BATCH, STEPS, 4), "float32")), lambda: layer(keras.Input((STEPS, 4)))):
        with pytest.raises(ValueError, match="is built for inputs of 3 features, got 4"):
            call()


@EVERY_MODE
@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(
    "x, advice",
    [
        (tf.RaggedTensor.from_tensor(X, lengths=[3, 5]), r"RaggedTensor: give sequences\.to_tensor\(\), and a mask"),
        (tf.sparse.from_dense(X), r"SparseTensor: give tf\.sparse\.to_dense\(sequences\), and a mask"),
    ],
    ids=["ragged", "sparse"],
)
def test_ragged_and_sparse_tensors(x, advice, in_graph, options):
    layer = tfcells.RNN(tfcells.LSTMCell(4), **options)
    with pytest.raises(ValueError, match=advice):
        (tf.function(lambda x: layer(x)) if in_graph else layer)(x)


def test_a_cell_of_keras_may_have_any_rank():
    class Mean(keras.layers.Layer):
        state_size = output_size = 4

        def call(self, inputs, states):
            return keras.ops.mean(inputs, 1), states

    assert tfcells.RNN(Mean())(np.ones((2, 5, 3, 4), "float32")).shape == (2, 4)


# One step of a cell by itself.


def needs_its_layer(name):
    """For a memory, or for flags."""
    return CELLS[name].attends or CELLS[name].reset_by_flag


@EVERY
def test_a_bare_state(name):
    """As Keras's cells take it, where there is one; and no other structure, shape or batch."""
    if needs_its_layer(name):
        return
    cell, x = CELLS[name], X[:, 0]
    cell(x, cell.get_initial_state(BATCH)) if cell.built else cell.build(x.shape)
    shapes = [(BATCH, *shape[1:]) for shape in cell.state_shapes(BATCH)]
    states = [np.random.default_rng(i).normal(size=shape).astype("float32") for i, shape in enumerate(shapes)]
    y, new = cell(x, states)
    assert isinstance(new, list) and [tuple(state.shape) for state in new] == shapes
    y, new = cell(x, tuple(states))
    assert isinstance(new, list)
    if len(states) == 1:
        same, state = cell(x, states[0])
        np.testing.assert_array_equal(y, same)
        np.testing.assert_array_equal(state, new[0])
    wrong = [states[:-1], [*states, states[0]], [state[:1] for state in states], [state[:, :-1] for state in states]]
    if len(states) > 1:
        wrong.append(states[0])  # with a batch of two not the two states of an LSTM
    for given in wrong:
        with pytest.raises(ValueError, match="states must be tensors of shapes"):
            cell(x, given)


@EVERY
def test_one_step_has_two_axes(name):
    if needs_its_layer(name):
        return
    cell = CELLS[name]
    if not cell.built:
        cell.build((BATCH, FEATURES))
        cell.built = True
    state = cell.get_initial_state(BATCH)
    with pytest.raises(ValueError, match=r"inputs must have shape \(batch, features\)"):
        cell(X, state)
    with pytest.raises(ValueError, match="is built for inputs of 3 features, got 2"):
        cell(X[:, 0, :2], state)


ONE_EACH = [{case.cell: case.name for case in CASES}[cell] for cell in tfcells.CELLS.values()] + [*WRAPPED]
MASK = np.ones((BATCH, STEPS), bool)


@pytest.mark.parametrize("name", ONE_EACH)
def test_every_cell_in_its_layer(name):
    """Refuses inputs, states and masks that do not fit, and says what would."""
    layer = tfcells.RNN(CELLS[name].from_config(CELLS[name].get_config()), jit_compile=False)
    given = {"memory": np.ones((BATCH, 4, 2), "float32")} if needs_its_layer(name) and layer.cell.attends else {}
    given |= {"reset": MASK} if layer.cell.reset_by_flag else {}
    layer.build(X.shape)
    layer(X, mask=MASK, **given)
    states = layer.get_initial_state(BATCH)
    wrong = [
        ("expected ndim=3, found ndim=2", X[0], {}),
        ("expected ndim=3, found ndim=4", X[..., None], {}),
        ("is built for inputs of 3 features, got 2", X[..., :2], {}),
    ]
    for shape in ((BATCH, STEPS - 1), (BATCH,), (BATCH + 1, STEPS), (BATCH, STEPS, 2)):
        wrong.append((r"mask must have shape \(batch, steps\) = \(2, 5\), got", X, {"mask": np.ones(shape, bool)}))
    for dtype in ("float32", "str"):
        wrong.append(("mask must be booleans, or whole numbers", X, {"mask": MASK.astype(dtype)}))
    more = [
        states[:-1] or [states[0][:, :-1]],
        [*states, states[0]],
        [np.ones((BATCH + 1, *s.shape[1:])) for s in states],
    ]
    wrong += [("initial_state must be tensors of shapes .*got", X, {"initial_state": state}) for state in more]
    for message, x, options in wrong:
        with pytest.raises(ValueError, match=message):
            layer(x, **given | options)


@pytest.mark.parametrize("name, value", [("mask", 0.5), ("reset", 1.0), ("memory_mask", 1.0)])
def test_soft_masks(name, value):
    """Numbers between 0 and 1 would count as 1; whole numbers are what tokenizers give."""
    cell = tfcells.ResetOnFlag(tfcells.Attention(tfcells.GRUCell(4), 3, memory_features=2))
    layer = tfcells.RNN(cell, jit_compile=False)
    given = {"mask": MASK, "reset": MASK, "memory": np.ones((BATCH, 4, 2)), "memory_mask": np.ones((BATCH, 4), bool)}
    wanted = layer(X, **given)
    np.testing.assert_array_equal(layer(X, **given | {name: given[name].astype("int64")}), wanted)
    with pytest.raises(ValueError, match=f"{name} must be booleans, or whole numbers .*, got float"):
        layer(X, **given | {name: value * given[name]})


def test_a_bare_state_under_kerass_own_layer_and_in_a_graph():
    cell = tfcells.GRUCell(8)
    step = tf.function(lambda x, h: cell(x, h), input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None, 8))])
    y, h = step(X[:, 0], np.ones((2, 8), "float32"))
    np.testing.assert_array_equal(y, h)
    layer = keras.layers.RNN(tfcells.GRUCell(4))
    np.testing.assert_allclose(layer(X), tfcells.RNN(layer.cell, jit_compile=False)(X), atol=1e-6)
