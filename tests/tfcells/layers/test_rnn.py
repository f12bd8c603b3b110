"""The layer: whatever `keras.layers.RNN` does with a cell, `tfcells.RNN` does with it too."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops, tree

import tfcells

pytestmark = pytest.mark.slow

STEPS, BATCH, FEATURES = 5, 3, 4
X = np.random.default_rng(1).normal(size=(BATCH, STEPS, FEATURES))
MASK = np.array([[1, 1, 1, 1, 0], [0, 1, 0, 1, 1], [1, 1, 0, 0, 0]], bool)
MIXED = "mixed_bfloat16"


@pytest.fixture(autouse=True)
def double_precision():
    """Both layers in float64, so that equal means equal."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.fixture(scope="module")
def cells(randomise):
    """Cells by name, with random weights; both layers run the same one."""

    @functools.cache
    def make(name):
        made = {
            "lstm": lambda: tfcells.LSTMCell(3),
            "rhn": lambda: tfcells.RHNCell(3, depth=2),
            "hyper": lambda: tfcells.HyperLSTMCell(3, hyper_units=2),
            "stack": lambda: layers.StackedRNNCells([tfcells.LSTMCell(2), tfcells.GRUCell(3), tfcells.ElmanCell(2)]),
            "single": lambda: layers.StackedRNNCells([tfcells.GRUCell(3)]),
            "foreign": lambda: layers.LSTMCell(3),
            "mixed": lambda: layers.StackedRNNCells([layers.GRUCell(2), tfcells.LSTMCell(3)]),
        }[name]()
        made.build((BATCH, FEATURES))
        return randomise(made)

    return make


def assert_same(found, wanted, tolerance=1e-12):
    tree.assert_same_structure(found, wanted)
    for a, b in zip(tree.flatten(found), tree.flatten(wanted)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def random_state(layer, batch=BATCH):
    rng = np.random.default_rng(3)
    return tree.map_structure(lambda s: ops.convert_to_tensor(rng.normal(size=s.shape)), layer.get_initial_state(batch))


def masks(mask):
    return {"mask": mask} if mask is not None else {}


OPTIONS = {
    "last": {},
    "sequences": {"return_sequences": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "zero_output": {"return_sequences": True, "zero_output_for_mask": True},
    "zero_last": {"zero_output_for_mask": True, "go_backwards": True},
    "unroll": {"unroll": True, "return_sequences": True},
    "unroll_backwards": {"unroll": True, "go_backwards": True, "zero_output_for_mask": True},
    "ordinary": {"jit_compile": False, "return_sequences": True},
    "ordinary_backwards": {
        "jit_compile": False,
        "go_backwards": True,
        "zero_output_for_mask": True,
    },
}


def shapes(nested):
    """The shapes in a nested structure of them, one after the other."""
    leaf = all(size is None or isinstance(size, int) for size in nested)
    return [tuple(nested)] if leaf else [shape for one in nested for shape in shapes(one)]


@pytest.mark.parametrize("name, masked", [("lstm", False), ("stack", True)])
@pytest.mark.parametrize("option", OPTIONS)
def test_options(cells, name, option, masked):
    options = OPTIONS[option] | {"return_state": True}
    mine = tfcells.RNN(cells(name), **options)
    options.pop("jit_compile", None)
    theirs = layers.RNN(cells(name), **options)
    given = masks(MASK if masked else None)
    assert_same(mine(X, **given), theirs(X, **given))
    state = random_state(mine)
    assert_same(mine(X, initial_state=state, **given), theirs(X, initial_state=state, **given))
    found = [tuple(value.shape) for value in tree.flatten(mine(X))]
    assert shapes(mine.compute_output_shape(X.shape)) == found
    symbolic = mine(keras.Input(batch_shape=X.shape))
    assert [tuple(value.shape) for value in tree.flatten(symbolic)] == found


@pytest.mark.parametrize("name", ["rhn", "hyper", "single", "foreign", "mixed"])
def test_other_cells(cells, name):
    options = {"return_sequences": True, "return_state": True, "go_backwards": True}
    mine, theirs = tfcells.RNN(cells(name), **options), layers.RNN(cells(name), **options)
    assert_same(mine(X), theirs(X))
    if name != "single":  # Keras loses a level of a stack of one under a mask
        assert_same(mine(X, mask=MASK), theirs(X, mask=MASK))


def test_a_list_is_a_stack(cells):
    stack = cells("stack")
    assert_same(tfcells.RNN(stack.cells)(X), layers.RNN(stack)(X))


def test_a_stack_with_a_call_of_its_own_is_one_cell():
    class Residuals(layers.StackedRNNCells):
        def call(self, x, states, training=False):
            new = []
            for cell, state in zip(self.cells, states):
                y, state = cell(x, state, training=training)
                x = x + y
                new.append(state)
            return x, new

    stack = Residuals([tfcells.LSTMCell(X.shape[-1]), tfcells.GRUCell(X.shape[-1])])
    mine = tfcells.RNN(stack, return_state=True)
    assert_same(mine(X), layers.RNN(stack, return_state=True)(X))
    plain = layers.RNN(layers.StackedRNNCells(stack.cells))(X)
    assert not mine.runs_cells and np.any(np.abs(np.asarray(plain) - mine(X)[0]) > 1e-3)


def test_a_stack_in_a_stack(cells):
    stack = [
        layers.StackedRNNCells([tfcells.LSTMCell(2), tfcells.GRUCell(3)]),
        tfcells.ElmanCell(2),
    ]
    mine = tfcells.RNN(stack, return_state=True)
    found = mine(X)
    assert_same(found, layers.RNN(mine.cell, return_state=True)(X))
    assert mine.runs_cells  # in the engine, not in Keras's loop, where Variational can't train


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps(cells, steps):
    x = X[:, :steps]
    wanted = layers.RNN(cells("lstm"), return_state=True)(x, mask=MASK[:, :steps])
    for jit_compile in ("auto", True, False):
        mine = tfcells.RNN(cells("lstm"), return_state=True, jit_compile=jit_compile)
        assert_same(mine(x, mask=MASK[:, :steps]), wanted)


def test_a_single_state_needs_no_list(cells):
    mine, theirs = (kind(cells("rhn")) for kind in (tfcells.RNN, layers.RNN))
    state = random_state(mine)[0]
    assert_same(mine(X, initial_state=state), theirs(X, initial_state=state))
    assert_same(mine(X, initial_state=np.asarray(state, "float32")), mine(X, initial_state=[
        np.asarray(state, "float32").astype("float64")]))  # fmt: skip


@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_stateful(cells, name):
    options = {"stateful": True, "return_sequences": True}
    mine, theirs = (kind(cells(name), **options) for kind in (tfcells.RNN, layers.RNN))
    whole = tfcells.RNN(cells(name), return_sequences=True)(np.concatenate([X, X], 1))
    for part in (whole[:, :STEPS], whole[:, STEPS:]):
        found = mine(X)
        assert_same(found, theirs(X))
        assert_same(found, part)
    assert_same(mine(X, mask=MASK), theirs(X, mask=MASK))
    state = random_state(mine)
    assert_same(mine(X, initial_state=state), theirs(X, initial_state=state))
    assert_same(mine(X), theirs(X))
    mine.reset_state()  # Keras's own fails for a stack
    assert_same(mine(X), whole[:, :STEPS])


def test_stateful_in_a_model(cells, tmp_path):
    """The remembered state is no weight: a model for another batch size takes the weights."""

    def model(batch):
        inputs = keras.Input(batch_shape=(batch, STEPS, FEATURES))
        return keras.Sequential([inputs, tfcells.RNN(tfcells.LSTMCell(3), stateful=True)])

    first = model(BATCH)
    assert len(first.weights) == 3
    first.predict(X, batch_size=BATCH, verbose=0)
    first.save_weights(tmp_path / "a.weights.h5")
    second = model(1)
    second.load_weights(tmp_path / "a.weights.h5")
    first.layers[0].reset_state()
    assert_same(second(X[:1]), first(X)[:1])


class Remembering(tfcells.LSTMCell):
    """A cell that starts from a state of its own."""

    def get_initial_state(self, batch_size=None):
        return [ops.full((batch_size, self.units), value) for value in (0.5, -1.0)]


def test_the_cells_own_initial_state(randomise):
    """Keras's reset_state writes zeros instead."""
    mine = tfcells.RNN(Remembering(3), stateful=True)
    mine.build(X.shape)
    randomise(mine)
    wanted = tfcells.RNN(mine.cell)(X, initial_state=[np.full((BATCH, 3), v) for v in (0.5, -1.0)])
    assert np.abs(wanted - tfcells.RNN(mine.cell)(X, initial_state=[np.zeros((BATCH, 3))] * 2)).max() > 0.01
    assert_same(tfcells.RNN(mine.cell)(X), wanted)
    assert_same(mine(X), wanted)
    assert np.abs(mine(X) - wanted).max() > 1e-3
    mine.reset_state()
    assert_same(mine(X), wanted)


@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_symbolic_initial_state(cells, name):
    def model(kind):
        layer = kind(cells(name), return_state=True, return_sequences=True)
        x = keras.Input((None, FEATURES))
        state = tree.map_structure(lambda s: keras.Input(s.shape[1:]), layer.get_initial_state(batch_size=1))
        outputs = layer(x, initial_state=state)
        return keras.Model([x, state], outputs), outputs

    mine, symbolic = model(tfcells.RNN)
    state, x = random_state(mine.layers[-1]), ops.convert_to_tensor(X)
    found = mine([x, state])
    assert_same(found, model(layers.RNN)[0]([x, state]))
    assert_same(found, mine.layers[-1](X, initial_state=state))
    for a, b in zip(tree.flatten(symbolic), tree.flatten(found), strict=True):
        assert a.dtype == b.dtype.name and a.shape[0] is None and a.shape[-1] == b.shape[-1]


@pytest.mark.parametrize("sequences", [False, True])
def test_masks_of_embedding_and_masking(cells, sequences):
    tokens = np.array([[1, 2, 0, 3], [0, 4, 5, 0]])
    embedding = layers.Embedding(6, FEATURES, mask_zero=True)
    mine = tfcells.RNN(cells("lstm"), return_sequences=sequences)
    model = keras.Sequential([embedding, mine])
    assert_same(model(tokens), mine(embedding(tokens).numpy(), mask=tokens != 0))
    masked = np.where(MASK[..., None], X, 0)
    model = keras.Sequential([layers.Masking(), mine])
    assert_same(model(masked), mine(masked, mask=MASK))
    assert np.abs(mine(masked) - model(masked)).max() > 1e-3


@pytest.mark.parametrize("given", ["initial_state", "reset", "memory"])
def test_a_mask_is_passed_on_beside_other_tensors(randomise, given):
    """Keras itself passes on the mask of a lone tensor only."""
    x, rng = np.random.default_rng(2).normal(size=(3, 5, 4)), np.random.default_rng(3)
    mask = np.arange(5) < [[2], [5], [3]]
    x *= mask[:, :, None]
    cell = {
        "initial_state": lambda: tfcells.LSTMCell(4),
        "reset": lambda: tfcells.ResetOnFlag(tfcells.LSTMCell(4)),
        "memory": lambda: tfcells.Attention(tfcells.LSTMCell(4), 3, 2),
    }[given]()
    other = {
        "initial_state": [rng.normal(size=(3, 4)) for _ in range(2)],
        "reset": np.arange(5) == [[1], [2], [3]],
        "memory": rng.normal(size=(3, 2, 2)),
    }[given]
    layer = tfcells.RNN(cell, jit_compile=False, dtype="float64")
    inputs = keras.Input((5, 4), dtype="float64")
    more = tree.map_structure(lambda a: keras.Input(a.shape[1:], dtype=a.dtype.name), other)
    masked = layers.Masking(dtype="float64")
    model = keras.Model([inputs, *tree.flatten(more)], layer(masked(inputs), **{given: more}))
    randomise(layer)
    wanted = layer(x, mask=mask, **{given: other})
    assert not np.allclose(wanted, layer(x, **{given: other}))
    for found in (model([x, *tree.flatten(other)]), model.predict([x, *tree.flatten(other)], verbose=0)):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_array_equal(layer(masked(x), **{given: other}), wanted)


def test_masks_that_end(cells):
    """With pass_mask=False what follows sees all steps, the masked ones as this layer fills them; without a warning."""
    first = tfcells.RNN(cells("lstm"), return_sequences=True, pass_mask=False)
    second, masking = tfcells.RNN(tfcells.GRUCell(2)), keras.layers.Masking()
    x = np.where(MASK[..., None], X, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = first(masking(x))
        found = second(y)
    np.testing.assert_array_equal(found, second(np.array(y)))
    first.pass_mask = True
    assert np.abs(found - second(first(masking(x)))).max() > 1e-3
    with pytest.raises(ValueError, match="pass_mask must be True or False, got None"):
        first.pass_mask = None


def test_masks_go_on(cells):
    """To the next layer with the sequence, and no farther without it."""
    options = {"return_sequences": True, "return_state": True}
    mine, theirs = (kind(cells("lstm"), **options) for kind in (tfcells.RNN, layers.RNN))
    assert mine.compute_mask(X, MASK)[0] is MASK and mine.compute_mask(X, MASK)[1:] == [None, None]
    assert tfcells.RNN(cells("lstm")).compute_mask(X, MASK) is None
    assert mine.supports_masking
    tokens = np.array([[1, 2, 0, 3], [0, 4, 5, 0]])
    embedding = layers.Embedding(6, FEATURES, mask_zero=True)
    upper = layers.RNN(tfcells.ElmanCell(2))
    two = tfcells.RNN(cells("lstm"), return_sequences=True)
    assert_same(upper(two(embedding(tokens))), upper(theirs(embedding(tokens))[0], mask=tokens != 0))


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_bidirectional(randomise, merge_mode, masked):
    def make(kind):
        layer = kind(tfcells.LSTMCell(2), return_sequences=masked, return_state=True)
        both = layers.Bidirectional(layer, merge_mode=merge_mode)
        both.build(X.shape)
        return randomise(both)

    mine, theirs = make(tfcells.RNN), make(layers.RNN)
    assert type(mine.forward_layer) is type(mine.backward_layer) is tfcells.RNN
    given = masks(MASK if masked else None)
    assert_same(mine(X, **given), theirs(X, **given))


def test_bidirectional_unlike_layers(cells):
    mine = layers.Bidirectional(
        tfcells.RNN(tfcells.LSTMCell(3)),
        backward_layer=tfcells.RNN(tfcells.RHNCell(2, depth=2), go_backwards=True),
    )
    state = [np.random.default_rng(4).normal(size=(BATCH, n)) for n in (3, 3)]
    assert mine(X).shape == (BATCH, 5)
    assert_same(mine(X)[:, :3], mine.forward_layer(X))
    assert_same(mine(X)[:, 3:], mine.backward_layer(X[:, ::-1][:, ::-1]))
    backward = tfcells.RNN(mine.backward_layer.cell)
    assert_same(mine(X)[:, 3:], backward(X[:, ::-1]))
    assert np.abs(mine.forward_layer(X, initial_state=state) - mine.forward_layer(X)).max() > 1e-3


def test_unknown_length_and_batch_keep_static_shapes(cells):
    for jit_compile in (True, False):
        mine = tfcells.RNN(cells("stack"), return_sequences=True, jit_compile=jit_compile)
        signature = [tf.TensorSpec([None, None, FEATURES], X.dtype)]
        function = tf.function(lambda x, mine=mine: mine(x), input_signature=signature)
        assert function.get_concrete_function().output_shapes.as_list() == [None, None, 2]
        assert_same(function(X), mine(X))
        assert_same(function(X[:1, :3]), mine(X[:1, :3]))


# The dtype policy


def test_the_layers_dtype_reaches_its_cells():
    inner = tfcells.LSTMCell(2)
    wrapped = tfcells.VariationalDropout(tfcells.VariationalDropout(inner, state_rate=0.5))
    mine = tfcells.RNN([wrapped, tfcells.GRUCell(3)], dtype=MIXED, return_state=True)
    output, (h, c), (g,) = mine(X)
    assert {v.dtype for v in (output, h, c, g)} == {tf.bfloat16}
    for cell in (inner, wrapped, wrapped.cell, mine.cell.cells[1]):
        assert cell.dtype_policy.name == MIXED
    assert {w.dtype for w in mine.weights if "seed" not in w.path} == {"float32"}
    assert np.isfinite(np.asarray(output, "float32")).all() and np.abs(output).max() > 0


@pytest.mark.parametrize("policy, count", [(MIXED, 257), ("mixed_float16", 2049)])
@pytest.mark.parametrize("kind, given", [(tfcells.ClockworkRNNCell, {"periods": (1, 2)}), (tfcells.PhasedLSTMCell, {})])
def test_a_count_of_steps_goes_on_exactly(kind, given, policy, count):
    """In a state that is given, here of a stack, and in one that a model for single steps carries; half precision has
    no such number."""
    layer = tfcells.RNN([tfcells.LSTMCell(2), kind(4, **given)], dtype=policy, return_state=True)
    model = keras.Sequential([keras.Input((None, FEATURES)), tfcells.RNN(kind(4, **given), dtype=policy)])
    lstm, (*states, time) = layer.get_initial_state(BATCH)
    *_, (*_, time) = layer(X, initial_state=[lstm, [*states, time + count]])
    assert time.dtype == "float32" and np.array_equal(time, np.full((BATCH, 1), count + STEPS))
    step = tfcells.step_model(model)
    *states, time = step.get_initial_state(BATCH)
    *_, time = step([X[:, :1], *states, time + count])
    assert np.array_equal(time, np.full((BATCH, 1), count + 1))


def test_equal_policies_agree():
    cell = tfcells.LSTMCell(2, dtype=MIXED)
    assert tfcells.RNN(cell, dtype=MIXED)(X).dtype == tf.bfloat16
    loaded = tfcells.LSTMCell.from_config(tfcells.LSTMCell(2).get_config())
    assert tfcells.RNN(loaded)(X).dtype == tf.float64


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: [c], tfcells.VariationalDropout])
def test_policies_that_clash(wrap):
    with pytest.raises(ValueError, match="dtype.*bfloat16.*float32"):
        tfcells.RNN(wrap(tfcells.LSTMCell(2, dtype="float32")), dtype="bfloat16")


def test_a_built_cell_keeps_its_policy(cells):
    with pytest.raises(ValueError, match="dtype.*built"):
        tfcells.RNN(cells("lstm"), dtype=MIXED)


@pytest.mark.parametrize("dtype", [MIXED, "float16", "float32"])
@pytest.mark.parametrize(
    "cell",
    [
        lambda: tfcells.VariationalDropout(tfcells.Zoneout(tfcells.LSTMCell(2), 0.1), state_rate=0.1),
        lambda: [tfcells.MogrifierLSTMCell(2), tfcells.GRUCell(3)],
    ],
    ids=["wrapped", "stack"],
)
def test_a_layer_moved_to_another_precision(cell, dtype):
    """A cell whose dtype the user did not give takes its layer's, also from a configuration."""
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), tfcells.RNN(cell())])
    moved = keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": dtype})
    )
    moved.set_weights(model.get_weights())
    wanted, found = model(X), moved(X)
    assert found.dtype == keras.dtype_policies.get(dtype).compute_dtype
    np.testing.assert_allclose(tf.cast(found, "float64"), wanted, atol=0.05)
    again = type(moved.layers[0]).from_config(moved.layers[0].get_config())
    assert again.get_config() == moved.layers[0].get_config()


def test_a_cell_keeps_the_precision_that_it_was_given():
    config = tfcells.RNN(tfcells.LSTMCell(2, dtype="float64")).get_config()
    with pytest.raises(ValueError, match="dtype: the layer's policy is bfloat16, its cell's float64"):
        tfcells.RNN.from_config(config | {"dtype": "bfloat16"})
    config = tfcells.RNN(tfcells.MogrifierLSTMCell(2, dtype="float64")).get_config()
    with pytest.raises(ValueError, match="dtype: the layer's policy is bfloat16, its cell's float64"):
        tfcells.RNN.from_config(config | {"dtype": "bfloat16"})


def test_where_xla_has_no_compiler(cells, monkeypatch):
    """The GPU of a Mac, as Keras decides it."""
    layer = tfcells.RNN(cells("lstm"))
    assert layer.compiles
    wanted = tfcells.RNN(cells("lstm"), jit_compile=False)(X)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert layer.compiles
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["METAL"])
    assert not layer.compiles
    monkeypatch.setattr("tfcells.engine.Program.__call__", None)  # not to be reached
    assert_same(layer(X), wanted)
    assert tfcells.RNN(cells("lstm"), jit_compile=True).compiles
    with pytest.raises(ValueError, match="remat must be .*the GPU of a Mac"):
        tfcells.RNN(cells("lstm"), remat=True)


# What raises


@pytest.mark.parametrize("value", ["yes", None, 2])
def test_bad_jit_compile(value):
    with pytest.raises(ValueError, match="jit_compile"):
        tfcells.RNN(tfcells.LSTMCell(2), jit_compile=value)


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"jit_compile": False}])
@pytest.mark.parametrize("name", ["lstm", "foreign", "mixed"])
def test_zero_steps(cells, name, options):
    with pytest.raises(ValueError, match="at least one step"):
        tfcells.RNN(cells(name), **options)(X[:, :0])


def test_zero_steps_found_out_later(cells):
    mine = tfcells.RNN(cells("lstm"))
    function = tf.function(lambda x: mine(x), input_signature=[tf.TensorSpec([None, None, FEATURES], X.dtype)])
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="at least one step"):
        function(X[:, :0])


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, STEPS - 1), (BATCH + 1, STEPS), (STEPS, BATCH),
                                   (BATCH, STEPS, FEATURES)])  # fmt: skip
@pytest.mark.parametrize("name", ["lstm", "foreign"])
def test_wrong_masks(cells, name, shape):
    with pytest.raises(ValueError, match="mask must have shape"):
        tfcells.RNN(cells(name))(X, mask=np.ones(shape, bool))


@pytest.mark.parametrize("jit_compile", [True, False])
def test_wrong_mask_found_out_later(cells, jit_compile):
    """A shorter one would cut the sequence short."""
    mine = tfcells.RNN(cells("lstm"), jit_compile=jit_compile)
    function = tf.function(
        lambda x: mine(x, mask=MASK),
        input_signature=[tf.TensorSpec([None, None, FEATURES], X.dtype)],
    )
    assert_same(function(X), mine(X, mask=MASK))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="mask"):
        function(np.concatenate([X, X], 1))


@pytest.mark.parametrize("shapes", [[(BATCH, 3)], [(BATCH, 3)] * 3, [(BATCH, 3), (BATCH, 2)],
                                    [(1, 3), (1, 3)], [(BATCH, 3), (3,)]])  # fmt: skip
@pytest.mark.parametrize("name", ["lstm", "foreign"])
def test_wrong_initial_states(cells, name, shapes):
    with pytest.raises(ValueError, match="initial_state must be"):
        tfcells.RNN(cells(name))(X, initial_state=[np.zeros(shape) for shape in shapes])


def test_wrong_batch_of_a_stateful_layer(cells):
    mine = tfcells.RNN(cells("lstm"), stateful=True)
    mine(X)
    with pytest.raises(ValueError, match="batch size of 3, got 1"):
        mine(X[:1])


@pytest.mark.parametrize("steps, options", [(STEPS, {}), (STEPS, {"unroll": True}), (1, {})])
def test_wrong_batch_of_a_stateful_layer_found_out_later(cells, steps, options):
    """Broadcasting would answer, with a batch of three (Keras does: keras#21183)."""
    mine, x = tfcells.RNN(cells("lstm"), stateful=True, **options), X[:, :steps]
    mine(x)
    function = tf.function(lambda x: mine(x), input_signature=[tf.TensorSpec([None, steps, FEATURES], X.dtype)])
    assert function(x).shape == (BATCH, 3)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="initial_state"):
        function(x[:1])


def test_stateful_with_an_unknown_batch(cells):
    with pytest.raises(ValueError, match="batch"):
        tfcells.RNN(cells("lstm"), stateful=True).build((None, STEPS, FEATURES))


def test_unroll_with_an_unknown_length(cells):
    mine = tfcells.RNN(cells("lstm"), unroll=True)
    function = tf.function(lambda x: mine(x), input_signature=[tf.TensorSpec([BATCH, None, FEATURES], X.dtype)])
    with pytest.raises(ValueError, match="unroll"):
        function(X)
