"""What regularized cells mean: where a mask acts, when it is drawn, what it leaves alone."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import tfcells
from tests.cases import prepared
from tfcells import masks

pytestmark = pytest.mark.slow

STEPS, BATCH, FEATURES, UNITS = 6, 4, 8, 16
RATES = {"input_rate": 0.5, "state_rate": 0.25, "output_rate": 0.4}
X = np.random.default_rng(1).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")


class Reader(tfcells.Cell):
    """Outputs what its input and its two kernels get to see of a state that is all ones.

    Kernels and input projection are identities; the state passes as it is. Output: input, what the
    first kernel reads, what the second reads, the state itself.
    """

    states = ("s",)
    slots = frozenset({"kernel", "state"})
    features = FEATURES
    units = UNITS
    output_size = FEATURES + 3 * UNITS

    def build(self, input_shape):
        views = {"first": tfcells.View(reads="s"), "second": tfcells.View(reads="s")}
        self.declare("kernel", (UNITS, UNITS), "identity", views=views)

    def get_initial_state(self, batch_size=None):
        return [ops.ones((batch_size, UNITS), self.compute_dtype)]

    def step(self, x, state, w):
        (s,) = state
        return ops.concatenate([x, w.first(s), w.second(s), s], -1), (s,)


def split(seen):
    """The input, both kernels' readings and the carry, from what `Reader` put out."""
    return np.split(seen, [FEATURES, FEATURES + UNITS, FEATURES + 2 * UNITS], axis=-1)


def read(layer, x=None, training=True):
    """What a layer around `Reader` sees at every step."""
    x = np.ones((BATCH, STEPS, FEATURES), "float32") if x is None else x
    return split(np.asarray(layer(x, training=training)))


def reader(**options):
    return tfcells.RNN(tfcells.VariationalDropout(Reader(), seed=3, **options), return_sequences=True)


def test_masks_last_for_a_sequence_and_no_longer():
    layer = reader(input_rate=0.5, state_rate=0.25)
    inputs, first, second, carry = read(layer)
    assert set(np.unique(inputs)) == {0, 2}
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.75], rtol=1e-6)
    for mask in (inputs, first):
        assert np.all(mask == mask[:, :1])  # the same at every step
        assert len(np.unique(mask[:, 0], axis=0)) == BATCH  # another one for every sequence
    np.testing.assert_array_equal(first, second)  # shared over depths and gates
    np.testing.assert_array_equal(carry, 1)  # the state itself is not touched
    again = read(layer)
    assert np.any(again[0] != inputs) and np.any(again[1] != first)


def test_the_output_mask_leaves_the_state_alone():
    layer = reader(output_rate=0.5)
    values = np.concatenate(read(layer), axis=-1)
    assert set(np.unique(values)) == {0, 2} and np.all(values == values[:, :1])
    assert len(np.unique(values[:, 0], axis=0)) == BATCH
    plain, kept = tfcells.LSTMCell(UNITS), {"return_sequences": True, "return_state": True}
    wrapped = tfcells.RNN(tfcells.VariationalDropout(plain, output_rate=0.5), **kept)
    output, *state = wrapped(X, training=True)
    right, *wanted = tfcells.RNN(plain, **kept)(X)
    for a, b in zip(state, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all((output == 0) | np.isclose(output, 2 * right)) and np.any(output == 0)


def test_nothing_is_dropped_outside_training():
    for one in read(reader(**RATES), training=False):
        np.testing.assert_array_equal(one, 1)


def rhn(**options):
    cell = tfcells.RHNCell(UNITS, depth=2, bias_initializer="random_normal", **options)
    cell.build((None, FEATURES))
    return cell


def test_the_carry_is_untouched_in_the_rhn():
    """With shut transform gates the state stays what it was, bit for bit, whatever is dropped."""
    cell = tfcells.VariationalDropout(rhn(transform_bias=-200.0), state_rate=0.5, input_rate=0.5)
    state = np.random.default_rng(2).normal(size=(BATCH, UNITS)).astype("float32")
    found = tfcells.RNN(cell)(X, initial_state=[state], training=True)
    np.testing.assert_array_equal(found, state)


def test_masks_act_on_what_the_kernels_read():
    """Dropping a state unit is dropping its rows of every recurrent kernel: by hand, in the RHN."""
    inner = rhn(transform_bias=0.0)
    cell = tfcells.VariationalDropout(inner, state_rate=0.5, seed=11)
    found = tfcells.RNN(cell)(X[:1], training=True)
    seed = keras.random.SeedGenerator(11)
    mask = masks.dropout_mask((1, UNITS), 0.5, "float32", seed)[0]
    assert 0 < np.count_nonzero(mask) < UNITS
    masked = rhn(transform_bias=0.0)
    masked.set_weights(inner.get_weights())
    for kernel in masked.recurrent_kernel_0, masked.recurrent_kernel_1:
        kernel.assign(kernel * mask[:, None])
    np.testing.assert_allclose(found, tfcells.RNN(masked)(X[:1]), atol=1e-6)


def test_every_state_has_a_mask_of_its_own():
    """The hypernetwork reads h and hyper_h, of different sizes."""
    cell = tfcells.VariationalDropout(tfcells.HyperLSTMCell(4, hyper_units=3), state_rate=0.5, seed=0)
    cell.build((None, FEATURES))
    _, w = prepared(cell, np.ones((2, 64, FEATURES)), True)
    masks = w.state_masks
    assert masks.h.shape == (64, 4) and masks.hyper_h.shape == (64, 3)
    assert np.any(masks.h[:, :3] != masks.hyper_h)
    assert list(masks.items) == ["h", "hyper_h"]  # no kernel reads c
    assert tfcells.RNN(cell)(X, training=True).shape == (BATCH, 4)


@pytest.mark.parametrize("cell", [lambda: tfcells.LSTMCell(UNITS), rhn])
def test_rate_zero_is_no_wrapper(cell):
    inner = cell()
    wrapped = tfcells.RNN(tfcells.VariationalDropout(inner))
    np.testing.assert_array_equal(wrapped(X, training=True), tfcells.RNN(inner)(X, training=True))
    assert not wrapped.cell.fixes_noise_along_time


def run(how, layer, calls=2):
    """Some calls in training, one after the other, in that mode."""

    def call(x):
        return layer(x, training=True)

    if how != "eager":
        call = tf.function(call, jit_compile=how == "xla")
    return [np.asarray(call(tf.ones((BATCH, STEPS, FEATURES)))) for _ in range(calls)]


def test_a_seed_means_the_same_masks():
    rates = {"input_rate": 0.5, "state_rate": 0.25}
    wanted = run("eager", reader(**rates))
    assert np.any(wanted[0] != wanted[1])
    for how in ("eager", "graph", "xla"):
        np.testing.assert_array_equal(run(how, reader(**rates)), wanted)
    other = tfcells.RNN(tfcells.VariationalDropout(Reader(), seed=4, **rates), return_sequences=True)
    assert np.any(run("eager", other)[0] != wanted[0])


def test_the_expectation_is_kept():
    x = np.ones((20000, 1, FEATURES), "float32")
    layer = tfcells.RNN(tfcells.VariationalDropout(Reader(), 0.3, 0.6, seed=5), return_sequences=True)
    inputs, first, *_ = read(layer, x)
    for values, rate, count in ((inputs, 0.3, FEATURES), (first, 0.6, UNITS)):
        error = np.sqrt(rate / (1 - rate) / (len(x) * count))  # of the mean of a scaled Bernoulli
        assert abs(values.mean() - 1) < 5 * error
        assert abs((values == 0).mean() - rate) < 0.01


def test_masks_of_an_unknown_batch():
    layer = reader(state_rate=0.5)
    signature = [tf.TensorSpec([None, None, FEATURES])]
    function = tf.function(lambda x: layer(x, training=True), input_signature=signature)
    found = np.asarray(function(np.ones((BATCH, STEPS, FEATURES), "float32")))
    assert len(np.unique(found[:, 0], axis=0)) == BATCH and np.all(found == found[:, :1])


def test_masks_hold_over_masked_steps():
    """Dropout and padding together: the padded steps change nothing."""
    layer = tfcells.RNN(tfcells.VariationalDropout(rhn(), state_rate=0.5, seed=1))
    again = tfcells.RNN(tfcells.VariationalDropout(layer.cell.cell, state_rate=0.5, seed=1))
    mask = np.arange(STEPS) < np.array([[STEPS], [3], [1], [4]])
    found = layer(X, mask=mask, training=True)
    spoilt = again(np.where(mask[..., None], X, 7), mask=mask, training=True)
    np.testing.assert_array_equal(found, spoilt)


class Slotless(tfcells.ElmanCell):
    """A cell whose kernels read no state."""

    slots = frozenset({"state"})


def test_a_missing_slot_raises_at_construction():
    with pytest.raises(ValueError, match=r"Slotless has no kernel slot.*Variational.*\['state'\]"):
        tfcells.VariationalDropout(Slotless(2), state_rate=0.5)
    layer = tfcells.RNN(tfcells.VariationalDropout(Slotless(2), input_rate=0.5))
    assert layer(X, training=True).shape == (BATCH, 2)
    with pytest.raises(ValueError, match="no kernel slot"):
        tfcells.VariationalDropout(tfcells.VariationalDropout(Slotless(2)), state_rate=0.5)


@pytest.mark.parametrize("rates", [{name: rate} for name, rate in RATES.items()])
def test_in_kerass_own_layer(rates):
    """It would redraw the masks at each step: so it may not train there, only predict."""
    cell = tfcells.VariationalDropout(tfcells.VariationalDropout(tfcells.LSTMCell(3), **rates))
    theirs, mine = layers.RNN(cell), tfcells.RNN(cell)
    np.testing.assert_allclose(theirs(X), mine(X), atol=1e-6)
    with pytest.raises(ValueError, match="tfcells.RNN"):
        theirs(X, training=True)
    model = keras.Sequential([theirs])
    assert model.predict(X, verbose=0).shape == (BATCH, 3)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="tfcells.RNN"):
        model.fit(X, np.zeros((BATCH, 3)), verbose=0)


def test_rate_zero_trains_in_kerass_own_layer():
    cell = tfcells.VariationalDropout(tfcells.LSTMCell(3))
    np.testing.assert_allclose(layers.RNN(cell)(X, training=True), tfcells.RNN(cell)(X), atol=1e-6)


def test_a_wrapper_in_a_wrapper():
    """Both masks act: a value is dropped by either, and scaled by both."""
    inner = tfcells.VariationalDropout(Reader(), 0.5, 0.5, seed=1)
    layer = tfcells.RNN(tfcells.VariationalDropout(inner, 0.2, 0.2, seed=2), return_sequences=True)
    inputs, first, second, carry = read(layer, np.ones((200, 2, FEATURES), "float32"))
    for mask in (inputs, first):
        np.testing.assert_allclose(np.unique(mask), [0, 2.5], rtol=1e-6)
        assert np.all(mask == mask[:, :1])
        assert abs((mask == 0).mean() - 0.6) < 0.05
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(carry, 1)


def test_in_a_stack_every_cell_has_masks_of_its_own():
    cells = [tfcells.VariationalDropout(tfcells.ElmanCell(UNITS, "linear"), output_rate=0.5) for _ in "ab"]
    layer = tfcells.RNN(cells, return_sequences=True, return_state=True)
    output, (lower,), (upper,) = layer(np.ones((BATCH, 1, FEATURES)), training=True)
    assert np.any(output == 0) and np.all(upper != 0) and np.all(lower != 0)
    kept = [np.isclose(output[:, -1], 2 * upper) | (output[:, -1] == 0)]
    assert np.all(kept)


def test_gradients_flow_through_masks(randomise):
    """As through an ordinary loop, with the same seed."""
    inner = randomise(rhn())
    found = []
    for jit_compile in (True, False):
        cell = tfcells.VariationalDropout(inner, seed=9, **RATES)
        layer = tfcells.RNN(cell, jit_compile=jit_compile, return_sequences=True)
        with tf.GradientTape() as tape:
            loss = ops.sum(ops.sin(layer(X, training=True)))
        found.append([loss, *tape.gradient(loss, layer.trainable_variables)])
    assert len(found[0]) == 6
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


# Word dropout

TOKENS = np.random.default_rng(0).integers(0, 7, (30, 40))


def test_word_dropout_drops_words():
    vectors = np.random.default_rng(1).normal(size=(30, 40, 3)).astype("float32")
    found = np.asarray(tfcells.WordDropout(7, 0.5, seed=1)([TOKENS, vectors], training=True))
    scale = found / vectors
    assert np.all(np.isclose(scale, 0) | np.isclose(scale, 2, rtol=1e-4))
    assert np.all((scale > 1) == (scale[..., :1] > 1))  # whole vectors
    kept = scale[..., 0] > 1
    draws = []
    for tokens, row in zip(TOKENS, kept):
        by_word = [np.unique(row[tokens == word]) for word in range(7)]
        assert all(len(values) <= 1 for values in by_word)  # one draw for all occurrences
        draws.append(tuple(bool(values.any()) for values in by_word))
    assert len(set(draws)) > 15  # another draw in every sequence
    assert abs(kept.mean() - 0.5) < 0.15


def test_word_dropout_draws_anew_and_only_in_training():
    layer, ones = tfcells.WordDropout(7, 0.5, seed=1), np.ones((30, 40, 1), "float32")
    first, second = (np.asarray(layer([TOKENS, ones], training=True)) for _ in "ab")
    assert np.any(first != second)
    np.testing.assert_array_equal(layer([TOKENS, ones]), ones)
    np.testing.assert_array_equal(tfcells.WordDropout(7, 0.0)([TOKENS, ones], training=True), ones)
    graph = tfcells.WordDropout(7, 0.5, seed=1)
    again = tf.function(lambda: graph([TOKENS, ones], training=True))()
    np.testing.assert_array_equal(again, first)


def test_word_dropout_passes_the_mask_on():
    tokens = keras.Input((None,), dtype="int32")
    embedded = layers.Embedding(7, 3, mask_zero=True)(tokens)
    dropped = tfcells.WordDropout(7, 1e-9)([tokens, embedded])
    assert dropped.shape == (None, None, 3)
    model = keras.Model(tokens, tfcells.RNN(tfcells.ElmanCell(2))(dropped))
    padded = np.array([[1, 2, 3, 0, 0]])
    for training in (False, True):
        found, wanted = (model(x, training=training) for x in (padded, padded[:, :3]))
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_softmax_has_its_bias_in_the_precision_of_the_weights():
    """400 equal gradients: bfloat16 would stop adding at 256."""
    layer = tfcells.Bias(dtype="mixed_bfloat16")
    x = tf.constant(0.1, shape=(2, 200, 3), dtype="bfloat16")
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = layer(x)
        total = tf.reduce_sum(logits)
    assert logits.dtype == layer.bias.dtype == "float32" and logits.shape == x.shape
    d_x, d_bias = tape.gradient(total, [x, layer.bias.value])
    np.testing.assert_array_equal(d_bias, np.full(3, 400.0))
    assert d_x.dtype == "bfloat16"


def test_word_dropout_reads_tokens_exactly_in_half_precision():
    """bfloat16 knows no 257: tokens must not be cast to it."""
    layer = tfcells.WordDropout(1000, 0.5, seed=1, dtype="mixed_bfloat16")
    tokens = np.tile(np.arange(256.0, 512.0, dtype="float32"), (4, 1))
    kept = np.asarray(layer([tokens, np.ones((4, 256, 1), "float32")], training=True)) != 0
    same = (kept[:, ::2] == kept[:, 1::2]).mean()  # neighbors are drawn apart
    assert abs(same - 0.5) < 0.1


@pytest.mark.parametrize("rate", [-0.1, 1.0, None])
def test_word_dropout_with_wrong_rates(rate):
    with pytest.raises(ValueError, match="rate must be"):
        tfcells.WordDropout(7, rate)


VECTORS = np.ones((30, 40, 3), "float32")


@pytest.mark.parametrize(
    "inputs",
    [VECTORS, VECTORS[:2], TOKENS, [VECTORS, TOKENS], [TOKENS[:, :3], VECTORS], [TOKENS, VECTORS, VECTORS]],
    ids=["vectors alone", "two of them", "tokens alone", "swapped", "other steps", "three"],
)
def test_word_dropout_without_tokens_and_vectors(inputs):
    layer = tfcells.WordDropout(7, 0.5)
    symbolic = keras.tree.map_structure(lambda x: keras.Input(batch_shape=x.shape), inputs)
    for given, training in itertools.product((inputs, symbolic), (False, True)):
        with pytest.raises(ValueError, match=r"inputs must be \[tokens, embeddings\], of shapes"):
            layer(given, training=training)


@pytest.mark.parametrize("states", [np.ones((2, 3), "float32"), [[np.ones((2, 3), "float32")]]], ids=["one", "nested"])
def test_restart_without_a_list_of_states(states):
    symbolic = keras.tree.map_structure(lambda x: keras.Input(batch_shape=x.shape), states)
    for given, training in itertools.product((states, symbolic), (False, True)):
        with pytest.raises(ValueError, match="states must be a list of tensors"):
            tfcells.Restart(0.5)(given, training=training)


@pytest.mark.parametrize("size", [0, -3, 2.5, None])
def test_word_dropout_with_wrong_vocabularies(size):
    with pytest.raises(ValueError, match="vocabulary_size must be"):
        tfcells.WordDropout(size, 0.5)


@pytest.mark.parametrize("training", [False, True])
def test_restart_leaves_counts_of_steps_exact(training):
    """In half precision 257 would be 256."""
    h, count = np.ones((400, 3), "float16"), np.full((400, 1), 257, "float32")
    states = tfcells.Restart(0.5, seed=1, dtype="mixed_float16")([h, count], training=training)
    assert [x.dtype for x in states] == ["float16", "float32"]
    assert set(np.unique(states[1])) == ({0.0, 257.0} if training else {257.0})


def test_each_trainable_initial_state_is_drawn_anew():
    for initializer in ("random_normal", keras.initializers.RandomUniform(seed=1)):
        cell = tfcells.TrainableInitialState(tfcells.LSTMCell(8), initializer)
        cell.build((None, 3))
        assert len(np.intersect1d(cell.initial_h, cell.initial_c)) == 0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
def test_symbolic_outputs_have_the_precision_of_numbers(policy):
    stack = [tfcells.KVPAttention(tfcells.LSTMCell(6), 2), tfcells.ClockworkRNNCell(4, periods=(1, 2))]
    for layer in (
        tfcells.Bias(dtype=policy),
        tfcells.RNN(tfcells.ClockworkRNNCell(4, periods=(1, 2)), return_state=True, dtype=policy),
        tfcells.RNN(stack, return_state=True, return_sequences=True, dtype=policy),
    ):
        x = np.ones((2, 3, 3), layer.compute_dtype)
        found, shown = layer(x), layer(keras.Input((3, 3), dtype=layer.compute_dtype))
        keras.tree.assert_same_structure(found, shown)
        pairs = zip(keras.tree.flatten(found), keras.tree.flatten(shown), strict=True)
        assert all(a.dtype == b.dtype and a.shape[1:] == b.shape[1:] for a, b in pairs)
    states = [keras.Input((4,), dtype="bfloat16"), keras.Input((1,), dtype="float32")]
    assert [x.dtype for x in tfcells.Restart(0.5, dtype=policy)(states)] == ["bfloat16", "float32"]
