"""The conformance suite: every cell of the table against its oracle, in every way it can run."""

import dataclasses
import functools
import inspect
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases import BAD, CASES, OTHER, WRAPPED, arguments, other, prepared, refused, stepped
from tests.cases.lstm import lstm, norm_lstm
from tests.cases.maths import CHOSEN
from tests.cases.row import shape_of, timed
from tests.cases.runs import (
    BATCH,
    BY_NAME,
    FEATURES,
    LOOP,
    MASK,
    STEPS,
    are_finite_differences,
    cosines,
    data,
    layer_of,
    loss_of,
    near,
    oracle,
    pure,
    run,
)

EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
# The last variant of each cell: enough for what variants don't change, as compiling takes time.
LAST = list({case.cell: case for case in CASES}.values())
ONE_EACH = pytest.mark.parametrize("case", LAST, ids=lambda case: case.name)
# What differs in its states: two, a matrix, a count of the steps, one that is linear.
SOME = [case for case in CASES if case.name in ("lstm", "fast-norm", "clockwork", "mingru")]
# Variants whose weights or states are other than the last's: the engine goes another way with them.
COMPILED = list(
    {(case.cell, case.cell(**case.arguments).states, *case.weights.values()): case for case in CASES}.values()
)
ENGINE = {}


def hiding(x, mask, value):
    """x with that value wherever the mask is False."""
    return np.where(mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim)), x, np.asarray(value, x.dtype))


def differentiated(tape, loss, sources, count):
    """The gradients of `count` inputs and states, and of weights. A step may leave a state unread: it has zeros."""
    found = tape.gradient(loss, sources)
    unread = [tf.zeros_like(a) if d is None else d for d, a in zip(found[1:count], sources[1:count], strict=True)]
    return [found[0], *unread, *found[count:]]


@functools.cache
def trained(case, options):
    """A function of inputs, states, weights and a mask: all outputs, and the gradients for a loss of them.

    With the engine it is one program of XLA.
    """
    layer, count = layer_of(case, **dict(options)), 1 + len(data(case)[1])

    def function(sources, mask):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            found = pure(layer, sources[0], sources[1:count], sources[count:], mask=mask, **case.given)
            loss = sum(tf.reduce_sum(a * b) for a, b in zip(found, cosines(found), strict=True))
        return found, differentiated(tape, loss, sources, count)

    return tf.function(function, jit_compile=True) if layer.compiles else function


def train(case, options, mask, x=None):
    """What that gives for the case's data, as arrays. The mask hides NaN."""
    own, state, weights = data(case)
    x = hiding(own if x is None else x, mask, np.nan)
    sources = [tf.constant(a) for a in (x, *state, *weights.values())]
    return [[np.asarray(a) for a in part] for part in trained(case, (*options.items(),))(sources, tf.constant(mask))]


def test_every_cell_has_a_row():
    cells = {case.cell.__name__ for case in CASES}
    missing, unknown = tfcells.CELLS.keys() - cells, cells - tfcells.CELLS.keys()
    assert not missing, (
        f"yield rows for {sorted(missing)} in rows() of their family's file in tests/cases/, which FAMILIES names"
    )
    assert not unknown, f"give {sorted(unknown)} a Row in tfcells/cells/rows.py"


@EVERY
def test_kernels_read_the_states_that_they_declare(case):
    """What a kernel that reads a state multiplies depends on that state; state dropout acts on no other."""
    x, state, _ = data(case)
    cell = case.build(FEATURES, dtype="float64")
    state = [tf.constant(s) for s in state]
    (slices, w), seen = prepared(cell, x.swapaxes(0, 1)), []

    def noted(kernel):
        if kernel.reads is None:
            return kernel
        return kernel.using(lambda x: [seen.append((kernel.reads, x)), kernel(x)][1])

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(state)
        stepped(cell, slices, 0, state, w.map_kernels(noted))
    assert bool(seen) == ("kernel" in cell.slots)
    for name, read in seen:
        found = tape.gradient(read, state[cell.states.index(name)])
        assert found is not None and np.abs(found).max() > 1e-6, name


@EVERY
def test_a_projection_slot_is_a_first_state_of_any_width(case):
    """A cell has the slot if and only if its step runs with a first state that is wider than the output."""
    cell, wide = case.cell(**case.arguments), 12
    x, state, _ = data(case)
    state = [tf.ones((BATCH, wide)), *(tf.constant(s, "float32") for s in state[1:])]
    try:
        cell.narrow(wide)
        cell.build((None, FEATURES))
        (slices, along), w = prepared(cell, x.swapaxes(0, 1).astype("float32"))
        slices, along = keras.tree.map_structure(lambda s: s[0], (slices, along))
        cell.advance(slices, tuple(state), w.at(along))
        ran = True
    except (ValueError, tf.errors.InvalidArgumentError):
        ran = False
    assert ran == ("projection" in cell.slots)


@EVERY
def test_a_projection_is_the_oracle_with_a_projected_state(case):
    """Or it is refused: the kernels read P h, and the output is that."""
    if "projection" not in case.cell(**case.arguments).slots:
        with pytest.raises(ValueError, match="no projection slot"):
            tfcells.Projection(case.cell(**case.arguments), 4)
        return
    projected = dataclasses.replace(WRAPPED["Projection"], arguments={"projection_units": 4}).around(case)
    near(run(projected, {"unroll": True}), oracle(projected))


# The same numbers, however it runs.


def in_graph(case, x, state, weights):
    """With unknown batch and length."""
    layer, signature = layer_of(case, **LOOP), tf.TensorSpec((None, None, FEATURES), "float64")
    return tf.function(lambda x: pure(layer, x, state, weights), input_signature=[signature])(x)


def by_single_steps(case, x, state, weights):
    cell, outputs = case.build(FEATURES, dtype="float64"), []
    for t in range(STEPS):
        y, state = pure(cell, x[:, t], state, weights)
        outputs.append(y)
    return np.stack(outputs, 1), *state


def layer_with(**options):
    return lambda case, *given: pure(layer_of(case, **options), *given)


WAYS = {  # and the rows that go it; unrolled they all are in test_without_bias
    "loop": (layer_with(**LOOP), CASES),
    "unrolled": (layer_with(unroll=True), SOME),
    "keras RNN": (layer_with(layer=keras.layers.RNN), LAST),
    "single steps": (by_single_steps, CASES),
}


def equals_the_oracle(case, way):
    x, state, weights = data(case)
    near(way(case, x, state, list(weights.values())), oracle(case))


@pytest.mark.parametrize(
    "case, way",
    [pytest.param(case, way, id=f"{case.name}-{name}") for name, (way, cases) in WAYS.items() for case in cases],
)
def test_equals_the_oracle(case, way):
    equals_the_oracle(case, way)


@pytest.mark.slow
@ONE_EACH
def test_equals_the_oracle_in_a_graph(case):
    equals_the_oracle(case, in_graph)


@EVERY
def test_the_oracle_notices_a_swap_of_gates(case):
    """In each weight any two gates, or else its units, change places: the numbers must differ."""
    x, state, weights = data(case)
    found, cell = oracle(case), case.build(FEATURES)
    gates = cell.gates if hasattr(cell, "gates") else cell.cell.gates
    for letter, weight in weights.items():
        swapped = []
        if gates > 1 and weight.shape[-1] % gates == 0:
            for a, b in itertools.combinations(range(gates), 2):
                order = np.arange(gates)
                order[[a, b]] = b, a
                swapped.append(np.concatenate([np.split(weight, gates, -1)[i] for i in order], -1))
        for wrong in swapped or [np.roll(weight, 1, -1) if weight.shape[-1] > 1 else weight + 1]:
            others = case.roll(x, state, weights | {letter: wrong})
            assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(found, others, strict=True)), letter


@EVERY
def test_without_bias(case):
    x, state, weights = data(case)
    layer = layer_of(case, more=(("use_bias", False),), unroll=True)
    letters = {name: letter for letter, name in case.weights.items()}
    kept = {letters[w.name]: weights[letters[w.name]] for w in layer.weights}
    left_out = {case.weights[letter] for letter in set(weights) - set(kept)}
    biases = {n for n in letters if "bias" in n and not n.startswith(("embedding", "mogrifier", "factor"))}
    assert left_out == biases | letters.keys() & {"gate_shift"}
    near(pure(layer, x, state, kept.values()), case.roll(x, state, kept))


@EVERY
def test_other_activations(case, monkeypatch):
    x, state, weights = data(case)
    others = {name: OTHER[name] for name in ("activation", "recurrent_activation")}
    others = {k: v for k, v in others.items() if k in arguments(case.cell)}
    layer = layer_of(case, more=tuple(others.items()), unroll=True)

    def softsign(a):
        return a / (1 + np.abs(a))

    monkeypatch.setitem(CHOSEN, "tanh", softsign)
    monkeypatch.setitem(CHOSEN, "s", lambda a: np.clip(a / 6 + 0.5, 0, 1))
    more = {"f": softsign} if "f" in inspect.signature(case.oracle).parameters else {}
    near(pure(layer, x, state, weights.values()), case.roll(x, state, weights, **more))


# The compiled loop and its gradients.


def check_gradients(case, mask, options):
    """As the oracle's finite differences say; those of the engine, and as the ordinary loop's."""
    x, state, weights = data(case)
    found = train(case, options, mask)[1]
    are_finite_differences(found, loss_of(case, mask), [x, *state, *weights.values()])
    if options is ENGINE:
        for a, b in zip(found, train(case, LOOP, mask)[1], strict=True):
            assert np.linalg.norm(a - b) <= 1e-12 * np.linalg.norm(b)


# Masks.
def masked(case, options, mask, x=None):
    """All outputs, as arrays; the mask hides NaN. In the engine they are those of the program with the gradients."""
    if options is ENGINE:
        return train(case, options, mask, x)[0]
    own, state, weights = data(case)
    x = hiding(own if x is None else x, mask, np.nan)
    return [*map(np.asarray, pure(layer_of(case, **options), x, state, weights.values(), mask=mask, **case.given))]


def check_masks(case, options):
    x, initial, weights = data(case)
    initial = case.start(BATCH, weights) if case.start else initial
    outputs, *state = masked(case, options, MASK)
    wanted, *final = case.roll(x, initial, weights, MASK)
    near(state, final)
    near([outputs], [wanted])
    last = np.zeros_like(outputs[:, 0])  # what Keras, too, holds before the first step
    for t in range(STEPS):
        np.testing.assert_array_equal(outputs[~MASK[:, t], t], last[~MASK[:, t]])
        last = outputs[:, t]
    for before, after in zip(initial, state, strict=True):
        np.testing.assert_array_equal(before[~MASK.any(1)], after[~MASK.any(1)])
    if timed(case.oracle):
        return
    # Masked steps do exactly nothing: moved to the end, they change no bit.
    order, rows = np.argsort(~MASK, axis=1, kind="stable"), np.arange(BATCH)[:, None]
    x, mask = x[rows, order], MASK[rows, order]
    same = masked(case, options, mask, x)
    for a, b in zip([same[0][mask], *same[1:]], [outputs[MASK], *state], strict=True):
        np.testing.assert_array_equal(a, b)


@EVERY
def test_masks(case):
    check_masks(case, LOOP)


@pytest.mark.slow
@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_engine(case):
    """In a function of XLA; by itself, in single precision, in tests/tfcells/wrappers/test_regularized_cells.py."""
    check_masks(case, ENGINE)
    check_gradients(case, MASK, ENGINE)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in COMPILED], ids=lambda case: case.name)
def test_gradients(case):
    """Of the other variants, in the ordinary loop."""
    check_gradients(case, MASK, LOOP)


def check_one_step(case, options):
    """Of one step: the first, the last, one in the middle, none. Without what is masked, and with it."""
    x, state, weights = data(case)
    mask = np.zeros((BATCH, STEPS), bool)
    mask[[0, 1, 2], [0, STEPS - 1, 2]] = True
    near(run(case, options, mask=mask), case.roll(x, state, weights, mask))
    given = {name: value[:, :1] if name == "reset" else value for name, value in case.given.items()}
    for how in [options, {"parallel": False}] if options is LOOP else [options]:
        for keep in (None, mask[:, :1]):
            found = pure(layer_of(case, **how), x[:, :1], state, weights.values(), mask=keep, **given)
            near(found, case.roll(x[:, :1], state, weights, keep))


@ONE_EACH
def test_one_step(case):
    check_one_step(case, LOOP)


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
@pytest.mark.parametrize("options", [LOOP, {"unroll": True}], ids=["loop", "unrolled"])
def test_zero_output_for_mask(case, options):
    outputs, *state = case.roll(*data(case), MASK)
    found = run(case, options | {"zero_output_for_mask": True}, mask=MASK)
    near(found, [np.where(MASK[..., None], outputs, 0), *state])


# The rest of the contract.


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_two_halves_of_a_stateful_layer_are_one_sequence(case):
    """For the others see `tests/tfcells/test_states.py`."""
    x, _, weights = data(case)
    cell = case.cell(**case.arguments)
    layer = tfcells.RNN(cell, stateful=True, return_sequences=True, dtype="float64", **LOOP)
    layer.build(x.shape)
    cell.set_weights([*weights.values()])
    zeros = [np.zeros(shape_of(BATCH, size)) for size in cell.state_size]
    wanted = case.roll(x, zeros, weights)[:1]
    for _ in range(2):
        halves = [layer(x[:, : STEPS // 2]), layer(x[:, STEPS // 2 :])]
        near([np.concatenate(halves, 1)], wanted)
        layer.reset_state()


POLICIES = {"mixed_bfloat16": 0.1, "float16": 0.02, "float32": 1e-5}


def check_policy(case, policy, options):
    """The oracle gets its numbers as the cell does, rounded."""
    own = case.cell(dtype=policy, **case.arguments).get_initial_state(BATCH)
    computed = keras.dtype_policies.get(policy).compute_dtype
    x, state, weights = keras.tree.map_structure(lambda a: np.float64(keras.ops.cast(a, computed)), data(case))
    dtypes = [computed, *(each.dtype.name for each in own)]
    for got, wanted, dtype in zip(run(case, options, policy), case.roll(x, state, weights), dtypes, strict=True):
        assert got.dtype.name == dtype
        np.testing.assert_allclose(got.astype("float64"), wanted, rtol=0, atol=POLICIES[policy])


@pytest.mark.slow
@pytest.mark.parametrize(
    "case, policy",
    [
        pytest.param(case, policy, id=f"{case.name}-{policy}")
        for policy in POLICIES
        for case in (LAST if policy == "float32" else CASES)  # what is rounded too often shows in fewer bits
    ],
)
def test_dtype_policies(case, policy):
    check_policy(case, policy, LOOP)


HALF = (
    "lstm clockwork fast-norm mingru lnlstm-product-output phased lru mlstm slstm scornn hyper rhn-uncoupled-3".split()
)


@pytest.mark.slow
@pytest.mark.parametrize("case", [BY_NAME[name] for name in HALF], ids=HALF)
def test_mixed_precision_in_the_engine(case):
    """Of cells with unlike states. No step has a dtype of its own (`test_a_step_keeps_to_the_dtypes_it_is_given`)."""
    check_policy(case, "mixed_bfloat16", ENGINE)


KERAS = {
    "elman": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru-after": keras.layers.GRU,
    "gru-before": keras.layers.GRU,
}


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_weights_fit_the_layers_of_keras(name, go_backwards, mask):
    case = next(case for case in CASES if case.name == name)
    x, state, weights = data(case)
    options = {"return_sequences": True, "return_state": True, "go_backwards": go_backwards}
    theirs = KERAS[name](**case.arguments, **options, dtype="float64")
    theirs.build(x.shape)
    ours = layer_of(case, go_backwards=go_backwards, **LOOP)
    near(*(pure(layer, x, state, weights.values(), mask=mask) for layer in (ours, theirs)))


# Configuration.

CELLS = pytest.mark.parametrize("cell", tfcells.CELLS.values(), ids=tfcells.CELLS)


@CELLS
def test_config_keeps_every_argument(cell):
    given = {name: other(cell, name) for name in arguments(cell)}
    built, plain = cell(**given, name="own", dtype="mixed_bfloat16", trainable=False), cell(4)
    for name, value in given.items():
        found = getattr(built, name)
        assert value in (found, keras.activations.serialize(found) if callable(found) else found)
    config = built.get_config()
    assert {k for k, v in plain.get_config().items() if config.get(k) == v} == set()
    assert set(config) == {*given, "name", "dtype", "trainable"}
    saved = json.dumps(keras.saving.serialize_keras_object(built))
    twin = keras.saving.deserialize_keras_object(json.loads(saved))
    assert type(twin) is cell
    assert twin.get_config() == config == cell.from_config(config).get_config()


@CELLS
def test_an_unknown_argument_is_refused(cell):
    with pytest.raises((TypeError, ValueError), match="nonsense"):
        cell(4, nonsense=1)


@pytest.mark.parametrize("cell", [*tfcells.CELLS.values(), *tfcells.WRAPPERS.values()], ids=lambda cell: cell.__name__)
def test_every_argument_has_bad_values(cell):
    """But those that all cells have and Keras checks."""
    common = "_initializer", "_regularizer", "_constraint"
    missing = [name for name in arguments(cell) if name not in BAD and not name.endswith(common)]
    assert not missing, f"give {missing} of {cell.__name__} wrong values in BAD of tests/cases/values.py"


@pytest.mark.parametrize("cell,name,value", refused(tfcells.CELLS.values()))
def test_a_bad_value_is_refused_by_name(cell, name, value):
    """Keras names a bad activation by its value."""
    with pytest.raises(ValueError, match=f"{name}|no such function"):
        cell(**{"units": 4} | {name: value})


@EVERY
def test_regularizers_and_constraints_reach_their_weights(case):
    kinds = ["kernel", "recurrent", "bias", "gain"]
    roles = {f"{kind}_{role}" for kind in kinds for role in ("regularizer", "constraint")}
    given = {role: OTHER[role] for role in roles & arguments(case.cell).keys()}
    cell = case.build(FEATURES, **given)
    for weight in cell.weights:
        for kind in kinds:
            own = "gain" if "gain" in weight.name else weight.name.removeprefix("hyper_")
            if own.startswith(kind):
                assert weight.regularizer is given.get(f"{kind}_regularizer")
                assert weight.constraint is given.get(f"{kind}_constraint")


@pytest.mark.parametrize("kind", [tuple, list, np.array])
def test_periods_of_numpy(kind):
    cell = tfcells.ClockworkRNNCell(4, periods=kind([np.int64(1), np.int32(2)]))
    assert cell.periods == (1, 2) and all(type(period) is int for period in cell.periods)
    json.dumps(cell.get_config())


# Initial weights.


def built(cell):
    cell.build((None, FEATURES))
    return {weight.name: np.asarray(weight) for weight in cell.weights}


@pytest.mark.parametrize(
    "cell,name",
    [
        (tfcells.LSTMCell, "bias"),
        (tfcells.LayerNormLSTMCell, "bias"),
        (functools.partial(tfcells.LayerNormLSTMCell, norm="gate"), "shift"),
        (tfcells.HyperLSTMCell, "bias"),
        (functools.partial(tfcells.HyperLSTMCell, layer_norm=True), "shift"),
        (tfcells.ResidualLSTMCell, "bias"),
        (tfcells.MultiplicativeIntegrationLSTMCell, "bias"),
        (tfcells.TimeLSTMCell, "bias"),
        (tfcells.PhasedLSTMCell, "bias"),
    ],
    ids=["lstm", "lnlstm-product", "lnlstm-gate", "hyper", "hyper-norm", "residual", "integration", "time", "phased"],
)
@pytest.mark.parametrize("amount", [0.0, 1.0, 2.5])
def test_forget_bias_raises_the_forget_gate_alone(cell, name, amount):
    weights = built(cell(4, forget_bias=amount))
    wanted = np.outer([0, amount, 0, 0], np.ones(4))
    np.testing.assert_array_equal(weights[name].reshape(4, 4), wanted)
    if name == "shift":
        assert not weights["bias"].any()
    if "input_gate" in arguments(getattr(cell, "func", cell)):
        coupled = built(cell(4, forget_bias=amount, input_gate="coupled"))
        np.testing.assert_array_equal(coupled[name].reshape(3, 4), np.delete(wanted, 0, 0))


@pytest.mark.parametrize(
    "cell,raised",
    [(tfcells.UGRNNCell, [1, 0]), (tfcells.IntersectionRNNCell, [1, 1, 0, 0]), (tfcells.CFNCell, [1, -1, 0])],
)
@pytest.mark.parametrize("amount", [0.0, 1.0, 2.5])
def test_forget_bias_raises_what_keeps(cell, raised, amount):
    """And lowers what a free input gate lets in. 1 unless it is given."""
    bias = built(cell(4, **{} if amount == 1 else {"forget_bias": amount}))["bias"]
    np.testing.assert_array_equal(bias.reshape(-1, 4), amount * np.outer(raised, np.ones(4)))


@pytest.mark.parametrize("cell,sign", [(tfcells.JANETCell, 1), (tfcells.STARCell, -1)])
def test_chrono_initialization(cell, sign):
    """log(u) with u uniform in (1, 784) (1804.11188); the candidates' biases are 0; else the forget gate's is 1."""
    gate, candidate = np.split(built(cell(4000, longest=784, recurrent_initializer="zeros"))["bias"], 2)
    assert not candidate.any()
    u = np.exp(sign * gate)
    assert 1 <= u.min() < 5 and 780 < u.max() <= 784.1
    np.testing.assert_allclose(np.quantile(u, [0.25, 0.5, 0.75]), [196.75, 392.5, 588.25], rtol=0.08)
    np.testing.assert_array_equal(built(cell(3))["bias"], np.repeat([sign, 0.0], 3))


@pytest.mark.parametrize(
    "cell,starts",
    [
        (tfcells.FastRNNCell, {"alpha": -3, "beta": 3, "bias": 1}),
        (tfcells.FastGRNNCell, {"zeta": 1, "nu": -4, "bias": 1}),
        (functools.partial(tfcells.JANETCell, beta=2.0, train_beta=True), {"gate_offset": 2}),
        (tfcells.BRCCell, {"recurrent_vector": 1}),
        (tfcells.PhasedLSTMCell, {"open_ratio": 0.05}),
        (functools.partial(tfcells.PhasedLSTMCell, open_ratio_start=0.25), {"open_ratio": 0.25}),
        (
            tfcells.MultiplicativeIntegrationLSTMCell,
            {"product_gain": 1, "recurrent_gain": 1, "kernel_gain": 1},
        ),
    ],
)
def test_vectors_that_start_at_a_number(cell, starts):
    weights = built(cell(4))
    for name, start in starts.items():
        np.testing.assert_array_equal(weights[name], np.full_like(weights[name], start))


def test_the_recurrent_blocks_of_a_neuromodulated_cell_are_orthogonal():
    for block in np.split(built(tfcells.NBRCCell(6))["recurrent_kernel"], 2, -1):
        np.testing.assert_allclose(block @ block.T, np.eye(6), atol=1e-5)


def test_periods_start_log_uniform_and_shifts_within_them():
    weights = built(tfcells.PhasedLSTMCell(4000, period_range=(2.0, 200.0), recurrent_initializer="zeros"))
    period, shift = weights["period"], weights["phase_shift"]
    assert 2 <= period.min() < 2.1 and 190 < period.max() <= 200.1
    quarters = np.quantile(np.log(period), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quarters, np.log(2) + np.log(100) * np.array([0.25, 0.5, 0.75]), atol=0.15)
    ratio = shift / period
    assert 0 <= ratio.min() < 0.01 and 0.99 < ratio.max() < 1
    np.testing.assert_allclose(np.quantile(ratio, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.04)
    assert abs(np.corrcoef(ratio, period)[0, 1]) < 0.1


# What a cell has to be given.


@pytest.mark.parametrize("timed", [False, True])
def test_a_phased_lstm_leaks_in_training_alone(timed):
    """Where a unit is shut, k is leak times the phase."""
    case = next(case for case in CASES if case.name == ("phased-timed" if timed else "phased"))
    x, state, weights = data(case)
    layer = layer_of(case, more=(("leak", 0.5),), **LOOP)
    for training, leak in ((True, 0.5), (False, 0)):
        found = pure(layer, x, state, weights.values(), training=training)
        near(found, case.roll(x, state, weights, leak=leak))
    assert np.abs(case.roll(x, state, weights, leak=0.5)[0] - case.roll(x, state, weights)[0]).max() > 1e-3


@pytest.mark.parametrize("cell", [tfcells.TimeLSTMCell, tfcells.PhasedLSTMCell, tfcells.CfCCell])
def test_a_time_alone_is_not_enough(cell):
    with pytest.raises(ValueError, match="sequences: with timed=True a time and features are needed, got 1 columns"):
        tfcells.RNN(cell(4, timed=True), **LOOP)(np.ones((2, 3, 1)))


def test_a_timed_cell_is_the_first_of_a_stack():
    first, second = tfcells.CfCCell(4, timed=True), tfcells.TimeLSTMCell(3)
    assert tfcells.RNN([first, second], **LOOP)(np.ones((2, 3, 5))).shape == (2, 3)
    for inner in (tfcells.PhasedLSTMCell(4, timed=True), tfcells.Clip(tfcells.CfCCell(4, timed=True), 1.0)):
        with pytest.raises(ValueError, match="cell: a timed .* must be the first of a stack"):
            tfcells.RNN([tfcells.LSTMCell(4), inner])


PASSING = [
    tfcells.IntersectionRNNCell,
    tfcells.MUT1Cell,
    tfcells.MUT2Cell,
    tfcells.ResidualLSTMCell,
]


@pytest.mark.parametrize("cell", PASSING)
def test_an_input_that_passes_is_projected_where_it_must_be(cell):
    for project, projected in ((None, {3: False, 5: True}), (True, {3: True, 5: True}), (False, {3: False})):
        for units, wanted in projected.items():
            assert ("projection_kernel" in built(cell(units, project=project))) == wanted
    with pytest.raises(ValueError, match="project must be True or None where 3 features are not as many as 5 units"):
        built(cell(5, project=False))


@pytest.mark.parametrize("coupled,gates", [(True, 2), (False, 3)])
def test_transform_bias_sets_every_transform_gate(coupled, gates):
    half = keras.initializers.Constant(0.5)
    cell = tfcells.RHNCell(4, depth=3, coupled=coupled, transform_bias=-1.5, bias_initializer=half)
    biases = [bias.reshape(gates, 4) for name, bias in built(cell).items() if "bias" in name]
    assert len(biases) == 3
    for bias in biases:
        np.testing.assert_array_equal(bias, np.outer([0.5, -1.5, 0.5][:gates], np.ones(4)))


@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "norm"])
def test_a_new_hyper_lstm_is_an_lstm_with_a_tenth_of_its_kernels(layer_norm):
    """Whatever the hyper LSTM's state: scalings start at 0.1, generated biases at 0 (A.2)."""
    E, options = 4, {"layer_norm": layer_norm, "dtype": "float64"}
    cell = tfcells.HyperLSTMCell(16, hyper_units=8, embedding_units=E, **options)
    w, rng = built(cell), np.random.default_rng(0)
    for name, units in (("recurrent_kernel", 16), ("hyper_recurrent_kernel", 8)):
        gates = np.split(w[name], 4, -1)
        assert len({gate.tobytes() for gate in gates}) == 4
        near([gate.T @ gate for gate in gates], [np.eye(units)] * 4)
    assert not w["embedding_kernel"][:, : 8 * E].any()
    assert 0.008 < w["embedding_kernel"][:, 8 * E :].std() < 0.012
    assert not w["scale_kernel"][8:].any()
    np.testing.assert_allclose(w["scale_kernel"][:8].sum(1), 0.1, rtol=1e-12)
    x, *state = (rng.normal(size=(2, width)) for width in (FEATURES, *cell.state_size))
    step = lstm
    if layer_norm:
        norms = {"g": w["gain"], "d": w["shift"], "cg": w["cell_gain"], "cd": w["cell_shift"]}
        step = functools.partial(norm_lstm, **norms, epsilon=1e-3, cell_norm="output")
    wanted = step(x, *state[:2], W=0.1 * w["kernel"], U=0.1 * w["recurrent_kernel"], b=w["bias"])
    y, (h, c, *_) = cell(x, state)
    near([y, h, c], wanted)
