"""Every wrapper around a few cells against its oracle, in every way it can run.

Its masks are the same in the oracle and in the layer; what drawn masks are like is for
tests/tfcells/wrappers/test_regularized_cells.py to say.
"""

import dataclasses
import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases import WRAPPED, Case, arguments, refused
from tests.cases import wrappers as oracles
from tests.cases.runs import (
    AROUND_CELLS,
    BATCH,
    BY_NAME,
    FEATURES,
    INNER,
    LOOP,
    MASK,
    STEPS,
    data,
    layer_of,
    near,
    oracle,
    pure,
    run,
)
from tests.tfcells.cells.test_cells import ENGINE, check_gradients, check_masks, check_one_step, train

pytestmark = pytest.mark.usefixtures("known_masks")
EVERY = pytest.mark.parametrize("case", AROUND_CELLS.values(), ids=AROUND_CELLS)
LSTM = {name: case for name, case in AROUND_CELLS.items() if name.endswith("-lstm")}
ON_KERNELS = {"Attention", "FastSlow", "Hyper", "Mogrifier", "Multiplicative"}  # noise: test_regularized_cells.py
COMPILED = LSTM | {
    name: case
    for name, case in AROUND_CELLS.items()
    if name.endswith("-rhn-coupled-2") and name.split("-")[0] in ON_KERNELS
}
AROUND_LSTM = pytest.mark.parametrize("case", LSTM.values(), ids=LSTM)
WRAPPERS = pytest.mark.parametrize("row", WRAPPED.values(), ids=WRAPPED)


def test_every_wrapper_has_a_row():
    table = {row["name"] for row in tfcells.cells.table() if row["kind"] == "wrapper"}
    missing, unknown = table - set(WRAPPED), set(WRAPPED) - table
    assert not missing, f"yield a Wrapped for {sorted(missing)} in wrappers() of tests/cases/wrappers.py"
    assert not unknown, f'give {sorted(unknown)} a Row with the kind "wrapper" in tfcells/cells/rows.py'
    assert {name.split("-")[0] for name in LSTM} == table


@EVERY
def test_equals_the_oracle(case):
    near(run(case, LOOP), oracle(case))


@pytest.mark.parametrize("name", sorted(AROUND_CELLS.keys() - LSTM.keys()))
def test_masks(name):
    """Those around an LSTM are below."""
    case = AROUND_CELLS[name]
    x, state, weights = data(case)
    near(run(case, LOOP, mask=MASK), case.roll(x, state, weights, MASK))


@AROUND_LSTM
def test_masked_steps_do_nothing(case):
    check_masks(case, LOOP)
    check_one_step(case, LOOP)


@pytest.mark.slow
@pytest.mark.parametrize("case", COMPILED.values(), ids=COMPILED)
def test_engine(case):
    """Under a mask. The engine knows of no wrapper: one cell, and where a wrapper changes what kernels read or how, one
    that reads its state several times a step."""
    x, state, weights = data(case)
    near(train(case, ENGINE, MASK)[0], case.roll(x, state, weights, MASK))
    check_gradients(case, MASK, ENGINE)


@pytest.mark.slow
@EVERY
def test_mixed_precision(case):
    """Finite, and near the numbers of float32."""
    found, wanted = run(case, LOOP, "mixed_bfloat16"), run(case, LOOP, "float32")
    cell = case.cell()
    dtypes = ["float32" if name in cell.clocks else "bfloat16" for name in (None, *cell.states)]
    for a, b, dtype in zip(found, wanted, dtypes, strict=True):
        assert a.dtype == dtype and np.isfinite(a.astype("float32")).all()
        np.testing.assert_allclose(a.astype("float32"), b, rtol=0.05, atol=0.15)


def set_weights(layer, case):
    for variable, value in zip(layer.trainable_variables, data(case)[2].values(), strict=True):
        variable.assign(value)
    return layer


# Configuration.


@WRAPPERS
def test_config_keeps_every_argument(row):
    names = set(row.wrapper.arguments()) - {"cell"}
    given = row.arguments | row.others
    defaults = {name: parameter.default for name, parameter in arguments(row.wrapper).items()}
    given |= {name: not defaults[name] for name in names if isinstance(given.get(name), bool)}
    missing = names - given.keys()
    assert not missing, f"give {sorted(missing)} values in others= of {row.name}'s row in tests/cases/wrappers.py"
    assert given.keys() == names
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


@pytest.mark.parametrize("wrapper,name,value", refused(tfcells.WRAPPERS.values()))
def test_a_bad_value_is_refused_by_name(wrapper, name, value):
    with pytest.raises(ValueError, match=f"{name}.? must be|no such function"):
        WRAPPED[wrapper.__name__].make(INNER[0].cell(6), **{name: value})


@pytest.mark.slow
@AROUND_LSTM
def test_keras_files(case, tmp_path):
    x, given = data(case)[0].astype("float32"), {k: v for k, v in case.given.items() if k != "training"}
    inputs = keras.Input((None, FEATURES))
    memory = {name: keras.Input(value.shape[1:], dtype=value.dtype.name) for name, value in given.items()}
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
    assert {row.name for row, _ in lacks} == {"RecurrentDropout", "WeightDrop", "Multiplicative", "Hyper", "Projection"}
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
    arguments = {"state_rate": 0.0} if "state_rate" in row.arguments else {}
    cell = row.make(inner.cell(**inner.arguments | {"units": FEATURES}), **arguments)
    cell.build((None, FEATURES))
    given = {name: value for name, value in row.given.items() if name != "training"}
    w = cell.bind(tfcells.Call(STEPS, BATCH, FEATURES, **given))
    reads = [leaf for leaf in w.leaves() if getattr(leaf, "reads", None)]
    assert bool(reads) == ("kernel" in cell.slots)


def test_state_dropout_around_a_mogrifier_of_a_cell_without_kernels():
    cell = tfcells.VariationalDropout(tfcells.Mogrifier(tfcells.MinGRUCell(5)), state_rate=0.5)
    layer = tfcells.RNN(cell, return_sequences=True, **LOOP)
    x = data(BY_NAME["mingru"])[0].astype("float32")
    assert np.any(np.asarray(layer(x, training=True)) != layer(x))


# Wrappers around wrappers.

MEMORY = ("Attention", "LuongAttention")
AROUND = pytest.mark.parametrize("outside", sorted(WRAPPED.keys() - {"ResetOnFlag"}))  # which goes around all


@pytest.mark.parametrize("outside", sorted(WRAPPED.keys() - {"Zoneout", "Clip"}))
def test_output_dropout_inside_acts_on_the_output_of_the_cell(outside):
    """And so do the other masks of VariationalDropout. Where the new state changes, so does what is dropped."""
    case = WRAPPED[outside].around(WRAPPED["VariationalDropout"].around(BY_NAME["lstm"]))
    near(run(case, LOOP), oracle(case))


@AROUND
@pytest.mark.parametrize("inside", [True, False], ids=["around", "inside"])
def test_attention(outside, inside):
    attention, row = WRAPPED["Attention"], WRAPPED[outside]
    if inside and row.units == {"units": FEATURES}:  # as wide as the input
        row = dataclasses.replace(row, units={"units": FEATURES + attention.arguments["memory_features"]})
    outer, inner = (attention, row) if inside else (row, attention)
    if outside in MEMORY or (outside == "Hyper" and not inside):
        with pytest.raises(ValueError, match="cell: .*reads a memory"):
            outer.around(inner.around(BY_NAME["lstm"])).cell()
    else:
        case = outer.around(inner.around(BY_NAME["lstm"]))
        near(run(case, LOOP), oracle(case))


@AROUND
def test_a_projection_around_a_wrapper(outside):
    """Where the slot is said to be there: a first state of 3 in place of 5."""
    inner = WRAPPED[outside].around(BY_NAME["lstm"])
    if "projection" in inner.cell().slots:
        case = WRAPPED["Projection"].around(inner)
        near(run(case, LOOP), oracle(case))
    else:
        assert outside in (*MEMORY[1:], *NO_PROJECTION)
        with pytest.raises(ValueError, match="has no projection slot, on which Projection acts"):
            tfcells.Projection(inner.cell(), 3)


NO_PROJECTION = ("Zoneout", "KVPAttention", "WindowAttention", "Residual", "Highway", "Projection", "FastSlow")


def test_state_dropout_tells_the_states_of_two_cells_apart():
    """The kernels of the slow cell read its own state, of another width, with a mask of its own."""
    row = dataclasses.replace(WRAPPED["FastSlow"], arguments={"slow": WRAPPED["FastSlow"].arguments["slow"]})
    cell = tfcells.VariationalDropout(row.make(tfcells.LSTMCell(5)), state_rate=0.3)
    layer = tfcells.RNN(cell, return_sequences=True, dtype="float64", **LOOP)
    layer.build((BATCH, None, FEATURES))
    w = cell.bind(tfcells.Call(STEPS, BATCH, FEATURES, training=True))
    assert {name: tuple(mask.shape) for name, mask in w.state_masks.items.items()} == {
        "h": (BATCH, 5),
        "slow_h": (BATCH, 4),
    }
    inside = tfcells.VariationalDropout(tfcells.GRUCell(4), state_rate=0.3)
    inside = tfcells.RNN(tfcells.FastSlow(tfcells.LSTMCell(5), inside), return_sequences=True, dtype="float64", **LOOP)
    inside.build((BATCH, None, FEATURES))
    inside.set_weights(layer.get_weights())
    x = data(BY_NAME["lstm"])[0]
    near([inside(x)], [layer(x)])
    assert np.abs(inside(x, training=True) - layer(x, training=True)).max() > 1e-3


@pytest.mark.parametrize("name", ["KVPAttention", "WindowAttention", "LuongAttention"])
def test_one_state_of_a_name(name):
    row = WRAPPED[name]
    cell = (
        row.make(row.make(tfcells.LSTMCell(18)))
        if name not in MEMORY
        else tfcells.WindowAttention(row.make(tfcells.LSTMCell(12)), 2)
    )
    with pytest.raises(ValueError, match=r"adds the state '\w+', and \w+Attention has one of that name"):
        cell.build((None, FEATURES))


# One wrapper at a time.


def variant(name, settings, inner="lstm", **more):
    """The row of a wrapper with other arguments, which its oracle knows as well."""
    row = WRAPPED[name]
    arguments = row.arguments | settings
    return dataclasses.replace(row, arguments=arguments, settings=row.settings | settings | more).around(BY_NAME[inner])


@pytest.mark.parametrize("mode", ["k", "kv", "kvp"])
@pytest.mark.parametrize("include_current", [False, True], ids=["before", "current"])
@pytest.mark.parametrize("partial_window", [False, True], ids=["full", "partial"])
def test_modes_of_the_attention_of_key_value_and_prediction(mode, include_current, partial_window):
    """From an empty window, as a layer begins, and from one of any number of outputs."""
    case = variant("KVPAttention", {"mode": mode, "include_current": include_current, "partial_window": partial_window})
    x, state, weights = data(case)
    for filled in (0.0, 2.0, 3.0):
        state = [*state[:-1], np.full((BATCH, 1), filled)]
        near(pure(layer_of(case, **LOOP), x, state, weights.values()), case.roll(x, state, weights))
    cell = layer_of(case, **LOOP).cell
    assert [tuple(s.shape) for s in cell.get_initial_state(2)] == [
        *[(2, 6)] * 2,
        *[(2, 3, 6 // len(mode))] * 2,
        (2, 1),
    ]


@pytest.mark.parametrize("include_current", [False, True])
def test_attention_over_a_window_is_attention_over_the_sequence(include_current):
    """The paper's equations for all steps at once, by the outputs of the cell alone."""
    case = variant("KVPAttention", {"include_current": include_current, "partial_window": True})
    layer = layer_of(case, **LOOP)
    x, _, weights = data(case)
    zeros = [np.zeros(s.shape) for s in layer.get_initial_state(BATCH)]
    found = pure(layer, x, zeros, weights.values())[0]
    h = BY_NAME["lstm"].roll(x, zeros[:2], {name: weights[name] for name in "WUb"})[0]
    k, v, p = np.split(h, 3, -1)
    for t in range(STEPS):
        seen = slice(max(0, t - 3 + include_current), t + include_current)
        e = np.tanh(k[:, seen] @ weights["WY"] + k[:, t, None] @ weights["Wh"]) @ weights["w"]
        a = np.exp(e) / np.exp(e).sum(1, keepdims=True) if e.size else e
        r = (a * v[:, seen]).sum(1)
        near([found[:, t]], [np.tanh(r @ weights["Wr"] + p[:, t] @ weights["Wx"])])


def test_dot_scores_are_general_ones_with_the_identity():
    cells = [tfcells.LuongAttention(tfcells.GRUCell(5), 4, 5, score) for score in ("general", "dot")]
    layers = [tfcells.RNN(cell, return_sequences=True, dtype="float64", **LOOP) for cell in cells]
    x, memory = data(BY_NAME["lstm"])[0], np.random.default_rng(0).normal(size=(BATCH, 3, 5))
    for layer in layers:
        layer.build(x.shape)
    general, dot = layers
    general.set_weights([np.eye(5), *dot.get_weights()])
    near([general(x, memory=memory)], [dot(x, memory=memory)])


def hyper_lstm_cells(layer_norm):
    """`HyperLSTMCell`, and `Hyper` of the same."""
    if layer_norm:
        inner = functools.partial(tfcells.LayerNormLSTMCell, norm="gate")
    else:
        inner = tfcells.LSTMCell
    return tfcells.HyperLSTMCell(5, 4, 2, layer_norm=layer_norm), tfcells.Hyper(inner(5), inner(4), 2)


def named(cell):
    """Its weights by their names; those of a second cell after hyper_."""
    found = {weight.name: weight for weight in cell.weights}
    if isinstance(cell, tfcells.Hyper):
        found = {w.name: w for w in cell.weights if w.name.startswith(("embedding", "scale"))}
        found |= {w.name: w for w in cell.cell.weights} | {f"hyper_{w.name}": w for w in cell.hyper.weights}
    return found


@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "norm"])
def test_hyper_of_lstms_is_the_hyper_lstm(layer_norm, randomise):
    """The same weights by name, the same numbers; started alike."""
    x, found = data(BY_NAME["lstm"])[0], []
    for cell in hyper_lstm_cells(layer_norm):
        layer = tfcells.RNN(cell, return_sequences=True, return_state=True, dtype="float64", **LOOP)
        layer.build(x.shape)
        found.append((layer, named(cell)))
    (one, ours), (two, theirs) = found
    assert {name: tuple(w.shape) for name, w in ours.items()} == {name: tuple(w.shape) for name, w in theirs.items()}
    for name in ("embedding_bias", "scale_kernel"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    for name, start in theirs.items():
        if name == "embedding_kernel":
            assert not np.any(start[:, :16]) and 0.005 < np.std(start[:, 16:]) < 0.02
    randomise(one)
    for name, weight in ours.items():
        theirs[name].assign(weight)
    near(one(x), two(x))


def test_hyper_needs_gates_of_its_units():
    layer = tfcells.RNN(tfcells.Hyper(tfcells.Mogrifier(tfcells.LSTMCell(5)), tfcells.LSTMCell(4)))
    with pytest.raises(ValueError, match="kernels of Mogrifier must have gates of 5 columns"):
        layer(np.ones((2, 5, 3), "float32"))


def test_a_new_highway_passes_the_input():
    """As its gate says: s(-1) of the output, whatever the kernel does to an input of zeros."""
    cell = tfcells.Highway(tfcells.GRUCell(3))
    layer = tfcells.RNN(cell, **LOOP)
    layer(np.ones((2, 5, 3), "float32"))
    np.testing.assert_array_equal(cell.transform_shift, -np.ones(3))
    assert np.any(cell.transform_kernel) and cell.transform_kernel.shape == (3, 3)


def test_fast_cells_have_weights_of_their_own():
    cell = tfcells.FastSlow(tfcells.LSTMCell(5, forget_bias=0.5), fast_cells=3)
    assert type(cell.slow) is tfcells.LSTMCell and cell.slow.forget_bias == 0.5
    cell.build((None, FEATURES))
    kernels = [each.kernel for each in (cell.cell, *cell.rest)]
    assert [kernel.shape[0] for kernel in kernels] == [FEATURES, 5, 0] and cell.slow.kernel.shape[0] == 5
    recurrent = {np.asarray(each.recurrent_kernel).tobytes() for each in (cell.cell, cell.slow, *cell.rest)}
    assert len(recurrent) == 4
    assert len(cell.trainable_variables) == 12


def test_an_lstmp_has_the_weights_of_its_paper():
    """Sak et al. 1402.1128, section 2.2, without its cell outputs' own projection and peepholes."""
    cell = tfcells.Projection(tfcells.LSTMCell(7), 2)
    cell.build((None, FEATURES))
    assert cell.count_params() == 7 * 4 * (FEATURES + 2 + 1) + 7 * 2
    assert cell.states == ("h", "c") and cell.state_size == [2, 7] and cell.output_size == 2


def test_a_cell_is_projected_before_it_is_built():
    cell = tfcells.LSTMCell(5)
    cell.build((None, FEATURES))
    cell.built = True
    with pytest.raises(ValueError, match="cell: LSTMCell must not be built"):
        tfcells.Projection(cell, 3)


# Flags.


def flagged(cell, features=FEATURES, **options):
    layer = tfcells.RNN(cell, return_sequences=True, return_state=True, dtype="float64", **LOOP | options)
    layer.build((None, None, features))
    return layer


def test_a_flag_begins_a_sequence_anew(randomise):
    """With a learned initial state, and a counter of steps: as two sequences."""
    cell = tfcells.TrainableInitialState(tfcells.ClockworkRNNCell(4, periods=(1, 2)))
    layer = randomise(flagged(tfcells.ResetOnFlag(cell)))
    x = data(BY_NAME["lstm"])[0]
    flags = np.zeros((BATCH, STEPS), bool)
    whole = layer(x, reset=flags)
    parts = layer(x[:, :3], reset=flags[:, :3]), layer(x[:, 3:], reset=flags[:, 3:])
    flags[:, 3] = True
    y, *state = layer(x, reset=flags)
    near([y], [np.concatenate([part[0] for part in parts], 1)])
    near(state, parts[1][1:])
    assert np.abs(y - whole[0]).max() > 1e-3


def test_the_gradient_of_a_learned_state_comes_from_each_flag(randomise):
    layer = randomise(flagged(tfcells.ResetOnFlag(tfcells.TrainableInitialState(tfcells.GRUCell(4)))))
    x, rows = tf.constant(data(BY_NAME["lstm"])[0]), layer.cell.cell.initial_h
    flags = np.zeros((BATCH, STEPS), bool)
    flags[:, 3] = True
    with tf.GradientTape(persistent=True) as tape:
        whole = tf.reduce_sum(tf.sin(layer(x, reset=flags)[0]))
        parts = [tf.reduce_sum(tf.sin(layer(part, reset=flags[:, :3])[0])) for part in (x[:, :3], x[:, 3:])]
    near(
        [tape.gradient(whole, rows.value)], [tape.gradient(parts[0], rows.value) + tape.gradient(parts[1], rows.value)]
    )


def test_a_flag_under_a_mask_does_nothing(randomise):
    layer = randomise(flagged(tfcells.ResetOnFlag(tfcells.GRUCell(4))))
    x, flags = data(BY_NAME["lstm"])[0], ~MASK
    for a, b in zip(layer(x, mask=MASK, reset=flags), layer(x, mask=MASK, reset=np.zeros_like(MASK)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flags_go_backwards_with_their_steps(randomise):
    cell = tfcells.ResetOnFlag(tfcells.GRUCell(4))
    forwards, backwards = flagged(cell), flagged(cell, go_backwards=True)
    randomise(forwards)
    x, flags = data(BY_NAME["lstm"])[0], WRAPPED["ResetOnFlag"].given["reset"]
    near(backwards(x, reset=flags), forwards(x[:, ::-1], reset=flags[:, ::-1]))


def test_flags_of_a_stateful_layer(randomise):
    """In either half of a sequence."""
    cell, options = tfcells.ResetOnFlag(tfcells.GRUCell(4)), {"return_sequences": True, "dtype": "float64"} | LOOP
    whole, half = randomise(flagged(cell)), tfcells.RNN(cell, stateful=True, **options)
    x, flags = data(BY_NAME["lstm"])[0], WRAPPED["ResetOnFlag"].given["reset"]
    parts = [half(x[:, now], reset=flags[:, now]) for now in (slice(0, 3), slice(3, None))]
    near([np.concatenate(parts, 1)], whole(x, reset=flags)[:1])


def test_flags_in_a_stack(randomise):
    """Each cell in ResetOnFlag reads them, and the one that is not goes on."""
    cells = [tfcells.ResetOnFlag(tfcells.GRUCell(4)), tfcells.LSTMCell(3), tfcells.ResetOnFlag(tfcells.ElmanCell(2))]
    layer = randomise(flagged(cells))
    x, flags = data(BY_NAME["lstm"])[0], WRAPPED["ResetOnFlag"].given["reset"]
    found = layer(x, reset=flags)[0]
    y = x
    for cell, own in zip(cells, (True, False, True), strict=True):
        y = flagged(cell, y.shape[-1])(y, **({"reset": flags} if own else {}))[0]
    near([found], [y])


X = np.ones((BATCH, STEPS, FEATURES), "float32")


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: tfcells.RNN(tfcells.ResetOnFlag(tfcells.GRUCell(2)))(X), r"reset must have shape \(batch, steps\)"),
        (lambda: tfcells.RNN(tfcells.GRUCell(2))(X, reset=MASK), "reset must be None without"),
        (lambda: tfcells.RNN(tfcells.GRUCell(2))(X, reset=[[0, 1]]), r"reset must be None .*, got \[\[0, 1\]\]"),
        (
            lambda: keras.layers.RNN(tfcells.Attention(tfcells.GRUCell(2), 2, 2))(X),
            "Attention reads a memory: run it in tfcells.RNN, and give memory=",
        ),
        (
            lambda: tfcells.RNN(tfcells.ResetOnFlag(tfcells.GRUCell(2)))(X, reset=MASK[:, :3]),
            r"reset must have shape \(batch, steps\) = \(4, 6\), got \(4, 3\)",
        ),
        (lambda: keras.layers.RNN(tfcells.ResetOnFlag(tfcells.GRUCell(2)))(X), "reset must be flags; run the cell in"),
        (lambda: tfcells.Highway(tfcells.GRUCell(3), "1"), "transform_bias must be a finite number"),
        (lambda: tfcells.RNN(tfcells.Highway(tfcells.GRUCell(4)))(X), "4 features are needed, got 3"),
        (lambda: tfcells.Projection(tfcells.LSTMCell(3), 0), "projection_units must be a whole number above 0, got 0"),
        (lambda: tfcells.FastSlow(tfcells.LSTMCell(3), fast_cells=1), "fast_cells must be .* above 1, got 1"),
        (lambda: tfcells.FastSlow(tfcells.LSTMCell(3), "gru"), "slow must be a tfcells.Cell, got 'gru'"),
        (lambda: tfcells.Hyper(tfcells.LSTMCell(3), 4), "hyper must be a tfcells.Cell, got 4"),
        (lambda: tfcells.Hyper(tfcells.LSTMCell(3), embedding_units=0), "embedding_units must be"),
        (lambda: tfcells.KVPAttention(tfcells.LSTMCell(5)), "mode='kvp' .* 5 units must be a multiple of 3"),
        (lambda: tfcells.KVPAttention(tfcells.LSTMCell(6), 0), "window must be a whole number above 0, got 0"),
        (lambda: tfcells.KVPAttention(tfcells.LSTMCell(6), mode="v"), "mode must be one of k, kv, kvp, got 'v'"),
        (lambda: tfcells.KVPAttention(tfcells.LSTMCell(6), include_current=1), "include_current must be True or False"),
        (lambda: tfcells.KVPAttention(tfcells.LSTMCell(6), partial_window=None), "partial_window must be True or"),
        (lambda: tfcells.WindowAttention(tfcells.LSTMCell(6), 1.5), "window must be a whole number above 0, got 1.5"),
        (lambda: tfcells.WindowAttention(tfcells.LSTMCell(6), 2, 0), "attention_units must be a whole number"),
        (lambda: tfcells.LuongAttention(tfcells.LSTMCell(6), 2, 3, "cosine"), 'score must be "general" or "dot"'),
        (lambda: tfcells.LuongAttention(tfcells.LSTMCell(6), 2, 3, "dot"), "memory_features must be 6 .*, got 3"),
    ],
)  # fmt: skip
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda cell: tfcells.WindowAttention(cell, 2, attention_units=3),
        lambda cell: tfcells.Multiplicative(cell, factor_biases=True),
    ],
)
def test_a_time_is_no_feature(wrapped):
    """In steps of 1 a timed cell has the numbers of the untimed one, whatever the wrapper makes of the features."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 6, 3))
    timed, plain = (tfcells.RNN(wrapped(tfcells.CfCCell(4, timed=t)), dtype="float64") for t in (True, False))
    plain(x)
    weights = [rng.normal(size=w.shape) for w in plain.weights]
    plain.set_weights(weights)
    with_time = np.concatenate([np.ones((2, 6, 1)), x], -1)
    timed(with_time)
    timed.set_weights(weights)
    np.testing.assert_allclose(timed(with_time), plain(x), atol=1e-12)
    with_time[:, 3, 0] = 0.25
    assert np.abs(timed(with_time) - plain(x)).max() > 1e-3


def test_fast_and_slow_cells_have_no_times_and_fast_ones_no_clock():
    timed, clock = tfcells.CfCCell(4, timed=True), tfcells.ClockworkRNNCell(4, periods=(1, 2))
    for name, cells in {"cell": [timed], "slow": [tfcells.LSTMCell(4), timed]}.items():
        with pytest.raises(ValueError, match=f"{name}: FastSlow gives outputs as inputs, .* CfCCell would look for"):
            tfcells.FastSlow(*cells)
    for each in (clock, tfcells.Clip(tfcells.PhasedLSTMCell(4), 1.0), tfcells.FastSlow(tfcells.LSTMCell(4), clock)):
        with pytest.raises(ValueError, match="cell: the fast cells share their states, so .* would count each step"):
            tfcells.FastSlow(each)
    tfcells.RNN(tfcells.FastSlow(tfcells.LSTMCell(4), clock))(np.ones((2, 3, 3)))
    tfcells.RNN(tfcells.FastSlow(tfcells.KVPAttention(tfcells.LSTMCell(6), 2)))(np.ones((2, 3, 3)))


@pytest.mark.parametrize(
    "around",
    [
        lambda cell: tfcells.LuongAttention(cell, 4, 6),
        lambda cell: tfcells.FastSlow(tfcells.LSTMCell(4), cell),
        lambda cell: tfcells.Hyper(tfcells.LSTMCell(4), cell),
    ],
)
def test_states_that_can_not_be_mixed_are_not_mixed_around_a_wrapper(around):
    for inner in (tfcells.SLSTMCell(4), tfcells.MLSTMCell(4)):
        with pytest.raises(ValueError, match="state"):
            tfcells.Zoneout(around(inner), 0.1)
    assert isinstance(tfcells.Zoneout(around(tfcells.GRUCell(4)), 0.1), tfcells.Zoneout)


@pytest.mark.parametrize("wrapper", [tfcells.Residual, tfcells.Highway])
def test_a_connection_around_a_cell_refuses_a_time(wrapper):
    with pytest.raises(ValueError, match=f"cell: {wrapper.__name__} would add the time that TimeLSTMCell reads"):
        wrapper(tfcells.TimeLSTMCell(3, timed=True)).build((None, 3))
    wrapper(tfcells.TimeLSTMCell(3)).build((None, 3))
