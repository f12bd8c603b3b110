"""The table of cells and wrappers, and their arguments, as they are read without Keras."""

import inspect
import re

import pytest

import tfcells
from lab.cells import (
    BASES,
    FILLED,
    REQUIRED,
    SHARED,
    TABLE,
    CellName,
    WrapperName,
    arguments,
    meaning,
)
from lab.fields import InputError, read


def class_of(name):
    return getattr(tfcells, name)


def test_the_table_has_the_librarys_cells_and_wrappers():
    cells, wrappers = (set(hint.__metadata__[0].found.values()) for hint in (CellName, WrapperName))
    assert cells == set(tfcells.CELLS)
    assert all(issubclass(class_of(name), tfcells.Wrapper) for name in wrappers)


@pytest.mark.parametrize("name", TABLE)
def test_arguments_are_those_of_the_signature(name):
    """Of the class, of the bases that its **kwargs go to, and of the cell that it is a wrapper around."""
    found, wanted = arguments(name), {}
    lines = class_of(name).__mro__, getattr(class_of(name), "inner", tfcells.Cell).__mro__
    kinds = [kind for line in lines for kind in line[: line.index(tfcells.Cell)] if kind.__name__ not in BASES]
    for kind in reversed([kind for kind in kinds if "__init__" in vars(kind)]):
        signature = inspect.signature(kind.__init__).parameters.values()
        wanted |= {p.name: p.default for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD}
    wanted = {k: v for k, v in wanted.items() if k not in FILLED and not SHARED.fullmatch(k)}
    assert found.keys() == wanted.keys()
    for key, argument in found.items():
        required = wanted[key] is inspect.Parameter.empty
        assert argument.default is REQUIRED if required else argument.default == wanted[key]


@pytest.mark.parametrize("name", TABLE)
def test_help_has_a_meaning_for_every_argument(name):
    """A line "argument: meaning." in the docstring of the class, or of one that it extends."""
    meanings = {key: meaning(name, key) for key in arguments(name)}
    assert all(re.search("[a-z]{2}", said) for said in meanings.values()), meanings


@pytest.mark.parametrize(
    "name, argument, said",
    [
        ("LSTMCell", "forget_bias", "added to the initial bias of the forget gate (0 in Zaremba et al., 2014)"),
        ("LayerNormElmanCell", "epsilon", "keeps LN from dividing by zero"),  # of a base
        (
            "LRUCell",
            "max_radius",
            "the eigenvalues exp(...) start uniformly on the ring between these radii",
        ),  # one of two
        ("WindowAttention", "attention_units", "the width of v, none for that of the output"),
    ],
)
def test_meanings_are_those_of_the_docstrings(name, argument, said):
    assert meaning(name, argument) == said


@pytest.mark.parametrize("text", ["LSTMCell", "lstmcell", "lstm", "LSTM", "Lstm"])
def test_a_cell_is_named_in_any_case_with_or_without_cell(text):
    assert read("cell", CellName, text) == "LSTMCell"
    assert read("wrapper", WrapperName | None, "ZONEOUT") == "Zoneout"
    assert read("wrapper", WrapperName | None, "none") is None


@pytest.mark.parametrize(
    "text, near", [("GRUCel", "GRUCell[?]"), ("grru", "GRUCell"), ("mogr", "MogrifierLSTMCell[?]"), ("xyz", "")]
)
def test_an_unknown_name_gets_the_nearest(text, near):
    said = f"did you mean {near}" if near else "there are ATRCell, AntisymmetricRNNCell, .*, UGRNNCell$"
    with pytest.raises(InputError, match=f"cell={text}: must be the name of one cell; {said}"):
        read("cell", CellName, text)
