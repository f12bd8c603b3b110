"""Every wrapper around a few cells against its oracle, in every way it can run.

Its masks are the same in the oracle and in the layer; what drawn masks are like is for
tests/tfcells/wrappers/test_regularized_cells.py to say.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfcells
from tests.cases import CASES, WRAPPED, Case, arguments
from tests.cases import wrappers as oracles
from tests.cases.highway import rhn
from tests.tfcells.cells.test_cells import (
    BATCH,
    ENGINE,
    FEATURES,
    LOOP,
    MASK,
    STEPS,
    agree,
    check_gradients,
    cosines,
    data,
    gradients,
    layer_of,
    near,
    oracle,
    pure,
    run,
)

BY_NAME = {case.name: case for case in CASES} | {"rhn-coupled-2": Case(*rhn(True, 2))}
INNER = [BY_NAME[name] for name in ("lstm", "gru-after", "rhn-coupled-2", "fast-norm")]
ROWS = {
    f"{name}-{inner.name}": row.around(inner)
    for name, row in WRAPPED.items()
    for inner in INNER
    if row.wrapper.needs <= inner.cell.slots
}
EVERY = pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
LSTM = {name: case for name, case in ROWS.items() if name.endswith("-lstm")}
AROUND_LSTM = pytest.mark.parametrize("case", LSTM.values(), ids=LSTM)
WRAPPERS = pytest.mark.parametrize("row", WRAPPED.values(), ids=WRAPPED)


@pytest.fixture(autouse=True)
def known_masks(monkeypatch):
    """The masks of the oracles, in place of drawn ones."""

    def dropout_mask(shape, rate, dtype, seed):
        return ops.cast(oracles.dropout_mask(shape, rate), dtype)

    monkeypatch.setattr("tfcells.masks.dropout_mask", dropout_mask)
    monkeypatch.setattr("tfcells.masks.keep_mask", lambda shape, rate, seed: oracles.drawn(shape, rate))


def test_every_wrapper_has_a_row():
    table = {row["name"] for row in tfcells.cells.table() if row["kind"] == "wrapper"}
    assert set(WRAPPED) == table
    assert {name.split("-")[0] for name in LSTM} == table


@EVERY
def test_equals_the_oracle(case):
    near(run(case, LOOP), oracle(case))


@EVERY
@pytest.mark.parametrize("options", [LOOP, {"unroll": True}], ids=["loop", "unrolled"])
def test_masks(case, options):
    x, state, weights = data(case)
    near(run(case, options, mask=MASK), case.roll(x, state, weights, MASK))


@pytest.mark.slow
@EVERY
def test_engine(case):
    """Values and all gradients are the ordinary loop's."""
    near(run(case, ENGINE), oracle(case))
    agree(gradients(case, ENGINE), gradients(case, LOOP), 1e-12)


@pytest.mark.slow
@AROUND_LSTM
def test_gradients_are_finite_differences(case):
    check_gradients(case)
    check_gradients(case, MASK)
    x, state, weights = data(case)
    near(run(case, ENGINE, mask=MASK), case.roll(x, state, weights, MASK))


@pytest.mark.slow
@EVERY
def test_mixed_precision(case):
    """Finite, and near the numbers of float32."""
    options = ENGINE if case in LSTM.values() else LOOP
    found, wanted = run(case, options, "mixed_bfloat16"), run(case, LOOP, "float32")
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == "bfloat16" and np.isfinite(a.astype("float32")).all()
        np.testing.assert_allclose(a.astype("float32"), b, rtol=0.05, atol=0.15)


def set_weights(layer, case):
    for variable, value in zip(layer.trainable_variables, data(case)[2].values(), strict=True):
        variable.assign(value)
    return layer


@EVERY
def test_two_halves_of_a_stateful_layer_are_one_sequence(case):
    """Without noise; twice, with `reset_state` between."""
    x, given = data(case)[0], {k: v for k, v in case.given.items() if k != "training"}
    options = {"return_sequences": True, "dtype": "float64"} | LOOP
    whole, half = tfcells.RNN(case.cell(), **options), tfcells.RNN(case.cell(), stateful=True, **options)
    for layer in (whole, half):
        layer.build(x.shape)
        set_weights(layer, case)
    for _ in range(2):
        half.reset_state()
        halves = [half(part, **given) for part in np.split(x, 2, 1)]
        near([np.concatenate(halves, 1)], [whole(x, **given)])


# Configuration.


@WRAPPERS
def test_config_keeps_every_argument(row):
    names = set(row.wrapper.arguments()) - {"cell"}
    given = row.arguments | row.others
    given |= {name: True for name in names if given.get(name) is False}
    assert given.keys() == names, "an argument without another value than its default"
    inner = INNER[0].cell(5, forget_bias=0.5)
    built = row.wrapper(inner, **given, name="own", dtype="mixed_bfloat16", trainable=False)
    for name, parameter in arguments(row.wrapper).items():
        if name != "cell":
            assert given[name] != parameter.default
            assert getattr(built, name) == given[name]
    config = built.get_config()
    assert set(config) == {*given, "cell", "name", "dtype", "trainable"}
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(built)))
    twin = keras.saving.deserialize_keras_object(saved)
    assert type(twin) is row.wrapper and twin.get_config() == config
    assert twin.cell.get_config() == inner.get_config()


@pytest.mark.slow
@AROUND_LSTM
def test_keras_files(case, tmp_path):
    x, given = data(case)[0].astype("float32"), {k: v for k, v in case.given.items() if k != "training"}
    inputs = keras.Input((None, FEATURES))
    memory = {name: keras.Input(value.shape[1:]) for name, value in given.items()}
    layer = tfcells.RNN(case.cell(), return_sequences=True, jit_compile=False)
    model = keras.Model([inputs, *memory.values()], layer(inputs, **memory))
    set_weights(layer, case)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    arrays = [x, *given.values()]
    np.testing.assert_array_equal(model(arrays), again(arrays))
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_wrapper_is_refused_where_a_slot_is_missing():
    lacks = [
        (row, inner)
        for row in WRAPPED.values()
        for inner in [*INNER, BY_NAME["mingru"]]
        if row.wrapper.needs - inner.cell.slots
    ]
    assert {row.name for row, _ in lacks} == {"RecurrentDropout", "WeightDrop", "Multiplicative"}
    for row, inner in lacks:
        with pytest.raises(ValueError, match=f"has no .* slot, on which {row.name} acts"):
            row.make(inner.cell(**inner.arguments))


@WRAPPERS
@pytest.mark.parametrize("inner", ["mingru", "fast-norm"])
def test_a_kernel_slot_is_a_kernel_that_reads_a_state(row, inner):
    """Some wrappers bring one to a cell without."""
    inner = BY_NAME[inner]
    if not row.wrapper.needs <= inner.cell.slots:
        return  # refused, see above
    arguments = row.arguments | ({"state_rate": 0.0} if "state_rate" in row.arguments else {})
    cell = row.wrapper(inner.cell(**inner.arguments | {"units": FEATURES}), **arguments)
    cell.build((None, FEATURES))
    w = cell.bind(tfcells.Call(STEPS, BATCH, FEATURES, memory=row.given.get("memory")))
    reads = [leaf for leaf in w.leaves() if getattr(leaf, "reads", None)]
    assert bool(reads) == ("kernel" in cell.slots)


def test_state_dropout_around_a_mogrifier_of_a_cell_without_kernels():
    cell = tfcells.VariationalDropout(tfcells.Mogrifier(tfcells.MinGRUCell(5)), state_rate=0.5)
    layer = tfcells.RNN(cell, return_sequences=True, **LOOP)
    x = data(BY_NAME["mingru"])[0].astype("float32")
    assert np.any(np.asarray(layer(x, training=True)) != layer(x))


# One wrapper at a time.


def test_a_time_takes_no_part_in_a_mogrifier():
    """Its rounds are those of the features alone, and the cell reads the time as it is."""
    inner = BY_NAME["cfc-timed"]
    cell = tfcells.Mogrifier(inner.cell(**inner.arguments), rounds=3, round_biases=True)
    cell.build((None, FEATURES))
    cell.built = True
    assert cell.mogrifier_kernel_0.shape == (5, FEATURES - 1)

    def oracle(x, h, **weights):
        def read(features, h, **rest):
            return inner.oracle(np.concatenate([x[:, :1], features], -1), h, timed=True, **rest)

        return oracles.mogrifier(x[:, 1:], h, inner=read, **weights)

    case = Case("", lambda dtype=None: cell, {}, oracle, oracles.rounds(3, biases=True) | inner.weights)
    rng = np.random.default_rng(2)
    x, h = np.abs(rng.normal(size=(BATCH, FEATURES))), rng.normal(size=(BATCH, 5))
    weights = case.draw(cell, lambda shape: rng.normal(size=shape))
    cell.set_weights([*weights.values()])
    np.testing.assert_allclose(cell(x, [h])[0], oracle(x, h, **weights)[0], atol=1e-5)


def test_a_residual_connection_refuses_a_time():
    with pytest.raises(ValueError, match="cell: Residual would add the time that TimeLSTMCell reads"):
        tfcells.Residual(tfcells.TimeLSTMCell(3, timed=True))
    tfcells.Residual(tfcells.TimeLSTMCell(3))


def test_multiplicative_around_a_gru_carries_the_state_on():
    case = ROWS["Multiplicative-gru-after"]
    x, state, weights = data(case)
    written_out = Case("", case.cell, {}, oracles.multiplicative_gru, case.weights)
    near(run(case, LOOP), written_out.roll(x, state, weights))


def test_mogrifier_around_a_gru_carries_the_scaled_state_on():
    """With the update gate shut the state is the scaled one, step after step."""
    case = ROWS["Mogrifier-gru-after"]
    x, state, weights = data(case)
    weights = weights | {"b": weights["b"] + np.repeat([1e3, 0, 0], 5)}
    outputs, _ = pure(layer_of(case, **LOOP), x, state, weights.values())
    wanted = oracles.mogrifier(x[:, 0], *state, inner=lambda x, h, **_: (h, h), **weights)
    near([outputs[:, 0]], [wanted[0]])
    assert np.abs(outputs[:, 0] - state[0]).max() > 0.1


@pytest.mark.parametrize("batch", [4, 3])
@pytest.mark.parametrize("per_gate", [False, True], ids=["tied", "by gate"])
@pytest.mark.parametrize("outside", ["Multiplicative", "VariationalDropout"])
def test_multiplicative_with_state_dropout(outside, per_gate, batch, randomise, monkeypatch):
    """Masks of ones change nothing, whichever is outside; 4 is also the number of gates."""
    monkeypatch.setattr("tfcells.masks.dropout_mask", lambda shape, rate, dtype, seed: ops.ones(shape, dtype))
    x = data(ROWS["Multiplicative-lstm"])[0][:batch]
    found = []
    for rate in (0.0, 0.5):

        def dropped(cell, rate=rate):
            return tfcells.VariationalDropout(cell, state_rate=rate, per_gate=per_gate)

        cell = tfcells.LSTMCell(5)
        if outside == "Multiplicative":
            cell = tfcells.Multiplicative(dropped(cell))
        else:
            cell = dropped(tfcells.Multiplicative(cell))
        layer = tfcells.RNN(cell, return_sequences=True, dtype="float64", **LOOP)
        layer.build(x.shape)
        randomise(layer)
        found.append(layer(x, training=True))
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def initial(**options):
    case = ROWS["TrainableInitialState-gru-after"]
    layer = tfcells.RNN(case.cell(), return_sequences=True, dtype="float64", **LOOP | options)
    layer.build(data(case)[0].shape)
    return case, set_weights(layer, case)


def test_a_given_state_wins_over_the_learned_one():
    case, layer = initial()
    x, _, weights = data(case)
    state = np.random.default_rng(0).normal(size=(BATCH, 5))
    inner = {name: weights[name] for name in "WUb"}
    near([layer(x, initial_state=[state])], BY_NAME["gru-after"].roll(x, [state], inner)[:1])
    near([layer(x)], case.roll(x, [], weights)[:1])


def test_the_gradient_of_a_learned_state_is_the_sum_over_the_batch():
    case, layer = initial()
    x, rows = tf.constant(data(case)[0]), layer.cell.initial_h
    state = tf.repeat(tf.convert_to_tensor(rows)[None], BATCH, 0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(state)
        learned, given = (tf.reduce_sum(y * cosines([y])[0]) for y in (layer(x), layer(x, initial_state=[state])))
    wanted = tf.reduce_sum(tape.gradient(given, state), 0)
    near([tape.gradient(learned, rows.value)], [wanted])
    assert tape.gradient(given, rows.value) is None


def test_reset_state_returns_to_the_learned_row():
    case, layer = initial(stateful=True)
    x = data(case)[0]
    layer.reset_state()  # the weights were set after it was built
    first, second = layer(x), layer(x)
    near([first], case.roll(x, [], data(case)[2])[:1])
    assert np.abs(second - first).max() > 1e-3
    layer.reset_state()
    near([layer(x)], [first])
    layer.cell.initial_h.assign(layer.cell.initial_h + 1.0)
    layer.reset_state()
    near(layer.states, [np.tile(layer.cell.initial_h, (BATCH, 1))])


@pytest.mark.slow
def test_a_learned_state_trains_in_a_compiled_model():
    layer = tfcells.RNN(tfcells.TrainableInitialState(tfcells.LSTMCell(3)))
    model = keras.Sequential([layer])
    model.compile("sgd", "mse")
    x = np.ones((8, 2, FEATURES), "float32")
    model.fit(x, np.ones((8, 3), "float32"), verbose=0)
    assert np.any(layer.cell.initial_h) and np.any(layer.cell.initial_c)


def test_clip_has_a_limit_for_each_state():
    cell = tfcells.Clip(tfcells.LSTMCell(5), {"c": 0.2})
    layer, bare = (
        tfcells.RNN(c, return_sequences=True, return_state=True, dtype="float64", **LOOP) for c in (cell, cell.cell)
    )
    x = 5 * data(BY_NAME["lstm"])[0]
    for each in (layer, bare):
        each.build(x.shape)
    y, h, c = layer(x)
    assert np.abs(c).max() == 0.2 and np.abs(h).max() > 0.0
    np.testing.assert_array_equal(y[:, -1], h)
    y, h, c = bare(x[:, :1])
    clipped = layer(x[:, :1])
    near(clipped, [y, h, np.clip(c, -0.2, 0.2)])  # h read the unclipped c


def test_clip_leaves_counters_alone():
    cell = tfcells.Clip(tfcells.ClockworkRNNCell(4, periods=(1, 2)), 0.1)
    layer = tfcells.RNN(cell, return_state=True, **LOOP)
    y, h, time = layer(np.ones((2, 6, 3), "float32"))
    assert np.abs(h).max() <= np.float32(0.1)
    np.testing.assert_array_equal(y, h)
    np.testing.assert_array_equal(time, np.full((2, 1), 6.0))
    with pytest.raises(ValueError, match="numbers by the states h, got"):
        tfcells.Clip(cell.cell, {"time": 1.0})


@pytest.mark.parametrize("limit", [0, -1.0, None, "1", float("nan"), True, {"h": 0.0}, {"m": 1.0}])
def test_wrong_limits(limit):
    with pytest.raises(ValueError, match="limit must be"):
        tfcells.Clip(tfcells.LSTMCell(2), limit)


def test_residual_needs_inputs_as_wide_as_outputs():
    layer = tfcells.RNN(tfcells.Residual(tfcells.GRUCell(4)))
    with pytest.raises(ValueError, match="4 features are needed, got 3"):
        layer(np.ones((2, 5, 3), "float32"))


@pytest.mark.parametrize("options", [ENGINE, LOOP, {"unroll": True}], ids=["engine", "loop", "unrolled"])
def test_zoneout_belongs_inside_residual(options):
    x = np.ones((2, 5, 3), "float32")
    with pytest.raises(ValueError, match="Residual has no state slot"):
        tfcells.Zoneout(tfcells.Residual(tfcells.GRUCell(3)), 0.1)
    layer = tfcells.RNN(tfcells.Residual(tfcells.Zoneout(tfcells.GRUCell(3), 0.1)), **options)
    assert layer(x, training=True).shape == (2, 3)


# A linear cell takes all steps at once.


@pytest.mark.parametrize("name", ["mingru", "mingru-positive"])
def test_a_scan_is_all_steps(name):
    """Values and gradients, from a state that is not zero."""
    case = BY_NAME[name]
    x, state, weights = data(case)
    cell = case.build(FEATURES, dtype="float64")
    sources = [tf.constant(a) for a in (x, *state, *weights.values())]

    def scanned(x, h, *weights):
        with keras.StatelessScope(list(zip(cell.weights, weights, strict=True))):
            sequence = tf.transpose(x, (1, 0, 2))
            w = cell.bind(tfcells.Call(STEPS, BATCH, FEATURES))
            y, (h,) = cell.scan(cell.inputs(sequence, w), (h,), w)
            return tf.transpose(y, (1, 0, 2)), h

    def stepped(x, h, *weights):
        return pure(layer_of(case, **LOOP), x, [h], weights)

    found = []
    for function in (scanned, stepped):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            y, h = function(*sources)
            loss = sum(tf.reduce_sum(a * b) for a, b in zip((y, h), cosines((y, h)), strict=True))
        found.append([y, h, *tape.gradient(loss, sources)])
    near(*found, tolerance=1e-10)
    near(found[0][:2], oracle(case), tolerance=1e-10)
