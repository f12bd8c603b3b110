"""Noise for a part of a batch: the masks are the rows of those for all of it."""

import keras
import numpy as np
import pytest

import tfcells
from lab.tasks.dropout import Dropout
from tests.cases import WRAPPED

ROWS, STEPS = 5, 4
PARTS = [range(2), range(2, 5)]
X = np.random.default_rng(0).normal(size=(ROWS, STEPS, 3)).astype("float32")
TOKENS = np.arange(ROWS * STEPS).reshape(ROWS, STEPS) % 9
NOISE = {
    "variational": lambda cell: tfcells.VariationalDropout(cell, 0.4, 0.4, 0.4),
    "variational, by gate": lambda cell: tfcells.VariationalDropout(cell, 0.4, 0.4, 0.4, per_gate=True),
    "recurrent": lambda cell: tfcells.RecurrentDropout(cell, 0.5),
    "recurrent, by sequence": lambda cell: tfcells.RecurrentDropout(cell, 0.5, per_sequence=True),
    "zoneout": lambda cell: tfcells.Zoneout(cell, {"h": 0.3, "c": 0.6}),
    "weight drop": lambda cell: tfcells.WeightDrop(cell, 0.5),
    "all of them": lambda cell: tfcells.Zoneout(tfcells.WeightDrop(tfcells.RecurrentDropout(cell, 0.5), 0.5), 0.5),
}
LAYERS = {
    "words": (tfcells.WordDropout(9, 0.5), lambda layer, rows: layer([TOKENS[rows], X[rows]], training=True)),
    "restart": (tfcells.Restart(0.5), lambda layer, rows: layer([X[rows, 0], X[rows, 1:]], training=True)),
    "dropout": (Dropout(0.5), lambda layer, rows: layer(X[rows], training=True)),
}


def check(layer, call):
    """All rows at once, then in parts, from the same seeds on."""
    call(layer, slice(None))
    seeds = [variable for variable in layer.variables if "seed" in variable.path]
    assert seeds
    before, arrays = [seed.numpy() for seed in seeds], []
    for rows in (range(ROWS), *PARTS):
        for seed, value in zip(seeds, before, strict=True):
            seed.assign(value)
        with tfcells.part_of_batch(rows.start, ROWS):
            found = keras.tree.flatten(call(layer, slice(rows.start, rows.stop)))
        arrays.append([np.asarray(array) for array in found])
        after = [seed.numpy() for seed in seeds]
    whole, *parts = arrays
    assert not any(map(np.array_equal, before, after))
    for number, array in enumerate(whole):
        np.testing.assert_allclose(np.concatenate([part[number] for part in parts]), array, 1e-5, 1e-6)
    return whole


@pytest.mark.parametrize("name", NOISE)
def test_wrappers(name):
    layer = tfcells.RNN(NOISE[name](tfcells.LSTMCell(4)), return_sequences=True, return_state=True, jit_compile=False)
    whole = check(layer, lambda layer, rows: layer(X[rows], training=True))
    assert not np.array_equal(np.asarray(layer(X, training=True)[0]), whole[0])


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    check(*LAYERS[name])


def test_all_wrappers_that_draw_are_here():
    drawing = {row.wrapper.__name__ for row in WRAPPED.values() if "seed" in row.wrapper.arguments()}
    assert drawing == {"VariationalDropout", "RecurrentDropout", "Zoneout", "WeightDrop"}


def test_dropout_is_keras_own_where_the_batch_is_whole():
    one, other = Dropout(0.3, seed=5), keras.layers.Dropout(0.3, seed=5)
    np.testing.assert_array_equal(one(X, training=True), other(X, training=True))
    np.testing.assert_array_equal(one(X), X)
    with tfcells.part_of_batch(0, ROWS):
        np.testing.assert_array_equal(one(X, training=True), other(X, training=True))
        np.testing.assert_array_equal(one(X), X)


def test_more_rows_than_there_are():
    layer = tfcells.RNN(tfcells.Zoneout(tfcells.LSTMCell(4), 0.5), jit_compile=False)
    with tfcells.part_of_batch(2, ROWS), pytest.raises(ValueError, match="5 rows from row 2 on can't be a part of"):
        layer(X, training=True)
