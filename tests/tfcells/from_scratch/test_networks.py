"""The networks in NumPy: by finite differences, against tfcells and Keras, and as an engine."""

import contextlib
import dataclasses
import inspect
import json
import math
import os
import signal
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells.from_scratch
from lab.engines import HEEDED
from lab.learner import make_learner
from lab.numpy_learner import NumPyLearner
from lab.recipe import fields
from lab.run import load
from lab.tasks.corpus import Corpus
from lab.tasks.language_model import LanguageModel as Recipe
from recipes import TARGETS
from tests.tiny import RUN, call, write_corpus
from tfcells.from_scratch import (
    LSTM,
    SGD,
    Adam,
    Dense,
    Elman,
    Embedding,
    Network,
    Rows,
    SoftmaxCrossEntropy,
    SquaredError,
    clip,
)

pytestmark = pytest.mark.slow

EXACT = {"rtol": 1e-10, "atol": 1e-10}
BATCH, STEPS, INPUTS, UNITS = 3, 5, 4, 6
RECURRENT = {"Elman": Elman, "LSTM": LSTM}
LAYERS = {
    "Embedding": lambda: Embedding(7, UNITS, dtype="float64"),
    "Dense": lambda: Dense(INPUTS, UNITS, dtype="float64"),
    "Elman": lambda: Elman(INPUTS, UNITS, dtype="float64"),
    "LSTM": lambda: LSTM(INPUTS, UNITS, dtype="float64"),
    "Network": lambda: Network(
        LSTM(INPUTS, 5, dtype="float64"),
        Elman(5, 3, dtype="float64"),
        LSTM(3, 4, dtype="float64"),
        Dense(4, UNITS, dtype="float64"),
    ),
}


def randomized(layer, seed=0):
    """The layer with random weights, biases too."""
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight[...] = random.normal(scale=0.5, size=weight.shape)
    return layer


def random_like(arrays, seed):
    """The same structure with random numbers."""
    random = np.random.default_rng(seed)
    return keras.tree.map_structure(lambda a: random.normal(size=a.shape), arrays)


def dense(gradient, weight):
    return gradient.dense(weight) if isinstance(gradient, Rows) else gradient


def differences(function, array, step=1e-6):
    """The gradient of a function of nothing for an array that it reads."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        before, values = array[index], []
        for sign in (1, -1):
            array[index] = before + sign * step
            values.append(function())
        array[index] = before
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


# Gradients.


@pytest.mark.parametrize("name", LAYERS)
def test_finite_differences(name):
    """Of each weight, of the inputs, of the state at the start."""
    layer = randomized(LAYERS[name]())
    random = np.random.default_rng(1)
    if name == "Embedding":
        x = random.integers(0, 7, (BATCH, STEPS))
    else:
        x = random.normal(size=(BATCH, STEPS, INPUTS))
    state = random_like(layer.zero_state(BATCH), 2)
    dy = random.normal(size=(BATCH, STEPS, UNITS))

    def loss():
        layer.state = state
        return float(np.sum(layer.forward(x) * dy))

    loss()
    dx = layer.backward(dy)
    layers = layer.layers if name == "Network" else [layer]
    found = [dense(*pair) for pair in zip(layer.gradients, layer.weights, strict=True)]
    found += [d for one in layers if one.state for d in one.state_gradient]
    varied = [*layer.weights, *keras.tree.flatten(state)]
    if dx is not None:
        found, varied = [*found, dx], [*varied, x]
    assert len(found) == len(varied)
    for gradient, array in zip(found, varied, strict=True):
        np.testing.assert_allclose(gradient, differences(loss, array), rtol=1e-6, atol=1e-8)


def in_keras(cells):
    """A layer of tfcells that gives outputs and final states, in float64."""
    options = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    return tfcells.RNN(cells if len(cells) > 1 else cells[0], **options)


@pytest.mark.parametrize("names", [["Elman"], ["LSTM"], ["LSTM", "LSTM"], ["LSTM", "Elman"]], ids=str)
def test_equals_the_layer_of_tfcells(names):
    """Outputs, states and all gradients, with the weights copied one to one."""
    widths = [INPUTS, UNITS, UNITS - 2][: len(names) + 1]
    sizes = list(zip(names, widths, widths[1:], strict=False))
    network = Network(*(RECURRENT[name](n, units, dtype="float64") for name, n, units in sizes))
    randomized(network)
    layer = in_keras([getattr(tfcells, f"{name}Cell")(units) for name, _, units in sizes])
    layer.build((BATCH, STEPS, INPUTS))
    variables = layer.trainable_variables
    for variable, weight in zip(variables, network.weights, strict=True):
        variable.assign(weight)
    state = random_like(network.zero_state(BATCH), 1)
    random = np.random.default_rng(2)
    x, dy = (
        random.normal(size=(BATCH, STEPS, INPUTS)),
        random.normal(size=(BATCH, STEPS, widths[-1])),
    )
    tensors = keras.tree.map_structure(tf.constant, (x, state))
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        starts = [one if len(one) > 1 else one[0] for one in tensors[1]]
        outputs, *ends = layer(tensors[0], initial_state=keras.tree.flatten(starts) if len(names) == 1 else starts)
        objective = tf.reduce_sum(outputs * dy)
    wanted = tape.gradient(objective, [variables, tensors[0], keras.tree.flatten(starts)])

    network.state = state
    np.testing.assert_allclose(network.forward(x), outputs, **EXACT)
    for one, other in zip(keras.tree.flatten(network.state), keras.tree.flatten(ends), strict=True):
        np.testing.assert_allclose(one, other, **EXACT)
    dx = network.backward(dy)
    starts = [d for one in network.layers for d in one.state_gradient]
    for one, other in zip([*network.gradients, dx, *starts], keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(one, other, **EXACT)


@pytest.mark.parametrize("name", RECURRENT)
def test_starts_like_the_cell_of_tfcells(name):
    """Shapes, the bias, the scale of what is drawn; and other weights for each layer of a generator."""
    cell = getattr(tfcells, f"{name}Cell")(50)
    cell.build((None, 30))
    random = np.random.default_rng(0)
    layer, other = (RECURRENT[name](30, 50, seed=random) for _ in range(2))
    for mine, another, theirs in zip(layer.weights, other.weights, cell.trainable_variables, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == "float32"
        np.testing.assert_allclose(mine.std(), theirs.numpy().std(), rtol=0.1)
        assert mine.ndim == 1 or abs(mine - another).max() > 0.01
    np.testing.assert_array_equal(layer.weights[2], cell.bias.numpy())
    U = layer.weights[1]
    np.testing.assert_allclose(U @ U.T, np.eye(50), atol=1e-5)
    assert RECURRENT[name](3, 2, seed=5).weights[0].tolist() == (RECURRENT[name](3, 2, seed=5).weights[0].tolist())


def test_forget_bias_raises_the_forget_gate_alone():
    expected = np.repeat([0.0, 0.25, 0.0, 0.0], 3)
    np.testing.assert_array_equal(LSTM(2, 3, forget_bias=0.25).weights[2], expected)


# State.


@pytest.mark.parametrize("name", ["Elman", "LSTM", "Network"])
def test_state_is_carried_from_call_to_call(name):
    layer = randomized(LAYERS[name]())
    x = np.random.default_rng(1).normal(size=(BATCH, STEPS, INPUTS))
    whole = layer.forward(x)
    layer.reset()
    halves = layer.forward(x[:, :2]), layer.forward(x[:, 2:])
    np.testing.assert_allclose(np.concatenate(halves, axis=1), whole, **EXACT)
    assert not np.allclose(layer.forward(x), whole)
    layer.reset()
    np.testing.assert_array_equal(layer.forward(x), whole)
    layer.state = layer.zero_state(BATCH)
    np.testing.assert_array_equal(layer.forward(x), whole)


def test_what_a_call_gave_outlives_the_next():
    """Outputs and states are nobody's scratch paper."""
    layer = randomized(LAYERS["LSTM"]())
    x = np.random.default_rng(1).normal(size=(BATCH, STEPS, INPUTS))
    y, state, before = layer.forward(x), layer.state, x.copy()
    kept = y.copy(), *(part.copy() for part in state)
    layer.backward(np.ones_like(y))
    layer.forward(x)
    for one, other in zip((y, *state, x), (*kept, before), strict=True):
        np.testing.assert_array_equal(one, other)


# Losses.


@pytest.mark.parametrize("block", [1, 20, 10**6])
def test_softmax_cross_entropy(block, monkeypatch):
    """Values by the definition, gradients by finite differences, whatever is worked on at a time."""
    monkeypatch.setattr("tfcells.from_scratch.losses.BLOCK", block)
    random = np.random.default_rng(0)
    y = random.normal(size=(BATCH, STEPS, 7))
    targets = random.integers(0, 7, (BATCH, STEPS))
    d = random.normal(size=(BATCH, STEPS))
    chances = np.exp(y) / np.exp(y).sum(-1, keepdims=True)
    wanted = -np.log(np.take_along_axis(chances, targets[..., None], 2)[..., 0])
    loss = SoftmaxCrossEntropy()
    np.testing.assert_allclose(loss.forward(y.copy(), targets), wanted, **EXACT)
    slope = differences(lambda: float(np.sum(loss.forward(y.copy(), targets) * d)), y)
    for factor in (d, 0.5):
        logits = y.copy()
        loss.forward(logits, targets)
        dy = loss.backward(factor)
        assert np.shares_memory(dy, logits)
        if factor is d:
            np.testing.assert_allclose(dy, slope, rtol=1e-6, atol=1e-8)
        else:
            one_hot = np.eye(7)[targets]
            np.testing.assert_allclose(dy, 0.5 * (chances - one_hot), **EXACT)


def test_softmax_cross_entropy_does_not_overflow():
    loss = SoftmaxCrossEntropy()
    y = np.array([[[1e4, 0.0], [-1e4, 0.0]]], "float32")
    np.testing.assert_array_equal(loss.forward(y, [[1, 1]]), [[1e4, 0]])
    np.testing.assert_array_equal(loss.backward(1.0), [[[1, -1], [0, 0]]])


def test_squared_error():
    random = np.random.default_rng(0)
    y, targets = random.normal(size=(2, BATCH, STEPS, 2))
    d = random.normal(size=(BATCH, STEPS))
    loss = SquaredError()
    slope = differences(lambda: float(np.sum(loss.forward(y, targets) * d)), y)
    np.testing.assert_allclose(loss.forward(y, targets), ((y - targets) ** 2).sum(-1) / 2, **EXACT)
    np.testing.assert_allclose(loss.backward(d), slope, rtol=1e-6, atol=1e-8)


# Optimizers.


@pytest.mark.parametrize(
    "mine, theirs",
    [
        (SGD, keras.optimizers.SGD),
        (
            lambda *args: Adam(*args, 0.875, 0.96875),
            lambda rate: keras.optimizers.Adam(rate, 0.875, 0.96875),
        ),
        (
            lambda *args: Adam(*args, 0.875, 0.96875, 1e-3, amsgrad=True),
            lambda rate: keras.optimizers.Adam(rate, 0.875, 0.96875, 1e-3, amsgrad=True),
        ),
    ],
    ids=["SGD", "Adam", "AMSGrad"],
)
def test_optimizers_are_those_of_keras(mine, theirs):
    """Over many steps, the gradients of an embedding among them, at rates that change.

    Rates and decays are such as float32 can hold, in which Keras keeps them.
    """
    random = np.random.default_rng(0)
    weights = [random.normal(size=shape) for shape in [(6, 3), (4,)]]
    variables = [keras.Variable(weight, dtype="float64") for weight in weights]
    optimizer, reference = mine(weights, 0.25), theirs(0.25)
    for step in range(20):
        scale = 10 if step < 5 else 0.1  # so that AMSGrad's maximum matters
        rows = np.sort(random.choice(6, 3, replace=False))
        gradient = [Rows(rows, scale * random.normal(size=(3, 3))), scale * random.normal(size=4)]
        optimizer.rate = 0.25 / 2**step
        reference.learning_rate.assign(optimizer.rate)
        dense = [gradient[0].dense(weights[0]), gradient[1].copy()]
        reference.apply([tf.constant(g) for g in dense], variables)
        optimizer.update(gradient)
        for weight, variable in zip(weights, variables, strict=True):
            np.testing.assert_allclose(weight, variable.numpy(), **EXACT)


def test_clipping():
    random = np.random.default_rng(0)
    gradients = [random.normal(size=(5, 2)), random.normal(size=3)]
    gradients.append(Rows(np.array([1, 4]), random.normal(size=(2, 2))))
    dense = [*gradients[:2], gradients[2].values]
    before = [array.copy() for array in dense]
    for largest in (math.inf, 100.0, 1e-3):
        clipped, norm = tf.clip_by_global_norm(before, min(largest, 1e9))
        assert clip(gradients, largest) == pytest.approx(float(norm), rel=1e-12)
        for one, other in zip(dense, clipped, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    # Millions of squares, many of them small, are summed without much loss.
    large = (random.normal(size=(200, 10_000)) ** 5).astype("float32")
    exact = math.sqrt(np.sum(large.astype("float64") ** 2))
    assert clip([large], math.inf) == pytest.approx(exact, rel=2e-6)


# Bad input.


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LSTM(3, 0), "units must be a whole number above 0, got 0"),
        (lambda: Elman(3, -1), "units must be a whole number above 0, got -1"),
        (lambda: Dense(2.5, 3), "inputs must be a whole number above 0, got 2.5"),
        (lambda: Embedding(True, 3), "words must be a whole number above 0, got True"),
        (lambda: LSTM(3, 4, dtype="float16"), "dtype must be float32 or float64, got 'float16'"),
        (lambda: LSTM(3, 4, math.nan), "forget_bias must be a finite number"),
        (lambda: Network(), "layers must be at least one layer"),
        (lambda: LSTM(3, 4).forward(np.ones((2, 5, 2))), "x's shape must be (any, any, 3)"),
        (lambda: LSTM(3, 4).forward(np.ones((2, 0, 3))), "x's shape must be (any, any, 3)"),
        (lambda: Elman(3, 4).forward(np.ones((5, 3))), "x's shape must be (any, any, 3)"),
        (lambda: Elman(1, 4).forward([[["a"]]]), "x's type must be of real numbers"),
        (lambda: Dense(3, 4).forward(np.ones((2, 5, 4))), "x's shape must be (any, any, 3)"),
        (lambda: Embedding(3, 4).forward([[0, 3]]), "x must be from 0 to 2, got 3"),
        (lambda: Embedding(3, 4).forward([[-1]]), "x must be from 0 to 2, got -1"),
        (lambda: Embedding(3, 4).forward([[0.5]]), "x's type must be of whole numbers"),
        (lambda: Embedding(3, 4).forward([0]), "x's shape must be (any, any)"),
        (lambda: LSTM(3, 4).backward(np.ones((2, 5, 4))), "backward must follow a forward"),
        (lambda: after_forward().backward(np.ones((2, 4, 4))), "dy's shape must be (2, 5, 4)"),
        (lambda: after_forward().forward(np.ones((1, 5, 3))), "state's shape must be (1, 4)"),
        (
            lambda: SoftmaxCrossEntropy().forward(np.ones((1, 2, 3)), [[0, 3]]),
            "targets must be from 0 to 2, got 3",
        ),
        (
            lambda: SoftmaxCrossEntropy().forward(np.ones((1, 2, 3)), [[0]]),
            "targets's shape must be (1, 2)",
        ),
        (
            lambda: SquaredError().forward(np.ones((1, 2, 3)), np.ones((1, 2, 2))),
            "targets's shape must be (1, 2, 3)",
        ),
        (lambda: SGD([], 1.0), "weights must be at least one array"),
        (lambda: SGD([np.ones(2)], 0), "rate must be a finite number above 0"),
        (lambda: Adam([np.ones(2)], decay=1), "decay must be a finite number above 0 and below 1"),
        (lambda: Adam([np.ones(2)], amsgrad=1), "amsgrad must be True or False"),
        (lambda: clip([np.ones(2)], 0), "largest must be a finite number above 0"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def after_forward():
    layer = LSTM(3, 4)
    layer.forward(np.ones((2, 5, 3)))
    return layer


@pytest.mark.parametrize("name", tfcells.from_scratch.__all__)
def test_everything_public_is_documented(name):
    value = getattr(tfcells.from_scratch, name)
    assert inspect.getdoc(value)
    for key, member in vars(value).items():
        if inspect.isfunction(member) and not key.startswith("_"):
            assert inspect.getdoc(getattr(value, key)), key


def test_old_name_warns_and_goes_on_working(monkeypatch):
    """The warning points at the line that imports it."""
    for line in ("import tfcells.numpy", "from tfcells.numpy import LSTM"):
        monkeypatch.delitem(sys.modules, "tfcells.numpy", raising=False)
        with pytest.warns(DeprecationWarning, match=r"tfcells\.from_scratch;.* 0\.4$") as caught:
            exec(compile(line, "old.py", "exec"), {})  # noqa: S102
        assert [warning.filename for warning in caught] == ["old.py"]
    old = sys.modules["tfcells.numpy"]
    for name in tfcells.from_scratch.__all__:
        assert getattr(old, name) is getattr(tfcells.from_scratch, name)


# The engine.

SMALL = Recipe(
    units=8,
    layers=2,
    steps=6,
    batch_size=4,
    epochs=1,
    learning_rate=1.0,
    clip_norm=2.0,
    init_scale=0.3,
    cell_arguments={"forget_bias": 0.5},
)


@pytest.fixture
def corpus():
    random = np.random.default_rng(0)
    streams = [random.integers(0, 9, n, dtype=np.int32) for n in (1300, 50, 30)]
    return Corpus("random", "word", ("<eos>", *"abcdefgh"), *streams)


@pytest.fixture
def learner(corpus):
    """A function that gives a recipe's learner."""

    def make(recipe, engine, precision, data=corpus):
        settings = {"seed": 1, "engine": engine, "precision": precision}
        return make_learner(recipe, data, settings)

    yield make
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "precision, steps, limit, engines",
    [("float64", 50, 1e-11, ["numpy", "eager", "graph", "xla"]), ("float32", 20, 1e-4, ["numpy", "xla"])],
    ids=["float64", "float32"],
)
def test_engines_agree(corpus, learner, precision, steps, limit, engines):
    """The mean loss of each step, the norms of the gradients, the weights after the last."""
    batches, found = list(SMALL.batches(corpus))[:steps], {}
    assert len(batches) == steps
    for engine in engines:
        one = learner(SMALL, engine, precision)
        found[engine] = zip(*(one.train(x, y, 1.0) for x, y in batches), strict=True)
        found[engine] = *found[engine], one.weight_arrays()
        states = [array for name, array in one.arrays().items() if name.startswith("state")]
        assert len(states) == 4 and all(state.dtype == precision for state in states)
    losses, norms, weights = found.pop("numpy")
    assert min(norms) < SMALL.clip_norm < max(norms)
    for other_losses, other_norms, others in found.values():
        np.testing.assert_allclose(np.divide(other_losses, 24), np.divide(losses, 24), atol=limit)
        np.testing.assert_allclose(other_norms, norms, rtol=100 * limit)
        assert list(others) == list(weights)
        for name, weight in weights.items():
            assert weight.dtype == others[name].dtype == precision
            np.testing.assert_allclose(others[name], weight, rtol=0, atol=10 * limit)


def test_adam_mean_loss_and_evaluation_agree(corpus, learner):
    """Adam to 1e-5: Keras keeps the powers of its decays in float32."""
    recipe = dataclasses.replace(SMALL, layers=1, embedding_units=5, optimizer="adam", loss="mean", clip_norm=0.1)
    found = []
    for engine in ("numpy", "eager"):
        one = learner(recipe, engine, "float64")
        before = list(one.evaluate(recipe.evaluation(corpus, "valid")))
        losses, norms = zip(*(one.train(x, y, 0.01) for x, y in recipe.batches(corpus)), strict=True)
        after = list(one.evaluate(recipe.evaluation(corpus, "valid")))
        found.append((before, np.divide(losses, 24), norms, after, one.parameters()))
    assert max(found[0][2]) > 0.1 and sum(count for _, count in found[0][0]) == 50
    np.testing.assert_allclose(found[0][0], found[1][0], **EXACT)
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_model_has_the_weights_that_were_learnt(corpus, learner):
    one = learner(SMALL, "numpy", "float64")
    for x, y in list(SMALL.batches(corpus))[:3]:
        one.train(x, y, 1.0)
    windows = SMALL.evaluation(corpus, "test")
    expected = [loss for loss, _ in one.evaluate(windows)]
    model, state, losses = one.model, SMALL.initial_state(one.model, 1), []
    for x, y, weight in windows:
        each, state = SMALL.losses(model, x, y, state)
        losses.append(float(tf.reduce_sum(each * tf.cast(weight, "float64"))))
    np.testing.assert_allclose(losses, expected, **EXACT)


def test_numbers_are_learnt_as_by_keras(learner):
    """No state goes from one batch to the next, and only the first unit has a loss."""
    recipe = TARGETS["numbers"]["ten"].recipe.replace(units="4", count="3", features="2", layers="2")
    recipe = dataclasses.replace(recipe, optimizer="sgd", clip_norm=0.1)
    examples, found = recipe.load("auto", None), []
    for engine in ("numpy", "eager"):
        one = learner(recipe, engine, "float64", examples)
        before = list(one.evaluate(recipe.evaluation(examples, "test")))
        losses, norms = zip(*(one.train(x, y, 0.5) for x, y in list(recipe.batches(examples))[:5]), strict=True)
        found.append((np.ravel(before), losses, norms, *one.weight_arrays().values()))
    assert min(found[0][2]) < 0.1 < max(found[0][2])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)  # Keras's data are float32


def test_heeded_fields_are_fields():
    numbers = TARGETS["numbers"]["ten"].recipe
    assert set(HEEDED) < fields(SMALL).keys() | fields(numbers).keys()


ENGINE = f"{RUN} --dropout 0 --layers 2 --engine numpy"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with a corpus and a finished run of this engine."""
    place = tmp_path_factory.mktemp("numpy")
    write_corpus(place / "text")
    with contextlib.chdir(place):
        assert call(f"{ENGINE} --out done")[0] == 0
        yield place
    keras.config.set_dtype_policy("float32")


def test_run_is_one_like_any(place):
    result = json.loads((place / "done" / "result.json").read_text())
    assert result["metrics"]["engine"] == "numpy" and result["words_per_second"] > 0
    code, out, err = call("evaluate done")
    assert code == 0, err
    found = json.loads(out)
    for name in ("valid_perplexity", "test_perplexity"):
        assert found[name] == pytest.approx(result[name], rel=1e-6)
    code, out, err = call("generate done --words 5")
    assert code == 0 and len(out.split()) == 5
    assert len((place / "done" / "sample.txt").read_text().split()) == 50

    model = keras.saving.load_model(place / "done" / "model.keras")
    learnt, _ = load(place / "done" / "best.npz")
    assert len(model.trainable_variables) == 9
    for number, variable in enumerate(model.trainable_variables):
        np.testing.assert_array_equal(variable.numpy(), learnt[f"weight {number}"])


@pytest.mark.parametrize("optimizer, stops_in", [("adam", "train"), ("adam", "evaluate"), ("sgd", "train")])
def test_stopped_run_ends_like_the_unbroken_one(place, monkeypatch, stops_in, optimizer):
    line = f"{ENGINE} --optimizer {optimizer}"
    unbroken = place / "done"
    if optimizer == "sgd":
        unbroken = place / "unbroken"
        assert unbroken.exists() or call(f"{line} --out unbroken")[0] == 0
    name = f"{optimizer}-{stops_in}"
    method, count = getattr(NumPyLearner, stops_in), []

    def send(*arguments):
        count.append(1)
        if stops_in == "evaluate" or len(count) == 3:  # within the second epoch
            os.kill(os.getpid(), signal.SIGINT)
        return method(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(NumPyLearner, stops_in, send)
        code, out, err = call(f"{line} --out {name}")
    assert code == 130 and f"{line} --resume --out {name}" in out.split("to go on: ")[1]
    assert call(f"lstm --resume --out {name}")[0] == 0
    for file in ("checkpoint.npz", "best.npz"):
        one, other = load(place / name / file)[0], load(unbroken / file)[0]
        assert one.keys() == other.keys()
        for key in one.keys() - {"step_seconds"}:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key])


def test_float64_is_kept(place):
    assert call(f"{ENGINE} --precision float64 --out wide")[0] == 0
    arrays, _ = load(place / "wide" / "checkpoint.npz")
    types = {arrays[name].dtype for name in arrays if name.startswith(("weight", "state"))}
    assert types == {np.dtype("float64")}
    assert call("evaluate wide")[0] == 0
    model = keras.saving.load_model(place / "wide" / "model.keras")
    assert {variable.dtype for variable in model.trainable_variables} == {"float64"}


def test_loss_that_is_not_finite_stops_the_run(place):
    code, out, err = call(f"{ENGINE} --optimizer sgd --learning_rate 1e38 --out nan")
    assert code == 3 and "the loss is" in out and "Warning" not in err
    arrays, _ = load(place / "nan" / "checkpoint.npz")
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize(
    "line, message",
    [
        (f"{RUN} --engine numpy", "dropout=0.2: must be 0.0 with --engine numpy"),
        (f"{ENGINE} --tied true", "tied=True: must be false with --engine numpy"),
        (f"{ENGINE} --one_hot true", "one_hot=True: must be false"),
        (f"{ENGINE} --state_dropout 0.1", "state_dropout=0.1: must be 0.0"),
        (f"{ENGINE} --zoneout 0.1", "zoneout=0.1: must be 0.0"),
        (f"{ENGINE} --activation_penalty 1", "activation_penalty=1.0: must be 0.0"),
        (f"{ENGINE} --weight_decay 0.1", "weight_decay=0.1: must be 0.0"),
        (
            f"{ENGINE} --precision mixed_bfloat16",
            "--precision=mixed_bfloat16: must be float32 or float64 with --engine numpy",
        ),
        (f"{ENGINE.replace('lstm', 'lnlstm')}", "--engine numpy: must be graph or eager or xla"),
        ("lstm --resume --out done --engine graph", "engine='graph' (was 'numpy')"),
    ],
)
def test_what_it_cannot_do_is_refused(place, line, message):
    before = sorted(place.iterdir())
    code, out, err = call(line if "--out" in line else f"{line} --out refused")
    assert code == 2 and message in err and "Traceback" not in err
    assert sorted(place.iterdir()) == before
