"""The language models' recipes, against the papers."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from recipes.penn_treebank import TARGETS
from tests.tiny import random_corpus

pytestmark = pytest.mark.slow


@pytest.fixture
def corpus():
    return random_corpus()


ALL = [(target, size) for target, sizes in TARGETS.items() for size in sizes]


def recipe(target, size):
    return TARGETS[target][size].recipe


@pytest.mark.parametrize(
    "target, size, parameters",
    [
        ("lstm", "small", 4_651_600),
        ("lstm", "medium", 19_775_200),
        ("lstm", "large", 66_022_000),
        ("rhn", "paper", 23_482_400),
        ("hypernets", "paper", 4_923_154),
    ],
)
def test_parameters_of_the_papers(target, size, parameters):
    assert recipe(target, size).parameters() == parameters


@pytest.mark.parametrize("target, size", [("lstm", "tied"), *((t, "small") for t in TARGETS if t != "lstm")])
def test_budget_of_the_small_sizes(target, size):
    assert 3_000_000 < recipe(target, size).parameters() <= 4_651_600


@pytest.mark.parametrize(
    "target, size, rates",
    [
        ("lstm", "small", {1: 1, 4: 1, 5: 0.5, 6: 0.25, 13: 0.5**9}),
        ("lstm", "medium", {1: 1, 6: 1, 7: 0.8, 39: 0.8**33}),
        ("lstm", "large", {1: 1, 14: 1, 15: 1 / 1.15, 55: 1.15**-41}),
        ("rhn", "paper", {1: 0.2, 20: 0.2, 21: 0.2 / 1.02, 500: 0.2 / 1.02**480}),
        ("hypernets", "paper", {1: 1e-3, 100: 1e-3}),
    ],
)
def test_rates_of_the_papers(target, size, rates):
    for epoch, rate in rates.items():
        for step in (0, 500, 999):
            found = recipe(target, size).rate(epoch - 1, step, 1000)
            assert found == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    "target, size, fields",
    [
        ("lstm", "small", {"clip_norm": 5, "dropout": 0, "init_scale": 0.1, "steps": 20}),
        ("lstm", "medium", {"clip_norm": 5, "dropout": 0.5, "init_scale": 0.05, "steps": 35}),
        ("lstm", "large", {"clip_norm": 10, "dropout": 0.65, "init_scale": 0.04, "steps": 35}),
        (
            "rhn",
            "paper",
            {"depth": 10, "transform_bias": -2, "weight_decay": 1e-7, "clip_norm": 10}
            | {"word_dropout": 0.25, "input_dropout": 0.75, "state_dropout": 0.25}
            | {"output_dropout": 0.75, "init_scale": 0.04, "tied": True, "epochs": 500},
        ),
        (
            "hsg",
            "paper",
            {"depth": 40, "transform_bias": -2.5, "gate_bias": -2.5, "weight_decay": 1e-9},
        ),
        (
            "hypernets",
            "paper",
            {"units": 1000, "hyper_units": 128, "embedding_units": 4, "layer_norm": True}
            | {"dropout": 0.1, "recurrent_dropout": 0.1, "clip_norm": 1, "batch_size": 128}
            | {"steps": 100, "level": "char"},
        ),
    ],
)
def test_fields_of_the_papers(target, size, fields):
    one = recipe(target, size)
    found = one.values() | one.cell_arguments
    assert {name: found[name] for name in fields} == fields


def test_zaremba_initializes_and_drops_out(corpus):
    zaremba = dataclasses.replace(recipe("lstm", "medium"), units=30, init_scale=0.3)
    model = zaremba.build(corpus)
    assert [layer.rate for layer in model.layers if "dropout" in layer.name] == [0.5] * 3
    for weight in model.trainable_variables:
        values = weight.numpy()
        if "layer" in weight.path and "bias" in weight.path:
            assert not values.any()  # no forget bias
        else:
            assert 0.2 < abs(values).max() <= 0.3, weight.path
    assert any(weight.path == "output_bias/bias" for weight in model.trainable_variables)


@pytest.mark.parametrize("target, size", ALL)
def test_no_weight_starts_as_a_copy_of_another(target, size, corpus):
    model = dataclasses.replace(recipe(target, size), units=6).build(corpus)
    drawn = [weight.numpy() for weight in model.trainable_variables if len(weight.shape) > 1]
    drawn = [weight for weight in drawn if weight.std()]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert one.shape != other.shape or not np.array_equal(one, other)


@pytest.mark.parametrize("target", TARGETS)
def test_portable_model_says_the_same(target, corpus, tmp_path):
    small = dataclasses.replace(next(iter(TARGETS[target].values())).recipe, units=6)
    model = small.build(corpus)
    portable = small.portable(model, corpus)
    tokens = corpus.train[:20].reshape(2, 10)
    expected = model([tokens, *map(np.array, small.initial_state(model, 2))])[0]
    np.testing.assert_allclose(portable(tokens), expected, atol=1e-6)
    portable.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(tokens), expected, atol=1e-6)


@pytest.mark.parametrize("target, size", ALL)
def test_recipe_survives_json(target, size):
    saved = json.loads(json.dumps(recipe(target, size).values()))
    assert recipe(target, size).with_values(saved) == recipe(target, size)
