"""What `league` and `abilities` share: cells at equal parameters, and rows that are kept as they are done."""

import bisect
import contextlib
import dataclasses
import functools
import json
import math
import pathlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks import report
from benchmarks.processes import ROOT, in_a_fresh_process
from lab.cells import TABLE
from lab.fields import InputError
from lab.run import write_json, write_text

FAMILY = {name: row.family for name, row in sorted(TABLE.items()) if row.kind == "cell"}
CELLS = list(FAMILY)
HEADS = {"MLSTMCell": {"heads": 4}}
"""Instead of one, whose matrix would take gigabytes."""

MOST_UNITS = 8192


PAGE = ROOT / "docs" / "choose.md"


def tell(name: str, lines: list[str]):
    """Put these lines between the marks of that name on the page about choosing a cell."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    text = PAGE.read_text(encoding="utf-8")
    if start not in text or end not in text:
        raise ValueError(f"{PAGE.name} has no {name}")
    before, _, rest = text.partition(start)
    after = rest.partition(end)[2]
    write_text(PAGE, "\n".join([f"{before}{start}", *lines, "", f"{end}{after}"]))


def with_cell(recipe, cell: str, unusual: dict[str, dict]):
    """The recipe with another cell, as that is by default where `unusual` has no arguments of it."""
    return dataclasses.replace(recipe, cell=cell, cell_arguments=unusual.get(cell, {}))


def fitted(recipe, data, budget: int):
    """The recipe with the most units whose network has at most `budget` parameters, trained or not; and their number.

    Unlike `lab.budget`, which counts what is trained. Units are a multiple of the cell's heads.
    """
    heads = recipe.cell_arguments.get("heads", 1)

    @functools.cache
    def count(number: int) -> int:
        model = dataclasses.replace(recipe, units=number * heads).outline(data)
        return sum(math.prod(weight.shape) for weight in model.weights)

    number = bisect.bisect_right(range(1, MOST_UNITS // heads), budget, key=count)
    if not number:
        raise InputError(f"--budget: must be at least {count(1):,} for {recipe.cell}")
    return dataclasses.replace(recipe, units=number * heads), count(number)


class Rows:
    """The rows of a contest: one JSON file each in a folder, and those that its report has.

    settings: what a row depends on; rows of other settings don't count. whole: whether they are the default ones.
    """

    def __init__(self, name: str, folder: pathlib.Path, settings: dict, whole: bool):
        self.folder, self.settings, self.whole = folder, settings, whole
        self.name = name if whole else f"{name}-partial"
        path = report.RESULTS / f"{self.name}.json"
        told = json.loads(path.read_text()) if path.exists() else {}
        self.machine: dict | None = told.get("machine")
        self.rows: dict[str, dict] = told["rows"] if told.get("settings") == settings else {}
        for path in folder.rglob("row.json"):
            found = json.loads(path.read_text())
            if found.pop("settings") == settings:
                self.rows[path.parent.relative_to(folder).as_posix()] = found

    def keep(self, key: str, row: dict):
        path = self.folder / key / "row.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"settings": self.settings, **row})
        self.rows[key] = row

    def run(self, jobs: dict[str, tuple], tell_all: Callable[["Rows"], None], at_once: int = 1, anew=False):
        """Do the jobs, key -> (function, *arguments), that have no row, each in its own process; say what fails.

        tell_all: writes the report, after each row and at the end. anew: do those that have a row, too.
        """
        lock = threading.Lock()

        def work(key: str):
            try:
                row = in_a_fresh_process(*jobs[key])
                with lock:
                    self.keep(key, row)
                    tell_all(self)
            except Exception as error:  # a process may die of anything; the others go on
                print(f"{key}: {error or type(error).__name__}", file=sys.stderr, flush=True)
            else:
                print(f"{key}: {self.rows[key]}", flush=True)

        with contextlib.chdir(ROOT), ThreadPoolExecutor(at_once) as threads:
            list(threads.map(work, [key for key in jobs if anew or key not in self.rows]))
        tell_all(self)
