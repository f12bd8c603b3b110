"""Every wrapper over every cell: what its noise touches, how long it lasts, what it leaves alone.

The probe is one step with stand-ins for the products and the update. With them no number depends on
what a kernel read or what was updated, so a wrapped cell's states must be the bare cell's, bit for
bit, while the stand-ins note what they were given: its ratio to what they are given in the bare cell
is the mask.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfcells
from tests.cases import CASES, prepared, stepped
from tests.cases.row import shape_of
from tests.cases.runs import BY_NAME
from tests.tfcells.cells.test_cells import differentiated

pytestmark = pytest.mark.slow

BATCH, STEPS, FEATURES, MANY = 6, 3, 3, 512
RATE = 0.25
LAST = {case.cell: case for case in CASES}.values()
VARIANTS = (
    "gru-after lnlstm-gate-output residual-lstm rhn-coupled-1 genotype-darts_v2 mut1 rglru sru-square fast-plain "
    "hyper-norm timelstm-timed phased-timed cfc-timed"
).split()
EACH = [*LAST, *(BY_NAME[name] for name in VARIANTS)]
"""Every cell, and the variants whose kernels, states or inputs are unlike."""
WRAPPERS = {
    "variational": functools.partial(tfcells.VariationalDropout, state_rate=RATE),
    "variational_per_gate": functools.partial(tfcells.VariationalDropout, state_rate=RATE, per_gate=True),
    "variational_inputs": functools.partial(tfcells.VariationalDropout, input_rate=RATE),
    "variational_outputs": functools.partial(tfcells.VariationalDropout, output_rate=RATE),
    "recurrent_dropout": functools.partial(tfcells.RecurrentDropout, rate=RATE),
    "recurrent_dropout_per_sequence": functools.partial(tfcells.RecurrentDropout, rate=RATE, per_sequence=True),
    "zoneout": functools.partial(tfcells.Zoneout, rate=RATE),
    "weight_drop": functools.partial(tfcells.WeightDrop, rate=RATE),
}
STATE_MASKS = "variational", "variational_per_gate"
UPDATE_MASKS = "recurrent_dropout", "recurrent_dropout_per_sequence"
EVERY = pytest.mark.parametrize("case", EACH, ids=lambda case: case.name)


def fits(name, cell):
    """Whether the cell has the slots on which the wrapper acts."""
    try:
        WRAPPERS[name](cell)
    except ValueError as error:
        assert "slot" in str(error)
        return False
    return True


def pairs(cases, names=WRAPPERS):
    """Every wrapper around every cell that it fits; the others raise at construction (see below)."""
    found = [(case, name) for name in names for case in cases if fits(name, case.cell(**case.arguments))]
    return pytest.mark.parametrize("case,name", found, ids=[f"{c.name}-{n}" for c, n in found])


@functools.cache
def bare(case):
    """A cell of the case with random weights, biases and gains."""
    cell, rng = case.build(FEATURES), np.random.default_rng(3)
    cell.set_weights([*case.draw(cell, lambda shape: rng.normal(0, 0.7, shape)).values()])
    return cell


@functools.cache
def data(case, batch=BATCH, steps=STEPS):
    rng = np.random.default_rng(5)
    states = [rng.normal(size=shape_of(batch, size)) for size in bare(case).state_size]
    for name, value in zip(bare(case).states, states, strict=True):
        value[...] = 0 if name in bare(case).clocks else value
    states = case.valid(*states) if case.valid else states
    x = rng.normal(size=(steps, batch, FEATURES)).astype("float32")
    x[..., : int(case.build(FEATURES).timed)] = np.abs(x[..., : int(case.build(FEATURES).timed)])
    return x, [tf.constant(state, "float32") for state in states]


class Probe:
    """Steps with stand-ins: what the kernels read of each state, what was updated, the states."""

    def __init__(self, cell, sequence, state, training=True):
        slices, w = prepared(cell, sequence, training)
        self.reads, self.updates, self.states, self.outputs = [], [], [], []
        for t in range(len(sequence)):
            reads, updates = [], []

            def stand_in(kernel, reads=reads):
                def product(x):
                    if kernel.reads:
                        reads.append((kernel.reads, np.asarray(x)))
                    shape = (*x.shape[:-1], kernel.matrix.shape[-1])
                    return ops.reshape(ops.sin(ops.arange(np.prod(shape), dtype="float32")), shape)

                return kernel.using(product)

            def update(g, updates=updates):
                updates.append(np.asarray(g))
                return ops.full(g.shape, 0.5)

            output, new = stepped(cell, slices, t, state, w.map_kernels(stand_in).updating(update))
            self.reads.append(reads)
            self.updates.append(updates)
            self.states.append([np.asarray(s) for s in new])
            self.outputs.append(np.asarray(output))


def masks_of(wrapped, plain):
    """Ratios of what was noted in a wrapped and a bare cell, by step and place: the masks."""
    found = []
    for noted, given in zip(wrapped, plain, strict=True):
        found.append([])
        for a, b in zip(noted, given, strict=True):
            a, b = (x[1] if isinstance(x, tuple) else x for x in (a, b))
            b = b[:, None] if a.ndim > b.ndim else b
            ratio = np.where(b == 0, np.nan, a / np.where(b == 0, 1, b))
            found[-1].append(np.round(ratio, 5))
    return found


def check_mask(mask, of_samples=True):
    """0 or 1 / (1 - rate), both occur; and, of a mask of samples, not the same for all of them."""
    values = np.unique(mask[~np.isnan(mask)])
    np.testing.assert_allclose(values, [0, 1 / (1 - RATE)], rtol=1e-4)
    if of_samples:
        rows = mask.reshape(len(mask), -1)
        assert len(np.unique(rows, axis=0)) > 5


def differing(one, other):
    """Where two masks differ, of what both show: a candidate that is 0 hides its mask."""
    both = ~np.isnan(one) & ~np.isnan(other)
    return one[both] != other[both]


def same_states(one, other):
    for a, b in zip(one.states, other.states, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pairs(EACH, STATE_MASKS)
def test_state_masks(case, name):
    x, state = data(case, MANY)
    cell = WRAPPERS[name](bare(case), seed=1)
    one, plain = Probe(cell, x, state), Probe(bare(case), x, state)
    masks = masks_of(one.reads, plain.reads)
    for now in masks[1:]:  # constant along the sequence
        for a, b in zip(now, masks[0], strict=True):
            np.testing.assert_array_equal(a, b)
    by_state = {}
    for (state_name, _), mask in zip(plain.reads[0], masks[0], strict=True):
        check_mask(mask)
        by_state.setdefault(state_name, []).append(mask)
        assert abs(np.nanmean(mask) - 1) < 0.1  # the expectation is kept
    for same in by_state.values():
        if name == "variational":  # tied: one mask for all that reads a state
            assert not any(differing(mask, same[0]).any() for mask in same[1:])
        else:  # every block of every kernel its own
            blocks = [b for m in same for b in (np.moveaxis(m, 1, 0) if m.ndim == 3 else [m])]
            for other in blocks[1:]:
                assert np.nanmean(other != blocks[0]) > 0.1
    same_states(one, plain)  # the carry is untouched
    again = masks_of(Probe(cell, x, state).reads, plain.reads)
    assert any(np.any(a != b) for a, b in zip(again[0], masks[0], strict=True))  # drawn anew


@pairs(EACH, UPDATE_MASKS)
def test_update_masks(case, name):
    x, state = data(case, MANY)
    cell = WRAPPERS[name](bare(case), seed=1)
    one, plain = Probe(cell, x, state), Probe(bare(case), x, state)
    masks = masks_of(one.updates, plain.updates)
    for now in masks:
        check_mask(now[0])
        assert abs(np.nanmean(now[0]) - 1) < 0.1
        for other in now[1:]:  # shared by the updates of a step
            assert not differing(other, now[0]).any()
    fresh = differing(masks[0][0], masks[1][0]).mean()
    assert fresh == 0 if "per_sequence" in name else fresh > 0.1
    same_states(one, plain)
    again = masks_of(Probe(cell, x, state).updates, plain.updates)
    assert differing(again[0][0], masks[0][0]).any()
    if isinstance(bare(case), tfcells.HyperLSTMCell):
        assert [u[0].shape[-1] for u in one.updates] == [bare(case).units] * STEPS


def ordinary(cell, x, state, training=True):
    """Outputs and states of every step, uncompiled."""
    slices, w = prepared(cell, x, training)
    outputs, states = [], []
    for t in range(len(x)):
        output, state = stepped(cell, slices, t, state, w)
        outputs.append(output)
        states.append([np.asarray(s) for s in state])
    return np.asarray(cell.finish(ops.stack(outputs), w)), states


@pairs(EACH, ["zoneout"])
def test_zoneout_keeps_the_exact_old_value(case, name):
    x, state = data(case, MANY, 1)
    cell = WRAPPERS[name](bare(case), seed=1)
    (y,), (new,) = ordinary(bare(case), x, state)
    is_state = np.array_equal(y, new[0])
    slices, w = prepared(cell, np.repeat(x, 2, 0), True)
    kept = []
    for t in range(2):  # twice the same step from the same state
        output, zoned = stepped(cell, slices, t, state, w)
        np.testing.assert_array_equal(output, zoned[0] if is_state else y)  # not the un-zoned state
        kept.append([])
        for name, old, fresh, value in zip(cell.states, state, new, map(np.asarray, zoned)):
            if name in cell.clocks:
                np.testing.assert_array_equal(value, fresh)
                continue
            was, is_new = value == np.asarray(old), value == fresh
            assert np.all(was | is_new)
            assert abs(was[np.asarray(old) != fresh].mean() - RATE) < 0.05
            assert len(np.unique(was, axis=0)) >= min(6, 2 ** np.prod(was.shape[1:]))
            kept[-1].append(was)
    assert all(np.any(a != b) for a, b in zip(*kept, strict=True))  # fresh at every step
    for a, b in zip(kept[0], kept[0][1:]):
        assert a.shape != b.shape or np.any(a != b)  # and for every state
    (y,), (new,) = ordinary(bare(case), x, state, training=False)
    output, (found,) = ordinary(cell, x, state, training=False)
    for name, old, fresh, value in zip(cell.states, state, new, found, strict=True):
        rate = 0 if name in cell.clocks else RATE
        np.testing.assert_allclose(value, rate * old + (1 - rate) * fresh, atol=1e-6)
    np.testing.assert_array_equal(output[0], found[0] if is_state else y)


@pairs(EACH, ["zoneout"])
def test_zoneout_has_a_rate_for_each_state(case, name):
    x, state = data(case, BATCH, 1)
    _, (new,) = ordinary(bare(case), x, state)
    for name in bare(case).states:
        if name in bare(case).clocks:
            with pytest.raises(ValueError, match="rate"):
                tfcells.Zoneout(bare(case), {name: 0.5})
            continue
        _, (zoned,) = ordinary(tfcells.Zoneout(bare(case), {name: 0.5}, seed=1), x, state)
        for each, fresh, value in zip(bare(case).states, new, zoned, strict=True):
            assert np.array_equal(value, fresh) == (each != name)


@pairs(EACH, ["weight_drop"])
def test_weight_drop(case, name):
    x, _ = data(case)
    cell = WRAPPERS[name](bare(case), seed=1)

    def matrices(cell, training=True):
        _, w = prepared(cell, x, training)
        kernels = [leaf for leaf in w.leaves() if isinstance(leaf, tfcells.Kernel)]
        return [(np.asarray(k.matrix), k.reads) for k in kernels]

    plain, one, other = matrices(bare(case)), matrices(cell), matrices(cell)
    assert any(reads for _, reads in plain)
    for (matrix, reads), (dropped, _), (again, _) in zip(plain, one, other, strict=True):
        if reads is None:
            np.testing.assert_array_equal(dropped, matrix)
        else:
            with np.errstate(invalid="ignore"):  # a cell may use no more than a part of a matrix
                check_mask(np.round(dropped / matrix, 5), of_samples=False)
            assert np.any(dropped != again)
    for (a, _), (b, _) in zip(matrices(cell, training=False), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weight_drop_keeps_the_expectation():
    cell = tfcells.ElmanCell(200)
    cell.build((None, 1))
    _, w = prepared(tfcells.WeightDrop(cell, RATE, seed=1), np.ones((1, 1, 1)), True)
    ratio = np.asarray(w.cell.recurrent_kernel.matrix) / np.asarray(cell.recurrent_kernel)
    assert abs(ratio.mean() - 1) < 5 * np.sqrt(RATE / (1 - RATE)) / 200


@EVERY
@pytest.mark.parametrize("side", ["input", "output"])
def test_input_and_output_masks(case, side, monkeypatch):
    """Equal to the bare cell on masked inputs, or with its outputs masked, by the mask drawn."""
    x, state = data(case)
    drawn = []

    def draw(shape, rate, dtype, seed, axis):
        rng = np.random.default_rng(len(drawn))
        drawn.append((rng.random([int(n) for n in shape]) > rate) / np.float32(1 - rate))
        return ops.convert_to_tensor(drawn[-1])

    monkeypatch.setattr("tfcells.masks.dropout_mask", draw)
    cell = WRAPPERS[f"variational_{side}s"](bare(case))
    outputs, states = ordinary(cell, x, state)
    (mask,) = drawn
    assert mask.shape == (BATCH, FEATURES if side == "input" else bare(case).output_size)
    if side == "input":
        mask[:, : int(bare(case).timed)] = 1
    wanted, after = ordinary(bare(case), x * mask if side == "input" else x, state)
    np.testing.assert_allclose(outputs, wanted * mask if side == "output" else wanted, atol=1e-6)
    for a, b in zip(states, after, strict=True):
        for got, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(got, right)


def nest(cell, names=WRAPPERS, **more):
    """A cell in all these wrappers that fit it, one around another."""
    for number, name in enumerate(names):
        given = {key: value for key, value in more.items() if key in WRAPPERS[name].keywords}
        cell = WRAPPERS[name](cell, seed=number, **given) if fits(name, cell) else cell
    return cell


@EVERY
def test_no_noise_is_no_wrapper(case):
    """Rate 0 in training, and any rate but zoneout's outside it; all at once: the bare cell, bit for bit."""
    x, state = data(case)
    rates = dict.fromkeys(("rate", "input_rate", "state_rate", "output_rate"), 0.0)
    others = [name for name in WRAPPERS if name != "zoneout"]
    quiet = {True: nest(bare(case), **rates), False: nest(bare(case), others)}
    for training, cell in quiet.items():
        wanted = ordinary(bare(case), x, state, training)
        outputs, states = ordinary(cell, x, state, training)
        np.testing.assert_array_equal(outputs, wanted[0])
        for a, b in zip(sum(states, []), sum(wanted[1], []), strict=True):
            np.testing.assert_array_equal(a, b)


X = np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")


def called_twice(cell, how="eager"):
    layer = tfcells.RNN(cell, jit_compile=False, return_sequences=True)
    layer.build(X.shape)
    call = functools.partial(layer, training=True)
    if how != "eager":
        call = tf.function(call, jit_compile=how == "xla")
    return [np.asarray(call(X)) for _ in range(2)]


@pairs([case for case in CASES if case.name in ("lstm", "fast-norm")])
def test_a_seed_means_the_same_masks(case, name):
    """From call to call they change."""
    one, again, other = (called_twice(WRAPPERS[name](bare(case), seed=seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert np.any(one[0] != one[1]) and np.any(np.abs(other[0] - one[0]) > 1e-3)


@pytest.mark.parametrize("name", ["lstm", "fast-norm"])
def test_a_seed_means_the_same_masks_in_every_mode(name):
    """Of all wrappers, one around another: each would show."""
    found = {how: called_twice(nest(bare(BY_NAME[name])), how) for how in ("eager", "graph", "xla")}
    for how in ("graph", "xla"):
        np.testing.assert_allclose(found[how], found["eager"], atol=1e-5)


UNLIKE = (
    "lstm gru-before hyper hsg-uncoupled-3 fast-norm clockwork genotype-own mogrifier-lstm-rank mingru-positive slstm "
    "para-lstm ordered-lstm-chunks"
).split()
"""Unlike in their kernels, states and slots, which are all that the engine sees of a wrapped step."""


@pytest.mark.parametrize("case", [BY_NAME[name] for name in UNLIKE], ids=UNLIKE)
def test_the_engine_runs_all_of_them_at_once(case):
    """Compiled as uncompiled, values and gradients, all wrappers around one another."""
    x, state = data(case)
    found = []
    for jit_compile in (True, False):
        cell = nest(bare(case))
        layer = tfcells.RNN(cell, jit_compile=jit_compile, return_sequences=True, return_state=True)
        inputs = [tf.constant(np.swapaxes(x, 0, 1)), *state]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs[0], initial_state=inputs[1:], training=True)
            loss = sum(ops.sum(ops.sin(y + 0.1)) for y in outputs)
        sources = [*inputs, *(weight.value for weight in cell.trainable_variables)]
        found.append([*outputs, *differentiated(tape, loss, sources, len(inputs))])
    for a, b in zip(*found, strict=True):
        assert a is not None and b is not None
        a, b = map(ops.convert_to_numpy, map(tf.convert_to_tensor, (a, b)))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1, np.abs(b).max()))


FOUR = "variational_per_gate", "recurrent_dropout", "zoneout", "weight_drop"
NESTED = [
    pytest.param(case, first, second, id=f"{case.name}-{first}-{second}")
    for case in LAST
    if case.cell in (tfcells.LSTMCell, tfcells.RHNCell, tfcells.HyperLSTMCell)
    for first, second in itertools.product(WRAPPERS if case.cell is tfcells.LSTMCell else FOUR, repeat=2)
]


@pytest.mark.parametrize("case, first, second", NESTED)
def test_wrappers_nest_in_any_order(case, first, second):
    """Both act, whichever is inside: masks multiply, and what is put out is the zoned state."""
    names, inner = (first, second), bare(case)
    x, state = data(case)
    cell = nest(inner, names)

    def largest(which):
        """The largest factor by which what was noted differs from the bare cell's."""
        noted = (getattr(Probe(each, x[:1], state), which) for each in (cell, inner))
        return max(np.nanmax(mask) for now in masks_of(*noted) for mask in now)

    def factor(kinds):
        return pytest.approx(1 / (1 - RATE) ** sum(name in kinds for name in names), rel=1e-3)

    if "variational_inputs" not in names:  # other inputs make other gates: no ratio is a mask
        assert largest("updates") == factor(UPDATE_MASKS)
        assert largest("reads") == factor(STATE_MASKS)
    matrices = []
    for each in (cell, inner):
        _, w = prepared(each, x, True)
        kernels = [leaf for leaf in w.leaves() if getattr(leaf, "reads", None)]
        matrices.append(max(float(ops.max(ops.abs(kernel.matrix))) for kernel in kernels))
    dropped = names.count("weight_drop")
    assert matrices[0] <= matrices[1] * 1.001 / (1 - RATE) ** dropped
    assert not dropped or matrices[0] != pytest.approx(matrices[1], rel=1e-3)
    outputs, states = ordinary(cell, x, state)
    if "zoneout" in names:
        seen = outputs != 0
        outputs = outputs * (1 - RATE) ** names.count("variational_outputs")
        zoned = np.stack([now[0] for now in states])
        np.testing.assert_allclose(outputs[seen], zoned[seen], rtol=1e-5)


def test_zoneout_of_a_state_that_is_not_there():
    with pytest.raises(ValueError, match="rates by the states h, c, got .*'m'"):
        tfcells.Zoneout(tfcells.LSTMCell(2), {"m": 0.5})
    with pytest.raises(ValueError, match="rate must be a number"):
        tfcells.Zoneout(tfcells.LSTMCell(2), {"c": 1.5})


@EVERY
def test_slots_are_those_of_the_step(case):
    x, state = data(case)
    seen = Probe(bare(case), x, state)
    slots = {"kernel"} if seen.reads[0] else set()
    slots |= {"update"} if seen.updates[0] else set()
    assert bare(case).slots - {"state", "projection"} == slots


class Slotless(tfcells.ElmanCell):
    slots = frozenset()


@pytest.mark.parametrize(
    "name,slot",
    [
        ("variational", "kernel"),
        ("recurrent_dropout", "update"),
        ("zoneout", "state"),
        ("weight_drop", "kernel"),
    ],
)
def test_a_missing_slot_raises_at_construction(name, slot):
    with pytest.raises(ValueError, match=f"Slotless has no {slot} slot"):
        WRAPPERS[name](Slotless(2))


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_lasts_for_a_sequence_may_not_train_in_kerass_own_layer(name):
    cell = WRAPPERS[name](tfcells.LSTMCell(3))
    x = np.ones((2, 4, 3), "float32")
    layer = keras.layers.RNN(cell)
    if name in ("recurrent_dropout", "zoneout"):  # fresh at every step anyway
        assert layer(x, training=True).shape == (2, 3)
    else:
        with pytest.raises(ValueError, match="tfcells.RNN"):
            layer(x, training=True)
