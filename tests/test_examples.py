"""The programs of examples/: each learns something on small data, and what the pages say of them is so."""

import ast
import importlib
import json
import runpy
import sys

import keras
import pytest

from benchmarks import examples, report
from tests.test_house import ROOT, imported, rows_under

PROGRAMS = sorted((ROOT / "examples").glob("*.py"))
EVERY = pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
LESS = {"classify": 0.6, "forecast": 0.75, "generate": 0.9, "tag": 0.6, "translate": 0.2}
"""What share of its baseline's error a network must come below on small data."""

PERCENT = {"classify", "tag", "translate"}  # whose scores are shares of what is right


@pytest.mark.slow
@EVERY
def test_learns_more_than_its_baseline_knows(path, monkeypatch, capsys):
    """As where there is no XLA, but for one that is quicker with it: what they show is not compilation."""
    name = path.stem
    if name != "forecast":
        monkeypatch.setattr("tfcells.engine.has_compiler", lambda: False)
    scores = importlib.import_module(f"examples.{name}").main(small=True)
    errors = [1 - score if name in PERCENT else score for score in scores.values()]
    assert errors[0] < LESS[name] * errors[-1]
    assert next(iter(scores)) in capsys.readouterr().out


@EVERY
@pytest.mark.parametrize("flag, code", [("--help", 0), ("--epochs", 2)])
def test_flags_are_read_before_anything_is_trained(path, monkeypatch, capsys, flag, code):
    monkeypatch.setattr(sys, "argv", [path.name, flag])
    monkeypatch.setattr(keras.Model, "fit", None)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    out, err = capsys.readouterr()
    assert stopped.value.code == code
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))) in out if code == 0 else f"arguments: {flag}" in err


@EVERY
def test_uses_the_public_library_alone_and_is_short(path):
    allowed = {"keras", "numpy", "sklearn", "tfcells", *sys.stdlib_module_names}
    names = imported(path)
    assert {name.split(".")[0] for name in names} <= allowed
    assert not [name for name in names if name.startswith(("keras._", "keras.src", "tfcells."))]
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    first, shows, prints = ast.get_docstring(ast.parse(text)).split("\n\n")[:3]
    assert shows.startswith("Shows") and "Prints" in prints and "two cores" in prints


def test_the_page_says_what_the_programs_printed():
    """python -m benchmarks examples writes the report."""
    rows = rows_under("Examples", "docs/examples.md")
    programs = json.loads((ROOT / "benchmarks" / "results" / "examples.json").read_text())["programs"]
    assert list(programs) == [path.stem for path in PROGRAMS]
    for name, found in programs.items():
        (row,) = [cells for first, cells in rows.items() if first == f"[{name}](../examples/{name}.py)"]
        scores = list(found["scores"].items())
        shown = [f"{100 * score:.1f} %" if name in PERCENT else f"{score:.2f}" for _, score in scores]
        assert row[2:] == [shown[0], shown[-1], scores[-1][0]]


def test_the_benchmark_writes_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    found = {"scores": {"LSTM": 0.5, "chance": 0.1}, "processor_seconds": 5.0}
    monkeypatch.setattr(examples, "in_a_fresh_process", lambda run, name: found)
    assert examples.main([]) == 0
    text = (tmp_path / "examples.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "| classify | LSTM 0.500, chance 0.100 | 5 |" in text
