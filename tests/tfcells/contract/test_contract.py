"""A cell that is wrong says so in a sentence, whoever runs it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfcells
from tests.cases import CASES
from tests.cases.runs import BATCH, FEATURES, MASK, data, layer_of, near, pure
from tfcells.contract.linear import whole

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
WAYS = {
    "compiled": tfcells.RNN,
    "loop": lambda cell: tfcells.RNN(cell, jit_compile=False),
    "unrolled": lambda cell: tfcells.RNN(cell, unroll=True),
    "remat": lambda cell: tfcells.RNN(cell, remat=True),
    "keras RNN": keras.layers.RNN,
}
EVERY_WAY = pytest.mark.parametrize("layer", WAYS.values(), ids=WAYS)


class Leaky(tfcells.InputCell):
    """A right cell of two states, from which the wrong ones differ in one thing."""

    states = ("h", "m")

    def step(self, x, state, w):
        h, m = state
        h = 0.5 * h + x
        return h, (h, m + h)


def wrong(name, step):
    """A cell whose step gives `step` of the right output and new states."""
    return type(name, (Leaky,), {"step": lambda self, x, state, w: step(*Leaky.step(self, x, state, w))})


@EVERY_WAY
def test_the_right_cell_runs(layer):
    assert layer(Leaky(5))(X).shape == (2, 5)


# What the step returns.

STEPS = {
    "a bare tensor": (lambda y, new: y, r"must return \(output, new states\), got a tensor"),
    "three things": (lambda y, new: (y, *new), r"must return \(output, new states\), got 3 things"),
    "nothing": (lambda y, new: None, r"must return \(output, new states\), got None"),
    "too few states": (lambda y, new: (y, new[:1]), "must return 2 new states, a tuple; got 1"),
    "too many states": (lambda y, new: (y, (*new, y)), "must return 2 new states, a tuple; got 3"),
    "a bare state": (lambda y, new: (y, new[0]), "must return 2 new states, a tuple; got a bare tensor"),
    "a shape": (
        lambda y, new: (y, (new[0], new[1][:, :2])),
        r"the state 'm' must stay float32 of shape \(.*, 5\), got float32 of shape \(.*, 2\)",
    ),
    "a dtype": (
        lambda y, new: (y, (new[0], ops.cast(new[1], "float64"))),
        "the state 'm' must stay float32 of shape .*, got float64",
    ),
    "an output too narrow": (lambda y, new: (y[..., :2], new), r"the output must have 5 features, .* 2\)"),
    "an output too wide": (lambda y, new: (ops.tile(y, (1, 2)), new), r"the output must have 5 features, .* 10\)"),
    "an output of a number": (lambda y, new: (0.0, new), r"the output must have 5 features, .* got shape \(\)"),
    "a number": (lambda y, new: (y, (new[0], 0.0)), "the state 'm' must be a tensor, got 0.0"),
}


@pytest.mark.parametrize("way", [way for way in WAYS if way != "keras RNN"])
def test_a_state_that_comes_from_the_input_alone(way):
    """The batch size is known of the initial states, and not of the input; Keras's own loop refuses that."""

    class Last(Leaky):
        def step(self, x, state, w):
            return x, (x, 2 * x)

    run = WAYS[way](Last(5))
    states = [ops.zeros((2, 5)), ops.zeros((2, 5))]
    signature = tf.TensorSpec((None, 3, 4), "float32")
    found = tf.function(lambda x: run(x, initial_state=states), input_signature=[signature])(X)
    np.testing.assert_allclose(found, run(X), rtol=1e-6)


@EVERY_WAY
@pytest.mark.parametrize("fault", STEPS)
def test_a_step_that_returns_something_else(fault, layer):
    step, message = STEPS[fault]
    cell = wrong("Wrong", step)
    with pytest.raises(ValueError, match=f"Wrong.step.*{message}"):
        layer(cell(5))(X)


AROUND = {
    "VariationalDropout": lambda cell: tfcells.VariationalDropout(cell, output_rate=0.1),
    "RecurrentDropout": lambda cell: tfcells.RecurrentDropout(cell, 0.1),
    "Zoneout": lambda cell: tfcells.Zoneout(cell, 0.1),
    "Clip": lambda cell: tfcells.Clip(cell, 1.0),
    "Mogrifier": tfcells.Mogrifier,
    "TrainableInitialState": tfcells.TrainableInitialState,
}


@pytest.mark.parametrize("wrapper", AROUND)
@pytest.mark.parametrize("fault", STEPS)
def test_the_cell_inside_a_wrapper_is_the_one_named(fault, wrapper):
    step, message = STEPS[fault]
    cell = AROUND[wrapper](wrong("Wrong", step)(5))
    with pytest.raises(ValueError, match=f"Wrong.step.*{message}"):
        tfcells.RNN(cell, jit_compile=False)(X)


@EVERY_WAY
def test_an_input_that_is_multiplied_twice(layer):
    """It would be silent where there are as many features as columns of the kernel."""

    class Twice(tfcells.KernelCell):
        def step(self, x, state, w):
            h = w.kernel(x) + w.recurrent_kernel(state[0])
            return h, (h,)

    with pytest.raises(TypeError, match=r"Twice.step: x is W x \+ b already"):
        layer(Twice(4))(X)


# What a class lacks, or has from version 1.


def test_a_cell_without_a_step():
    class Stepless(tfcells.InputCell):
        pass

    with pytest.raises(TypeError, match=r"Stepless has no step\(x, state, w\)"):
        Stepless(3)


def test_a_cell_with_the_call_of_keras_alone():
    class Calls(tfcells.Cell):
        units = 3

        def call(self, inputs, states):
            return inputs, states

    with pytest.raises(TypeError, match=r"Calls has no step.*keras.layers.Layer, and tfcells.RNN runs it"):
        Calls()


def test_a_call_beside_a_step():
    """Which `tfcells.RNN` would never run."""

    class Halved(tfcells.LSTMCell):
        def call(self, inputs, states, training=False):
            y, states = super().call(inputs, states, training)
            return y / 2, states

    with pytest.raises(TypeError, match=r"Halved: override step\(x, state, w\)"):
        Halved(3)


@pytest.mark.parametrize("kind, given", [(tfcells.ClockworkRNNCell, {"periods": (1, 2)}), (tfcells.PhasedLSTMCell, {})])
def test_keras_counts_no_steps_in_half_precision(kind, given):
    """bfloat16 ends at 256."""
    cell = kind(4, **given, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="half precision is too coarse: run it in tfcells.RNN"):
        keras.layers.RNN(cell, dtype="mixed_bfloat16")(X)
    assert tfcells.RNN(cell, dtype="mixed_bfloat16", jit_compile=False)(X).shape == (2, 4)


def test_a_layer_with_the_call_of_keras_runs_in_the_loop_of_keras():
    class Calls(keras.layers.Layer):
        state_size = output_size = 4

        def call(self, inputs, states):
            return inputs + states[0], [inputs + states[0]]

    np.testing.assert_allclose(tfcells.RNN(Calls())(X), X.sum(1), rtol=1e-6)


def test_prepare_is_version_1():
    with pytest.raises(TypeError) as caught:

        class Old(tfcells.KernelCell):
            def prepare(self, sequence, training):
                return sequence

    message = str(caught.value)
    assert message.startswith("Old.prepare is version 1 of the contract.")
    for form in ("self.add_kernel(", "def inputs(self, x, w)", "return w.kernel(x) + w.bias", "def step("):
        assert form in message


# Names of weights.

TAKEN = ["update", "cell", "map", "get", "items", "moments", "at", "leaves", "including"]


@EVERY_WAY
@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_means_something_else(name, layer):
    class Named(Leaky):
        def build(self, input_shape):
            super().build(input_shape)
            self.add_vector(name, 5, "ones")

    with pytest.raises(ValueError, match=f"Named: a weight can't be named {name!r}; w has that"):
        layer(Named(5))(X)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", TAKEN)
def test_views_and_biases_have_such_names_neither(name, use_bias):
    class Biased(Leaky):
        def build(self, input_shape):
            self.add_bias((5,), name)

    class Seen(Leaky):
        def build(self, input_shape):
            self.add_kernel((4, 5), views={name: tfcells.View()})

    for cell in (Biased, Seen):
        with pytest.raises(ValueError, match=f"a weight can't be named {name!r}"):
            cell(5, use_bias=use_bias).build((None, 4))


@pytest.mark.parametrize("name", [name for name in TAKEN if name != "cell"])
def test_a_wrapper_may_not_add_such_names(name):
    """Except for "cell", by which it changes the weights of its cell."""
    for add in (tfcells.Weights().including, tfcells.Weights().along):
        with pytest.raises(ValueError, match=f"no weights can be named {name!r}"):
            add(**{name: 0})


def test_a_weight_that_is_not_there():
    class Typo(Leaky):
        def step(self, x, state, w):
            return super().step(x + w.peephole, state, w)

    with pytest.raises(AttributeError, match="these weights have no 'peephole'; they have .*'bias'"):
        tfcells.RNN(Typo(5))(X)


# A wrapper's build.


@EVERY_WAY
def test_a_wrapper_that_does_not_build_its_cell(layer):
    class Forgetful(tfcells.Wrapper):
        def build(self, input_shape):
            self.declare("gain", (5,), "ones")

    with pytest.raises(ValueError, match=r"Forgetful\.build must call super\(\)\.build\(input_shape\)"):
        layer(Forgetful(Leaky(5)))(X)


# Slots.


@EVERY_WAY
def test_an_update_that_is_declared_and_never_made(layer):
    """`InputCell` declares the slot; the step of `Leaky` has no w.update."""
    cell = tfcells.RecurrentDropout(Leaky(5), 0.5)
    assert layer(cell)(X).shape == (2, 5)
    cell = tfcells.RecurrentDropout(Leaky(5), 0.5)
    with pytest.raises(ValueError, match=r"Leaky declares the update slot, but .* never calls w\.update"):
        layer(cell)(X, training=True)


@pytest.mark.parametrize("within", [tfcells.Mogrifier, lambda cell: tfcells.Clip(tfcells.Zoneout(cell, 0.1), 1.0)])
def test_the_innermost_cell_is_the_one_without_an_update(within):
    cell = tfcells.RecurrentDropout(within(Leaky(5)), 0.5)
    with pytest.raises(ValueError, match="cell: Leaky declares the update slot"):
        WAYS["loop"](cell)(X, training=True)


def test_an_update_that_is_not_declared():
    class Slotless(Leaky):
        slots = frozenset({"state"})

    with pytest.raises(ValueError, match="Slotless has no update slot, on which RecurrentDropout acts"):
        tfcells.RecurrentDropout(Slotless(5), 0.5)


# Products of the input.


class Twice(Leaky):
    """Adds two vectors to a product of the input."""

    def build(self, input_shape):
        super().build(input_shape)
        self.add_bias((self.units,), "second")

    def inputs(self, x, w):
        return super().inputs(x, w) + w.second


@EVERY_WAY
def test_two_vectors_added_to_a_product(layer):
    with pytest.raises(TypeError, match="takes one vector"):
        layer(Twice(5))(X)


@EVERY_WAY
def test_a_cell_without_biases_adds_none(layer):
    assert layer(Twice(5, use_bias=False))(X).shape == (2, 5)


REFUSED = {
    "a product": lambda y, w: 2 * y,
    "an element-wise product": lambda y, w: y * w.bias,
    "a difference": lambda y, w: y - w.bias,
    "a difference the other way": lambda y, w: w.bias - y,
    "a number": lambda y, w: y + 1,
    "a sum": lambda y, w: y + y,
    "a second vector": lambda y, w: y + w.bias + w.bias,
    "a vector before it": lambda y, w: w.bias + y,
    "a zero before it": lambda y, w: 0 + y,
    "minus": lambda y, w: -y,
    "tanh": lambda y, w: ops.tanh(y),
    "split": lambda y, w: ops.split(y, 2, axis=-1),
    "concatenate": lambda y, w: ops.concatenate([y, y], axis=-1),
    "columns": lambda y, w: y[..., :2],
    "unpacking": lambda y, w: (lambda a, b: a)(*y),
    "a kernel": lambda y, w: w.kernel(y),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_product_of_the_input_takes_one_vector(what):
    class Busy(Leaky):
        def inputs(self, x, w):
            return REFUSED[what](w.kernel(x), w)

    with pytest.raises(TypeError, match=r"takes one vector, as in w.kernel\(x\) \+ w.bias.* in `step`.*whole\("):
        WAYS["loop"](Busy(4))(X)


@EVERY_WAY
def test_a_whole_product_takes_anything(layer):
    class Whole(Leaky):
        def inputs(self, x, w):
            return 2 * ops.tanh(whole(w.kernel(x)))

    class Stepwise(Leaky):
        def step(self, x, state, w):
            return super().step(2 * ops.tanh(x), state, w)

    cells = Whole(5), Stepwise(5, use_bias=False)
    for cell in cells:
        cell.build((None, 4))
    cells[1].kernel.assign(cells[0].kernel)
    np.testing.assert_allclose(layer(cells[0])(X), layer(cells[1])(X), rtol=1e-6)


# Kernels are called.

PRODUCTS = {
    "h @ kernel": lambda h, kernel: h @ kernel,
    "kernel @ h": lambda h, kernel: kernel @ h,
    "matmul": ops.matmul,
    "h * kernel": lambda h, kernel: h * kernel,
}


@EVERY_WAY
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_kernel_is_called(product, layer):
    class At(tfcells.KernelCell):
        def step(self, x, state, w):
            h = x + PRODUCTS[product](state[0], w.recurrent_kernel)
            return h, (h,)

    with pytest.raises(TypeError, match=r"call it: w\.recurrent_kernel\(h\)"):
        layer(At(5))(X)


# A state that is a matrix.

FAST = next(case for case in CASES if case.name == "fast-norm")


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_kerass_own_layer_holds_a_matrix_state(mask):
    x, state, weights = data(FAST)
    found = pure(layer_of(FAST, layer=keras.layers.RNN), x, state, weights.values(), mask=mask)
    near(found, FAST.roll(x, state, weights, mask))


def test_kerass_own_layer_remembers_a_matrix_state():
    x = data(FAST)[0].astype("float32")
    cell = FAST.build(FEATURES)
    wanted = tfcells.RNN(cell, return_sequences=True)(x)
    layer = keras.layers.RNN(cell, stateful=True, return_sequences=True)
    halves = [layer(part) for part in np.split(x, 2, 1)]
    np.testing.assert_allclose(np.concatenate(halves, 1), wanted, atol=1e-6)


def test_shapes_of_a_matrix_state():
    options = {"return_state": True}
    inputs = keras.Input((6, FEATURES), batch_size=BATCH)
    ours = tfcells.RNN(FAST.build(FEATURES), **options)(inputs)
    assert [tuple(y.shape) for y in ours] == [(BATCH, 5), (BATCH, 5), (BATCH, 5, 5)]
    layer = keras.layers.RNN(FAST.build(FEATURES), **options)
    assert [tuple(y.shape) for y in layer(np.ones((BATCH, 6, FEATURES)))] == [tuple(y.shape) for y in ours]
    *theirs, matrix = layer(inputs)  # in a functional model Keras takes (5, 5) for two states
    assert [tuple(y.shape) for y in theirs] == [(BATCH, 5), (BATCH, 5)]
    assert isinstance(matrix, list) and len(matrix) == 2


def test_a_weight_is_not_named_like_an_argument():
    class Gained(tfcells.ElmanCell):
        def __init__(self, units, gain=1.0, **kwargs):
            super().__init__(units, **kwargs)
            self.gain = gain

        def build(self, input_shape):
            super().build(input_shape)
            self.add_vector("gain", self.units, "ones")

    with pytest.raises(ValueError, match="can't be named 'gain'; an argument is"):
        Gained(4).build((None, 3))


@pytest.mark.parametrize(
    "name, views, twice", [("bias", None, "bias"), ("peephole", {"kernel": tfcells.View()}, "kernel")]
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_weight_is_not_named_like_another(name, views, twice, use_bias):
    class Twice(tfcells.ElmanCell):
        def build(self, input_shape):
            super().build(input_shape)
            self.add_vector(name, self.units, "ones", views=views)

    with pytest.raises(ValueError, match=f"Twice: a weight can't be named '{twice}'; another is"):
        Twice(4, use_bias=use_bias).build((None, 3))


def test_a_vector_has_a_width():
    with pytest.raises(ValueError, match=r"width must be a whole number above 0, got \(5,\)"):
        Leaky(5).add_vector("peephole", (5,), "ones")


@EVERY_WAY
def test_an_argument_that_is_not_kept(layer):
    class Lost(Leaky):
        def __init__(self, units, scale=1.0, **kwargs):
            super().__init__(units, **kwargs)
            self.factor = scale

    with pytest.raises(AttributeError, match=r"Lost.__init__ must keep its argument 'scale', as in self.scale = scale"):
        layer(Lost(5)).cell.get_config()


@EVERY_WAY
def test_a_kernel_of_more_axes_is_refused(layer):
    """The compiled loop has gradients for two axes and three."""

    class Convolved(tfcells.Cell):
        units = 5

        def build(self, input_shape):
            self.declare("recurrent_kernel", (3, 3, 5, 5), "ones", reads="h")

        def step(self, x, state, w):
            h = w.recurrent_kernel(state[0])
            return h, (h,)

    with pytest.raises(ValueError, match=r"a kernel must have shape \(inputs, outputs\) or .*, got \(3, 3, 5, 5\)"):
        layer(Convolved())(X)


def test_the_parts_of_a_split_are_the_whole_weight():
    split = tfcells.Split(1, gate=(4, "h", 2), candidate=(2, "h"))
    matrix = np.random.default_rng(0).normal(size=(3, 6))
    gate, candidate = (view.of(part) for view, part in zip(split.values(), split.seen(matrix), strict=True))
    assert (gate.reads, gate.blocks, candidate.reads, candidate.blocks) == ("h", 2, "h", 1)
    np.testing.assert_array_equal(np.concatenate([gate.matrix, candidate.matrix], 1), matrix)


def test_a_split_that_leaves_something_is_refused():
    class Leaves(tfcells.ElmanCell):
        def build(self, input_shape):
            self.add_kernel((input_shape[-1], self.units))
            self.add_recurrent_kernel((self.units, self.units), views=tfcells.Split(0, recurrent_kernel=(3, "h")))
            self.add_bias((self.units,))

    with pytest.raises(ValueError, match="views: the parts are 3 of 4 along axis 0"):
        tfcells.RNN(Leaves(4))(np.ones((2, 5, 3), "float32"))
