"""The gradient of the compiled loop, wherever a user may ask for it: right, or refused."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tfcells.engine.differentiated import Differentiated

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")


@pytest.fixture(scope="module")
def layers():
    """The same layer with the compiled loop and with the ordinary one."""
    fast = tfcells.RNN(tfcells.LSTMCell(4), jit_compile=True)
    fast.build((None, None, 3))
    return fast, tfcells.RNN(fast.cell, jit_compile=False)


def gradients(layer, output_of, x=X):
    """The gradients of inputs and weights for a loss of what `output_of` makes of the layer and the inputs."""
    x, weights = tf.constant(x), [w.value for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.sin(output_of(layer, x)))
    return tape.gradient(loss, [x, *weights])


def cond(layer, x):
    return tf.cond(tf.reduce_sum(x) < 1e9, lambda: layer(x), lambda: tf.zeros((2, 4)))


def keras_cond(layer, x):
    return keras.ops.cond(keras.ops.sum(x) < 1e9, lambda: layer(x), lambda: keras.ops.zeros((2, 4)))


def switch_case(layer, x):
    return tf.switch_case(tf.cast(tf.reduce_sum(x) < 1e9, "int32"), [lambda: tf.zeros((2, 4)), lambda: layer(x)])


def if_of_autograph(layer, x):
    if tf.reduce_sum(x) < 1e9:
        y = layer(x)
    else:
        y = tf.zeros((2, 4))
    return y


def while_loop(layer, x):
    total = tf.zeros((2, 4))
    for i in tf.range(3):
        total += layer(x * tf.cast(i + 1, x.dtype))
    return total


def branch_in_a_loop(layer, x):
    total = tf.zeros((2, 4))
    for i in tf.range(3):
        if i > 0:
            total += layer(x * tf.cast(i, x.dtype))
    return total


def called_twice(layer, x):
    return layer(x) + layer(2 * x)


@pytest.mark.parametrize(
    "way", [cond, keras_cond, switch_case, if_of_autograph, while_loop, branch_in_a_loop, called_twice]
)
def test_gradients_in_a_graph(layers, way):
    fast, slow = (tf.function(lambda layer=layer: gradients(layer, way))() for layer in layers)
    for found, wanted in zip(fast, slow, strict=True):
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_two_tapes_of_which_neither_is_differentiated_twice(layers):
    dense = keras.layers.Dense(2)
    dense.build((None, 4))

    @tf.function
    def both(layer):
        with tf.GradientTape() as one, tf.GradientTape() as other:
            y = dense(layer(X))
            loss, penalty = tf.reduce_sum(y**2), tf.reduce_sum(y)
        weights = [w.value for w in layer.trainable_weights]
        return *one.gradient(loss, weights), *other.gradient(penalty, weights)

    for found, wanted in zip(*map(both, layers), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("pfor", [True, False])
def test_jacobians(layers, pfor):
    def jacobian(layer):
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.jacobian(y, x, experimental_use_pfor=pfor)

    found, wanted = (tf.function(lambda layer=layer: jacobian(layer))() for layer in layers)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_transformation_that_loses_the_gradient_raises(layers):
    """That of TensorFlow, which `keras.ops.vectorized_map` is."""
    fast, slow = layers

    def by_row(layer, x):
        return tf.vectorized_map(lambda row: layer(row[None])[0], x)

    with pytest.raises(LookupError, match="jit_compile=False"):
        gradients(fast, by_row)
    found = gradients(slow, by_row)
    for a, b in zip(found, gradients(slow, lambda layer, x: layer(x)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_module_is_saved_after_a_call_without_gradients(tmp_path):
    """Keras gives every layer attributes while it is saved; the gradient is traced after that."""

    class Server(tf.Module):
        def __init__(self):
            self.layer = tfcells.RNN(tfcells.ElmanCell(4, activation="softsign"), jit_compile=True)

        @tf.function(input_signature=[tf.TensorSpec((2, 5, 3))])
        def serve(self, x):
            return self.layer(x)

    server = Server()
    wanted = server.serve(tf.constant(X))
    tf.saved_model.save(server, tmp_path)
    again = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(again.serve(tf.constant(X)), wanted, atol=1e-6)


def test_a_module_that_trains_is_saved_and_trains_on(layers, tmp_path):
    class Trainer(tf.Module):
        def __init__(self):
            self.layer = tfcells.RNN(tfcells.LSTMCell(4), jit_compile=True)
            self.layer.build((2, 5, 3))
            self.variables_ = [w.value for w in self.layer.trainable_weights]

        @tf.function(input_signature=[tf.TensorSpec((2, 5, 3))])
        def train(self, x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(self.layer(x) ** 2)
            for variable, gradient in zip(self.variables_, tape.gradient(loss, self.variables_)):
                variable.assign_sub(0.1 * gradient)
            return loss

    trainer = Trainer()
    trainer.train(X)
    tf.saved_model.save(trainer, tmp_path)
    again = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose([again.train(X) for _ in range(3)], [trainer.train(X) for _ in range(3)], rtol=1e-5)


@pytest.mark.parametrize("use", ["train_on_batch", "predict_on_batch"])
def test_a_dropped_model_is_freed_though_its_twin_lives(use):
    def make():
        layers = [keras.layers.Embedding(9, 3), tfcells.RNN(tfcells.LSTMCell(3)), tfcells.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("sgd", "mse")
        given = [np.ones((2, 4)), np.ones((2, 1))][: 2 if use == "train_on_batch" else 1]
        getattr(model, use)(*given)
        return model

    twin, model = make(), make()
    parts = [model, *model.layers, model.layers[1].cell, *(w.value.handle for w in model.weights)]
    dead = [weakref.ref(part) for part in parts]
    del model, parts
    keras.backend.clear_session()
    gc.collect()
    assert [ref() for ref in dead] == [None] * len(dead)
    assert twin.built


def test_a_function_and_its_gradient():
    function = Differentiated(lambda a, b: ([a * b], {"a": a}), lambda d, kept, t: [d[0] * t[1], d[0] * kept["a"]])

    def both(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            (y,) = function(a, b)
            loss = tf.reduce_sum(y**2)
        return y, *tape.gradient(loss, [a, b])

    a, b = tf.constant([2.0, 3.0]), tf.constant([5.0, 7.0])
    for way in (both, tf.function(both)):
        y, da, db = way(a, b)
        np.testing.assert_allclose(y, a * b)
        np.testing.assert_allclose(da, 2 * a * b * b)
        np.testing.assert_allclose(db, 2 * a * a * b)


class Shifted(tfcells.ElmanCell):
    """Adds an array, an argument that has no value to compare by."""

    def __init__(self, units, shift, **kwargs):
        super().__init__(units, **kwargs)
        self.shift = shift

    def step(self, x, state, w):
        h = w.recurrent_kernel(state[0]) * 0 + self.shift
        return h, (h,)


def test_an_object_never_takes_the_place_of_a_dead_one():
    """Programs outlive their cells, and an id is used again."""
    for number in range(3):
        layer = tfcells.RNN(Shifted(2, np.full(2, number, "float32")), jit_compile=True)
        layer.build((2, 5, 3))

        @tf.function
        def train(layer=layer):
            with tf.GradientTape() as tape:
                y = layer(X)
            return y, tape.gradient(y, [w.value for w in layer.trainable_weights], unconnected_gradients="zero")

        np.testing.assert_array_equal(train()[0], np.full((2, 2), number))
        del layer, train
        gc.collect()


def test_a_bound_method_as_activation_keeps_nothing_alive():
    class Owner:
        def activation(self, x):
            return tf.tanh(x)

    owner = Owner()
    layer = tfcells.RNN(tfcells.ElmanCell(2, activation=owner.activation), jit_compile=True)
    layer.build((2, 5, 3))
    tf.function(lambda layer=layer: gradients(layer, lambda layer, x: layer(x)))()
    dead = weakref.ref(owner)
    del owner, layer
    gc.collect()
    assert dead() is None


def test_a_tape_keeps_the_layer_until_it_is_asked():
    layer = tfcells.RNN(tfcells.ElmanCell(7), jit_compile=True)
    layer.build((2, 5, 3))
    weights = [w.value for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X))
    del layer
    gc.collect()
    assert all(np.abs(g).max() > 0 for g in tape.gradient(loss, weights))


@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("options", [{}, {"remat": True}], ids=["compiled", "remat"])
def test_forward_mode_is_refused(options, in_graph):
    layer = tfcells.RNN(tfcells.LSTMCell(4), **options)

    def forward():
        x = tf.constant(X)
        with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
            y = layer(x)
        return forward.jvp(y)

    with pytest.raises(NotImplementedError, match="differentiated once"):
        (tf.function(forward) if in_graph else forward)()
