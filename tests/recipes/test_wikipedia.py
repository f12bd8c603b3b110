"""The recipes for texts of Wikipedia, against the papers and their code."""

import pytest

from recipes import TARGETS
from recipes.wikipedia import SIZES

ALL = [(target, size) for target, sizes in SIZES.items() for size in sizes]


@pytest.mark.parametrize(
    "target, size, low, high",
    [("lstm", "wikitext2", 33.3e6, 33.6e6), ("rhn", "text8", 45.1e6, 45.2e6), ("rhn", "enwik8", 45.9e6, 46.1e6)],
)
def test_parameters_of_the_papers(target, size, low, high):
    """33, 45 and 46 million; 33.56 of AWD-LSTM's code."""
    assert low < TARGETS[target][size].parameters < high


@pytest.mark.parametrize("size", ["text8", "enwik8"])
def test_highway_network(size):
    recipe = TARGETS["rhn"][size].recipe
    for epoch, rate in {1: 0.2, 5: 0.2, 6: 0.2 / 1.03, 100: 0.2 / 1.03**95}.items():
        assert recipe.rate(epoch - 1, 3, 10) == pytest.approx(rate, rel=1e-12)
    found = recipe.values()
    fields = {"cell.depth": 10, "cell.transform_bias": -4, "units": 1500, "steps": 50, "batch_size": 128, "layers": 1}
    fields |= {"word_dropout": 0.1, "input_dropout": 0.4, "state_dropout": 0.1, "output_dropout": 0.4, "tied": False}
    fields |= {"clip_norm": 10, "weight_decay": 1e-7, "init_scale": 0.04, "loss": "sum", "optimizer": "sgd"}
    fields |= {"embedding_units": {"text8": 27, "enwik8": 205}[size]}
    assert {name: found[name] for name in fields} == fields


def test_hyper_network():
    found = TARGETS["hypernets"]["enwik8"].recipe.values()
    fields = {"cell.hyper_units": 256, "cell.embedding_units": 64, "cell.layer_norm": True, "units": 1800, "steps": 250}
    fields |= {"batch_size": 128, "learning_rate": 1e-3, "clip_norm": 1, "dropout": 0, "recurrent_dropout": 0.1}
    assert {name: found[name] for name in fields} == fields


@pytest.mark.parametrize("target, size", ALL)
def test_recipe_survives_saving(target, size):
    recipe = TARGETS[target][size].recipe
    assert recipe.with_values(recipe.values()) == recipe


@pytest.mark.parametrize("target, size", ALL)
def test_corpus_and_level_fit(target, size):
    entry = TARGETS[target][size]
    assert entry.corpus == size
    assert entry.recipe.level == {"wikitext2": "word", "text8": "char", "enwik8": "byte"}[size]
