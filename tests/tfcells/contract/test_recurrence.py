"""Linear cells, all steps at once: equal to one step after the other, in every way it can run."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfcells
from tests.cases import CASES, WRAPPED
from tests.cases.runs import BY_NAME, FEATURES, LOOP, MASK, cosines, data, layer_of, near, oracle, pure, run
from tests.tfcells.cells.test_cells import check_one_step
from tfcells.contract.recurrence import linear, maximum, previous, rotated, scan
from tfcells.engine import along

LINEAR = [case for case in CASES if case.cell(**case.arguments).takes_all_steps]
EACH = pytest.mark.parametrize("case", LINEAR, ids=lambda case: case.name)
UNLIKE = "lru", "mlstm"  # a complex state; a matrix, a sum and a maximum
PARALLEL = {"parallel": True}


def in_graph(way):
    return lambda *tensors: tf.function(functools.partial(way), autograph=False)(*tensors)


WAYS = {
    "eager": along,
    "graph": in_graph(along),
    "plain": functools.partial(along, compile=False),
    "plain in a graph": in_graph(functools.partial(along, compile=False)),
    "any backend": scan,
}


def in_turn(kind, decay, added, state):
    """The recurrence, a step at a time."""
    found = []
    for t in range(added.shape[0]):
        a, b = decay[t], added[t]
        if kind == "complex":
            state = ops.stack(rotated(*(ops.moveaxis(part, -1, 0) for part in (a, b, state))), -1)
        else:
            state = (linear if kind == "linear" else maximum)(a, b, state)
        found.append(state)
    return ops.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["linear", "complex", "maximum"])
def test_a_recurrence(kind, way):
    """States and gradients of some lengths, also where one decay is for all steps, or for all units."""
    rng, tail = np.random.default_rng(0), (2,) * (kind == "complex")
    for steps, sizes in ((1, (1, 3, 4)), (5, (5, 3, 4)), (11, (11, 3, 1)), (11, (1, 1, 4))):
        sources = [
            tf.constant(rng.uniform(-1, 1, sizes + tail)),
            tf.constant(rng.normal(size=(steps, 3, 4, *tail))),
            tf.constant(rng.normal(size=(3, 4, *tail))),
        ]
        found = []
        for function in (WAYS[way], in_turn):
            with tf.GradientTape() as tape:
                tape.watch(sources)
                decay, added, start = sources
                decay = decay if function is not in_turn else tf.broadcast_to(decay, added.shape)
                states = function(kind, decay, added, start)
                loss = tf.reduce_sum(states * cosines([states])[0])
            found.append([states, *tape.gradient(loss, sources)])
        near(*found)


def test_a_recurrence_of_many_lengths_takes_few_programs():
    traced = []
    added = np.random.default_rng(0).normal(size=(33, 2, 7))  # a width that no other test has
    from tfcells.engine import recurrence

    for steps in range(1, 34):
        a, b = np.full((steps, 2, 7), 0.5), added[:steps]
        near(
            [along("linear", tf.constant(a), tf.constant(b), tf.zeros((2, 7), "float64"))],
            [in_turn("linear", a, b, 0.0)],
        )
        traced.append(recurrence.programs.cache_info().misses)
    assert traced[1] == traced[-1]


@EACH
@pytest.mark.parametrize("how", [{}, {"jit_compile": False}], ids=["compiled", "plain"])
def test_all_steps_at_once_are_the_oracle(case, how):
    near(run(case, PARALLEL | how), oracle(case))


def test_linear_cells():
    assert {case.cell.__name__ for case in LINEAR} == {
        *("MinGRUCell", "MinLSTMCell", "QRNNCell", "LRUCell", "RGLRUCell", "HGRNCell", "MLSTMCell")
    }


@EACH
@pytest.mark.parametrize("zeros", [False, True], ids=["held", "zeros"])
@pytest.mark.slow
def test_masked(case, zeros):
    """Values and every gradient; a state goes through masked steps as it is."""
    x, state, weights = data(case)
    sources, found = [tf.constant(a) for a in (x, *state, *weights.values())], []
    for options in (PARALLEL, LOOP):
        layer = layer_of(case, zero_output_for_mask=zeros, **options)
        with tf.GradientTape() as tape:
            tape.watch(sources)
            count = 1 + len(state)
            values = pure(layer, sources[0], sources[1:count], sources[count:], mask=MASK)
            loss = sum(tf.reduce_sum(a * b) for a, b in zip(values, cosines(values), strict=True))
        found.append([*values, *tape.gradient(loss, sources)])
    near(*found, tolerance=1e-11)
    y = np.asarray(found[0][0])
    for t in range(1, len(MASK[0])):
        before = np.zeros_like(y[:, t]) if zeros else y[:, t - 1]
        np.testing.assert_array_equal(y[~MASK[:, t], t], before[~MASK[:, t]])
    for given, final in zip(state, found[0][1:], strict=False):
        np.testing.assert_array_equal(given[3], final[3])  # nothing but padding


@EACH
def test_one_step(case):
    check_one_step(case, PARALLEL | {"jit_compile": False})


@EACH
@pytest.mark.slow
def test_reset(case):
    """States that are the cell's first ones again, where a flag says so; a masked step has none."""
    x, state, _ = data(case)
    flags, found = np.random.default_rng(4).random(MASK.shape) < 0.4, []
    assert (flags & MASK).any() and (flags & ~MASK).any()
    for options in (PARALLEL, LOOP):
        keras.utils.set_random_seed(3)
        cell = tfcells.ResetOnFlag(case.cell(**case.arguments, dtype="float64"), dtype="float64")
        layer = tfcells.RNN(cell, return_sequences=True, return_state=True, dtype="float64", **options)
        layer.build(x.shape)
        with tf.GradientTape() as tape:
            values = layer(x, initial_state=state, mask=MASK, reset=flags)
            loss = sum(tf.reduce_sum(a * b) for a, b in zip(values, cosines(values), strict=True))
        weights = [w.value for w in layer.trainable_weights]
        found.append([*values, *tape.gradient(loss, weights, unconnected_gradients="zero")])
    near(*found, tolerance=1e-11)


@EACH
@pytest.mark.slow
def test_an_unknown_batch_and_length_have_a_graph(case):
    layer, shape = layer_of(case, **PARALLEL), tf.TensorSpec((None, None, FEATURES), "float64")
    assert tf.function(lambda x: layer(x), input_signature=[shape]).get_concrete_function().structured_outputs


@pytest.mark.slow
@pytest.mark.parametrize("case", [BY_NAME[name] for name in UNLIKE], ids=UNLIKE)
def test_unknown_lengths_and_fit(case):
    """One trace takes every length, and Keras trains the weights as step by step."""
    results = []
    for parallel in (True, False):
        keras.utils.set_random_seed(3)
        cell = case.cell(**case.arguments)
        layer = tfcells.RNN(cell, parallel=parallel, return_sequences=True)
        model = keras.Sequential([keras.Input((None, FEATURES)), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=not parallel)
        for steps in (7, 3):
            rng = np.random.default_rng(steps)
            inputs = rng.normal(size=(8, steps, FEATURES)).astype("float32")
            model.fit(inputs, inputs[..., :1], batch_size=4, shuffle=False, verbose=0)
        results.append([*model.get_weights(), model.predict(inputs, verbose=0)])
    near(*results, tolerance=1e-5)


@pytest.mark.slow
def test_differentiated_twice_in_a_graph():
    """Without the compiled loop."""
    layer = tfcells.RNN(tfcells.MinGRUCell(4), jit_compile=False, dtype="float64")
    layer.build((None, None, FEATURES))
    x = np.random.default_rng(1).normal(size=(2, 5, FEATURES))

    def slopes(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tf.reduce_sum(tape.gradient(loss, x) ** 2)

    @tf.function
    def twice(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            penalty = slopes(x)
        return tape.gradient(penalty, x)

    along = np.random.default_rng(2).normal(size=x.shape)
    ends = [slopes(tf.constant(x + sign * 1e-5 * along)) for sign in (1, -1)]
    np.testing.assert_allclose((twice(tf.constant(x)) * along).numpy().sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


class Summing(tfcells.MinGRUCell):
    """Adds up: its decay is a whole number."""

    linear = True

    def step(self, x, state, w):
        h = linear(1, x[..., : self.units], state[0])
        return h, (h,)


def test_a_decay_that_is_a_whole_number():
    x = np.random.default_rng(1).normal(size=(2, 5, FEATURES)).astype("float32")
    layer = tfcells.RNN(Summing(4))
    near([layer(x)], [tfcells.RNN(layer.cell, unroll=True)(x)], tolerance=1e-6)


NO_SLOT = {"FastSlow", "Hyper", "Multiplicative", "Projection", "WeightDrop"}  # a linear cell has not what they need
AT_ONCE = {"Highway", "RecurrentDropout", "ResetOnFlag", "Residual", "TrainableInitialState", "VariationalDropout"}


def around_linear(name):
    """The row of a wrapper around a linear cell, which has no kernel for the rate of the state."""
    row, inner = WRAPPED[name], next(case for case in LINEAR if case.name == "mingru")
    given = {k: v for k, v in row.arguments.items() if k != "state_rate"}
    return dataclasses.replace(row, arguments=given).around(inner)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WRAPPED.keys() - NO_SLOT - {"ResetOnFlag"}))
def test_wrappers(name):
    """Those that need the step go step by step; the others are equal in both ways."""
    row = WRAPPED[name]

    def make():
        keras.utils.set_random_seed(5)
        arguments = {k: v for k, v in row.arguments.items() if k != "state_rate"}
        return row.wrapper(tfcells.MinGRUCell(**{"units": 5} | row.units), **arguments)

    assert make().takes_all_steps == (name in AT_ONCE)
    if name not in AT_ONCE:
        with pytest.raises(ValueError, match=f"{name} goes step by step"):
            tfcells.RNN(make(), parallel=True)
        return
    x, found = np.random.default_rng(2).normal(size=(4, 6, FEATURES)).astype("float32"), []
    for parallel in (True, False):
        layer = tfcells.RNN(make(), parallel=parallel, return_sequences=True)
        layer.build(x.shape)
        found.append([layer(x, mask=MASK, training=training) for training in (False, True)])
    near(*found, tolerance=1e-6)


def test_a_step_of_ones_own_goes_step_by_step():
    """A class that inherits `linear`, and has another step, has not said that this is linear, too."""

    class Doubled(tfcells.MinGRUCell):
        def step(self, x, state, w):
            h, state = super().step(x, state, w)
            return 2 * h, (2 * state[0],)

    layer = tfcells.RNN(Doubled(4), return_sequences=True)
    assert not layer.cell.takes_all_steps
    x = np.ones((2, 6, 3), "float32")
    near([layer(x)], [tfcells.RNN(layer.cell, jit_compile=False, return_sequences=True)(x)], tolerance=1e-6)


def test_a_state_that_is_not_known_yet_is_not_for_arithmetic():
    class Wrong(tfcells.MinGRUCell):
        linear = True

        def step(self, x, state, w):
            (h,) = state
            return h * 2, (h * 2,)

    with pytest.raises(TypeError, match="linear"):
        tfcells.RNN(Wrong(4))(np.ones((2, 6, 3), "float32"))


class Delayed(tfcells.MinGRUCell):
    """Puts out the state before each step, and keeps the last input."""

    linear = True
    states = ("h", "x")

    def step(self, x, state, w):
        h, before = state
        now = x[..., : self.units]
        new = linear(0.5, now + previous(now, before), h)
        return previous(new, h), (new, now)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_the_state_before(mask):
    x = np.random.default_rng(2).normal(size=(4, 6, FEATURES)).astype("float32")
    cell = Delayed(4)
    ways = [{"parallel": True}, {"parallel": True, "jit_compile": False}, LOOP]
    layers = [tfcells.RNN(cell, return_sequences=True, return_state=True, **way) for way in ways]
    found = [layer(x, mask=mask) for layer in layers]
    near(found[0], found[2], tolerance=1e-6)
    near(found[1], found[2], tolerance=1e-6)


@pytest.mark.parametrize("parallel", ["no", 1, None])
def test_bad_parallel(parallel):
    with pytest.raises(ValueError, match='parallel must be "auto", True or False'):
        tfcells.RNN(tfcells.MinGRUCell(4), parallel=parallel)
    for options in ({"remat": True}, {"unroll": True}):
        with pytest.raises(ValueError, match="goes step by step"):
            tfcells.RNN(tfcells.MinGRUCell(4), parallel=True, **options)
    with pytest.raises(ValueError, match="LSTMCell goes step by step"):
        tfcells.RNN([tfcells.MinGRUCell(4), tfcells.LSTMCell(4)], parallel=True)
