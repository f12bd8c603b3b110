"""What the step of a cell may call besides `keras.ops`: what that of a cell of Keras may, in every mode."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tfcells.contract.recurrence import linear

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
SCALE = tf.constant([0.5, 1.0, -1.0, 2.0])
COUNT = tf.Variable(2.0, trainable=False)
LOOP = {"jit_compile": False}
MODES = {"compiled": {}, "loop": LOOP, "unrolled": {"unroll": True}, "remat": {"remat": True}}
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


def printed(a):
    tf.print(tf.reduce_sum(a), output_stream="file:///dev/null")
    return tf.tanh(a)


def asserted(a):
    tf.debugging.assert_less(a, tf.cast(1e3, a.dtype))
    return tf.tanh(a)


def checked(a):
    return tf.tanh(tf.debugging.check_numerics(a, "a"))


def in_numpy(a, stateful=True):
    @tf.custom_gradient
    def function(a):
        y = tf.numpy_function(np.tanh, [a], a.dtype, stateful=stateful)
        y.set_shape(a.shape)
        return y, lambda dy: dy * (1 - tf.tanh(a) ** 2)

    return function(a)


def in_a_function(a):
    return tf.function(printed)(a)


RUN_BY_XLA = {
    "a constant": (lambda a: tf.tanh(a * SCALE), lambda a: np.tanh(a * SCALE.numpy())),
    "an array": (lambda a: tf.tanh(a * SCALE.numpy()), lambda a: np.tanh(a * SCALE.numpy())),
    "a variable that is not trained": (lambda a: tf.tanh(a * COUNT), lambda a: np.tanh(a * 2)),
}
FOREIGN = {
    "print": printed,
    "assert": asserted,
    "check_numerics": checked,
    "numpy_function": in_numpy,
    "numpy_function without state": functools.partial(in_numpy, stateful=False),
    "print in a function": in_a_function,
}


def results(layer, x=X):
    """The outputs and the gradients of inputs and weights."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.sin(y))
    return [y, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])]


def layer_with(activation, mode):
    layer = tfcells.RNN(tfcells.ElmanCell(4, activation=activation), **MODES[mode])
    layer.build(X.shape)
    return layer


def near(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@EVERY_MODE
@pytest.mark.parametrize("name", RUN_BY_XLA)
def test_constants_are_passed_in(name, mode):
    activation, plain = RUN_BY_XLA[name]
    layer = layer_with(activation, mode)
    with warnings.catch_warnings(action="error"):
        found = results(layer)
        near(tf.function(lambda: results(layer))(), found)
    W, U, b = layer.get_weights()
    h = np.zeros((2, 4))
    for t in range(5):
        h = plain(X[:, t] @ W + h @ U + b)
    near(found[:1], [h])
    ordinary = tfcells.RNN(layer.cell, jit_compile=False)
    near(found, results(ordinary))


@pytest.mark.parametrize(
    "name, mode, dtype",
    [
        *((name, mode, "float32") for name in FOREIGN for mode in ("compiled", "remat")),
        *(("print", mode, "float32") for mode in ("loop", "unrolled")),
        *((name, "compiled", "mixed_bfloat16") for name in FOREIGN if "numpy" not in name),  # which has no bfloat16
    ],
)
def test_what_xla_cant_run_takes_the_ordinary_loop(name, mode, dtype):
    layer = tfcells.RNN(tfcells.ElmanCell(4, activation=FOREIGN[name]), dtype=dtype, **MODES[mode])
    wanted = tfcells.RNN(tfcells.ElmanCell(4), dtype=dtype, **LOOP)
    wanted.build(X.shape)
    layer.build(X.shape)
    layer.set_weights(wanted.get_weights())
    if mode in ("compiled", "remat"):
        with pytest.warns(UserWarning, match="ElmanCell.step does what the compiled loop can't .*ordinary loop"):
            found = results(layer)
    else:
        found = results(layer)
    with warnings.catch_warnings(action="ignore"):
        again = tf.function(lambda: results(layer))()
    expected = results(wanted)
    for each in (found, again):
        for a, b in zip(each, expected, strict=True):
            np.testing.assert_allclose(tf.cast(a, "float32"), tf.cast(b, "float32"), atol=1e-5)


@EVERY_MODE
def test_an_assertion_is_heard(mode):
    with warnings.catch_warnings(action="ignore"), pytest.raises(tf.errors.InvalidArgumentError):
        layer_with(asserted, mode)(1e6 * X)


class Trained(keras.layers.Layer):
    """An activation that is trained, as PReLU."""

    def build(self, shape):
        self.slope = self.add_weight((shape[-1],), "ones", name="slope")

    def call(self, x):
        return x * self.slope


@pytest.mark.parametrize("mode", ["compiled", "loop", "remat"])
@pytest.mark.parametrize(
    "activation, name",
    [
        (keras.layers.PReLU(), "alpha"),
        (Trained(), "slope"),
        (lambda a: keras.ops.tanh(a + keras.random.normal((4,))), "Normal"),
        (lambda a: tf.tanh(a) * tf.random.uniform((4,)), "RandomUniform"),
        (tf.function(lambda a: tf.tanh(a) * tf.random.uniform((4,))), "RandomUniform"),
        (keras.layers.GaussianNoise(0.1, seed=1), None),
    ],
    ids=["prelu", "trained", "keras.random", "tf.random", "tf.random in a function", "noise outside training"],
)
def test_only_a_trained_tensor_or_a_draw_is_refused(activation, name, mode):
    layer = tfcells.RNN(tfcells.ElmanCell(4, activation=activation), **MODES[mode])
    if name is None:
        assert layer(X).shape == (2, 4)
    else:
        with pytest.raises(ValueError, match=f"(?s)step uses more than it was given .*{name}.*: declare a weight"):
            layer(X)


def test_a_captured_tensor_that_a_tape_watches_is_refused_if_it_would_lose_its_gradient():
    scale = tf.constant([0.5, 1.0, -1.0, 2.0])
    fast = layer_with(lambda a: tf.tanh(a * scale), "compiled")
    slow = tfcells.RNN(fast.cell, jit_compile=False)
    near([fast(X)], [slow(X)])
    with tf.GradientTape() as tape:
        tape.watch(scale)
        y = slow(X)
    assert np.abs(tape.gradient(y, scale)).max() > 0
    for function in (lambda f: f, tf.function):

        def asked():
            with tf.GradientTape() as tape:
                tape.watch(scale)
                return tape.gradient(fast(X), scale)

        with pytest.raises(ValueError, match="uses a tensor that it was not given, and that a tape watches"):
            function(asked)()


def gradients(layer):
    """Of all weights."""
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(X) ** 2)
    return tape.gradient(y, [w.value for w in layer.trainable_variables])


class Turning(tfcells.ElmanCell):
    """Keeps a complex state."""

    states = ("h", "z")

    def state_dtype(self, name):
        return "complex64" if name == "z" else super().state_dtype(name)

    def step(self, x, state, w):
        h, z = state
        z = tf.complex(0.0, 0.9) * z + tf.cast(x + w.recurrent_kernel(h), z.dtype)
        h = tf.tanh(tf.math.real(z) + tf.math.imag(z))
        return h, (h, z)


class TurningAtOnce(tfcells.Cell):
    states, linear, units, state_size, output_size = ("z",), True, 3, [3], 3

    def zeros(self, batch_size, sizes):
        return [tf.zeros((batch_size, 3), "complex64")]

    def step(self, x, state, w):
        z = linear(tf.fill(tf.shape(x), tf.complex(0.0, 0.9)), tf.cast(x, "complex64"), state[0])
        return tf.math.real(z), (z,)


def test_complex_states_run_where_they_get_their_gradient():
    slow = tfcells.RNN(Turning(4), jit_compile=False)
    slow(X)
    with pytest.warns(UserWarning, match="gradients of complex numbers.*: it runs in the ordinary loop"):
        near(*(gradients(layer) for layer in (tfcells.RNN(slow.cell), slow)))
    assert tfcells.RNN(TurningAtOnce(), jit_compile=False, parallel=False)(X).shape == (2, 3)
    for jit_compile in (False, True):
        with pytest.raises(ValueError, match="states of a linear cell must be no complex numbers"):
            tfcells.RNN(TurningAtOnce(), jit_compile=jit_compile)(X)


class Energy(tfcells.ElmanCell):
    """A step down an energy, whose gradient multiplies by the recurrent kernel, too."""

    def step(self, x, state, w):
        (h,) = state
        with tf.GradientTape() as tape:
            tape.watch(h)
            e = tf.reduce_sum(tf.nn.softplus(x + w.recurrent_kernel(h)))
        h = h - 0.1 * tape.gradient(e, h)
        return h, (h,)


def test_a_step_that_differentiates_its_own_products_loses_no_part_of_a_gradient():
    slow = tfcells.RNN(Energy(4), jit_compile=False)
    slow(X)
    with pytest.warns(UserWarning, match="gradients of its own products.*: it runs in the ordinary loop"):
        near(*(gradients(layer) for layer in (tfcells.RNN(slow.cell), slow)))


class PerGate(tfcells.Wrapper):
    """What kernels give, by the number of gates that each has."""

    def step(self, x, state, w):
        def scaled(kernel):
            return kernel.using(lambda v: kernel(v) / kernel.blocks) if kernel.reads else kernel

        return super().step(x, state, w.including(cell=w.cell.map_kernels(scaled)))


def test_a_wrapper_knows_how_many_gates_a_kernel_has():
    fast = tfcells.RNN(PerGate(tfcells.LSTMCell(4)))
    near([fast(X)], [tfcells.RNN(fast.cell, jit_compile=False)(X)])
    assert np.abs(fast(X) - tfcells.RNN(fast.cell.cell)(X)).max() > 1e-4


def test_a_tensor_of_the_function_around_keeps_its_gradient():
    """No tape in there watches an argument, and one outside may."""

    def gradient(layer, square):
        @tf.function
        def function(x, scale):
            layer.cell.activation = lambda a: tf.tanh(a * (scale**2 if square else scale))
            return layer(x)

        with tf.GradientTape() as tape:
            scale = tf.constant([0.5, 1.0, -1.0, 2.0])
            tape.watch(scale)
            y = function(X, scale)
        return tape.gradient(y, scale)

    slow = tfcells.RNN(tfcells.ElmanCell(4), jit_compile=False)
    slow(X)
    fast = tfcells.RNN(slow.cell)
    for square in (False, True):
        with pytest.warns(
            UserWarning, match="gradients of tensors of the function around it.*: it runs in the ordinary"
        ):
            near([gradient(fast, square)], [gradient(slow, square)])


# Tools that add to every operation.


@pytest.fixture(params=["check_numerics", "dump_debug_info"])
def tool(request, tmp_path):
    if request.param == "check_numerics":
        tf.debugging.enable_check_numerics()
        yield request.param
        tf.debugging.disable_check_numerics()
    else:
        tf.debugging.experimental.enable_dump_debug_info(str(tmp_path), "CURT_HEALTH")
        yield request.param
        tf.debugging.experimental.disable_dump_debug_info()


@pytest.mark.parametrize("mode", ["compiled", "remat"])
def test_debugging_tools(tool, mode):
    """In a loop that would be compiled without the tool, and in `fit`."""
    layer = tfcells.RNN(tfcells.VariationalDropout(tfcells.LayerNormElmanCell(4), state_rate=0.1), **MODES[mode])
    x = X[:, :2]
    with warnings.catch_warnings(action="ignore"):
        found = results(layer, x)
        near(tf.function(lambda: results(layer, x))(), found)
        model = keras.Sequential([layer, tfcells.Dense(2)])
        model.compile("sgd", "mse")
        model.fit(x, np.ones((2, 2)), verbose=0)


def test_a_layer_is_compiled_again_when_the_tool_is_gone():
    layer = layer_with("tanh", "compiled")
    wanted = results(layer)
    tf.debugging.enable_check_numerics()
    try:
        with pytest.warns(UserWarning, match="a debugging tool"):
            near(results(layer), wanted)
        with pytest.raises(tf.errors.InvalidArgumentError, match="NaN|Inf"), warnings.catch_warnings(action="ignore"):
            layer(np.full_like(X, np.nan))
    finally:
        tf.debugging.disable_check_numerics()
    with warnings.catch_warnings(action="error"):
        near(results(layer), wanted)
        near(tf.function(lambda: results(layer))(), wanted)
