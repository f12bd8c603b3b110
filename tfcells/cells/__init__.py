"""The cells and wrappers, imported from the modules that their rows name: that registers them."""

import importlib
from typing import Any

from tfcells.cells.rows import ROWS

CLASSES: dict[str, Any] = {row.name: getattr(importlib.import_module(row.module), row.name) for row in ROWS}
CELLS = {row.name: CLASSES[row.name] for row in sorted(ROWS) if row.kind == "cell"}
WRAPPERS = {row.name: CLASSES[row.name] for row in sorted(ROWS) if row.kind == "wrapper"}
globals().update(CLASSES)

__all__ = ["CELLS", "WRAPPERS", "table", *CLASSES]


def table() -> list[dict[str, Any]]:
    """All cells and wrappers: name, module, family, paper, year, kind ("cell" or "wrapper"), class.

    >>> [row["name"] for row in tfcells.cells.table() if row["family"] == "highway"]
    ['RHNCell', 'HighwayStateGateRHNCell']
    """
    return [row._asdict() | {"class": CLASSES[row.name]} for row in ROWS]
