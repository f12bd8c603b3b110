"""The cells and wrappers, imported from the modules that their rows name: that registers them."""

import importlib
import inspect
from typing import Any

from tfcells.cells.rows import ROWS, Row

CLASSES: dict[str, Any] = {row.name: getattr(importlib.import_module(row.module), row.name) for row in ROWS}
CELLS = {row.name: CLASSES[row.name] for row in sorted(ROWS) if row.kind == "cell"}
WRAPPERS = {row.name: CLASSES[row.name] for row in sorted(ROWS) if row.kind == "wrapper"}
globals().update(CLASSES)

__all__ = ["CELLS", "WRAPPERS", "table", *CLASSES]


def table() -> list[dict[str, Any]]:
    """All cells and wrappers: what their rows in tfcells/cells/rows.py say, and what their classes do.

    class. states, slots: of a cell with its default arguments; of a wrapper, around an `LSTMCell`. runs: "parallel" if
    it can take all steps at once, a wrapper around a cell that can; else "sequential". parameters is an expression in
    n, the units, d, the features of the input, and arguments.

    >>> row = next(row for row in tfcells.cells.table() if row["name"] == "RHNCell")
    >>> row["states"], row["runs"], row["parameters"]
    (('s',), 'sequential', '2*n*(d + depth*(n + 1))')
    >>> eval(row["parameters"], {"n": 830, "d": 830, "depth": 10})
    15172400
    """
    return [row._asdict() | facts(row) for row in ROWS]


def facts(row: Row) -> dict[str, Any]:
    """What only the class of a row knows."""
    made = CLASSES[row.name]
    parameters = [p for p in inspect.signature(made).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    given = {p.name: 1 if p.annotation is int else 0.5 for p in parameters if p.default is p.empty}
    given |= {"units": 12} if row.kind == "cell" else {"cell": CLASSES["LSTMCell"](12)}
    cell = made(**given)
    runs = "parallel" if made.steps_at_once() else "sequential"
    return {"class": made, "states": tuple(cell.states), "slots": cell.slots, "runs": runs}
