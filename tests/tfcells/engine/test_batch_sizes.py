"""Few programs serve all batch sizes: a batch is filled up, and nobody sees it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases.runs import near
from tfcells.engine import program, recurrence
from tfcells.engine.sequences import BatchSizes, filled

pytestmark = pytest.mark.slow

CELLS = {
    "lstm": lambda: tfcells.LSTMCell(5),
    "mingru": lambda: tfcells.MinGRUCell(5),  # all steps at once
    "clockwork": lambda: tfcells.ClockworkRNNCell(6, periods=(1, 2, 3)),  # a state without units
    "zoneout": lambda: tfcells.Zoneout(tfcells.LayerNormLSTMCell(5), 0.2),
}
EACH = pytest.mark.parametrize("name", CELLS)


def made(name, **options):
    keras.utils.set_random_seed(3)
    layer = tfcells.RNN(CELLS[name](), return_sequences=True, return_state=True, **options)
    layer.build((None, None, 3))
    return layer


def numbers(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


@pytest.mark.parametrize("seed", range(3))
def test_twelve_programs_for_64_sizes(seed):
    sizes, order = BatchSizes(), np.random.default_rng(seed).permutation(64) + 1
    wanted = {int(n): sizes(int(n), False) for n in order}
    assert len(set(wanted.values())) <= 12
    assert all(size >= n for n, size in wanted.items())
    assert sizes(37, True) == 37
    assert wanted[int(order[0])] == order[0]  # who has one size pays nothing


def test_sizes_in_a_graph_are_the_same():
    sizes = BatchSizes()
    sizes.first = -1
    find = tf.function(lambda n: sizes(n, False))
    for n in [0, 1, 5, 64, 65, 100, 1000, 4_000_000, 9_000_000]:
        assert int(find(tf.constant(n))) == sizes(n, False) >= n
    assert sizes(100, False) == 112
    assert tf.function(lambda: sizes(37, False))() == 37  # the graph knows it


def test_filled():
    x = numbers(2, 3, 4)
    near([filled(tf.constant(x), 1, 5)], [x[:, [0, 1, 2, 2, 2]]])
    assert filled(tf.zeros((2, 0, 4)), 1, 0).shape == (2, 0, 4)


@EACH
def test_eager_calls(name):
    """Values and gradients of every size are those of the ordinary loop, with a mask and states of one's own."""
    layers = made(name), made(name, jit_compile=False, parallel=False)
    for batch in (5, 7, 1, 0, 5):
        x, mask = numbers(batch, 4, 3), np.arange(4) < 1 + np.arange(batch)[:, None] % 4
        results = []
        for layer in layers:
            states = [tf.constant(numbers(*s.shape)) for s in layer.get_initial_state(batch_size=batch)]
            with tf.GradientTape() as tape:
                tape.watch(states)
                found = layer(x, initial_state=states, mask=mask)
                loss = sum(tf.reduce_sum(y * numbers(*y.shape)) for y in found)
            weights = [w.value for w in layer.trainable_weights]
            results.append([*found, *tape.gradient(loss, [*states, *weights], unconnected_gradients="zero")])
        for got, wanted in zip(*results, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


@EACH
def test_predict_and_a_graph_of_any_size(name):
    layer = made(name)
    model = keras.Sequential(
        [keras.Input((None, 3)), keras.layers.Masking(), layer.__class__.from_config(layer.get_config())]
    )
    serve = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, None, 3))])
    for batch in (5, 1, 9):
        x = numbers(batch, 4, 3)
        wanted = [model(x[i : i + 1]) for i in range(batch)]
        near(serve(x), [np.concatenate(parts) for parts in zip(*wanted, strict=True)], tolerance=1e-5)
        near(model.predict(x, verbose=0), serve(x), tolerance=1e-5)


def test_other_rows_change_no_bit():
    """Whatever stands beside it, a row's numbers are the same ones."""
    layer = made("lstm")
    call = tf.function(lambda x: layer(x)[0], input_signature=[tf.TensorSpec((None, 4, 3))])
    one, other = numbers(5, 4, 3), numbers(5, 4, 3)
    other[-1] = 1e9
    np.testing.assert_array_equal(call(one)[:-1], call(other)[:-1])


@pytest.mark.parametrize("name", ["lstm", "mingru"])
def test_training_is_as_it_was(name, monkeypatch):
    """A batch that trains isn't filled up, nor is one whose size the graph knows: one size costs no more than ever."""
    fillings = []
    for module in (program, recurrence):
        monkeypatch.setattr(module, "filled", lambda x, axis, size: fillings.append(size) or filled(x, axis, size))
    layer = made(name)
    known, unknown = tf.TensorSpec((7, 4, 3)), tf.TensorSpec((None, 4, 3))
    tf.function(lambda x: layer(x, training=True), input_signature=[unknown])(numbers(7, 4, 3))
    tf.function(lambda x: layer(x, training=False), input_signature=[known])(numbers(7, 4, 3))
    layer(numbers(7, 4, 3), training=True)
    assert not fillings
    tf.function(lambda x: layer(x, training=False), input_signature=[unknown])(numbers(7, 4, 3))
    assert fillings


@pytest.mark.parametrize("wrapper", [tfcells.Attention, tfcells.LuongAttention])
def test_a_memory_is_filled_up_with_its_batch(wrapper):
    """Three units and three features of the memory: a size that says nothing of which axis is the batch's."""
    layers = [tfcells.RNN(wrapper(tfcells.GRUCell(3), 3, 3), jit_compile=jit_compile) for jit_compile in (True, False)]
    for layer in layers:
        keras.utils.set_random_seed(3)
        layer(numbers(3, 4, 3), memory=numbers(3, 2, 3))
    for batch in (3, 5, 1):
        x, memory, mask = numbers(batch, 4, 3), numbers(batch, 2, 3), np.arange(2) < 1 + np.arange(batch)[:, None] % 2
        results = []
        for layer in layers:
            given = tf.constant(memory)
            with tf.GradientTape() as tape:
                tape.watch(given)
                found = layer(x, memory=given, memory_mask=mask)
            results.append([found, *tape.gradient(found, [given, *[w.value for w in layer.trainable_weights]])])
        for got, wanted in zip(*results, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
