"""The table of all cells and wrappers: what it says of a class is true."""

import inspect
import re

import pytest

import tfcells
from tests.cases import WRAPPED
from tfcells.cells import table

TABLE = {row["name"]: row for row in table()}
ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)


def made(row, units, **arguments):
    """The cell, or the wrapper around an LSTM, which has what else it must be given from its row in tests/cases/."""
    if row["kind"] == "cell":
        return row["class"](units, **arguments)
    given, parameters = WRAPPED[row["name"]].arguments, inspect.signature(row["class"]).parameters
    needed = {name: value for name, value in given.items() if parameters[name].default is inspect.Parameter.empty}
    return row["class"](tfcells.LSTMCell(units), **needed | arguments)


@ROWS
def test_the_formula_of_the_parameters(row):
    """Of two sizes of units and features, with two values of each argument that it names; and of the defaults."""
    named = set(re.findall("[a-z_]+", row["parameters"])) - {"n", "d"}
    wide = row["name"] in ("Residual", "Highway")  # as their input
    for units, features, value in ((12, 8, 2), (24, 20, 4), (12, 20, None)):
        cell = made(row, units, **dict.fromkeys(named, value) if value else {})
        features = units if wide else features
        cell.build((None, features))
        values = {name: getattr(cell, name) for name in named}
        assert eval(row["parameters"], {"n": units, "d": features} | values) == cell.count_params()


@ROWS
def test_states_and_slots(row):
    cell = made(row, 12)
    assert row["slots"] == cell.slots and row["states"] == tuple(cell.states)
    assert len(row["states"]) == len(cell.state_size)


def test_what_runs_in_parallel():
    cells = {name for name, row in TABLE.items() if row["runs"] == "parallel" and row["kind"] == "cell"}
    assert cells == {name for name in tfcells.CELLS if tfcells.CELLS[name](12).takes_all_steps}
    for name in TABLE.keys() - cells:
        assert TABLE[name]["runs"] in ("sequential", "parallel")


def test_each_class_is_there_once():
    names = [row["name"] for row in table()]
    assert len(names) == len(set(names)) == len(tfcells.CELLS) + len(tfcells.WRAPPERS)
    assert len(tfcells.CELLS) >= 55 and len(tfcells.WRAPPERS) >= 14
