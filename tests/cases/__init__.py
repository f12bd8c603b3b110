"""A row for each cell variant and each wrapper: class, arguments, and its equations once more, in NumPy.

Every oracle is one time step, `oracle(x, *state, **weights) -> (output, *new state)`, written from
the paper, gate by gate, with the functions of `tests/cases/maths.py`. The oracle of a wrapper takes `inner`,
the oracle of the cell inside, and leaves it the weights that are not its own.

A new cell needs a row in `rows` of its family's file, and for every argument that no cell had before a value
in OTHER and wrong ones in BAD (`tests/cases/values.py`). A new wrapper needs a row in `wrappers` of
`tests/cases/wrappers.py`, and wrong values in BAD. A new family's file needs a place in FAMILIES.
"""

import inspect

import keras
import pytest

import tfcells
from tests.cases import (
    channelwise,
    dynamical,
    fast,
    gated,
    gru,
    highway,
    hyper,
    irregular,
    linear,
    lstm,
    memory,
    minimal,
    searched,
    simple,
    wrappers,
    xlstm,
)
from tests.cases.row import Case
from tests.cases.values import BAD, OTHER
from tfcells.contract.linear import multiplied
from tfcells.contract.wrapper import Inlined, build_once

FAMILIES = simple, lstm, gru, hyper, highway, gated, minimal, fast, searched, irregular
FAMILIES += memory, dynamical, channelwise, linear, xlstm, wrappers
CASES = [Case(*row) for family in FAMILIES for row in family.rows()]
WRAPPED = {row.name: row for row in wrappers.wrappers()}


def arguments(cell):
    """The constructor's arguments that the library itself declares, by name."""
    inner = arguments(cell.inner) if issubclass(cell, Inlined) else {}
    found = {}
    for base in cell.__mro__[: cell.__mro__.index(tfcells.Cell)]:
        found = dict(inspect.signature(base).parameters) | found
    own = {name: p for name, p in found.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if inner:
        own.pop("cell")
    return inner | own


def other(cell, name):
    """A value that is not the argument's default."""
    default = arguments(cell)[name].default
    if isinstance(default, bool):
        return not default
    assert name in OTHER, f"give {name!r} of {cell.__name__} a value in OTHER of tests/cases/values.py"
    return OTHER[name]


def refused(cells):
    """Parameters of a test: each cell with each argument and each value that it must refuse."""
    return [
        pytest.param(cell, name, value, id=f"{cell.__name__}-{name}-{value}")
        for cell in cells
        for name in sorted(arguments(cell))
        for value in BAD.get(name, ())
    ]


def prepared(cell, sequence, training=False):
    """Slices, (steps, ...), and weights of a cell, as a layer makes them before its loop."""
    x = keras.ops.convert_to_tensor(sequence)
    build_once(cell, (None, x.shape[-1]))
    w = cell.bind(tfcells.Call(*keras.ops.shape(x), training))
    return (multiplied(cell.inputs(x, w.deferred())), w.along_time()), w


def stepped(cell, slices, t, state, w):
    """The step t of a cell from what `prepared` gave: output and new states."""
    x, now = keras.tree.map_structure(lambda s: s[t], slices)
    return cell.step(x, tuple(state), w.at(now))
