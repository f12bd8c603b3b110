"""What a mask hides may be anything: values and gradients are those with zeros there, bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases.runs import BY_NAME, LOOP, MASK, cosines, data, layer_of, pure
from tests.tfcells.cells.test_cells import SOME, hiding
from tests.tfcells.contract.test_recurrence import AT_ONCE, LINEAR, around_linear
from tests.tfcells.wrappers.test_wrapped import LSTM as WRAPPED

X = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
HIDDEN = [np.nan, np.inf, -3e38]


def all_of(case, options, value, dtype="float64"):
    """Outputs, final states, and the gradients of inputs, states and weights."""
    x, state, weights = data(case)
    sources = [tf.constant(a, dtype) for a in (hiding(x, MASK, value), *state, *weights.values())]
    layer = layer_of(case, dtype, **options)
    for generator in (w for w in layer.variables if "seed" in w.path):
        generator.assign(np.ones(generator.shape))
    with tf.GradientTape() as tape:
        tape.watch(sources)
        count = 1 + len(state)
        found = pure(layer, sources[0], sources[1:count], sources[count:], mask=MASK, **case.given)
        loss = sum(tf.reduce_sum(a * b.astype(dtype)) for a, b in zip(found, cosines(found), strict=True))
    return [*found, *tape.gradient(loss, sources)]


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "case", [*SOME, WRAPPED["Attention-lstm"], WRAPPED["Residual-lstm"]], ids=lambda case: case.name
)
def test_in_the_loop(case):
    """What is hidden is zeros before the cell gets it; NaN are there in all cells' own tests of masks, too."""
    same(all_of(case, LOOP, np.nan), all_of(case, LOOP, 0.0))


@pytest.mark.parametrize("case", [*LINEAR, *map(around_linear, sorted(AT_ONCE))], ids=lambda case: case.name)
def test_at_once(case):
    options = {"parallel": True, "jit_compile": False}
    same(all_of(case, options, np.nan), all_of(case, options, 0.0))


OPTIONS = {
    "loop": {},
    "unrolled": {"unroll": True},
    "zero output": {"zero_output_for_mask": True},
    "backwards": {"go_backwards": True},
    "stateful": {"stateful": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.slow
def test_with_options_of_the_layer(options):
    for case in SOME:
        wanted = all_of(case, LOOP | options, 0.0)
        for value in HIDDEN:
            same(all_of(case, LOOP | options, value), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name, options", [("lstm", {}), ("clockwork", {"remat": True})])
def test_in_the_compiled_loop(name, options):
    case = BY_NAME[name]
    same(all_of(case, options, np.nan), all_of(case, options, 0.0))


def step_of(model, x, *more):
    """What a model gives and the gradients of its weights."""
    with tf.GradientTape() as tape:
        y = model([x, *more] if more else x)
        loss = tf.reduce_sum(tf.sin(y))
    return [y, *tape.gradient(loss, [w.value for w in model.trainable_weights])]


class Masked(keras.layers.Layer):
    """Passes x on with the mask of the tests."""

    def call(self, x):
        return x

    def compute_mask(self, x, previous):
        return tf.constant(MASK)


LAYERS = {
    "stack": lambda: [tfcells.RNN([tfcells.LSTMCell(4), tfcells.GRUCell(3)], **LOOP)],
    "bidirectional": lambda: [keras.layers.Bidirectional(tfcells.RNN(tfcells.LSTMCell(4), **LOOP))],
    "a cell of Keras": lambda: [tfcells.RNN(keras.layers.LSTMCell(4))],
    "regularized": lambda: [
        tfcells.RNN(
            tfcells.LayerNormLSTMCell(4),
            return_sequences=True,
            activity_regularizer=tfcells.TemporalActivationRegularizer(2.0),
            **LOOP,
        )
    ],
}


@pytest.mark.parametrize("name", LAYERS)
def test_in_layers(name):
    model = keras.Sequential([keras.Input(X.shape[1:]), Masked(), *LAYERS[name]()])
    for value in HIDDEN:
        same(step_of(model, hiding(X, MASK, value)), step_of(model, hiding(X, MASK, 0.0)))


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_after_word_dropout(rate):
    words = tfcells.WordDropout(9, rate, seed=1)
    layer = tfcells.RNN(tfcells.LSTMCell(4), **LOOP)
    tokens = np.random.default_rng(0).integers(0, 9, X.shape[:2])
    found = []
    for value in (np.nan, 0.0):
        x = tf.constant(hiding(X, MASK, value))
        words.generator.state.assign([1, 2])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(words([tokens, x], training=True), mask=MASK)
        found.append([y, *tape.gradient(y, [x, *(w.value for w in layer.trainable_weights)])])
    np.testing.assert_array_equal(found[0][0], found[1][0])
    for a, b in zip(found[0][2:], found[1][2:], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mask", ["some rows", "all rows of a sample"])
def test_in_a_memory(mask):
    shown = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [1, 0, 1]], bool)
    if mask != "some rows":
        shown[1] = False
    layer = tfcells.RNN(tfcells.Attention(tfcells.GRUCell(4), attention_units=2, memory_features=2), **LOOP)
    memory = np.random.default_rng(1).normal(size=(4, 3, 2)).astype("float32")
    found = []
    for value in (*HIDDEN, 0.0):
        m = tf.constant(hiding(memory, shown, value))
        with tf.GradientTape() as tape:
            tape.watch(m)
            y = layer(X, memory=m, memory_mask=shown)
            weights = layer.cell.alignment(tf.ones((4, 2, 4)), m, shown)
        found.append([y, weights, *tape.gradient([y, weights], [m, *(w.value for w in layer.trainable_weights)])])
    for each in found[:-1]:
        same(each, found[-1])


@pytest.mark.slow
def test_one_step_of_training_is_that_with_zeros():
    models = [
        keras.Sequential(
            [
                keras.Input(X.shape[1:]),
                Masked(),
                tfcells.RNN(tfcells.LSTMCell(4), return_sequences=True),
                tfcells.Dense(1),
            ]
        )
        for _ in range(2)
    ]
    models[1].set_weights(models[0].get_weights())
    for model, value in zip(models, (np.nan, 0.0), strict=True):
        model.compile("sgd", "mse")
        model.fit(hiding(X, MASK, value), X[..., :1], shuffle=False, verbose=0)
    same(models[0].get_weights(), models[1].get_weights())
