"""The site: its pages run, its equations are those of the docstrings. .ci/docs builds it."""

import pathlib
import re
import sys

import pytest

import tfcells
from tests.test_house import run_blocks

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import docstrings  # noqa: E402
import reference  # noqa: E402

OTHERS = {"decoding", "export", "serving", "states", "train", "weights", "workers"}  # run in tests of their own
EXAMPLES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if path.stem not in OTHERS and "```python" in path.read_text(encoding="utf-8")
]


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_of_the_pages_run(page, tmp_path, monkeypatch):
    """As where there is no XLA: what they show is not compilation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tfcells.engine.has_compiler", lambda: False)
    run_blocks(page, {})


@pytest.mark.parametrize(
    "text, expected",
    [
        ("c' = s(f) c", r"c' = \sigma (f)\,c"),
        ("h_{s+1} = f(LN(a + A h_s))", r"h_{s+1} = f (\operatorname{LN} (a + A\,h_{s}))"),
        ("h' = a h + sqrt(1 - a^2) (i x)", r"h' = a\,h + \sqrt{1 - a ^{2}}\,(i\,x)"),
        ("Q = (I + A)^-1 (I - A) D", r"Q = (I + A) ^{-1}\,(I - A)\,D"),
        ("A = U - U^T - gamma I", r"A = U - U ^{\top} - \gamma\,I"),
        ("^h', ^c' = LSTM([x, h])", r"\hat{h}', \hat{c}' = \operatorname{LSTM} ([x, h])"),
        ("e_j = v . tanh(W s)", r"e_{j} = v \cdot \tanh (W\,s)"),
        ("x <- 2 s(Q_i h) x", r"x \leftarrow 2\,\sigma (Q_{i}\,h)\,x"),
    ],
)
def test_equations_become_latex(text, expected):
    assert docstrings.latex(text) == expected


@pytest.mark.parametrize(
    "text, found",
    [
        ("The update gate alone:  z, g = W x + U h + b;  h' = s(z) h.", ["z, g = W x + U h + b;  h' = s(z) h"]),
        ("y = tanh(R r + X p), a third as wide as h.", ["y = tanh(R r + X p)"]),
        ("c is None, and the cell's state is h' for units p_i and p_f.", ["h'", "p_i", "p_f"]),
        ("for p < r/2;  2 - 2 p / r for p >= r", ["p < r/2", "2 - 2 p / r", "p >= r"][:2]),
        ("A GRU whose rate, a number, is in (0, 1] (T-LSTM).", []),
    ],
)
def test_equations_are_found(text, found):
    assert [text[start:end] for start, end in docstrings.runs(text)] == found


@pytest.mark.parametrize("row", tfcells.cells.table(), ids=lambda row: row["name"])
def test_every_class_has_a_page_and_every_cell_an_equation(row):
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    assert any(f"<!-- family: {row['family']} -->" in page for page in pages)
    lines = docstrings.restructured(row["class"].__doc__.splitlines(), {"units"}, tfcells.__all__)
    named_after_a_wrapper = row["name"] in ("MogrifierLSTMCell", "MultiplicativeLSTMCell")
    assert row["kind"] == "wrapper" or named_after_a_wrapper or ".. math::" in lines
    for line in lines:
        assert not re.search(r":math:`[^`]*\b(the|and|of)\b", line), line


@pytest.mark.parametrize("page", reference.PAGES, ids=lambda page: page.stem)
def test_pages_are_plain_markdown(page):
    """Directives are in comments, which GitHub does not show; tables below them are those of the sources."""
    text = page.read_text(encoding="utf-8")
    assert "```{" not in text and not text.startswith("---")
    assert page.read_text(encoding="utf-8") == reference.plain(page), "run PYTHONPATH=. python docs/reference.py"


@pytest.mark.parametrize(
    "page", [page for page in reference.PAGES if page.stem == "index"], ids=lambda page: page.parent.name
)
def test_what_a_menu_has_is_linked(page):
    text = page.read_text(encoding="utf-8")
    menus = re.findall(r"(?ms)^<!-- \{toctree\}\n.*?\n\n(.*?)^-->", text)
    assert menus and not [name for name in "".join(menus).split() if f"]({name}.md)" not in text]


def test_every_public_name_is_on_a_page():
    """In a table that everybody sees; the site has all of them, too (reference.check)."""
    text = "".join(page.read_text(encoding="utf-8") for page in reference.PAGES)
    assert not [name for name in reference.NAMES - set(tfcells.RENAMED) if f"`{name}`" not in text]


@pytest.mark.parametrize(
    "name, report, told",
    [
        ("compile", "first_call", "[machine {}](benchmarks.md#machines), two cores"),
        ("workers", "workers", "[machine {}](benchmarks.md#machines), with two"),
        ("recipes", "layer_norm", "One seed each, on machine {};"),
        ("recipes", "engines", "machine {}, two cores:"),
        ("benchmarks", "cells", "35 steps, [machine {}](#machines)"),
        ("benchmarks", "language_model", "PyTorch loop, on machine {}."),
        ("benchmarks", "cells_gpu", "On an NVIDIA H200 (machine {})"),
    ],
)
def test_machines_are_those_of_the_reports(name, report, told):
    assert told.format(reference.letter(report)) in (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
