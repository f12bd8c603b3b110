"""The step model, step by step, equals the model of the whole sequence; models without one are refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfcells
from tests.cases import CASES, WRAPPED
from tests.cases.runs import BATCH, FEATURES, MASK, STEPS

LSTM = next(case for case in CASES if case.name == "lstm")
ONE_EACH = list({case.cell: case for case in CASES}.values())
ROWS = {case.name: case for case in [*ONE_EACH, *(row.around(LSTM) for row in WRAPPED.values())]}
X = np.random.default_rng(0).uniform(0.1, 1, size=(BATCH, STEPS, FEATURES)).astype("float32")
LOOP = {"jit_compile": False, "parallel": False, "return_sequences": True}


def along(model, inputs, whole=None):
    """Outputs of the step model at each step, stacked. whole: the number of the input that has no steps."""
    step = tfcells.step_model(model)
    states, outputs, count = step.get_initial_state(BATCH), [], len(model.outputs)
    for t in range(STEPS):
        now = [x if number == whole else x[:, t : t + 1] for number, x in enumerate(inputs)]
        results = step([*now, *states])  # arrays beside tensors
        outputs.append(results[:count])
        states = results[count:]
    assert {id(w) for w in step.weights} == {id(w) for w in model.weights}
    return [list(map(np.asarray, ys)) for ys in zip(*outputs, strict=True)]


def drawn(cases, masked, **options):
    """The cells of cases in one model, with random weights; and by name what it reads: sequences, memories, a mask."""
    given = {name: x for case in cases for name, x in case.given.items() if name != "training"}
    given = {"sequences": X} | given | ({"mask": MASK} if masked else {})
    values = {name: x if x.dtype == bool else x.astype("float32") for name, x in given.items()}
    inputs = {name: keras.Input((None, *x.shape[2:]), dtype=x.dtype.name, name=name) for name, x in values.items()}
    outputs = []
    for case in cases:
        layer = tfcells.RNN(case.cell(**case.arguments), **LOOP | options)
        read = {"mask", *case.given} & inputs.keys()
        outputs.append(layer(inputs["sequences"], **{name: inputs[name] for name in read}))
        weights = case.draw(layer.cell, lambda shape: np.random.default_rng(1).normal(scale=0.4, size=shape))
        for weight, value in zip(layer.cell.weights, weights.values(), strict=True):
            weight.assign(value)
    return keras.Model(list(inputs.values()), outputs), values


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, masked", [*((name, True) for name in ROWS), *((name, False) for name in ("lstm", "slstm", "Attention-lstm"))]
)
def test_every_row(name, masked):
    case = ROWS[name]
    model, values = drawn([case], masked)
    inputs = list(values.values())
    (found,) = along(model, inputs, whole=1 if "memory" in values else None)
    np.testing.assert_allclose(np.concatenate(found, 1), keras.tree.flatten(model(inputs))[0], atol=2e-6)


def stack():
    x = keras.Input((None, FEATURES))
    cells = [tfcells.LSTMCell(4), tfcells.GRUCell(3)]
    h = tfcells.RNN(cells, **LOOP)(layers.Masking()(x))
    h = layers.LayerNormalization()(layers.Dense(5, "relu")(h))
    y = tfcells.RNN(tfcells.MGUCell(4), **LOOP | {"return_sequences": False})(h)
    return keras.Model(x, [layers.Dense(2)(y), h + 1])


def shared():
    """One layer called twice, a nested model, a mask, zeros where it is False, and Keras's own layers."""
    x = keras.Input((None, FEATURES))
    rnn = tfcells.RNN(tfcells.LSTMCell(FEATURES), zero_output_for_mask=True, **LOOP)
    h = rnn(rnn(layers.Masking()(x)))
    inner = keras.Sequential([keras.Input((None, FEATURES)), layers.GRU(4, return_sequences=True), layers.Dense(2)])
    own = layers.LSTM(2, return_sequences=True, zero_output_for_mask=True)(h)
    return keras.Model(x, [layers.Concatenate()([inner(h), own]), layers.SimpleRNN(2)(h)])


def tokens():
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            tfcells.RNN(tfcells.TrainableInitialState(tfcells.LSTMCell(4)), **LOOP),
            layers.Dropout(0.5),
            layers.LSTM(3, return_sequences=True),
            tfcells.Dense(9),
        ]
    )


def tied():
    """Its last layer is its first, the other way round."""
    x, embedding = keras.Input((None,), dtype="int32"), layers.ReversibleEmbedding(9, 4)
    return keras.Model(x, embedding(tfcells.RNN(tfcells.GRUCell(4), **LOOP)(embedding(x)), reverse=True))


def features():
    """What treats each step by itself, of features."""
    normalization = layers.Normalization()
    normalization.adapt(X)
    inner = [layers.Rescaling([1.0] * FEATURES, 0.5), layers.LayerNormalization(), layers.Softmax()]
    inner += [layers.Dense(3, activation=layers.LeakyReLU()), layers.Activation("softmax"), tfcells.Dense(2, "tanh")]
    return model_with(normalization, rnn(), *inner)


def merged():
    """Masks that Keras's layers make of several."""
    x = keras.Input((None, FEATURES))
    both = layers.Concatenate()([layers.Masking()(x), layers.Masking()(2 * x)])
    return keras.Model(x, rnn()(layers.Add()([both, both])))


def kept_to_itself():
    """A mask that a layer does not pass on: the next one runs over what was held."""
    x = keras.Input((None, FEATURES))
    h = tfcells.RNN(tfcells.LSTMCell(FEATURES), pass_mask=False, **LOOP)(layers.Masking()(x))
    return keras.Model(x, rnn()(h))


def named():
    """A nested model whose inputs are a list, called with their names, which come in another order."""
    video, audio = (keras.Input((None, FEATURES), name=name) for name in ("video", "audio"))
    inner = keras.Model([video, audio], rnn()(video) - 2 * rnn()(audio))
    x = keras.Input((None, FEATURES))
    return keras.Model(x, inner({"video": x, "audio": 3 * x}))


@pytest.mark.parametrize("make", [stack, shared, tokens, tied, features, merged, kept_to_itself, named])
def test_whole_models(make, randomise):
    model = randomise(make())
    x = X * MASK[..., None]
    x = (9 * x[..., 0]).astype("int32") if make in (tokens, tied) else x
    found = along(model, [x])
    for wanted, steps in zip(keras.tree.flatten(model(x)), found, strict=True):
        wanted = np.asarray(wanted)
        steps = np.concatenate(steps, 1) if wanted.ndim == 3 else steps[-1]
        np.testing.assert_allclose(steps, wanted, atol=2e-6)


def model_with(*inner):
    x = h = keras.Input((STEPS, FEATURES))
    for each in inner:
        h = each(h)
    return keras.Model(x, h)


def rnn(**options):
    return tfcells.RNN(tfcells.GRUCell(FEATURES), **LOOP | options)


class Derived(tfcells.RNN):
    """Any subclass may do other things along time."""


REFUSED = {
    "from its end": [layers.Bidirectional(rnn())],
    "goes backwards": [rnn(go_backwards=True)],
    "may mix steps.*pointwise": [layers.Conv1D(2, 2), rnn()],
    "pointwise": [rnn(), layers.Lambda(lambda x: ops.cumsum(x, 1))],
    "made after the last step": [rnn(return_sequences=False), layers.RepeatVector(2), rnn()],
    "a Derived": [Derived(tfcells.GRUCell(2))],
    "one of its inputs": [layers.Dense(2)],
    "where axis 1 must stay 1": [rnn(), lambda x: x + np.ones((STEPS, FEATURES), "float32")],
    "known after the last one": [lambda x: layers.Add()([x, rnn(return_sequences=False)(x)])],
    "an initial_state": [lambda x: rnn()(x, initial_state=rnn(return_sequences=False)(x))],
}


COLUMN = np.arange(float(STEPS))[:, None]
MIXING = {
    "Softmax": layers.Softmax(axis=1),
    "Softmax of all": layers.Softmax(axis=None),
    "Softmax from the end": layers.Softmax(axis=-2),
    "LayerNormalization": layers.LayerNormalization(axis=[1, 2]),
    "RMSNormalization": layers.RMSNormalization(axis=1),
    "BatchNormalization": layers.BatchNormalization(axis=1),
    "UnitNormalization": layers.UnitNormalization(axis=1),
    "Normalization": layers.Normalization(axis=1),
    "Rescaling": layers.Rescaling(COLUMN),
    "Rescaling's offset": layers.Rescaling(1.0, COLUMN),
    "Activation": layers.Activation(lambda x: ops.softmax(x, axis=1)),
    "Activation, a layer": layers.Activation(layers.Softmax(axis=1)),
    "Dense": layers.Dense(2, activation=lambda x: ops.cumsum(x, axis=1)),
    "Dense of ours": tfcells.Dense(2, activation=lambda x: ops.flip(x, 1)),
    "Permute": layers.Permute((2, 1)),
    "Reshape": layers.Reshape((STEPS, FEATURES)),
    "Flatten": layers.Flatten(),
    "PReLU": layers.PReLU(),
    "concatenate": lambda x: ops.concatenate([x, x], axis=1),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "expand_dims": lambda x: ops.expand_dims(x, axis=1),
    "flip": lambda x: ops.flip(x, axis=1),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "any": lambda x: ops.where(ops.any(ops.not_equal(x, 0), axis=None, keepdims=True), x, 0.0),
    "a constant": lambda x: ops.maximum(x, COLUMN),
    "slices": lambda x: x[:, ::-1],
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_steps_is_refused(name):
    with pytest.raises(ValueError, match="acts along the axis of the steps|may mix steps|where axis 1 must stay 1"):
        tfcells.step_model(model_with(rnn(), MIXING[name]))


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_step_is_refused(reason):
    with pytest.raises(ValueError, match=reason):
        tfcells.step_model(model_with(*REFUSED[reason]))


def test_lengths_are_refused():
    """They count the whole sequence, so that a step can't tell which one it is."""
    x, lengths = keras.Input((None, FEATURES)), keras.Input((), dtype="int32")
    for given in lengths, np.ones(BATCH, "int32"):
        model = keras.Model([x, lengths], [rnn()(x, lengths=given), lengths + 1])
        with pytest.raises(ValueError, match="is given lengths, which count the whole sequence: give it mask="):
            tfcells.step_model(model)


@pytest.mark.parametrize("copy", ["a file", "portable"])
def test_copies_of_a_step(copy, randomise, tmp_path):
    """They know their initial states, the held output among them, and that they take one step."""
    step = tfcells.step_model(randomise(tokens()))
    step.save(tmp_path / "step.keras")
    again = keras.models.load_model(tmp_path / "step.keras") if copy == "a file" else tfcells.portable(step)
    wanted, found = (model.get_initial_state(BATCH) for model in (step, again))
    assert len(found) == len(wanted) == again.states == 6 and np.abs(wanted[0]).max() > 0
    x = np.ones((BATCH, 1), "int32")
    for a, b in zip([*found, *again([x, *found])], [*wanted, *step([x, *wanted])], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    with pytest.raises(ValueError, match="clone_model loses the initial states"):
        keras.models.clone_model(step).get_initial_state(BATCH)
    with pytest.raises(ValueError, match="must have one step"):
        again([np.ones((BATCH, 2), "int32"), *found])


@pytest.mark.parametrize("kind", [layers.Lambda, layers.Activation])
def test_a_layer_is_pointwise_if_said_so(kind):
    model = model_with(rnn(), kind(lambda x: 2 * x))
    with pytest.raises(ValueError, match=f"name {kind.__name__} in pointwise|name its class in pointwise"):
        tfcells.step_model(model)
    step = tfcells.step_model(model, pointwise=[kind])
    y, _ = step([ops.convert_to_tensor(X[:, :1]), *step.get_initial_state(BATCH)])
    np.testing.assert_allclose(y, model(X)[:, :1], atol=1e-6)


@pytest.mark.parametrize("make", [stack, tokens])
def test_several_steps_are_refused(make):
    step = tfcells.step_model(make())
    x = X if make is stack else X[..., 0].astype("int32")
    for each in x, ops.convert_to_tensor(x):
        with pytest.raises(ValueError, match=r"must have one step, \(batch, 1, ...\), got"):
            step([each, *step.get_initial_state(BATCH)])


class Around(keras.layers.Layer):
    """Makes its recurrent layer."""

    def __init__(self):
        super().__init__(name="around")
        self.inner = tfcells.RNN(tfcells.LSTMCell(4), return_sequences=True)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)


def test_recurrent_layers_out_of_reach_are_named():
    with pytest.raises(ValueError, match="step by step; those inside around are out of reach: put them into the model"):
        tfcells.step_model(keras.Sequential([keras.Input((None, 3)), Around()]))
    with pytest.raises(ValueError, match="step by step$"):
        tfcells.step_model(keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)]))


def test_an_unbuilt_or_subclassed_model_is_refused():
    with pytest.raises(ValueError, match="built Sequential or functional .*: call it once, or give it a keras.Input"):
        tfcells.step_model(keras.Sequential([rnn()]))
