"""Cells of one class and the same arguments, whose steps differ in something else: never the program of another."""

import functools
import types

import keras
import numpy as np
import pytest
from keras import ops

import tfcells
from tests.cases import CASES
from tests.cases.runs import AROUND_CELLS, FEATURES
from tfcells.layers.steps import cell_key

X = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")


class Training(tfcells.Wrapper):
    """Puts out 0 in training; a number in w says so."""

    def bind(self, call):
        return super().bind(call).including(training=call.training, scale=0.5, steps=call.steps)

    def step(self, x, state, w):
        y, state = super().step(x, state, w)
        return (0 * y if w.training else w.scale * w.steps * y), state


def test_numbers_in_w():
    layer = tfcells.RNN(Training(tfcells.GRUCell(4)))
    same = tfcells.RNN(layer.cell, unroll=True)
    for training in (True, False):
        for x in X, X[:, :3]:
            np.testing.assert_allclose(layer(x, training=training), same(x, training=training), atol=1e-6)
    assert not np.any(layer(X, training=True)) and np.any(layer(X))


class Attributes(tfcells.ElmanCell):
    """Its step reads what is no argument of the constructor."""

    factor = 1.0

    def __init__(self, units, **kwargs):
        self.options, self._hidden = kwargs.pop("options", None), kwargs.pop("hidden", 1.0)
        super().__init__(units, **kwargs)

    def step(self, x, state, w):
        y, state = super().step(x, state, w)
        scale = self.factor * self._hidden * (self.options.scale if self.options else 1.0)
        return scale * y, state


@pytest.mark.parametrize(
    "given, later",
    [
        ({"hidden": 2.0}, {}),
        ({"hidden": np.full(4, 2.0, "float32")}, {}),
        ({"options": types.SimpleNamespace(scale=2.0)}, {}),
        ({}, {"factor": 2.0}),
    ],
    ids=["a number", "an array", "an object", "set later"],
)
def test_attributes(given, later):
    plain = tfcells.RNN(Attributes(4))
    cell = Attributes(4, **given)
    for name, value in later.items():
        setattr(cell, name, value)
    other = tfcells.RNN(cell)
    other.build(X.shape)
    wanted = plain(X)
    other.set_weights(plain.get_weights())
    np.testing.assert_allclose(other(X), 2 * wanted, atol=1e-6)


class Seeded(tfcells.ElmanCell):
    """Its seed decides a constant of its step."""

    def __init__(self, units, seed=0, **kwargs):
        super().__init__(units, **kwargs)
        self.seed = seed

    def step(self, x, state, w):
        y, state = super().step(x, state, w)
        return y * np.random.default_rng(self.seed).normal(size=4).astype("float32"), state


def test_a_seed_that_a_step_reads():
    layers = [tfcells.RNN(Seeded(4, seed)) for seed in (1, 2)]
    for layer in layers:
        np.testing.assert_allclose(layer(X), tfcells.RNN(layer.cell, unroll=True)(X), atol=1e-6)


class Tempered(tfcells.ElmanCell):
    """Reads a weight of its own, which is not trained, as self.NAME."""

    def build(self, input_shape):
        super().build(input_shape)
        self.temperature = self.add_weight((), "ones", trainable=False, name="temperature")

    def step(self, x, state, w):
        y, state = super().step(x, state, w)
        return y * ops.convert_to_tensor(self.temperature), state


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="programs are TensorFlow's")
def test_a_weight_that_is_not_trained_is_read_from_w():
    with pytest.raises(ValueError, match="step uses more than it was given .*temperature.*: declare a weight in build"):
        tfcells.RNN(Tempered(4))(X)
    assert tfcells.RNN(Tempered(4), unroll=True)(X).shape == (2, 4)


class Counting(tfcells.ElmanCell):
    """What changes at each call is nothing that its step reads; what the step keeps, it keeps."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.calls, self._scale = 0, None

    def bind(self, call):
        self.calls += 1
        return super().bind(call)

    @functools.cached_property
    def half(self):
        return 0.5

    def step(self, x, state, w):
        y, state = super().step(x, state, w)
        self._scale = self._scale or 2.0
        return self._scale * self.half * y, state


def test_attributes_that_change_by_themselves():
    layer, plain = tfcells.RNN(Counting(4)), tfcells.RNN(tfcells.ElmanCell(4), unroll=True)
    for _ in range(5):
        found = layer(X)
    plain.build(X.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(found, plain(X), atol=1e-6)
    assert layer.cell.calls > 4 and len(getattr(layer, "programs", ())) <= 2


class Filled(tfcells.Wrapper):
    """Fills the update slot before the step."""

    def bind(self, call):
        return super().bind(call).updating(lambda g: 2 * g)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="programs are TensorFlow's")
def test_an_update_slot_is_filled_in_the_step():
    with pytest.raises(ValueError, match=r"bind: w.updating\(...\) belongs in step"):
        tfcells.RNN(Filled(tfcells.LSTMCell(4)))(X)


@pytest.mark.parametrize("case", [*CASES, *AROUND_CELLS.values()], ids=lambda case: case.name)
@pytest.mark.slow
def test_equal_cells_have_equal_steps(case):
    """Whatever their names, weights and seeds, built or not."""
    one, other = (case.cell(**case.arguments) for _ in range(2))
    assert one.name != other.name and cell_key(one) == cell_key(other)
    one, other = (case.build(FEATURES) for _ in range(2))
    assert cell_key(one) == cell_key(other)


def test_equal_cells_still_share_a_program():
    def make():
        return tfcells.RNN(tfcells.Zoneout(tfcells.Mogrifier(tfcells.HyperLSTMCell(4, 3, 2)), 0.1))

    layers = [make() for _ in range(2)]
    for layer in layers:
        layer(X)
    assert len({key for layer in layers for key in layer.programs}) == 1


def test_a_number_of_the_class_and_a_step_of_the_instance(monkeypatch):
    """Changed after a program was made, or before one of an equal cell is."""
    layer = tfcells.RNN(Attributes(4))
    before = layer(X)
    monkeypatch.setattr(Attributes, "factor", 2.0)
    np.testing.assert_allclose(layer(X), tfcells.RNN(layer.cell, unroll=True)(X), atol=1e-6)
    assert np.abs(layer(X) - before).max() > 1e-3
    one, other = tfcells.ElmanCell(4), tfcells.ElmanCell(4)
    own = type(one).step

    def doubled(x, state, w):
        y, state = own(one, x, state, w)
        return 2 * y, state

    one.step = doubled
    for cell in one, other:
        layer = tfcells.RNN(cell)
        np.testing.assert_allclose(layer(X), tfcells.RNN(cell, unroll=True)(X), atol=1e-6)
