"""The table of targets: what --list says without counting, and without Keras."""

import json
import pathlib
import subprocess
import sys

import pytest

from lab.task import Task
from lab.tasks.corpus import from_vocabulary
from lab.tasks.language_model import LanguageModel
from recipes import TARGETS

ROOT = pathlib.Path(__file__).parents[2]
SIZES = [(target, size) for target, sizes in TARGETS.items() for size in sizes]


@pytest.mark.parametrize("target, size", SIZES)
def test_the_table_has_the_number_of_parameters(target, size):
    entry = TARGETS[target][size]
    symbols = {"wikitext2": 33_278, "text8": 28, "enwik8": 205}.get(entry.corpus)
    data = from_vocabulary(["<eos>", *map(str, range(1, symbols))], entry.recipe.level) if symbols else None
    assert entry.parameters == entry.recipe.parameters(data)


def test_a_language_model_is_scored_or_said_to_be_untrained():
    """In the list, and on the page; quick looks have no score, since each version of Python has another text."""
    page = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    results = json.loads((ROOT / "benchmarks" / "results" / "penn_treebank.json").read_text(encoding="utf-8"))
    trained = {(result["target"], result["size"]) for result in results.values()}
    for target, size in SIZES:
        entry = TARGETS[target][size]
        if isinstance(entry.recipe, LanguageModel) and size != "quick":
            assert (entry.own == "not trained here") == ((target, size) not in trained), (target, size)
            assert (f"| `{target} --size {size}` |" in page) == ((target, size) not in trained), (target, size)


def test_the_list_imports_neither_keras_nor_tensorflow():
    code = """if True:
        import sys, train
        assert train.main(["--list"]) == 0
        assert train.main(["rhn", "--cell", "nonsense"]) == 2
        assert train.main(["rhn", "--cell.depth", "0"]) == 2
        assert train.main(["rhn", "--budget", "many"]) == 2
        assert not {"keras", "tensorflow", "tfcells"} & set(sys.modules), "imported"
    """
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    for name in ("lstm  ", "GRUCell ", "Zoneout ", "4,651,600", "not trained here"):
        assert name in run.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_every_task_has_all_of_the_protocol(target):
    """A protocol's own functions return None."""
    kind = type(next(iter(TARGETS[target].values())).recipe)
    members = [name for name in vars(Task) if not name.startswith("_")]
    assert len(members) > 20
    assert not [name for name in members if getattr(kind, name) is getattr(Task, name)]
