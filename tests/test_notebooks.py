"""The notebooks: each runs whole, and what is committed is its source's."""

import configparser

import nbformat
import pytest

from notebooks import build

pytestmark = pytest.mark.slow

EVERY = pytest.mark.parametrize("path", build.SOURCES, ids=lambda path: path.stem)


@EVERY
def test_runs_whole(path):
    book = build.execute(path, small=True)
    assert not [output for output in outputs(book) if output.output_type == "error"]


@EVERY
def test_what_is_committed_comes_of_the_source(path):
    committed = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    source = build.read(path)
    assert [cell.source for cell in committed.cells] == [cell.source for cell in source.cells]
    assert not [output for output in outputs(committed) if output.output_type == "error"]
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any("image/png" in output.get("data", {}) for output in outputs(committed))


@EVERY
def test_cells_are_short(path):
    code = [cell for cell in build.read(path).cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in code) <= 30


@EVERY
def test_opens_in_colab(path):
    first, setup = build.read(path).cells[:2]
    config = configparser.RawConfigParser()
    config.read(build.HERE.parent / "setup.cfg")
    url = config["metadata"]["url"]
    where = url.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{where}/blob/main/notebooks/{path.stem}.ipynb"
    assert colab in first.source and colab in (build.HERE.parent / "README.md").read_text()
    assert "google.colab" in setup.source and f'"{url}"' in setup.source


def outputs(book):
    return [output for cell in book.cells for output in cell.get("outputs", ())]
