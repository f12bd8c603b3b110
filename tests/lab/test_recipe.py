"""Recipes: the learning rate, and what fields may hold."""

import dataclasses
import math

import keras
import numpy as np
import psutil
import pytest

import tfcells
from lab.fields import InputError, written
from lab.recipe import differences, fields
from recipes import TARGETS
from tests.tiny import TINY


@pytest.mark.parametrize("anneal", ["linear", "cosine"])
def test_warm_up_and_annealing(anneal):
    recipe = dataclasses.replace(TINY, epochs=4, warm_up=0.5, anneal=anneal, learning_rate=2.0)
    rates = [recipe.rate(epoch, step, 10) for epoch in range(4) for step in range(10)]
    assert np.argmax(rates) == 5 and rates[5] == 2.0
    np.testing.assert_allclose(np.diff(rates[:6]), 2 / 6)
    assert all(np.diff(rates[5:]) < 0)
    assert 0 < rates[-1] < 0.07
    middle = {"linear": 2 * 19 / 35, "cosine": 1 - math.cos(math.pi * 19 / 35)}
    assert rates[21] == pytest.approx(middle[anneal])


@pytest.mark.parametrize(
    "field, text",
    [
        ("units", "0"),
        ("units", "1.5"),
        ("units", "many"),
        ("batch_size", "-3"),
        ("epochs", "99999999999"),
        ("dropout", "1"),
        ("dropout", "1.7"),
        ("state_dropout", "-0.1"),
        ("learning_rate", "0"),
        ("learning_rate", "nan"),
        ("learning_rate", "inf"),
        ("clip_norm", "0"),
        ("weight_decay", "-1"),
        ("optimizer", "lion"),
        ("level", "sentence"),
        ("tied", "maybe"),
        ("one_hot", "1"),
        ("cell.forget_bias", "inf"),
        ("forget_bias", "inf"),
        ("cell", "LSTN"),
        ("wrapper", "1"),
    ],
)
def test_bad_value_is_refused_by_name(field, text):
    with pytest.raises(InputError, match=rf"^{field}={text}: must be "):
        TINY.replace(**{field: text})


def test_good_values_are_read_by_their_type():
    texts = {"units": "7", "learning_rate": "1e-3", "tied": "true", "clip_norm": "none"}
    changed = TINY.replace(**texts, level="char", steps_per_epoch="3")
    assert (changed.units, changed.learning_rate, changed.tied) == (7, 1e-3, True)
    assert (changed.clip_norm, changed.level, changed.steps_per_epoch) == (None, "char", 3)
    assert differences(changed, TINY)[:3] == [
        "units=7 (was 6)",
        "learning_rate=0.001 (was 1.0)",
        "steps_per_epoch=3 (was None)",
    ]


def test_unknown_field_names_the_nearest():
    with pytest.raises(InputError, match="no field 'unit' with cell=LSTMCell; did you mean units"):
        TINY.replace(unit="3")


def test_recipe_checks_itself_in_python_too():
    with pytest.raises(InputError, match="^units=0: must be a whole number"):
        dataclasses.replace(TINY, units=0)
    with pytest.raises(InputError, match="^tied=1: must be true or false"):
        dataclasses.replace(TINY, tied=1)


# Cells and their arguments.


def test_a_cells_arguments_are_fields():
    one = TINY.replace(cell="rhn", **{"cell.depth": "3"}, transform_bias="-1")
    assert (one.cell, one.cell_arguments) == ("RHNCell", {"depth": 3, "transform_bias": -1.0})
    assert one.values()["cell.depth"] == 3 and "cell.depth" in fields(one)
    assert "cell.depth" not in fields(TINY) and "cell.forget_bias" in fields(TINY)
    assert differences(one.replace(depth="4"), one) == ["cell.depth=4 (was 3)"]


def test_a_new_cell_gets_the_arguments_that_it_has_too():
    rhn = TINY.replace(cell="RHNCell", depth="3", coupled="false")
    assert rhn.replace(cell="HighwayStateGateRHN").cell_arguments == rhn.cell_arguments
    assert rhn.replace(cell="GRU").cell_arguments == {}
    assert rhn.replace(cell="hyperlstm", forget_bias="2").cell_arguments == {"forget_bias": 2.0}


@pytest.mark.parametrize(
    "texts, message",
    [
        (
            {"cell.depth": "3"},
            "no field 'cell.depth' with cell=LSTMCell; there are cell.forget_bias",
        ),
        ({"depth": "3"}, "no field 'depth' with cell=LSTMCell"),
        (
            {"cell": "rhn", "cell.depth": "101"},
            "cell.depth=101: must be a whole number from 1 to 100",
        ),
        ({"cell": "gru", "reset_after": "1"}, "reset_after=1: must be true or false"),
        (
            {"cell": "clockworkrnn", "cell.periods": "1,-2"},
            "cell.periods=1,-2: must be numbers",
        ),
        ({"wrapper": "zoneout"}, "wrapper=Zoneout: must have --wrapper.rate with it"),
        (
            {"wrapper": "zoneout", "wrapper.rate": "1"},
            r"wrapper.rate=1: must be a number in \[0, 1\)",
        ),
        ({"wrapper.rate": "0.1"}, "no field 'wrapper.rate' with wrapper=none"),
    ],
)
def test_bad_arguments_are_refused_by_name(texts, message):
    with pytest.raises(InputError, match=message):
        TINY.replace(**texts)


def test_arguments_are_checked_in_python_too():
    with pytest.raises(InputError, match="LSTMCell has no argument 'depth'"):
        dataclasses.replace(TINY, cell_arguments={"depth": 3})
    with pytest.raises(InputError, match="cell.forget_bias='x': must be a number"):
        dataclasses.replace(TINY, cell_arguments={"forget_bias": "x"})


def test_what_only_the_cell_can_refuse_is_refused_by_name():
    one = TINY.replace(cell="layernormlstm", **{"cell.norm": "x"})
    with pytest.raises(InputError, match="cell.norm must be .product. or .gate., got 'x'"):
        one.make_cell()
    with pytest.raises(InputError, match="wrapper=ResetOnFlag: must not read flags, as there are none here"):
        dataclasses.replace(TINY, wrapper="ResetOnFlag").make_cell()
    with pytest.raises(InputError, match="wrapper=Attention: must not read a memory"):
        attention = {"attention_units": 2, "memory_features": 2}
        dataclasses.replace(TINY, wrapper="Attention", wrapper_arguments=attention).make_cell()


@pytest.mark.parametrize(
    "name, text, needed, value",
    [
        ("decay_after", "2", "decay", "0.5"),
        ("decay_all", "true", "weight_decay", "0.1"),
        ("init_biases", "true", "init_scale", "0.1"),
    ],
)
def test_what_would_have_no_effect_is_refused(name, text, needed, value):
    with pytest.raises(InputError, match=f"{name}={text}: must not be given without {needed}"):
        TINY.replace(**{name: text})
    assert getattr(TINY.replace(**{name: text, needed: value}), needed) == float(value)
    unset = written(type(TINY).__dataclass_fields__[name].default)
    assert TINY.replace(**{name: unset}) == TINY


def test_a_wrapper_goes_around_the_cell():
    one = TINY.replace(wrapper="zoneout", **{"wrapper.rate": "0.25"})
    cell = one.make_cell()
    assert type(cell) is tfcells.Zoneout and cell.rate == 0.25 and type(cell.cell) is tfcells.LSTMCell
    assert type(TINY.make_cell()) is tfcells.LSTMCell


OLD = {  # the fields of version 0.1 that have another name, or another place, now
    "lstm": {"forget_bias": 0.5},
    "lnlstm": {"forget_bias": 0.5},
    "rhn": {"depth": 3, "transform_bias": -1.0},
    "hsg": {"depth": 3, "transform_bias": -1.0, "gate_bias": -3.0},
    "hypernets": {"hyper_units": 3, "signal_units": 2, "layer_norm": False, "forget_bias": 0.5},
}


@pytest.mark.parametrize("target", OLD)
def test_recipes_of_version_0_1_are_read(target):
    new = ("cell", "wrapper", "init_biases")
    for size in TARGETS[target].values():
        now = {k: v for k, v in size.recipe.values().items() if k not in new and "." not in k}
        one = size.recipe.with_values(now | OLD[target])
        renamed = {k.replace("signal_units", "embedding_units"): v for k, v in OLD[target].items()}
        assert one == dataclasses.replace(size.recipe, cell_arguments=renamed)
        texts = {name: str(value).lower() for name, value in OLD[target].items()}
        assert size.recipe.replace(**texts) == one  # and its flags


@pytest.mark.slow
def test_an_outline_leaves_no_weights_behind():
    """Keras would give values to all of them at the end of the next such scope."""
    wide = dataclasses.replace(TINY, units=2000, layers=2)  # 256 MB
    before = psutil.Process().memory_info().rss
    assert wide.parameters() > 60e6
    with keras.StatelessScope():
        pass
    assert psutil.Process().memory_info().rss - before < 60e6
