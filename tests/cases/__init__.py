"""A row for each cell variant and each wrapper: class, arguments, and its equations once more, in NumPy.

Every oracle is one time step, `oracle(x, *state, **weights) -> (output, *new state)`, written from
the paper, gate by gate, with the functions of `tests/cases/maths.py`. The oracle of a wrapper takes `inner`,
the oracle of the cell inside, and leaves it the weights that are not its own.

A new cell needs a row in `rows` of its family's file, and for every argument that no cell had before a value
in OTHER and wrong ones in BAD (`tests/cases/values.py`). A new wrapper needs a row in `wrappers` of
`tests/cases/wrappers.py`.
"""

import inspect

import keras

import tfcells
from tests.cases import (
    fast,
    gated,
    gru,
    highway,
    hyper,
    irregular,
    lstm,
    memory,
    minimal,
    searched,
    simple,
    wrappers,
)
from tests.cases.row import Case
from tests.cases.values import BAD, OTHER  # noqa: F401 (tests read both here)
from tfcells.contract.linear import multiplied
from tfcells.contract.wrapper import Inlined

FAMILIES = simple, lstm, gru, hyper, highway, gated, minimal, fast, searched, irregular, memory, wrappers
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
    return not default if isinstance(default, bool) else OTHER[name]


def prepared(cell, sequence, training=False):
    """Slices, (steps, ...), and weights of a built cell, as a layer makes them before its loop."""
    x = keras.ops.convert_to_tensor(sequence)
    w = cell.bind(tfcells.Call(*keras.ops.shape(x), training))
    return (multiplied(cell.inputs(x, w.deferred())), w.along_time()), w


def stepped(cell, slices, t, state, w):
    """The step t of a cell from what `prepared` gave: output and new states."""
    x, now = keras.tree.map_structure(lambda s: s[t], slices)
    return cell.step(x, tuple(state), w.at(now))
