"""The notebooks: each runs whole, and what is committed is its source's."""

import base64
import configparser
import pathlib
import subprocess
import sys

import nbformat
import pytest

from notebooks import build

pytestmark = pytest.mark.slow

EVERY = pytest.mark.parametrize("path", build.SOURCES, ids=lambda path: path.stem)


@EVERY
def test_runs_whole_from_its_own_folder(path, monkeypatch):
    """What PYTHONPATH has is of no use to it, as in a plain Jupyter."""
    monkeypatch.setenv("PYTHONPATH", str(build.HERE.parent))
    book = build.execute(path, small=True)
    assert not [output for output in outputs(book) if output.output_type == "error"]
    assert all(build.pictures(cell) for cell in book.cells if alt(cell))


@EVERY
def test_what_is_committed_comes_of_the_source(path):
    committed = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    source = build.read(path)
    assert [cell.source for cell in committed.cells] == [cell.source for cell in source.cells]
    assert [cell.metadata for cell in committed.cells] == [cell.metadata for cell in source.cells]
    assert not [output for output in outputs(committed) if output.output_type == "error"]
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any(map(build.pictures, committed.cells))
    for cell in committed.cells:
        assert bool(build.pictures(cell)) == bool(alt(cell)), cell.source
        if "file" in cell.metadata:
            assert (build.HERE / cell.metadata["file"]).read_bytes() == base64.b64decode(build.pictures(cell)[-1])


@EVERY
def test_cells_are_short(path):
    code = [cell for cell in build.read(path).cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in code) <= 30


@EVERY
def test_says_what_it_teaches_how_long_it_takes_and_what_comes_next(path):
    first, *_, last = build.read(path).cells
    following = dict(zip(build.SOURCES, build.SOURCES[1:])).get(path)
    assert "**You learn**" in first.source and "**Takes** " in first.source
    assert f"**Next**: [{following.stem}]({following.stem}.ipynb)" in first.source if following else True
    assert last.source.startswith("## Exercises") and last.source.count("*Hint*:") == 3


@EVERY
def test_opens_in_colab(path):
    first, setup = build.read(path).cells[:2]
    config = configparser.RawConfigParser()
    config.read(build.HERE.parent / "setup.cfg")
    url = config["metadata"]["url"]
    where = url.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{where}/blob/main/notebooks/{path.stem}.ipynb"
    assert colab in first.source and colab in (build.HERE.parent / "README.md").read_text()
    assert setup.source == build.read(build.SOURCES[0]).cells[1].source and f'"{url}"' in setup.source


def test_setup_in_colab(tmp_path, monkeypatch):
    """It clones the repository, installs it, and finds the lab in it."""
    ran = []

    def run(command, check):
        ran.append(command)
        if command[0] == "git":
            (tmp_path / "tfcells" / "lab").mkdir(parents=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(subprocess, "run", run)
    setup = build.read(build.SOURCES[0]).cells[1].source
    for _ in range(2):  # the second time it is there
        exec(setup, {})
    pip = [sys.executable, "-m", "pip", "install", "-q", "-e", "tfcells[lab]"]
    assert [command[:3] for command in ran] == [["git", "clone", "-q"], pip[:3], pip[:3]] and ran[1] == ran[2] == pip
    assert pathlib.Path(sys.path[0]) == tmp_path / "tfcells"


def alt(cell) -> str:
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")


def outputs(book):
    return [output for cell in book.cells for output in cell.get("outputs", ())]
