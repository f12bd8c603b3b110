"""The portable copy equals the model, shares what it shared, and holds no compiled loop; however the model was made."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcells

pytestmark = pytest.mark.slow

STEPS, FEATURES = 5, 3
X = np.random.default_rng(0).normal(size=(2, STEPS, FEATURES)).astype("float32")


def start():
    return keras.Input((STEPS, FEATURES))


def sequential(*inner):
    return keras.Sequential([start(), *inner])


def one_cell_in_two_layers():
    x, cell = start(), tfcells.LSTMCell(4)
    return keras.Model(x, [tfcells.RNN(cell)(x), tfcells.RNN(cell, go_backwards=True)(x)])


def one_layer_in_a_model_and_beside_it():
    x, layer = start(), tfcells.RNN(tfcells.LSTMCell(4), remat=True)
    return keras.Model(x, [layer(x), sequential(layer)(x), layer(2 * x)])


def one_dense_in_two_wrappers():
    """Of Keras's own, whose configurations don't say so."""
    x, dense = start(), layers.Dense(2)
    both = [layers.TimeDistributed(dense)(x), layers.TimeDistributed(dense)(2 * x)]
    return keras.Model(x, [*both, tfcells.RNN(tfcells.LSTMCell(4))(x)])


def one_model_twice():
    x, inner = start(), sequential(tfcells.RNN(tfcells.GRUCell(4), return_sequences=True), layers.Dense(3))
    return keras.Model(x, inner(inner(x)))


class Subclassed(keras.Model):
    """Makes its layers in __init__, and one of them where only Keras finds it."""

    def __init__(self, units=4, **options):
        super().__init__(**options)
        self.units = units
        self.layer, self.others = tfcells.RNN(tfcells.GRUCell(units), remat=True), [tfcells.RNN(tfcells.ElmanCell(2))]

    def call(self, x):
        return layers.concatenate([self.layer(x), self.others[0](x)])


class Custom(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.layer = layers.Bidirectional(tfcells.RNN(tfcells.LSTMCell(3)))

    def build(self, shape):
        self.layer.build(shape)

    def call(self, x):
        return self.layer(x)


class Unbuilt(layers.Layer):
    """Leaves it to Keras to build its layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.layer = tfcells.RNN(tfcells.LSTMCell(3), return_sequences=True)

    def call(self, x):
        return self.layer(x)


class Derived(tfcells.RNN):
    """Registered by its base."""


def called(model):
    model(X)
    return model


def unregistered():
    class Doubled(layers.Layer):
        def call(self, x):
            return 2 * x

    return sequential(Doubled(), tfcells.RNN(tfcells.MGUCell(3)))


def with_lambdas():
    """That use a global name, and one of theirs."""
    factor = 3.0
    cell = tfcells.LSTMCell(3, activation=lambda a: keras.ops.sin(factor * a))
    return sequential(layers.Lambda(lambda x: keras.ops.tanh(factor * x)), tfcells.RNN(cell))


MODELS = {
    "one cell in two layers": one_cell_in_two_layers,
    "one layer in a model and beside it": one_layer_in_a_model_and_beside_it,
    "one layer in two wrappers": one_dense_in_two_wrappers,
    "stateful": lambda: called(
        keras.Sequential(
            [
                keras.Input(batch_shape=(2, STEPS, FEATURES)),
                tfcells.RNN([tfcells.LSTMCell(4), tfcells.GRUCell(3)], stateful=True),
            ]
        )
    ),
    "one model twice": one_model_twice,
    "subclassed": lambda: called(Subclassed()),
    "subclassed, in a model": lambda: sequential(layers.Dense(3), Subclassed()),
    "custom layer": lambda: sequential(Custom()),
    "without build": lambda: sequential(Unbuilt(), layers.Dense(2)),
    "derived": lambda: sequential(Derived(tfcells.LSTMCell(3), remat=True)),
    "unregistered": unregistered,
    "lambdas": with_lambdas,
    "operations": lambda: keras.Model(x := start(), tfcells.RNN(tfcells.LSTMCell(4))(x) + keras.ops.sum(x)),
    "noise": lambda: sequential(
        tfcells.RNN([tfcells.Zoneout(tfcells.LSTMCell(4), 0.3, seed=2), tfcells.RHNCell(3, depth=2)])
    ),
}


def runners(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, tfcells.RNN)]


@pytest.mark.parametrize("name", MODELS)
def test_portable(name, randomise):
    model = randomise(MODELS[name]())
    copied = tfcells.portable(model)
    assert type(copied) is type(model)
    assert len(runners(copied)) == len(runners(model)) > 0
    for layer in runners(copied):
        assert not layer.compiles and not layer.remat
    assert any(layer.compiles for layer in runners(model))  # as it was
    assert [w.shape for w in copied.weights] == [w.shape for w in model.weights]  # shares as much
    assert not {id(w) for w in copied.variables} & {id(w) for w in model.variables}  # and nothing with the model
    for training in (False, True):
        wanted, found = (keras.tree.flatten(m(X, training=training)) for m in (model, copied))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    copied.set_weights([w * 0 for w in copied.get_weights()])
    for a, b in zip(keras.tree.flatten(model(X)), wanted, strict=True):
        assert a.shape == b.shape and np.abs(a).max() > 0


def test_a_copy_is_exported_and_saved(tmp_path):
    copied = tfcells.portable(one_layer_in_a_model_and_beside_it())
    copied.export(tmp_path / "it", verbose=False)
    model = tfcells.portable(sequential(Derived(tfcells.LSTMCell(3))))
    model.save(tmp_path / "it.keras")
    assert not keras.models.load_model(tmp_path / "it.keras").layers[0].jit_compile


HALVES = "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"


def in_half(policy):
    """Everywhere, or in one layer; with a normalization that was adapted, and kernels in int8."""
    inner = [layers.Masking(), layers.Normalization(dtype=policy), layers.LayerNormalization(dtype=policy)]
    inner[1].adapt(NUMBERS)
    orthogonal = {"recurrent_initializer": "glorot_uniform"}  # which TensorFlow draws in bfloat16, too
    cells = [tfcells.LSTMCell(4, **orthogonal), tfcells.Zoneout(tfcells.GRUCell(3, **orthogonal), 0.1)]
    lower = tfcells.RNN(cells, return_sequences=True, dtype=policy, jit_compile=False)
    upper = tfcells.RNN(tfcells.MGUCell(4), jit_compile=False)
    model = sequential(*inner, layers.Bidirectional(lower, dtype=policy), upper, layers.Dense(2, dtype=policy))
    model.quantize("int8", filters=lambda layer: layer is upper.cell)
    return model


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize("format", [None, "onnx", "litert"])
@pytest.mark.parametrize("policy", HALVES)
def test_dtypes_that_runtimes_lack(policy, format):
    model = in_half(policy)
    copied = tfcells.portable(model, format)
    single = format == "litert" or (format == "onnx" and "bfloat16" in policy)
    dtypes = {layer.compute_dtype for layer in copied._flatten_layers() if "half" not in layer.name}
    assert (dtypes == {"float32"}) == single
    for a, b in zip(copied.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a, "float32"), np.asarray(b, "float32"))
    np.testing.assert_allclose(copied(X), keras.ops.cast(model(X), "float32"), atol=5e-2)


@pytest.mark.parametrize("policy", HALVES)
def test_dtypes_of_a_policy_for_all_layers(policy, randomise):
    """An input, which computes nothing, has it, too."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = randomise(sequential(tfcells.RNN(tfcells.MinGRUCell(4)), layers.Dense(2)))
        found = tfcells.portable(model, "litert")(X)
        expected = model(X)
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(found.dtype) == "float32" and np.abs(found).max() > 0.2
    np.testing.assert_allclose(found, keras.ops.cast(expected, "float32"), atol=5e-2)


def test_what_can_not_be_given_to_runtimes(randomise):
    class Made(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.inner = layers.Dense(2, dtype="mixed_bfloat16", name="it")

        def build(self, shape):
            self.inner.build(shape)

        def call(self, x):
            return self.inner(x)

    with pytest.raises(ValueError, match="model: it computes in bfloat16, which 'onnx' lacks"):
        tfcells.portable(sequential(Made()), "onnx")


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize("kind", [layers.Dense, tfcells.Dense])
def test_whole_numbers_in_litert(kind):
    model = sequential(tfcells.RNN(tfcells.LSTMCell(4)), kind(2, name="it"))
    model.quantize("int8", filters=lambda layer: isinstance(layer, tfcells.Cell))
    tfcells.portable(model, "litert")
    model.layers[-1].quantize("int8")
    tfcells.portable(model, "onnx")
    with pytest.raises(ValueError, match=r"it is quantized, .*filters=lambda layer: isinstance\(layer, tfcells.Cell\)"):
        tfcells.portable(model, "litert")


NUMBERS, TEXTS = 3 * X + 1, np.array(["a b\nc", "c c", "\n"])
WORDS = np.array([["a", "b"], ["\n", "a"], ["d", "\n"]])
L = layers


class Kept(layers.Layer):
    """Has what it learned in a file."""

    factor = 1.0

    def call(self, x):
        return self.factor * x

    def adapt(self, x):
        self.factor = float(np.max(x))

    def save_assets(self, folder):
        Path(folder, "factor").write_text(str(self.factor))

    def load_assets(self, folder):
        self.factor = float(Path(folder, "factor").read_text())


class Stored(Kept):
    """Has it among the weights of a file."""

    save_assets = load_assets = property()

    def save_own_variables(self, store):
        store["factor"] = np.array(self.factor)

    def load_own_variables(self, store):
        self.factor = float(store["factor"])


ADAPTED = {
    "Normalization": (L.Normalization, NUMBERS),
    "Normalization, inverse": (lambda: L.Normalization(axis=None, invert=True), NUMBERS),
    "Discretization": (lambda: L.Discretization(num_bins=4), NUMBERS),
    "StringLookup": (L.StringLookup, WORDS),
    "StringLookup, tf-idf": (lambda: L.StringLookup(output_mode="tf_idf", pad_to_max_tokens=True, max_tokens=9), WORDS),
    "IntegerLookup": (lambda: L.IntegerLookup(output_mode="count"), np.array([[7, 5], [5, 3]])),
    "TextVectorization": (lambda: L.TextVectorization(split="character", standardize=None, ngrams=2), TEXTS),
    "TextVectorization, tf-idf": (lambda: L.TextVectorization(output_mode="tf_idf"), TEXTS),
    "Hashing": (lambda: L.Hashing(5), WORDS),
    "BatchNormalization": (L.BatchNormalization, NUMBERS),
    "files": (Kept, NUMBERS),
    "stores": (Stored, NUMBERS),
}
COPY = {"portable": tfcells.portable, "from_keras": tfcells.from_keras, "to_keras": tfcells.to_keras}


@pytest.mark.parametrize("copy", COPY.values(), ids=COPY)
@pytest.mark.parametrize("name", ADAPTED)
def test_what_layers_have_learned_beside_their_weights(name, copy):
    make, x = ADAPTED[name]
    layer, sequences = make(), start()
    if hasattr(layer, "adapt"):
        layer.adapt(x)
    given = keras.Input(x.shape[1:], dtype="string" if x.dtype.kind == "U" else str(x.dtype))
    outputs = [layer(given), tfcells.RNN(tfcells.ElmanCell(2), unroll=True)(sequences)]
    for number, weight in enumerate(layer.weights if name == "BatchNormalization" else ()):
        weight.assign(weight + number)
    if name == "Normalization":
        outputs.append(keras.Sequential([layer])(given))  # shared
    model = keras.Model([given, sequences], outputs)
    inputs = [tf.constant(x), tf.constant(X)]
    for a, b in zip(copy(model)(inputs), model(inputs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_lookup_that_has_learned_nothing_is_copied():
    layer = layers.StringLookup()
    model = tfcells.from_keras(keras.Model(x := keras.Input((2,), dtype="string"), layer(x)))
    model.layers[-1].adapt(WORDS)
    layer.adapt(WORDS)
    np.testing.assert_array_equal(model(tf.constant(WORDS)), layer(WORDS))
