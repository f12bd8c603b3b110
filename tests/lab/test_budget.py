"""The units for a number of parameters."""

import dataclasses

import pytest

import tfcells
from lab.budget import fitted
from lab.fields import InputError
from lab.options import parse
from recipes import TARGETS
from tests.tiny import TINY, random_corpus, recipe


@pytest.mark.parametrize("cell", tfcells.CELLS)
@pytest.mark.slow
def test_the_largest_network_within_the_budget(cell):
    one, corpus = dataclasses.replace(TINY, cell=cell), random_corpus()
    least = dataclasses.replace(one, units=1).parameters(corpus)
    for budget in (least, least + 30_000):
        units = fitted(one, corpus, budget).units
        assert dataclasses.replace(one, units=units).parameters(corpus) <= budget
        assert dataclasses.replace(one, units=units + 1).parameters(corpus) > budget
    with pytest.raises(InputError, match=f"--budget=.*: must be at least {least:,}"):
        fitted(one, corpus, least - 1)


@pytest.mark.parametrize(
    "fields, part",
    [
        ({"wrapper": "KVPAttention", "wrapper_arguments": {"mode": "kvp"}}, 3),
        ({"cell": "MLSTMCell", "cell_arguments": {"heads": 4}}, 4),
        ({"cell": "OrderedNeuronsLSTMCell", "cell_arguments": {"chunk_size": 10}}, 10),
    ],
    ids=["parts", "heads", "chunks"],
)
@pytest.mark.slow
def test_units_that_have_to_be_a_multiple(fields, part):
    one, corpus = dataclasses.replace(TINY, **fields), random_corpus()
    least = dataclasses.replace(one, units=part).parameters(corpus)
    for budget in (least, least + 30_000):
        units = fitted(one, corpus, budget).units
        assert units % part == 0 and dataclasses.replace(one, units=units).parameters(corpus) <= budget
        assert dataclasses.replace(one, units=units + part).parameters(corpus) > budget
    with pytest.raises(InputError, match=f"must be at least {least:,}, the parameters with {part} units"):
        fitted(one, corpus, least - 1)


def test_the_small_lstm_has_4_651_600_parameters():
    small = recipe("lstm")
    assert fitted(small, small.recall(None), 4_651_600).units == 200
    assert fitted(small, small.recall(None), 4_651_599).units == 199


@pytest.mark.parametrize("text, number", [("4650000", 4_650_000), ("4.65M", 4_650_000), ("2k", 2000), ("1e6", 10**6)])
def test_budgets_are_read(text, number):
    assert parse(["lstm", "--budget", text], TARGETS)[0].budget == number


@pytest.mark.parametrize("text", ["", "M", "-1", "0", "4.65T", "nan", "1e99", "many"])
def test_other_budgets_are_refused(text):
    with pytest.raises(InputError, match="--budget=.*: must be a number of parameters"):
        parse(["lstm", f"--budget={text}"], TARGETS)
    with pytest.raises(InputError, match="--budget: must not be given with --units"):
        parse("lstm --budget 1M --units 3".split(), TARGETS)
