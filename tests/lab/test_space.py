"""What a search draws from, and how a recipe is told as flags."""

import pathlib
import random
import re
import shlex

import pytest

import tfcells
from lab import search_options
from lab.fields import InputError, Numbers, Rate, Seed
from lab.options import named_recipe, parse
from lab.recipe import fields
from lab.space import FUNCTIONS, Choice, Fixed, Genotypes, Range, Space, domain, flags
from recipes import TARGETS
from tests.tiny import recipe


class Drawn:
    """In place of a trial."""

    def __init__(self, seed):
        self.random, self.params = random.Random(seed), {}

    def suggest_int(self, name, low, high, step=1, log=False):
        return self.params.setdefault(name, self.random.randrange(low, high + 1, step))

    def suggest_float(self, name, low, high, log=False):
        return self.params.setdefault(name, self.random.uniform(low, high))

    def suggest_categorical(self, name, choices):
        return self.params.setdefault(name, self.random.choice(choices))


def of(name, text):
    return domain(name, fields(recipe("rhn"))[name], text)


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("units", "20", Fixed("20")),
        ("units", "20..30", Range(20, 30)),
        ("units", "20..31:5", Range(20, 30, 5)),
        ("units", "20..30:log", Range(20, 30, log=True)),
        ("units", "20,30,20", Choice((20, 30))),
        ("learning_rate", "1..2", Range(1.0, 2.0)),
        ("learning_rate", "1e-3...5:log", Range(1e-3, 0.5, log=True)),
        ("cell", "gru,lstm", Choice(("GRUCell", "LSTMCell"))),
        ("wrapper", "none,zoneout", Choice((None, "Zoneout"))),
        ("tied", "true,false", Choice((True, False))),
        ("cell.transform_bias", "-3..-1", Range(-3.0, -1.0)),
        ("patience", "1..3", Range(1, 3)),
    ],
)
def test_domains(name, text, expected):
    found = of(name, text)
    assert found == expected
    assert not isinstance(found, Range) or type(found.low) is type(expected.low)


def test_a_series_is_one_value_and_a_range_of_genotypes_counts_nodes():
    assert domain("cell.periods", Numbers, "1,2,4") == Fixed("1,2,4")
    hint = fields(recipe("cell"))["cell.genotype"]
    assert domain("cell.genotype", hint, "4..8") == Genotypes(4, 8)
    assert domain("cell.genotype", hint, "enas,tanh0-relu1") == Choice(("enas", "tanh0-relu1"))


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("units", "30..20", "units=30..20: must be LOW..HIGH with LOW at most HIGH"),
        ("units", "0..20", "units=0: must be a whole number from 1 to 1000000"),
        ("units", "2..2000000", "units=2000000: must be"),
        (
            "units",
            "20..",
            "units=20..: must be a whole number from 1 to 1000000; to draw it: LOW..HIGH, LOW..HIGH:STEP",
        ),
        ("units", "2..3.5", "units=3.5: must be"),
        ("units", "2..5:linear", "to draw it:"),
        ("units", "2..5:0", "to draw it:"),
        ("units", "2,x", "units=x: must be a whole number"),
        ("input_dropout", "0..1", "input_dropout=1: must be a number in [0, 1)"),
        ("input_dropout", "0..0.5:log", "must have LOW above 0 with :log"),
        ("input_dropout", "0..0.5:1", "must have whole numbers with :STEP"),
        ("cell", "lstm,gro", "cell=gro: must be the name of one cell"),
        ("cell", "1..2", "cell=1: must be the name of one cell"),
        ("tied", "0..1", "tied=0: must be true or false"),
    ],
)
def test_refusals(name, text, told):
    with pytest.raises(InputError, match=re.escape(told)):
        of(name, text)


def test_refusals_of_genotypes_and_texts():
    hint = fields(recipe("cell"))["cell.genotype"]
    for text, told in {"0..3": "from 1 to 100", "2..3:log": "numbers of nodes", "2.5..3": "from 1 to 100"}.items():
        with pytest.raises(InputError, match=told):
            domain("cell.genotype", hint, text)
    with pytest.raises(InputError, match="can't be drawn from a range"):
        domain("folder", str | None, "1..2")
    assert domain("rate", Rate, "0..0.5") == Range(0.0, 0.5) and domain("seed", Seed, "1..2") == Range(1, 2)


def test_fields_of_some_cells_are_drawn_for_those():
    space = Space(recipe("lstm"), {"cell": "lstm,rhn", "depth": "2..3", "forget_bias": "0.5", "units": "5..9:2"})
    assert space.drawn == ["cell", "units", "cell.depth"]
    found = [space.draw(Drawn(seed)) for seed in range(60)]
    assert {each.units for each in found} == {5, 7, 9}
    assert {(each.cell, *each.cell_arguments.items()) for each in found} == {
        ("LSTMCell", ("forget_bias", 0.5)),
        ("RHNCell", ("depth", 2)),
        ("RHNCell", ("depth", 3)),
    }
    trial = Drawn(0)
    assert space.draw(trial) == space.draw(trial)


@pytest.mark.parametrize(
    "texts, told",
    [
        ({"cell": "lstm,gru", "depth": "2..3"}, "no field 'depth' with cell=LSTMCell"),
        ({"unitz": "2..3"}, "no field 'unitz'"),
        ({"units": "3", "cell": "gru"}, "must have a field to draw, as --units 100..400"),
        ({"cell": "rhn", "depth": "2..3", "cell.depth": "4"}, "--cell.depth: must not be given with --depth"),
        ({"cell": "lstm,bad"}, "cell=bad: must be the name of one cell"),
    ],
)
def test_a_space_refuses(texts, told):
    with pytest.raises(InputError, match=re.escape(told)):
        Space(recipe("lstm"), texts)


def test_floats_are_drawn_to_four_digits_within_the_range():
    space = Space(recipe("lstm"), {"learning_rate": "0.000123456..0.000123459"})
    assert {space.draw(Drawn(seed)).learning_rate for seed in range(9)} == {0.000123459}
    space = Space(recipe("lstm"), {"learning_rate": "0.1..0.2"})
    assert all(len(str(space.draw(Drawn(seed)).learning_rate)) <= 6 for seed in range(9))


def test_ends_are_the_first_and_last_that_go_together():
    texts = {"layers": "1..2", "layer_sum": "true"}
    assert [each.layers for each in Space(recipe("lstm"), texts).ends()] == [2, 2]
    assert [each.layers for each in Space(recipe("lstm"), {"layers": "1..2"}).ends()] == [1, 2]
    with pytest.raises(InputError, match="layer_sum=True: must be false with layers=1"):
        Space(recipe("lstm"), texts | {"layers": "1..1"}).ends()


def test_genotypes_are_drawn_unless_they_are_given():
    plain = recipe("cell")
    space = Space(plain, {})
    assert space.drawn == ["cell.genotype"]
    for seed in range(5):
        trial = Drawn(seed)
        text = space.draw(trial).cell_arguments["genotype"]
        nodes = tfcells.GenotypeCell(3, text).nodes
        assert len(nodes) == 8 and len(trial.params) == 1 + 2 * 8
    assert tfcells.GenotypeCell(3, "-".join(f"{name}0" for name in FUNCTIONS))
    fewer = {
        len(tfcells.GenotypeCell(3, Space(plain, {"genotype": "2..4"}).draw(Drawn(n)).values()["cell.genotype"]).nodes)
        for n in range(20)
    }
    assert fewer == {2, 3, 4}
    assert "cell.genotype" not in Space(plain, {"units": "3..4", "genotype": "enas"}).drawn
    assert "cell.genotype" not in Space(plain, {"units": "3..4", "cell": "lstm"}).drawn


def test_commands_of_the_page_and_of_help_can_be_given():
    page = pathlib.Path(__file__).parents[2] / "docs" / "search.md"
    text = page.read_text(encoding="utf-8") + search_options.DESCRIPTION
    lines = re.findall(r"^    python train\.py (search .*)", text, re.MULTILINE)
    assert len(lines) >= 8
    for line in lines:
        options, texts = parse(shlex.split(line, comments=True), TARGETS)
        assert options.resume or Space(named_recipe(options, TARGETS)[0], texts).ends()


@pytest.mark.parametrize(
    "target, texts",
    [
        ("lstm", {"cell": "gru,lstm,rhn", "reset_after": "true,false", "learning_rate": "0.01..3:log", "tied": "true"}),
        ("rhn", {"wrapper": "none,zoneout", "wrapper.rate": "0.1..0.5", "patience": "none,3", "depth": "2..4"}),
        ("kvp", {"wrapper": "none,KVPAttention", "units": "3..9"}),
        ("cell", {"genotype": "1..3"}),
        ("reber", {"cell": "lstm,clockworkrnn", "cell.periods": "1,2,4", "units": "4..12:4"}),
    ],
)
def test_flags_make_the_recipe(target, texts):
    plain = next(iter(TARGETS[target].values())).recipe
    space = Space(plain, texts)
    for seed in range(20):
        found = space.draw(Drawn(seed))
        assert plain.replace(**flags(found, plain)) == found
    assert flags(plain, plain) == {}
