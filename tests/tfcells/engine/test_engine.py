"""The compiled loop: gradients as an ordinary loop's, few programs, counted products."""

import collections
import concurrent.futures
import functools
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops, tree

import tfcells
from tfcells import engine

pytestmark = pytest.mark.slow

STEPS, BATCH, FEATURES = 5, 2, 3


class Odd(tfcells.KernelCell):
    """All that a step may do: a kernel used twice, one never, one of rank 3, an integer state."""

    states = ("h", "count")
    state_size = property(lambda self: [self.units, 1])

    def build(self, input_shape):
        super().build(input_shape)
        self.declare("unused", (self.units, 2), "ones")
        self.declare("grouped", (2, self.units // 2, self.units), "glorot_uniform")
        self.declare("decay", (self.units,), "ones")

    def get_initial_state(self, batch_size=None):
        return [
            ops.zeros((batch_size, self.units), self.compute_dtype),
            ops.zeros((batch_size, 1), "int32"),
        ]

    def bind(self, call):
        w = super().bind(call)
        return w.including(inner=tfcells.Weights({"grouped": w.grouped, "decay": w.decay}))

    def inputs(self, x, w):
        return {"x": w.kernel(x) + w.bias, "sign": x[..., :1] > 0}

    def step(self, x, state, w):
        h, count = state
        a = ops.tanh(x["x"] + w.recurrent_kernel(h))
        a = ops.where(x["sign"], a, -a)
        b = w.inner.grouped(ops.reshape(a, (-1, 2, self.units // 2)))
        time = ops.cast(count, h.dtype) * 0.1
        h = ops.tanh(w.recurrent_kernel(a) + ops.sum(b, axis=1) + h * w.inner.decay + time)
        return h, (h, count + 1)


class Handing(tfcells.KernelCell):
    """A product and the slice it is added to, of which one is a new state as well."""

    states = ("h", "before")
    state_size = property(lambda self: [self.units, self.units])

    def __init__(self, units, handed, **kwargs):
        super().__init__(units, **kwargs)
        self.handed = handed

    def step(self, x, state, w):
        h, before = state
        y = w.recurrent_kernel(h)
        h = ops.tanh(x + y)
        return h + 0.5 * before, (h, {"product": y, "slice": x}[self.handed])


CELLS = {
    "lstm": lambda: tfcells.LSTMCell(3),
    "rhn": lambda: tfcells.RHNCell(3, depth=2),
    "hyper": lambda: tfcells.HyperLSTMCell(3, hyper_units=2, embedding_units=2),
    "stack": lambda: [tfcells.GRUCell(3, reset_after=False), tfcells.ElmanCell(2)],
    "odd": lambda: Odd(4),
    "product": lambda: Handing(3, "product"),
    "slice": lambda: Handing(3, "slice"),
}


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def pairs(randomise):
    """By name and dtype: the compiled layer and the ordinary loop, around one and the same cell."""

    @functools.cache
    def make(name, dtype="float64", remat=False):
        options = {"return_sequences": True, "return_state": True, "dtype": dtype}
        fast = tfcells.RNN(CELLS[name](), jit_compile=True, remat=remat, **options)
        fast.build((None, None, FEATURES))
        slow = tfcells.RNN(randomise(fast).cell, jit_compile=False, **options)
        slow.build((None, None, FEATURES))
        return fast, slow

    return make


def arguments(layer, steps=STEPS, batch=BATCH):
    """A sequence, a mask and a random initial state (the integer one not zero either)."""
    x = tf.constant(numbers(batch, steps, FEATURES), layer.compute_dtype)
    own = layer.get_initial_state(batch)
    drawn = [numbers(*s.shape, seed=2 + i) for i, s in enumerate(tree.flatten(own))]
    state = [tf.cast(2 * d, s.dtype) for d, s in zip(drawn, tree.flatten(own))]
    mask = np.ones((batch, steps), bool)
    mask[0, -1:] = mask[1, 1:2] = steps == 1
    return x, state, tf.constant(mask)


def objective(layer, x, state, mask):
    """A loss of all outputs and of the final states, with unequal weights."""
    results = [r for r in tree.flatten(layer(x, initial_state=state, mask=mask)) if r.dtype.is_floating]
    weights = [tf.cos(tf.range(tf.size(r), dtype=r.dtype)) for r in results]
    return sum(tf.reduce_sum(tf.reshape(r, [-1]) * w) for r, w in zip(results, weights))


def sources(layer, x, state):
    return [
        x,
        *(s for s in state if s.dtype.is_floating),
        *(w.value for w in layer.trainable_weights),
    ]


def gradients(layer, x, state, mask):
    """The loss and all its gradients; an unused weight's may be None."""
    with tf.GradientTape() as tape:
        tape.watch([x, *state])
        loss = objective(layer, x, state, mask)
    return [loss, *tape.gradient(loss, sources(layer, x, state), unconnected_gradients="zero")]


def assert_equal(found, wanted, tolerance=1e-12):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(b).max())


@pytest.mark.parametrize(
    "name, masked",
    [("rhn", False), ("stack", True), ("odd", False), ("product", False), ("slice", False)],
)
def test_gradients_in_eager_mode(pairs, name, masked):
    """Those of each cell, under a mask, are in tests/tfcells/cells/test_cells.py."""
    fast, slow = pairs(name)
    x, state, mask = arguments(fast)
    mask = mask if masked else None
    wanted = gradients(slow, x, state, mask)
    idle = [g for g in wanted if np.abs(g).max() < 1e-3]
    assert [g.shape for g in idle] == ([(4, 2)] if name == "odd" else [])  # all else has a gradient
    assert_equal(gradients(fast, x, state, mask), wanted)


def test_gradients_in_single_precision(pairs):
    fast, slow = pairs("rhn", "float32")
    given = arguments(fast)
    assert_equal(gradients(fast, *given), gradients(slow, *given), 1e-5)


@pytest.mark.parametrize("name, xla", [("stack", False), ("odd", False), ("rhn", True), ("odd", True)])
def test_gradients_in_a_function(pairs, name, xla):
    fast, slow = pairs(name)
    given = arguments(fast)
    found = tf.function(lambda *given: gradients(fast, *given), jit_compile=xla)(*given)
    assert_equal(found, gradients(slow, *given))


@pytest.mark.parametrize("name, steps", [("stack", 7), ("odd", 7), ("odd", 1)])
def test_rematerialized(pairs, name, steps):
    """The last stride is shorter than the others, or there is but one step."""
    fast, slow = pairs(name, remat=True)
    given = arguments(fast, steps)
    wanted = gradients(slow, *given)
    assert_equal(gradients(fast, *given), wanted)
    assert_equal(tf.function(lambda *given: gradients(fast, *given))(*given), wanted)


@pytest.mark.parametrize("remat", [False, True])
def test_what_is_rematerialized_is_never_there_for_all_steps(remat):
    """Nothing has more numbers than the inputs or outputs of all steps; unless it is to be remembered."""
    layer = tfcells.RNN(tfcells.LSTMCell(5), return_sequences=True, remat=remat)
    x = tf.constant(numbers(3, 64, 5).astype("float32"))

    def function(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, [x, *layer.trainable_variables])

    graph = tf.function(function).get_concrete_function(x).graph
    sizes = [x.shape.num_elements() for op in graph.get_operations() for x in op.outputs]
    largest = max(size for size in sizes if size)
    assert largest == 64 * 3 * 5 if remat else largest >= 64 * 3 * 20


def for_any_batch(function, x, state, steps):
    """A graph of a function of x, state and mask, for so many steps, or for any if that is None."""
    signature = [
        tf.TensorSpec([None, steps, FEATURES], x.dtype),
        [tf.TensorSpec([None, s.shape[-1]], s.dtype) for s in state],
        tf.TensorSpec([None, steps], tf.bool),
    ]
    return tf.function(function, input_signature=signature)


@pytest.mark.parametrize("name, remat", [("rhn", False), ("odd", True)])
def test_products_turned_round(pairs, monkeypatch, name, remat):
    """As large kernels' are: rows as they are and filled up, their number known or not."""
    for bound in ("LARGE", "VERY_LARGE", "MANY"):
        monkeypatch.setattr(engine.products, bound, 1)
    fast, slow = pairs(name, remat=remat)
    x, state, mask = arguments(fast)
    function = for_any_batch(lambda *given: gradients(fast, *given), x, state, STEPS)
    for batch in (10, 17):
        given = arguments(fast, STEPS, batch)
        wanted = gradients(slow, *given)
        assert_equal(gradients(fast, *given), wanted)
        assert_equal(function(*given), wanted)


@pytest.mark.parametrize(
    "options, steps", [({}, 5), ({}, 1), ({"remat": True}, 5), ({"jit_compile": False}, 5), ({"unroll": True}, 5)]
)
def test_sequences_of_whole_numbers(options, steps):
    layer, dense = tfcells.RNN(tfcells.GRUCell(3), **options), tfcells.Dense(3)
    x = np.arange(2 * steps * 4).reshape(2, steps, 4) % 3
    for each in (layer, dense):
        wanted = each(x.astype("float32"))
        assert_equal([each(x), tf.function(each)(x)], [wanted, wanted], 1e-6)


@pytest.fixture
def by_xla(monkeypatch):
    """Have XLA multiply by transposed matrices, however small; the shapes of what it multiplied."""
    monkeypatch.setattr(engine.products, "WORTH", 1)
    found, product = [], engine.products.compiled_by_transposed()

    def noted(d, matrix):
        found.append((d.shape[0], *matrix.shape))
        return product(d, matrix)

    monkeypatch.setattr(engine.products, "compiled_by_transposed", lambda: noted)
    anew = type(engine.products.in_graph)(engine.products.in_graph.forward, engine.products.back)
    monkeypatch.setattr(engine.products, "in_graph", anew)  # nothing traced before
    return found


@pytest.mark.cpu
@pytest.mark.parametrize("xla", [False, True])
def test_products_of_the_input_go_back_by_xla(pairs, by_xla, xla):
    """In a graph that knows the rows: eagerly each length would be compiled."""
    fast, slow = pairs("rhn")
    given = arguments(fast)
    wanted = gradients(slow, *given)
    assert_equal(gradients(fast, *given), wanted)
    assert not by_xla
    assert_equal(tf.function(lambda *g: gradients(fast, *g), jit_compile=xla)(*given), wanted)
    assert by_xla and all(shape[1:] == fast.cell.kernel.shape for shape in by_xla)


@pytest.mark.cpu
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}])
@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3)])
def test_dense_is_that_of_keras(by_xla, randomise, options, shape):
    mine = tfcells.Dense(5, dtype="float64", **options)
    keras_own = keras.layers.Dense(5, dtype="float64", **options)
    x = tf.constant(numbers(*shape))
    mine(x), keras_own(x)
    randomise(mine)
    keras_own.set_weights(mine.get_weights())

    def gradients(layer, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return [y, *tape.gradient(y, [x, *(w.value for w in layer.trainable_weights)], tf.cos(y))]

    wanted = gradients(keras_own, x)
    assert_equal(gradients(mine, x), wanted)
    assert_equal(tf.function(lambda x: gradients(mine, x))(x), wanted)
    assert by_xla == [(np.prod(shape[:-1]), 3, 5)]


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4)])
def test_a_product_turned_round_is_that_product(shape):
    x, matrix = numbers(*shape), numbers(4, 5, seed=2)
    factor = engine.products.Turned(tf.constant(matrix.T))
    found = tf.function(engine.products.times, jit_compile=True)(tf.constant(x), factor)
    assert_equal([found], [x @ matrix])


@pytest.mark.cpu
def test_which_products_are_turned_round():
    """Back, those of large kernels; forward, those of very large ones if there are many steps."""

    def turned(units, steps):
        graph = graph_of(tfcells.RNN(tfcells.ElmanCell(units, recurrent_initializer="zeros")), steps)
        return [
            sum(node.op == "XlaOptimizationBarrier" for node in loop_body(graph, way))
            for way in ("forward", "backward")
        ]

    assert turned(724, 16) == [0, 0]
    assert turned(725, 16) == [0, 1]
    assert turned(2048, 16) == [1, 1]
    assert turned(2048, 15) == [0, 1]


@pytest.mark.parametrize("remat", [False, True])
def test_unknown_batch_and_length(pairs, remat):
    """One trace serves all; the true length, not the padded one, counts."""
    fast, slow = pairs("odd", remat=remat)
    x, state, mask = arguments(fast)
    function = for_any_batch(lambda *given: gradients(fast, *given), x, state, None)
    for steps in (STEPS, 1, 8):
        x, state, mask = arguments(fast, steps)
        assert_equal(function(x, state, mask), gradients(slow, x, state, mask))
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("remat", [False, True])
def test_unknown_batch_and_length_in_xla(pairs, remat):
    fast, slow = pairs("rhn", remat=remat)
    x, state, _ = arguments(fast)
    signature = [
        tf.TensorSpec([None, None, FEATURES], x.dtype),
        [tf.TensorSpec([None, 3], x.dtype)],
    ]
    function = tf.function(
        lambda x, state: gradients(fast, x, state, None),
        input_signature=signature,
        jit_compile=True,
    )
    assert_equal(function(x, state), gradients(slow, x, state, None))


def test_persistent_and_two_tapes(pairs):
    fast, slow = pairs("rhn")
    x, state, _ = arguments(fast)

    def run(layer):
        with tf.GradientTape() as first, tf.GradientTape(persistent=True) as second:
            for tape in (first, second):
                tape.watch([x, *state])
            outputs, final = layer(x, initial_state=state)
            a, b = tf.reduce_sum(outputs**2), tf.reduce_sum(tf.sin(final))
        wanted = sources(layer, x, state)
        return [
            *second.gradient(a, wanted),
            *second.gradient(b, wanted),
            *first.gradient(a, wanted),
        ]

    assert_equal(run(fast), run(slow))


def test_nested_tapes_without_second_order(pairs):
    """An inner gradient, used as a number, inside another tape that differentiates the loss."""
    fast, slow = pairs("rhn")
    x, state, _ = arguments(fast)

    def run(layer):
        wanted = sources(layer, x, state)
        with tf.GradientTape() as outer:
            outer.watch([x, *state])
            with tf.GradientTape() as inner:
                inner.watch([x, *state])
                loss = objective(layer, x, state, None)
            inside = inner.gradient(loss, wanted)
            loss = loss * tf.stop_gradient(tf.norm(inside[0])) + loss**2
        return inside + outer.gradient(loss, wanted)

    assert_equal(run(fast), run(slow))


def test_jacobian(pairs):
    fast, slow = pairs("rhn")
    x, state, _ = arguments(fast)

    def run(layer, **options):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            _, final = layer(x, initial_state=state)
        return tape.jacobian(final, [x, *(w.value for w in layer.trainable_weights)], **options)

    assert_equal(run(fast), run(slow, experimental_use_pfor=False))


@pytest.mark.parametrize("jit", [False, True])
def test_fit_learns_the_same_weights(randomise, jit):
    x = numbers(12, STEPS, FEATURES).astype("float32")
    x[3, 2:] = 0
    y = numbers(12, 3, seed=3)
    learnt = []
    for compiled in (True, False):
        inner = tfcells.RNN(tfcells.RHNCell(3, depth=2), jit_compile=compiled)
        model = keras.Sequential([keras.Input((None, FEATURES)), keras.layers.Masking(), inner])
        randomise(model)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", jit_compile=jit)
        before = model.get_weights()
        model.fit(x, y, batch_size=6, epochs=2, shuffle=False, verbose=0)
        learnt.append(model.get_weights())
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(learnt[0], before))
    assert_equal(*learnt, 1e-5)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_differentiating_twice_raises(pairs, graph):
    fast, _ = pairs("lstm")
    x, state, _ = arguments(fast)

    def twice(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = objective(fast, x, state, None)
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(penalty, x)

    with pytest.raises(NotImplementedError, match="jit_compile=False"):
        (tf.function(twice) if graph else twice)(x)


def test_forward_mode_raises(pairs):
    fast, _ = pairs("lstm")
    x, state, _ = arguments(fast)
    with pytest.raises(NotImplementedError, match="forward mode use .*jit_compile=False"):
        with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)):
            objective(fast, x, state, None)


@pytest.mark.parametrize("name", ["lstm", "rhn"])
def test_the_ordinary_loop_is_differentiated_twice(pairs, name):
    _, slow = pairs(name)
    x, state, _ = arguments(slow)
    direction = tf.constant(numbers(*x.shape, seed=5))

    def first(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = objective(slow, x, state, None)
        return tape.gradient(loss, x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = tf.reduce_sum(first(x) * direction)
    step = 1e-5
    wanted = (first(x + step * direction) - first(x - step * direction)) / (2 * step)
    assert np.abs(wanted).max() > 1e-2
    assert_equal([tape.gradient(slope, x)], [wanted], 1e-7)


SEED = keras.random.SeedGenerator(0)
OUTSIDE = tf.Variable(2.0)


class ReadsVariable(tfcells.ElmanCell):
    """Reads a trainable variable that its step was not given; constants are in test_steps.py."""

    extra = staticmethod(lambda: OUTSIDE)

    def step(self, x, state, w):
        output, state = super().step(x, state, w)
        return output * self.extra(), state


class DrawsSeeded(ReadsVariable):
    extra = staticmethod(lambda: keras.random.uniform((), seed=SEED))


class Draws(ReadsVariable):
    extra = staticmethod(lambda: tf.random.uniform(()))


@pytest.mark.parametrize("cell", [ReadsVariable, DrawsSeeded, Draws])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_a_step_that_was_not_given_what_it_reads(cell, graph):
    layer = tfcells.RNN(cell(3))
    layer.build((BATCH, STEPS, FEATURES))
    call = tf.function(lambda x: layer(x)) if graph else layer
    with pytest.raises(ValueError, match="declare"):
        call(tf.ones((BATCH, STEPS, FEATURES)))


class Forgetful(tfcells.LSTMCell):
    """A step that returns fewer states than it was given."""

    def step(self, x, state, w):
        output, (h, _) = super().step(x, state, w)
        return output, (h,)


def test_a_step_that_loses_a_state():
    with pytest.raises(ValueError, match="2 new states.*got 1"):
        tfcells.RNN(Forgetful(3))(np.ones((BATCH, STEPS, FEATURES)))


def program(layer):
    (found,) = layer.programs.values()
    return found


def scaling(factor):
    def activation(x):
        return factor * x

    return activation


def test_equal_layers_share_a_program():
    x = numbers(BATCH, STEPS, FEATURES)
    base = {"units": 3, "depth": 2}
    first = tfcells.RNN(tfcells.RHNCell(**base, name="one"))
    equal = [
        tfcells.RNN(tfcells.RHNCell(**base, name="two"), return_sequences=True, go_backwards=True),
        tfcells.RNN(tfcells.RHNCell(**base), stateful=True, jit_compile=True),
    ]
    others = [
        tfcells.RNN(tfcells.RHNCell(3, depth=3)),
        tfcells.RNN(tfcells.RHNCell(**base, coupled=False)),
        tfcells.RNN(tfcells.RHNCell(**base, activation="sigmoid")),
        tfcells.RNN(tfcells.RHNCell(**base), dtype="float64"),
        tfcells.RNN(tfcells.RHNCell(**base), dtype="mixed_bfloat16"),
        tfcells.RNN(tfcells.VariationalDropout(tfcells.RHNCell(**base), state_rate=0.5)),
    ]
    for layer in [first, *equal, *others]:
        tf.function(lambda x, layer=layer: layer(x)).get_concrete_function(x)  # traced, not compiled
    assert all(program(layer) is program(first) for layer in equal)
    assert len({id(program(layer)) for layer in [first, *others]}) == 1 + len(others)
    assert program(first) in engine.Program.shared.values()


def test_activations_of_one_name_are_not_one(randomise):
    """Functions that serialize alike may still differ."""
    x = numbers(BATCH, STEPS, FEATURES)
    for factor in (1.0, 3.0):
        layer = tfcells.RNN(tfcells.ElmanCell(3, activation=scaling(factor)), dtype="float64")
        layer.build(x.shape)
        randomise(layer)
        found = layer(x)
        assert_equal([found], [keras.layers.RNN(layer.cell, dtype="float64")(x)])
        if factor == 1:
            kept = layer  # noqa: F841 - its program lives on


class Joined(tfcells.ElmanCell):
    """An output that is as wide as input and state together."""

    output_size = property(lambda self: self.units + self.features)

    def build(self, input_shape):
        super().build(input_shape)
        self.features = input_shape[-1]

    def inputs(self, x, w):
        return x, super().inputs(x, w)

    def step(self, x, state, w):
        output, state = super().step(x[1], state, w)
        return ops.concatenate([x[0], output], -1), state


def test_equal_cells_of_unequal_widths():
    kept = tfcells.RNN(Joined(3))
    assert kept(np.ones((2, 4, 1))).shape == (2, 4)
    assert tfcells.RNN(Joined(3))(np.ones((2, 4, 5))).shape == (2, 8)


def test_fifty_lengths_make_few_programs(randomise):
    layer = tfcells.RNN(tfcells.ElmanCell(2), jit_compile=True)
    layer.build((1, None, 2))
    randomise(layer)
    slow = tfcells.RNN(layer.cell, jit_compile=False)
    lengths = np.random.default_rng(0).integers(1, 129, 50)
    assert len(set(lengths)) > 30
    x = numbers(1, 128, 2).astype("float32")
    for i, length in enumerate(lengths):
        found = layer(x[:, :length])
        if i % 10 == 0:
            assert_equal([found], [slow(x[:, :length])], 1e-5)
    assert program(layer).way.forward_loop.experimental_get_tracing_count() <= 8


@pytest.mark.parametrize("remat", [False, True])
def test_fifty_lengths_make_few_programs_in_a_graph(remat):
    """There XLA compiles anew for every padded size, or stride, that it meets."""
    layer = tfcells.RNN(tfcells.LSTMCell(2), remat=remat)
    layer(np.ones((1, 4, 3)))

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 3])])
    def padded(x):
        [found], steps, _ = program(layer).padded([x])
        size = tf.shape(found)[0]
        return program(layer).way.stride(size) if remat else size, steps, found

    sizes = set()
    for length in np.random.default_rng(0).integers(1, 129, 50):
        size, steps, x = padded(np.ones((length, 2, 3), "float32"))
        assert steps == length <= len(x)
        assert size <= length <= size**2 if remat else length <= size == len(x)
        assert np.all(x[:length] == 1) and np.all(x[length:] == 0)
        sizes.add(int(size))
    assert len(sizes) <= 8


def graph_of(layer, steps=STEPS, backward=True):
    """The graph of the loss and of its gradient by the first state, never run."""
    x, state, _ = arguments(layer, steps)

    def function(x, state):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state[0])
            loss = objective(layer, x, state, None)
        return tape.gradient(loss, state[0]) if backward else loss

    return tf.function(function).get_concrete_function(x, state).graph.as_graph_def()


def test_graphs_do_not_grow_with_the_steps(pairs):
    def nodes(steps):
        graph = graph_of(pairs("stack")[0], steps)
        return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)

    assert nodes(1000) == nodes(20000)  # below 1000 elements TensorFlow makes constants of zeros


def products(nodes):
    return sum(n.op in ("MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum") for n in nodes)


def loop_body(graph, name):
    """The nodes of the body of the one loop in the function of that name."""
    functions = {f.signature.name: f.node_def for f in graph.library.function}
    named = [nodes for key, nodes in functions.items() if key.startswith(f"__inference_{name}_")]
    (loop,) = [node for nodes in named for node in nodes if node.op in ("While", "StatelessWhile")]
    return functions[loop.attr["body"].func.name]


@pytest.mark.parametrize("name, uses", [("lstm", 1), ("rhn", 2), ("hyper", 5), ("odd", 3)])
def test_products_are_replayed_and_weight_gradients_are_single(pairs, name, uses):
    """One product a use of a kernel: forward, backward (dy @ kernel^T), and for the weights."""
    layer, _ = pairs(name)
    graph = graph_of(layer)
    assert products(loop_body(graph, "forward")) == uses
    assert products(loop_body(graph, "backward")) == uses
    named = [f.node_def for f in graph.library.function if f.signature.name.startswith("__inference_backward_")]
    assert sum(map(products, named)) == uses


def test_a_program_outlives_its_layers_but_not_for_good(monkeypatch):
    monkeypatch.setattr(engine.Program, "recent", collections.OrderedDict())
    monkeypatch.setattr("tfcells.engine.program.KEPT", 2)

    def use(units):
        layer = tfcells.RNN(tfcells.ElmanCell(units))
        layer(np.ones((BATCH, STEPS, FEATURES)))
        return layer, weakref.ref(program(layer)), weakref.ref(layer), weakref.ref(layer.cell)

    layer, first, *parts = use(6)
    del layer
    gc.collect()
    assert [ref() for ref in parts] == [None, None]
    layer, again, *parts = use(6)
    assert again() is first()
    del layer
    for units in (7, 8):
        use(units)
    gc.collect()
    assert [ref() for ref in (first, *parts)] == [None] * 3


def test_a_program_of_a_dead_layer_trains_the_next(randomise):
    """Its backward pass is traced by a layer that was not there when it was made."""

    def make(**options):
        layer = tfcells.RNN(tfcells.ElmanCell(7), dtype="float64", return_state=True, **options)
        layer.build((BATCH, STEPS, FEATURES))
        randomise(layer)
        return layer

    layer, slow = make(), make(jit_compile=False)
    x, state, _ = arguments(layer)
    layer(x)
    first = weakref.ref(program(layer))
    del layer
    gc.collect()
    layer = make()
    assert_equal(gradients(layer, x, state, None), gradients(slow, x, state, None))
    assert program(layer) is first() and first().way.forward_loop.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "cell, policy", [(tfcells.HyperLSTMCell(2, hyper_units=3), "float32"), (tfcells.ElmanCell(3), "mixed_float16")]
)
def test_a_call_in_a_graph_shares_the_eager_calls_program(cell, policy):
    """Also where what the step reads is made of a weight: a tensor of another class in a graph."""
    layer = tfcells.RNN(cell, dtype=policy)
    x = tf.ones((BATCH, STEPS, FEATURES))
    layer(x)
    tf.function(lambda x: layer(x)).get_concrete_function(x)
    assert len(layer.programs) == 1


def test_many_eager_layers_are_no_retracing(caplog):
    """TensorFlow takes five traces of one function for a mistake of its user's."""
    tf.get_logger().propagate, before = True, tf.get_logger().propagate
    for units in range(11, 17):
        tfcells.RNN(tfcells.ElmanCell(units))(tf.ones((BATCH, STEPS, FEATURES)))
    tf.get_logger().propagate = before
    assert not [text for text in caplog.messages if "retracing" in text]


def test_threads_share_an_eager_layer(randomise):
    layer = tfcells.RNN(tfcells.LSTMCell(5), dtype="float64", return_state=True)
    layer.build((None, None, FEATURES))
    randomise(layer)
    slow = tfcells.RNN(layer.cell, dtype="float64", return_state=True, jit_compile=False)
    given = [(tf.constant(numbers(BATCH, s, FEATURES, seed=s)), arguments(layer)[1], None)
             for s in (3, 4, 6, 3, 4, 6)]  # fmt: skip
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda g: gradients(layer, *g), given))
    for got, args in zip(found, given):
        assert_equal(got, gradients(slow, *args))


@pytest.mark.parametrize("compiled", ["auto", False])
def test_an_integer_state_is_never_cast(compiled):
    """300 steps are counted under bfloat16, which knows no 257."""
    layer = tfcells.RNN(Odd(4), dtype="mixed_bfloat16", return_state=True, jit_compile=compiled)
    output, _, count = layer(np.ones((1, 300, FEATURES)))
    assert count.dtype == tf.int32 and count.numpy().item() == 300
    assert output.dtype == tf.bfloat16


def test_vector_gradients_are_summed_in_single_precision(randomise):
    """400 equal terms: bfloat16 would stop adding at 256."""

    class Sum(tfcells.ElmanCell):
        def step(self, x, state, w):
            h = 0 * w.recurrent_kernel(state[0]) + x * 0 + w.bias
            return h, (h,)

    layer = tfcells.RNN(Sum(2), dtype="mixed_bfloat16", return_sequences=True)
    layer.build((1, None, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(np.ones((1, 400, 2))), "float32"))
    found = tape.gradient(loss, layer.cell.bias.value)
    assert np.allclose(found, 400, rtol=0.01)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_an_activation_that_is_a_layer_in_half_precision(policy):
    """It casts what it is given."""
    layer = tfcells.RNN(tfcells.LSTMCell(4, activation=keras.layers.LeakyReLU(dtype=policy)), dtype=policy)
    x = numbers(BATCH, 5, FEATURES).astype("float32")
    found, wanted = layer(x), tfcells.RNN(layer.cell, dtype=policy, jit_compile=False)(x)
    assert found.dtype == layer.compute_dtype
    np.testing.assert_allclose(tf.cast(found, "float32"), tf.cast(wanted, "float32"), atol=0.05)


@pytest.mark.cpu
@pytest.mark.parametrize(
    "make, policy, remat",
    [
        (lambda: tfcells.HyperLSTMCell(4, 3, 2), "mixed_bfloat16", False),
        (lambda: tfcells.ClockworkRNNCell(4, (1, 2)), "mixed_float16", True),
    ],
    ids=["hyper", "clockwork, remat"],
)
def test_a_loop_in_half_precision_is_one_of_float32(randomise, make, policy, remat):
    """On a CPU; what comes out is in the policy's dtype, the weights' gradients in float32."""
    x, mask, cell = numbers(BATCH, 30, FEATURES), np.arange(30) < np.array([[30], [11]]), make()
    half = tfcells.RNN(cell, dtype=policy, remat=remat, return_state=True)
    half.build(x.shape)
    randomise(half)
    wide = tfcells.RNN(type(cell).from_config(cell.get_config() | {"dtype": "float32"}))
    wide.build(x.shape)
    wide.set_weights([np.float32(tf.cast(w, half.compute_dtype)) for w in half.get_weights()])
    found = []
    for layer in (half, wide):
        with tf.GradientTape() as tape:
            output, *_ = tree.flatten(layer(np.float32(x), mask=mask))
            loss = tf.reduce_sum(tf.cast(output, "float32") ** 2)
        found.append([output, *tape.gradient(loss, [w.value for w in layer.trainable_weights])])
    (program,) = half.programs.values()
    assert {site.y.dtype for site in program.step.sites} == {tf.float32}
    assert found[0][0].dtype == half.compute_dtype
    for got, wanted in zip(*found, strict=True):
        apart = tf.norm(tf.cast(got, "float32") - wanted) / tf.norm(wanted)
        assert apart < 0.05, apart
