"""An argument that is set later: as if the layer had been made with it, or a ValueError."""

import functools
import inspect

import keras
import numpy as np
import pytest

import tfcells
from tests.cases import WRAPPED, arguments
from tests.cases.values import OTHER

STEPS, BATCH, UNITS = 4, 2, 12
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH, STEPS, UNITS)).astype("float32")
MASK = np.array([[1, 1, 0, 1], [0, 1, 1, 0]], bool)
FLAGS = np.array([[0, 0, 1, 0], [1, 0, 0, 1]], bool)
MEMORY = RNG.normal(size=(BATCH, 3, 2)).astype("float32")
TOKENS = RNG.integers(0, 9, (BATCH, STEPS))

FIRST = {"rate": 0.3, "input_rate": 0.2, "state_rate": 0.3, "output_rate": 0.1, "limit": 0.2, "seed": 1}
LATER = {
    "periods": (1, 2),
    "rate": 0.6,
    "input_rate": 0.6,
    "state_rate": 0.6,
    "output_rate": 0.6,
    "limit": 0.05,
    "vocabulary_size": 12,
    "initializer": keras.initializers.Constant(0.25),
    "seed": 5,
    "attention_units": 7,
    "memory_features": 3,
    "jit_compile": "auto",
    "parallel": False,
    "return_sequences": False,
    "cell": tfcells.GRUCell(UNITS),
    "activity_regularizer": keras.regularizers.L2(0.125),
}
"""Values besides those of `OTHER`, and the negated ones of flags."""
LIVE = set(
    "activation recurrent_activation epsilon periods joint decay eta inner_steps limit rate input_rate state_rate "
    "output_rate per_gate per_sequence vocabulary_size gamma beta dt leak alpha backbone_activation lower_bound "
    "activity_regularizer jit_compile parallel pass_mask return_sequences return_state go_backwards unroll "
    "zero_output_for_mask".split()
)

FIXED = {(tfcells.JANETCell, "beta")}  # it may be a weight


def rnn(cell, **options):
    return tfcells.RNN(cell, **{"jit_compile": False, "return_sequences": True} | options)


def with_first(kind, given):
    return {name: value for name, value in FIRST.items() if name in kind.arguments()} | given


def from_cell(kind, **given):
    """A layer, and the cell in it."""
    cell = kind(**{"units": UNITS} | given)
    return rnn(cell), cell


def from_wrapper(row, **given):
    cell = row.make(tfcells.LSTMCell(UNITS), **with_first(row.wrapper, given))
    return rnn(cell), cell


def from_layer(make, **given):
    layer = make(**given)
    return layer, layer


def of_rnn(cell=None, **given):
    return rnn(cell or tfcells.ElmanCell(UNITS), **given)


def of(kind, **first):
    return lambda **given: kind(**first | with_first(kind, given))


LAYERS = {
    tfcells.RNN: of_rnn,
    tfcells.Dense: of(tfcells.Dense, units=3),
    tfcells.Bias: tfcells.Bias,
    tfcells.WordDropout: of(tfcells.WordDropout, vocabulary_size=9),
    tfcells.Restart: of(tfcells.Restart),
}


def later(name, parameter):
    if name in LATER:
        return LATER[name]
    if isinstance(parameter.default, bool):
        return not parameter.default
    return OTHER.get(name)  # for those that are refused anything will do


def kinds():
    """By name: how the layer is made, of what, and a new value for each argument."""
    for kind in tfcells.CELLS.values():
        yield kind.__name__, from_cell, kind, arguments(kind)
    for row in WRAPPED.values():
        yield row.name, from_wrapper, row, arguments(row.wrapper)
    for kind, make in LAYERS.items():
        owners = kind.arguments()
        yield kind.__name__, from_layer, make, {n: inspect.signature(o).parameters[n] for n, o in owners.items()}


KINDS = {
    kind: (make, what, {name: later(name, parameter) for name, parameter in parameters.items()})
    for kind, make, what, parameters in kinds()
}


def is_live(what, name):
    return name in LIVE and (what, name) not in FIXED


def run(layer):
    """All that the layer puts out in training."""
    if isinstance(layer, tfcells.WordDropout):
        found = layer([TOKENS, X], training=True)
    elif isinstance(layer, tfcells.Restart):
        found = layer([X[:, 0], X[:, 1]], training=True)
    elif isinstance(layer, tfcells.RNN):
        memory = {"memory": MEMORY} if getattr(layer.cell, "attends", False) else {}
        reset = {"reset": FLAGS} if getattr(layer.cell, "reset_by_flag", False) else {}
        found = layer(X, mask=MASK, training=True, **memory, **reset)
    else:
        found = layer(X)
    return [np.asarray(array) for array in keras.tree.flatten(found)]


def same(layer, twin):
    """Whether they say and give the same, with the same weights and states of their random numbers."""
    for mine, theirs in zip(twin.variables, layer.variables, strict=True):
        mine.assign(theirs)
    assert anonymous(layer.get_config()) == anonymous(twin.get_config())
    for mine, theirs in zip(run(layer), run(twin), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def anonymous(config):
    """A config without the automatic names."""
    if isinstance(config, dict):
        return {name: anonymous(value) for name, value in config.items() if name not in ("name", "build_config")}
    return [anonymous(value) for value in config] if isinstance(config, list | tuple) else config


def test_every_live_argument_is_in_the_list():
    kinds = [*tfcells.CELLS.values(), *tfcells.WRAPPERS.values()]
    missing = {name for kind in kinds for base in kind.__mro__ for name in vars(base).get("live", ())} - LIVE
    assert not missing, f"name {sorted(missing)} in LIVE of tests/tfcells/contract/test_arguments.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, name", [(kind, name) for kind, (_, what, values) in KINDS.items() for name in values if is_live(what, name)]
)
def test_an_argument_that_is_set_later(kind, name, randomise):
    make, what, values = KINDS[kind]
    layer, holder = make(what)
    run(layer)
    randomise(layer)
    setattr(holder, name, values[name])
    twin, _ = make(what, **{name: values[name]})
    run(twin)
    same(layer, twin)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_others_are_refused_and_nothing_changes(kind, randomise):
    make, what, values = KINDS[kind]
    layer, holder = make(what)
    run(layer)
    randomise(layer)
    for name in values:
        if not is_live(what, name):
            with pytest.raises(ValueError, match=f"{name} can't be set later|remat must be"):
                setattr(holder, name, values[name])
    twin, _ = make(what)
    run(twin)
    same(layer, twin)


BAD = {
    "Zoneout.rate": (lambda: tfcells.Zoneout(tfcells.LSTMCell(4), 0.1), "rate", 1.7),
    "Zoneout.rate of a state": (lambda: tfcells.Zoneout(tfcells.LSTMCell(4), 0.1), "rate", {"m": 0.1}),
    "Clip.limit": (lambda: tfcells.Clip(tfcells.LSTMCell(4), 0.1), "limit", 0),
    "epsilon": (lambda: tfcells.LayerNormLSTMCell(4), "epsilon", 0),
    "activation": (lambda: tfcells.MogrifierLSTMCell(4), "activation", "no such function"),
    "state_rate": (lambda: tfcells.VariationalDropout(tfcells.MinGRUCell(4)), "state_rate", 0.1),
    "periods": (lambda: tfcells.ClockworkRNNCell(4), "periods", (1, 2, 3)),
    "jit_compile": (lambda: rnn(tfcells.LSTMCell(4)), "jit_compile", "yes"),
    "remat": (lambda: rnn(tfcells.LSTMCell(4)), "remat", True),
    "jit_compile and remat": (lambda: tfcells.RNN(tfcells.LSTMCell(4), remat=True), "jit_compile", False),
}


@pytest.mark.parametrize("make, name, value", BAD.values(), ids=BAD)
def test_a_bad_value_set_later_is_refused_and_changes_nothing(make, name, value):
    layer = make()
    before = layer.get_config()
    with pytest.raises(ValueError, match=f"{name}|no such function|no kernel slot|remat"):
        setattr(layer, name, value)
    assert layer.get_config() == before


def test_rates_changed_in_place():
    """A dictionary of rates is read anew, and checked."""
    cell = tfcells.Zoneout(tfcells.LSTMCell(4), {"h": 0.1})
    layer = rnn(cell)
    layer(X)
    cell.rate["c"] = 0.5
    twin = rnn(tfcells.Zoneout(tfcells.LSTMCell(4), {"h": 0.1, "c": 0.5}))
    twin(X)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(X), twin(X))
    cell.rate["c"] = 1.5
    with pytest.raises(ValueError, match="rate must be"):
        layer(X)


def test_unroll_set_after_remat_is_refused_at_the_call():
    layer = tfcells.RNN(tfcells.LSTMCell(4), remat=True)
    layer.unroll = True
    with pytest.raises(ValueError, match="remat must be"):
        layer(X)


class Leaky(tfcells.ElmanCell):
    """A user's cell, whose constructor has fewer arguments than its bases'."""

    live = frozenset({"leak"})

    def __init__(self, units, leak=0.5):
        super().__init__(units, use_bias=False)
        self.leak = float(leak)

    def step(self, x, state, w):
        h, _ = super().step(x, state, w)
        h = self.leak * h
        return h, (h,)


class Fixed(Leaky):
    def __init__(self, units, width=1):
        super().__init__(units)
        self.width = width


def test_cells_of_a_users_own():
    cell = Fixed(4)
    layer = rnn(cell)
    once = layer(X)
    cell.leak = 1
    assert type(cell.leak) is float and np.abs(layer(X) - once).max() > 1e-3
    cell.activation = "relu"
    assert cell.activation is keras.activations.relu
    with pytest.raises(ValueError, match="width can't be set later: give it to the constructor of a new Fixed"):
        cell.width = 2


@pytest.mark.parametrize("how", ["forced", "compiled again"])
@pytest.mark.slow
def test_what_is_traced_keeps_a_value_until_it_is_made_anew(how):
    model = keras.Sequential([keras.Input(X.shape[1:]), rnn(Leaky(4))])
    model.compile(keras.optimizers.SGD(0.0), "mse")

    def losses():
        """Of `fit`, `evaluate` and `predict`, and as it is."""
        options, y = {"batch_size": len(X), "verbose": 0}, np.zeros((*X.shape[:2], 4), "float32")
        fitted = model.fit(X, y, **options).history["loss"][0]
        found = [np.mean(np.asarray(each) ** 2) for each in (model.predict(X, **options), model(X))]
        return np.array([fitted, model.evaluate(X, y, **options), *found])

    before = losses()
    model.layers[0].cell.leak = 0.9
    now = losses()
    np.testing.assert_allclose(now[:3], before[:3], rtol=1e-5)
    assert now[3] > 1.5 * before[3]
    if how == "forced":
        for make in model.make_train_function, model.make_test_function, model.make_predict_function:
            make(force=True)
    else:
        model.compile(model.optimizer, "mse")
    np.testing.assert_allclose(losses(), [now[3]] * 4, rtol=1e-5)


def test_setting_a_rate_draws_no_random_number():
    cell = tfcells.Zoneout(tfcells.LSTMCell(4), 0.1)
    keras.utils.set_random_seed(1)
    wanted = keras.initializers.GlorotUniform().seed
    keras.utils.set_random_seed(1)
    cell.rate = 0.2
    assert keras.initializers.GlorotUniform().seed == wanted


# The compiled loop, which equal layers share.

COMPILED = {
    "Zoneout": (lambda rate: tfcells.Zoneout(tfcells.LSTMCell(4), rate), "rate", 0.1, 0.9),
    "Clip": (lambda limit: tfcells.Clip(tfcells.GRUCell(4), limit), "limit", 0.01, 0.2),
    "epsilon": (lambda epsilon: tfcells.LayerNormElmanCell(4, epsilon=epsilon), "epsilon", 1e-3, 0.5),
    "wrapped": (lambda activation: tfcells.Residual(tfcells.MGUCell(UNITS, activation=activation)), "activation",
                "tanh", "relu"),
    "inlined": (lambda activation: tfcells.MultiplicativeLSTMCell(4, activation=activation), "activation", "tanh",
                "relu"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make, name, first, then", COMPILED.values(), ids=COMPILED)
def test_no_layer_computes_with_what_another_was_set_to(make, name, first, then):
    def made(value, **options):
        layer = tfcells.RNN(make(value), **options)
        layer.build(X.shape)
        return layer

    a, b, c = made(first), made(then), made(first)
    ordinary = functools.partial(made, jit_compile=False)
    wanted = {}
    for value in (first, then):
        twin = ordinary(value)
        twin.set_weights(a.get_weights())
        wanted[value] = [twin(x) for x in (X, X[:, :2])]
    b.set_weights(a.get_weights())
    c.set_weights(a.get_weights())
    np.testing.assert_allclose(a(X), wanted[first][0], atol=1e-6)
    holder = a.cell if hasattr(a.cell, name) else a.cell.cell
    setattr(holder, name, then)
    np.testing.assert_allclose(a(X), wanted[then][0], atol=1e-6)
    np.testing.assert_allclose(b(X), wanted[then][0], atol=1e-6)
    # c's program is a's first: for another length it is traced anew, and not of a's step of today.
    np.testing.assert_allclose(c(X[:, :2]), wanted[first][1], atol=1e-6)
    np.testing.assert_allclose(a(X[:, :2]), wanted[then][1], atol=1e-6)
