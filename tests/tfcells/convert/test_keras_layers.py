"""A model of Keras's layers and its copy of ours give the same outputs, there and back, however the model is made."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import tfcells

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:recurrent layers are made in the constructor")]

STEPS, FEATURES = 5, 4
X = np.random.default_rng(0).normal(size=(3, STEPS, FEATURES)).astype("float32")
X[1, 3:] = X[2, :2] = 0  # masked where there is a Masking
KERAS_CELLS = layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell


def start(**options):
    return keras.Input((STEPS, FEATURES), **options)


def sequential(*inner, **options):
    return keras.Sequential([start(**options), *inner])


def masked(*inner):
    x = y = start()
    for layer in (layers.Masking(), *inner, layers.Dense(2)):
        y = layer(y)
    return keras.Model(x, y)


def states():
    x, h, c = start(), keras.Input((6,)), keras.Input((6,))
    y, *new = layers.LSTM(6, return_state=True, return_sequences=True)(x, initial_state=[h, c])
    z, last = layers.GRU(6, return_state=True)(y, initial_state=new[0])
    return keras.Model([x, h, c], [y, *new, z, last])


def one_layer_twice():
    x, layer = start(), layers.GRU(FEATURES, return_sequences=True)
    return keras.Model(x, [layer(x), sequential(layer)(2 * x)])


def one_cell_in_two_layers():
    x, cell = start(), layers.LSTMCell(4, dropout=0.2)
    return keras.Model(x, [layers.RNN(cell)(x), layers.RNN(cell, go_backwards=True)(x)])


def apart(layer):
    """A layer of every kind that has weights, states of random numbers or a lambda, around a recurrent one."""
    return sequential(layers.BatchNormalization(), layers.GaussianNoise(0.1), layer, layers.Lambda(lambda x: 2 * x))


@keras.saving.register_keras_serializable("tests")
class Given(keras.Model):
    """Gets its layer."""

    def __init__(self, layer, **options):
        super().__init__(**options)
        self.layer, self.head = layer, layers.Dense(2)

    def call(self, x):
        return self.head(self.layer(x))

    def get_config(self):
        return super().get_config() | {"layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("layer")), **config)


class Holder(layers.Layer):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def build(self, shape):
        pass

    def call(self, x):
        return self.layer(-x)


class Made(keras.Model):
    """Makes its layers: attributes, a list, a dictionary, in a wrapper and in a model."""

    def __init__(self, **options):
        super().__init__(**options)
        self._one, self.many = layers.LSTM(3), [layers.GRU(2), layers.SimpleRNN(2)]
        self.named = {"both": layers.Bidirectional(layers.LSTM(2))}
        self.inner, self.again = sequential(layers.LSTM(3)), Holder(self.many[0])

    def call(self, x):
        return layers.concatenate(
            [each(x) for each in (self._one, *self.many, self.named["both"], self.inner, self.again)]
        )


def called(model):
    model(X)
    return model


@keras.saving.register_keras_serializable("tests")
class Unbuilt(layers.Layer):
    """Makes its layers, and leaves it to Keras to build them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = [layers.LSTM(4, return_sequences=True, name="lower"), layers.Dense(2)]

    def call(self, x, training=False):
        return self.inner[1](self.inner[0](x, training=training))


L = layers
MODELS = {
    "sequential": lambda: sequential(L.LSTM(6, return_sequences=True), L.GRU(5)),
    "reset before": lambda: sequential(L.GRU(5, reset_after=False)),
    "masked": lambda: masked(L.SimpleRNN(6, return_sequences=True), L.LSTM(3)),
    "bidirectional": lambda: masked(L.Bidirectional(L.LSTM(6))),
    "bidirectional, summed": lambda: masked(L.Bidirectional(L.GRU(6, return_sequences=True), merge_mode="sum")),
    "halves": lambda: masked(L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True))),
    "stack": lambda: masked(L.RNN(L.StackedRNNCells([L.LSTMCell(6), L.GRUCell(3), L.SimpleRNNCell(4)]))),
    "list": lambda: masked(L.RNN([L.LSTMCell(6), L.LSTMCell(3)], return_sequences=True)),
    "time-distributed": lambda: keras.Sequential([keras.Input((2, STEPS, FEATURES)), L.TimeDistributed(L.LSTM(3))]),
    "nested": lambda: masked(sequential(sequential(L.LSTM(3, return_sequences=True)), L.Dense(4)), L.GRU(2)),
    "states": states,
    "input dropout": lambda: masked(L.LSTM(6, dropout=0.2)),
    "state dropout": lambda: masked(L.GRU(6, recurrent_dropout=0.2, reset_after=False)),
    "dropout": lambda: masked(L.SimpleRNN(6, dropout=0.1, recurrent_dropout=0.2)),
    "backwards": lambda: masked(L.LSTM(6, go_backwards=True, return_sequences=True, zero_output_for_mask=True)),
    "stateful": lambda: sequential(
        L.LSTM(6, stateful=True, return_sequences=True), L.GRU(3, stateful=True), batch_size=3
    ),
    "no bias": lambda: masked(L.LSTM(6, use_bias=False, return_sequences=True), L.GRU(2, use_bias=False)),
    "activations": lambda: masked(L.LSTM(6, activation="relu", recurrent_activation="hard_sigmoid")),
    "penalties": lambda: sequential(
        L.LSTM(3, kernel_regularizer="l2", recurrent_regularizer="l1", activity_regularizer="l2", unroll=True)
    ),
    "frozen": lambda: sequential(L.LSTM(3, trainable=False, return_sequences=True), L.GRU(2)),
    "double precision": lambda: sequential(L.LSTM(3, dtype="float64")),
    "one layer twice": one_layer_twice,
    "one cell in two layers": one_cell_in_two_layers,
    "other layers": lambda: apart(L.LSTM(3, return_sequences=True)),
    "subclassed, layer given": lambda: called(Given(L.Bidirectional(L.LSTM(3)))),
    "subclassed, layers made": lambda: called(Made()),
    "subclassed, in a model": lambda: sequential(L.Dense(FEATURES), Made()),
    "without build": lambda: sequential(Unbuilt(), L.LSTM(2)),
    "without build, in models": lambda: sequential(sequential(Unbuilt()), L.Dense(FEATURES), Unbuilt()),
}


def inputs_of(model):
    shapes = [x.shape for x in getattr(model, "inputs", [X])]
    if len(shapes[0]) == 4:
        return np.stack([X, X[::-1]], 1)
    return X if len(shapes) == 1 else [X, *(X[:, step, :1] + np.zeros((3, 6), "float32") for step in (0, 4))]


def runners(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.RNN)]


def uncompiled(model):
    for layer in runners(model):
        layer.jit_compile = False
    return model


def same(found, wanted, atol=1e-6):
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name, randomise):
    model = randomise(MODELS[name]())
    x = inputs_of(model)
    if name == "stateful":
        model(x)
    ours = tfcells.from_keras(model)
    theirs = tfcells.to_keras(ours)
    assert type(ours) is type(theirs) is type(model)
    assert len(runners(ours)) == len(runners(theirs)) == len(runners(model)) > 0
    assert all(type(layer) is tfcells.RNN and layer.runs_cells for layer in runners(ours))
    assert not any(isinstance(layer, tfcells.RNN | tfcells.Cell) for layer in theirs._flatten_layers())
    assert not any(isinstance(layer, KERAS_CELLS) for layer in ours._flatten_layers())
    for copied in uncompiled(ours), theirs:
        assert copied.name == model.name
        assert [w.shape for w in copied.weights] == [w.shape for w in model.weights]  # shares as much
        assert [w.path.split("/")[-1] for w in copied.weights] == [w.path.split("/")[-1] for w in model.weights]
        assert len(copied.trainable_weights) == len(model.trainable_weights)
        assert not {id(w) for w in copied.variables} & {id(w) for w in model.variables}
        if "subclassed" not in name:
            assert [layer.name for layer in runners(copied)] == [layer.name for layer in runners(model)]
    before = [np.array(w) for w in model.get_weights()]
    wanted = model(x)
    for copied in ours, theirs:
        same(copied(x), wanted)
        same(copied.losses, model.losses)
        copied.set_weights([w * 0 for w in before])
    same(model.get_weights(), before)


def test_a_layer_alone(randomise):
    layer = layers.GRU(4, return_state=True)
    layer.build((None, STEPS, FEATURES))
    ours = tfcells.from_keras(randomise(layer))
    assert type(ours) is tfcells.RNN
    same(ours(X), layer(X))
    same(tfcells.to_keras(ours)(X), layer(X))


@pytest.mark.parametrize("name", ["sequential", "subclassed, layers made"])
def test_training_goes_on(name, randomise):
    """The copies are compiled, and the optimizer has the same moments: the next steps are the same."""
    model = randomise(MODELS[name]())
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"], run_eagerly="subclassed" in name)
    y = model(X) * 0 + 1
    model.fit(X, y, epochs=2, verbose=0)
    ours = uncompiled(tfcells.from_keras(model))
    theirs = tfcells.to_keras(ours)
    for each in model, ours, theirs:
        assert each.optimizer.iterations == 2
        each.fit(X, y, epochs=2, verbose=0)
        assert each.evaluate(X, y, verbose=0, return_dict=True).keys() == {"loss", "mae"}
    same(ours.get_weights(), model.get_weights(), 1e-5)
    same(theirs.get_weights(), model.get_weights(), 1e-5)


OPTIMIZERS = {
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)),
    "averaged": lambda: keras.optimizers.AdamW(0.1, use_ema=True, gradient_accumulation_steps=2),
    "without decay": lambda: keras.optimizers.AdamW(0.1, weight_decay=2.0),
    "scaled, without decay": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.1, weight_decay=2.0)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_goes_on(name, randomise, tmp_path):
    model = randomise(MODELS["sequential"]())
    optimizer = OPTIMIZERS[name]()
    if "without decay" in name:
        getattr(optimizer, "inner_optimizer", optimizer).exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse", run_eagerly=True)
    y = model(X) * 0 + 1
    model.fit(X, y, verbose=0)
    ours = uncompiled(tfcells.from_keras(model))
    theirs = tfcells.to_keras(ours)
    for each in model, ours, theirs:
        each.fit(X, y, epochs=2, verbose=0)
    same(ours.get_weights(), model.get_weights(), 1e-5)
    same(theirs.get_weights(), model.get_weights(), 1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = tfcells.from_keras(loaded)
    for one, other in zip(loaded.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_moments_stay_with_the_weights_that_were_trained(randomise):
    """Whatever is frozen since; what has never been trained gets none."""
    model = randomise(sequential(layers.LSTM(4, return_sequences=True), layers.LSTM(4)))
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.fit(X, model(X) * 0 + 1, verbose=0)
    model.layers[0].trainable, model.layers[1].trainable = True, False
    ours = tfcells.from_keras(model)
    for one, other in zip(model.optimizer.variables, ours.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    trained = [id(v) for v in ours.optimizer._trainable_variables]
    assert trained == [id(v) for v in ours.layers[1].weights]
    model.optimizer = keras.optimizers.Adam()
    model.optimizer.build(sequential(layers.LSTM(4)).trainable_variables)
    with pytest.raises(ValueError, match="its optimizer has other variables than the model; compile the model again"):
        tfcells.from_keras(model)


def test_a_layer_that_makes_its_layers_warns():
    """Keras makes the old ones from its file. The warning is of the user's line."""
    model = called(Made())
    with pytest.warns(UserWarning, match=r"in the constructor of 'made\w*'\. .* with save_weights") as told:
        tfcells.from_keras(model)
    assert [each.filename for each in told] == [__file__]


class Stepwise(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data) | {"more": 1.0}


@pytest.mark.parametrize("copy", [tfcells.from_keras, tfcells.to_keras, tfcells.portable])
def test_a_sequential_with_methods_of_its_own_is_refused(copy):
    model = Stepwise([keras.Input((STEPS, FEATURES)), layers.LSTM(4)])
    for each in model, sequential(model):
        with pytest.raises(ValueError, match=r"Stepwise is a keras.Sequential with .* give keras.Sequential\("):
            copy(each)
    assert copy(sequential(*model.layers))(X).shape == (len(X), 4)


class Keeps(layers.Layer):
    """Makes a layer of a class of its own, which is not copied but made anew."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = Stepwise([layers.Dense(4)])

    def call(self, x):
        return self.inner(x)


def test_a_sequential_that_a_layer_makes_keeps_its_methods():
    model = sequential(layers.LSTM(4), Keeps())
    ours = tfcells.from_keras(model)
    assert type(ours.layers[1].inner) is Stepwise
    same(ours(X), model(X))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_dropout_is_drawn_as_there(kind, randomise):
    """In training the outputs have the mean and the spread that Keras's have."""
    layer = getattr(layers, kind)(3, recurrent_dropout=0.4, return_sequences=True)
    layer.build((None, STEPS, FEATURES))
    ours = tfcells.from_keras(randomise(layer))
    assert ours.cell.per_gate == (kind != "SimpleRNN")
    x = np.repeat(X[:1], 20_000, 0)
    found, wanted = (np.array(each(x, training=True)) for each in (ours, layer))
    assert np.all(np.abs(found.mean(0) - wanted.mean(0)) <= 6 * wanted.std(0) / len(x) ** 0.5 + 1e-6)
    np.testing.assert_allclose(found.std(0)[1:], wanted.std(0)[1:], rtol=0.05)  # the first step has no state to drop


def test_both_rates_are_drawn_otherwise():
    with pytest.warns(UserWarning, match="layer 'both': in training Keras draws a mask of the inputs for each gate"):
        ours = tfcells.from_keras(sequential(layers.LSTM(3, dropout=0.1, recurrent_dropout=0.2, name="both")))
    assert (ours.layers[0].cell.input_rate, ours.layers[0].cell.state_rate) == (0.1, 0.2)
    with pytest.warns(UserWarning, match="layer 'both'"):
        back = tfcells.to_keras(ours).layers[0]
    assert (back.dropout, back.recurrent_dropout) == (0.1, 0.2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "layer .* in training Keras")
        tfcells.to_keras(tfcells.from_keras(MODELS["dropout"]()))


BESIDE = {  # of sequences with a mask, the mask, and a state
    "implicit": (True, lambda x, mask, h: layers.GRU(4, name="it")(x, initial_state=h)),
    "positional": (True, lambda x, mask, h: layers.GRU(4, name="it")(x, h)),
    "both ways": (True, lambda x, mask, h: layers.Bidirectional(layers.GRU(4), name="it")(x, initial_state=[h, h])),
    "explicit": (False, lambda x, mask, h: layers.GRU(4, name="it")(x, initial_state=h, mask=mask)),
    "no state": (False, lambda x, mask, h: layers.GRU(4, name="it")(x)),
    "no mask": (False, lambda x, mask, h: layers.GRU(4, name="it")(keras.ops.copy(x), initial_state=h)),
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("nested", [False, True])
def test_a_mask_beside_an_initial_state(name, nested):
    """Where Keras forgets the mask, which is told, the outputs differ; else they are the same."""
    forgets, make = BESIDE[name]
    x, h = start(), keras.Input((4,))
    model = keras.Model([x, h], make(layers.Masking()(x), keras.ops.any(keras.ops.not_equal(x, 0), axis=-1), h))
    model = keras.Model([x, h], model([x, h])) if nested else model
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = tfcells.from_keras(model)
        theirs = tfcells.to_keras(ours)
    told = [each for each in caught if "layer 'it': Keras forgets the mask" in str(each.message)]
    assert [Path(each.filename).name for each in told] == [Path(__file__).name] * 2 * forgets
    for layer in runners(ours):
        layer.jit_compile = False
    inputs = [keras.ops.convert_to_tensor(each) for each in (X, X[:, 0])]
    wanted, found, back = (np.asarray(each(inputs)) for each in (model, ours, theirs))
    np.testing.assert_allclose(back, wanted, atol=1e-6)
    assert (np.abs(found - wanted).max() > 1e-3) == forgets


class Own(layers.LSTM):
    pass


class OwnCell(layers.GRUCell):
    pass


class OtherCell(layers.Layer):
    state_size = output_size = 3

    def call(self, inputs, states):
        return inputs[:, :3] + states[0], [states[0]]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: Own(3, name="it"), "Own is a class of its own"),
        (lambda: layers.RNN([layers.LSTMCell(3), OwnCell(3)], name="it"), "OwnCell is a class of its own"),
        (lambda: layers.RNN(layers.LSTMCell(3, dtype="float64"), name="it"), "dtype: the layer's policy is float32"),
        (lambda: layers.LSTM(3, dropout=1.0, name="it"), "input_rate must be"),
    ],
)
def test_what_can_not_become_ours(layer, reason):
    with pytest.raises(ValueError, match=f"layer 'it' can't be converted: {reason}"):
        tfcells.from_keras(sequential(layers.Bidirectional(layers.LSTM(2, return_sequences=True)), layer()))


def test_a_lambda(randomise):
    """Keras 3.16 keeps it in a configuration."""
    model = randomise(sequential(layers.LSTM(3, activation=lambda a: a / 2, name="it")))
    try:
        ours = tfcells.from_keras(model)
    except ValueError as error:
        assert "layer 'it' can't be converted: it has a lambda, which Keras can't copy there" in str(error)
        assert keras.version() < "3.16"
    else:
        same(ours(X), model(X))


def test_masks_end_where_they_did():
    """The copy's layers pass their mask on as Keras's do, in all versions; what was set by hand is told."""
    model = masked(layers.LSTM(3, return_sequences=True))
    ours = tfcells.from_keras(model)
    passes = model.layers[2].supports_masking
    assert ours.layers[2].pass_mask == passes
    assert (ours.layers[2].compute_mask(X, X[..., 0] > 0) is not None) == passes
    model.layers[2].supports_masking = not passes
    with pytest.raises(ValueError, match=f"supports_masking={not passes} is in no configuration: set it back"):
        tfcells.from_keras(model)
    ours.layers[2].pass_mask = False
    if passes:
        with pytest.raises(ValueError, match="Keras's layers pass their mask on, as pass_mask=False does not"):
            tfcells.to_keras(ours)
    else:
        same(tfcells.to_keras(ours)(X), ours(X))


def lstm(*args, **options):
    return tfcells.LSTMCell(3, *args, **options)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (lambda: tfcells.PeepholeLSTMCell(3), "Keras has no PeepholeLSTMCell"),
        (lambda: [lstm(), tfcells.Zoneout(lstm(), 0.1)], "Keras has no Zoneout"),
        (lambda: lstm(input_gate="coupled"), "Keras's LSTM has no input_gate='coupled'"),
        (lambda: tfcells.VariationalDropout(lstm(), output_rate=0.2), "Keras's layers drop nothing of their outputs"),
        (lambda: tfcells.VariationalDropout(lstm(), state_rate=0.2), "Keras draws a mask of the state for each gate"),
        (lambda: tfcells.VariationalDropout(tfcells.Zoneout(lstm(), 0.1), 0.2), "Keras has no Zoneout"),
    ],
)
def test_what_can_not_become_theirs(cell, reason):
    with pytest.raises(ValueError, match=f"layer 'it' can't be converted: {reason}"):
        tfcells.to_keras(sequential(tfcells.RNN(cell(), name="it")))


def test_lengths_are_not_theirs():
    x, lengths = keras.Input((STEPS, FEATURES)), keras.Input((), dtype="int32")
    model = keras.Model([x, lengths], tfcells.RNN(tfcells.LSTMCell(4), name="it")(x, lengths=lengths))
    with pytest.raises(ValueError, match="layer 'it' can't be converted: Keras has no lengths; call it with a mask"):
        tfcells.to_keras(model)


def test_what_would_get_lost():
    cell = layers.LSTMCell(3, activity_regularizer="l2")
    with pytest.raises(
        ValueError, match="'it' can't be .* activity_regularizer has no like here; give it to the layer"
    ):
        tfcells.from_keras(sequential(layers.RNN(cell, name="it")))
    with pytest.raises(ValueError, match="'it' can't be .* a stack can't have an activity_regularizer"):
        stack = layers.StackedRNNCells([layers.LSTMCell(3)], activity_regularizer="l2")
        tfcells.from_keras(sequential(layers.RNN(stack, name="it")))


def test_a_shared_layer_with_a_shared_cell():
    x, cell = keras.Input((2, STEPS, FEATURES)), tfcells.LSTMCell(4)
    one, other = tfcells.RNN(cell), tfcells.RNN(cell, go_backwards=True)
    ways = [layers.TimeDistributed(layer)(x) for layer in (one, one, other)]
    with pytest.raises(ValueError, match="can't share its cell with another layer"):
        tfcells.to_keras(keras.Model(x, ways))
    assert len(tfcells.to_keras(keras.Model(x, ways[:2])).weights) == 3
    assert len(tfcells.to_keras(keras.Model(x, ways[1:])).weights) == 3


def test_a_layer_out_of_reach():
    class Hidden(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.layers_by_name = (("it", layers.LSTM(3, name="it")),)

        def call(self, x):
            return self.layers_by_name[0][1](x)

    with pytest.raises(ValueError, match="layer 'it' can't be converted: no attribute of"):
        tfcells.from_keras(called(Hidden()))


def test_the_rest_stays():
    x = start()
    other = layers.RNN(OtherCell(), return_sequences=True)
    model = keras.Model(
        x, [layers.LSTM(2)(other(x)), tfcells.RNN(tfcells.Zoneout(tfcells.LSTMCell(3), 0.2, seed=1))(x)]
    )
    ours = tfcells.from_keras(model)
    assert sorted(type(layer.cell).__name__ for layer in runners(ours)) == ["LSTMCell", "OtherCell", "Zoneout"]
    same(ours(X, training=True), model(X, training=True))


def test_functions_of_ones_own(randomise):
    """Those of layers need no registration, also two of one name; a loss does, as for clone_model."""

    def named(factor):
        def own(a):
            return keras.ops.tanh(factor * a)

        return own

    def loss(y, y_hat):
        return keras.ops.mean((y - y_hat) ** 4)

    inner = [layers.LSTM(3, activation=named(2), return_sequences=True), layers.Dense(3, activation=named(-3))]
    model = randomise(sequential(*inner, layers.GRU(3, activation=named(4))))
    ours = tfcells.from_keras(model)
    same(ours(X), model(X))
    same(tfcells.to_keras(ours)(X), model(X))
    model.compile("sgd", loss)
    with keras.saving.custom_object_scope({"loss": loss}):
        ours = tfcells.from_keras(model)
    same(ours.evaluate(X, X[:, 0, :3], verbose=0), model.evaluate(X, X[:, 0, :3], verbose=0))


def test_penalties_and_constraints_of_one_name(randomise):
    def penalty(rate):
        return lambda w: rate * keras.ops.sum(w**2)

    def limit(most):
        def own(w):
            return keras.ops.clip(w, -most, most)

        return own

    def named(rate):
        own = penalty(rate)
        own.__name__ = "own"
        return own

    kinds = {"kernel_regularizer": named(0.1), "recurrent_regularizer": named(10.0), "kernel_constraint": limit(0.2)}
    inner = layers.LSTM(3, **kinds, recurrent_constraint=limit(0.5))
    model = randomise(sequential(inner, layers.Dense(2, kernel_regularizer=named(5.0), kernel_constraint=limit(0.1))))
    ours = tfcells.from_keras(model)
    for new in ours, tfcells.to_keras(ours), tfcells.portable(ours):
        same(sum(new.losses), sum(model.losses))
        for a, b in zip(model.weights, new.weights, strict=True):
            assert (a.constraint is None) == (b.constraint is None)
            if a.constraint:
                np.testing.assert_array_equal(b.constraint(b), a.constraint(a))


def test_classes_of_one_name(randomise):
    class Dense(layers.Dense):
        def call(self, x, training=None):
            return 2 * super().call(x)

    one, plain = Dense, layers.Dense

    class Dense(layers.Dense):
        def call(self, x, training=None):
            return 3 * super().call(x)

    model = randomise(sequential(layers.LSTM(4), one(4), Dense(4), plain(1)))
    for convert in tfcells.from_keras, tfcells.portable:
        new = convert(model)
        assert [type(layer) for layer in new.layers[1:]] == [one, Dense, plain]
        same(new(X), model(X))

    class Both(layers.Layer):
        def __init__(self, parts, **kwargs):
            super().__init__(**kwargs)
            self.parts = list(map(keras.saving.deserialize_keras_object, parts))

        def call(self, x):
            return self.parts[1](self.parts[0](x))

        def get_config(self):
            return super().get_config() | {"parts": list(map(keras.saving.serialize_keras_object, self.parts))}

    both = Both([])
    both.parts = [one(2), Dense(1)]
    with pytest.raises(ValueError, match="can't be copied: another class is called Dense, too"):
        tfcells.from_keras(sequential(layers.LSTM(4), both))


@pytest.mark.parametrize("reset_after", [True, False])
def test_gates_that_are_no_function_of_single_numbers(randomise, reset_after):
    """Each has its own columns."""
    model = randomise(sequential(layers.GRU(4, reset_after=reset_after, recurrent_activation="softmax")))
    ours = tfcells.from_keras(model)
    same(ours(X), model(X))
    same(tfcells.to_keras(ours)(X), model(X))


def test_dropout_in_a_stack_that_only_keras_can_run():
    class Own(layers.Layer):
        state_size = output_size = 3

        def call(self, inputs, states):
            return inputs + states[0], [inputs]

    def stack(rate):
        return sequential(layers.RNN([layers.LSTMCell(3, dropout=rate), Own()], name="stack"))

    with pytest.raises(
        ValueError, match="'stack' can't be converted: .* dropout need tfcells's loop, in which Own does"
    ):
        tfcells.from_keras(stack(0.2))
    model = stack(0.0)
    same(tfcells.from_keras(model)(X), model(X))


@pytest.mark.parametrize("cell", [layers.LSTMCell(3), tfcells.LSTMCell(3), layers.StackedRNNCells([layers.GRUCell(2)])])
def test_a_cell_alone_is_refused(cell):
    cell.build((None, FEATURES))
    for convert in tfcells.from_keras, tfcells.to_keras:
        with pytest.raises(ValueError, match=r"model must be a layer that runs the cell, as keras.layers.RNN\(cell\)"):
            convert(cell)


class Unconfigured(keras.Model):
    """Keras can't save it."""

    def __init__(self, layer):
        super().__init__(name="it")
        self.layer = layer

    def call(self, x):
        return self.layer(x)


class Narrow(Unconfigured):
    """Its constructor takes nothing of a layer's."""

    def __init__(self, units=3):
        super().__init__(layers.LSTM(units))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: Unconfigured(layers.LSTM(3)),
            r"Object Unconfigured was created .* Please implement `get_config\(\)`.$",
        ),
        (Narrow, r"Narrow.__init__\(\) got an unexpected keyword argument .*; have its __init__ take \*\*kwargs and"),
    ],
)
def test_what_can_not_be_copied(make, reason):
    model, x = called(make()), start()
    twice = keras.Model(x, [Given(each)(x) for each in [model, model]])
    for convert in tfcells.from_keras, tfcells.to_keras, tfcells.portable:
        for each in (model, sequential(model), twice):
            with pytest.raises(ValueError, match=f"layer .*can't be copied: {reason}"):
                convert(each)


def test_a_loss_that_can_not_be_copied():
    model = sequential(layers.LSTM(3))
    model.compile("sgd", lambda y, x: keras.ops.mean(y - x))
    for convert in tfcells.from_keras, tfcells.portable:
        with pytest.raises(ValueError, match=f"model: {model.name} is compiled with a loss or metric that is a lambda"):
            convert(model)


def test_unbuilt():
    with pytest.raises(ValueError, match="model must be built"):
        tfcells.from_keras(keras.Sequential([layers.LSTM(3)]))


FILES = "sequential", "stack", "bidirectional", "dropout", "nested", "one layer twice", "subclassed, layers made"


@pytest.mark.parametrize("name", FILES)
def test_files_of_weights(name, randomise, tmp_path):
    """A file of Keras's layers loads into ours, and one of ours, written by the way back, into Keras's."""
    model, ours = randomise(MODELS[name](), 1), uncompiled(tfcells.from_keras(randomise(MODELS[name](), 2)))
    wanted, path = model(X), tmp_path / "it.weights.h5"
    model.save_weights(path)
    tfcells.load_keras_weights(ours, path)
    same(ours(X), wanted)
    randomise(model, 3)
    tfcells.to_keras(ours).save_weights(path)
    model.load_weights(path)
    same(model(X), wanted)


def test_files_of_weights_have_the_optimizer(randomise, tmp_path):
    """Training goes on as it would have there."""
    model = randomise(sequential(layers.LSTM(3)))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    ours, path, y = tfcells.from_keras(model), tmp_path / "it.weights.h5", X[:, 0, :3]
    model.fit(X, y, epochs=3, verbose=0)
    model.save_weights(path)
    ours.fit(X, y, verbose=0)
    tfcells.load_keras_weights(ours, path)
    assert int(ours.optimizer.iterations) == 3
    for each in model, ours:
        each.fit(X, y, epochs=2, shuffle=False, verbose=0)
    same(ours(X), model(X))


def test_load_weights_says_what_to_do(randomise, tmp_path):
    model = MODELS["sequential"]()
    model.save_weights(tmp_path / "it.weights.h5")
    with pytest.raises(ValueError, match=r"tfcells\.load_keras_weights\(model, path\)"):
        tfcells.from_keras(model).load_weights(tmp_path / "it.weights.h5")
    model.save(tmp_path / "it.keras")
    same(tfcells.from_keras(keras.models.load_model(tmp_path / "it.keras"))(X), model(X))
    tfcells.from_keras(model).save_weights(tmp_path / "it.weights.h5")
    with pytest.raises(ValueError, match="does not fit .* a file of the model itself is for model.load_weights"):
        tfcells.load_keras_weights(tfcells.from_keras(model), tmp_path / "it.weights.h5")
