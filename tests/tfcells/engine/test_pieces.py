"""A batch in pieces: the numbers and gradients of the whole, whether the graph knows its size or not."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops, tree

import tfcells
from tests.cases.runs import near
from tfcells.engine import Program, pieces
from tfcells.engine.differentiated import Differentiated

pytestmark = pytest.mark.slow

ROWS, STEPS = 8, 4
CELLS = {
    "lstm": lambda: tfcells.LSTMCell(5),
    "stack": lambda: [tfcells.GRUCell(5), tfcells.ElmanCell(3)],
    "clockwork": lambda: tfcells.ClockworkRNNCell(6, periods=(1, 2, 3)),  # a state without units
    "noise by step": lambda: tfcells.RecurrentDropout(tfcells.LSTMCell(5), 0.5, seed=1),
    "noise by row": lambda: tfcells.RecurrentDropout(tfcells.LSTMCell(5), 0.5, per_sequence=True, seed=1),
    "masks of kernels": lambda: tfcells.VariationalDropout(tfcells.LSTMCell(5), 0.5, 0.5, 0.5, seed=1),
    "masks of gates": lambda: tfcells.VariationalDropout(tfcells.LayerNormLSTMCell(5), state_rate=0.5, per_gate=True),
    "zoneout": lambda: tfcells.Zoneout(tfcells.GRUCell(5), 0.5, seed=1),
    "memory": lambda: tfcells.Attention(tfcells.GRUCell(5), 3, 2),
    "reset": lambda: tfcells.ResetOnFlag(tfcells.LSTMCell(5)),
}


class Mixing(tfcells.KernelCell):
    """Its rows know of each other, as in batch normalization."""

    def step(self, x, state, w):
        a = x + w.recurrent_kernel(state[0])
        h = self.activation(a - ops.mean(a, axis=0, keepdims=True))
        return h, (h,)


class Undeclared(tfcells.KernelCell):
    """It doesn't say that its noise has a row for each sample."""

    def bind(self, call):
        return super().bind(call).including(noise=ops.ones((call.batch, self.units)) + ops.cast(call.batch, "float32"))

    def step(self, x, state, w):
        h = self.activation(x + w.recurrent_kernel(state[0]) * w.noise)
        return h, (h,)


@pytest.fixture(autouse=True)
def called(monkeypatch):
    """Five rows are many; how many rows each call of a program has."""
    rows, call = [], Differentiated.__call__

    def counted(self, *tensors, **options):
        if tensors[0].shape.rank == 0:  # the steps: no product of the inputs
            rows.append(tensors[1].shape[1])
        return call(self, *tensors, **options)

    monkeypatch.setattr(Differentiated, "__call__", counted)
    monkeypatch.setattr(pieces, "ENOUGH", 1)
    monkeypatch.setattr(pieces, "LEAST", 5)
    monkeypatch.setattr(Program, "shared", type(Program.shared)())
    return rows


def numbers(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def found(make, way, rows=ROWS, **options):
    """Outputs, final states and every gradient of a masked batch that trains. way: "known", "unknown" or "eager"."""
    keras.utils.set_random_seed(3)
    layer = tfcells.RNN(make(), return_sequences=True, return_state=True, **options)
    layer.build((None, None, 3))
    for weight in layer.trainable_weights:
        weight.assign_add(0.3 * numbers(*weight.shape))
    more = {"mask": np.arange(STEPS) < 1 + np.arange(rows)[:, None] % STEPS}
    if getattr(layer.cell, "attends", False):
        more |= {"memory": numbers(rows, 3, 2), "memory_mask": np.arange(3) < 1 + np.arange(rows)[:, None] % 3}
    if getattr(layer.cell, "reset_by_flag", False):
        more["reset"] = np.arange(rows * STEPS).reshape(rows, STEPS) % 3 == 1
    own = tree.flatten(layer.get_initial_state(batch_size=rows))
    given = [numbers(rows, STEPS, 3), more, [numbers(*state.shape) for state in own]]

    def compute(x, more, states):
        state = tree.pack_sequence_as(layer.get_initial_state(batch_size=rows), states)
        sources = [x, *states, *(more[name] for name in more if name == "memory")]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            results = tree.flatten(layer(x, state, training=True, **more))
            loss = tf.add_n([tf.reduce_sum(y * y) for y in results])
        sources += [weight.value for weight in layer.trainable_weights]
        return [*results, *tape.gradient(loss, sources, unconnected_gradients="zero")]

    given = tree.map_structure(tf.constant, given)
    if way == "eager":
        return compute(*given)
    sizes = tree.map_structure(
        lambda x: tf.TensorSpec([x.shape[0] if way == "known" else None, *x.shape[1:]], x.dtype), given
    )
    return tf.function(compute, input_signature=sizes)(*given)


@pytest.mark.parametrize("name", CELLS)
def test_pieces_are_the_whole(name, called):
    wanted = found(CELLS[name], "eager", jit_compile=False)
    assert not called
    near(found(CELLS[name], "known"), wanted, tolerance=1e-5)
    assert set(called) == {4}


@pytest.mark.parametrize("name, rows", [("lstm", 7), ("lstm", 2), ("memory", 7), ("masks of kernels", 7)])
def test_pieces_of_an_unknown_batch(name, rows, called):
    """Of an odd number: the pieces have three rows and four."""
    wanted = found(CELLS[name], "eager", rows, jit_compile=False)
    near(found(CELLS[name], "unknown", rows), wanted, tolerance=1e-5)
    assert set(called) == {None}


def test_eager_calls_have_the_same_bits(called):
    """Which cores there are, and who calls, changes nothing."""
    for mine, other in zip(*(found(CELLS["lstm"], way) for way in ("eager", "known")), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert called == [4, 4, 4, 4]


@pytest.mark.parametrize("make", [lambda: Mixing(5), lambda: Undeclared(5)], ids=["mixing", "undeclared"])
def test_a_batch_that_must_stay_whole(make, called):
    wanted = found(make, "eager", jit_compile=False)
    near(found(make, "known"), wanted, tolerance=1e-5)
    assert called == [ROWS]
    near(found(make, "unknown"), wanted, tolerance=1e-5)
    assert called == [ROWS, None]


def test_a_row_for_each_sample_that_is_not_declared_at_inference():
    """A batch that is filled up would have more rows than that."""
    layer = tfcells.RNN(Undeclared(5))
    for rows in (20, 21, 52):
        x = numbers(rows, STEPS, 3)
        near([layer(x)], [tfcells.RNN(layer.cell, jit_compile=False)(x)], tolerance=1e-5)


def test_few_rows_and_strides_stay_whole(called):
    found(CELLS["lstm"], "known", 4)
    found(CELLS["lstm"], "known", remat=True)
    assert called == [4, ROWS]


def test_sizes_decide():
    """Of an LSTM; rows from which it is cut, by units."""
    least: dict = {}
    for units in (8, 200, 1024):
        layer = tfcells.RNN(tfcells.LSTMCell(units))
        tf.function(layer).get_concrete_function(tf.TensorSpec((2, 3, 1)))
        [program] = layer.programs.values()
        least[units] = program.way.least_rows
    assert least == {8: 5, 200: 5, 1024: None}
