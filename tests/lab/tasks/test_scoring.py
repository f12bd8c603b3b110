"""Dynamic evaluation, cache, temperature and averaged dropout against NumPy, word by word."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab.configuration import configure
from lab.fields import InputError
from lab.methods import Grid, Methods, grid_of
from lab.numpy_learner import NumPyLearner
from lab.tasks import scoring
from lab.tasks.corpus import windows
from tests.tiny import TINY, random_corpus

pytestmark = pytest.mark.slow

STEPS = 4
DYNAMIC = {"dynamic": True, "dynamic_steps": STEPS, "dynamic_rate": 0.03, "dynamic_decay": 0.4, "dynamic_epsilon": 0.01}
CACHE = {"cache": True, "cache_window": 7, "cache_theta": 1.3, "cache_share": 0.2}


def made(**values):
    """A network in NumPy, and the scorer of a Keras model with its weights, both in float64."""
    corpus = random_corpus()
    learner = NumPyLearner(TINY, corpus, 3, "float64")
    random = np.random.default_rng(5)
    for weight in learner.network.weights:
        weight += random.normal(scale=0.5, size=weight.shape)
    known = {}
    remember = lambda name, make: known.setdefault(name, known.get(name) or make())  # noqa: E731
    scorer = dataclasses.replace(TINY, **values).scorer(learner.model, corpus, remember)
    return learner, scorer, corpus


@pytest.fixture(autouse=True)
def as_before():
    yield
    configure("float32")


def reference(learner, tokens, first, methods, means):
    """The mean loss of a word, in NumPy alone."""
    embedding, lstm, dense = learner.network.layers
    weights = learner.network.weights
    trained = [weight.copy() for weight in weights]
    middle = np.mean([m.mean() for m in means]) if means else 1.0
    learner.network.state = learner.network.zero_state(1)
    outputs, after, losses = [], [], []
    words = [first, *tokens]
    for n in range(0, len(tokens), STEPS):
        x, y = words[n : n + STEPS][: len(tokens) - n], list(tokens[n : n + STEPS])
        hidden = lstm.forward(embedding.forward(np.array([x])))
        logits = dense.forward(hidden)[0]
        for h, z, word in zip(hidden[0], logits, y, strict=True):
            odds = np.exp(z / methods.temperature)
            chance = (odds / odds.sum())[word]
            if methods.cache and outputs:
                near = slice(-methods.cache_window, None)
                alike = np.exp(methods.cache_theta * np.array(outputs[near]) @ h)
                hit = alike[np.array(after[near]) == word].sum() / alike.sum()
                chance = (1 - methods.cache_share) * chance + methods.cache_share * hit
            outputs.append(h)
            after.append(word)
            losses.append(-np.log(chance))
        if methods.dynamic:
            for weight, old, g, m in zip(weights, trained, gradients(learner, logits[None], y), means, strict=True):
                d = np.minimum(m / middle, 1 / methods.dynamic_decay)
                step = methods.dynamic_decay * d * (old - weight)
                weight += step - methods.dynamic_rate * g / (m + methods.dynamic_epsilon)
    return np.mean(losses)


def gradients(learner, logits, y):
    """Of the mean loss, after a forward pass."""
    learner.loss.forward(logits, np.array(y).reshape(logits.shape[:2]))
    learner.network.backward(learner.loss.backward(1 / logits[..., 0].size))
    pairs = zip(learner.network.gradients, learner.network.weights, strict=True)
    return [g if isinstance(g, np.ndarray) else g.dense(w) for g, w in pairs]


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.7}, CACHE, DYNAMIC, DYNAMIC | CACHE | {"temperature": 1.3}],
    ids=["static", "temperature", "cache", "dynamic", "together"],
)
def test_each_method_is_its_formula(settings):
    methods = Methods(**settings)
    learner, scorer, corpus = made(evaluation_steps=STEPS)
    tokens = corpus.test[:22]  # the last segment is shorter
    means = [np.random.default_rng(1).uniform(0.01, 0.2, w.shape) for w in learner.network.weights]
    means = means if methods.dynamic else []
    found = scorer.reader.losses(tokens, corpus.eos, methods, grid_of(methods), STEPS, means)
    again = scorer.reader.losses(tokens, corpus.eos, methods, grid_of(methods), STEPS, means)
    assert found.shape == (1, 1, 1)
    assert found == again  # the weights are the trained ones once more
    np.testing.assert_allclose(found.item(), reference(learner, tokens, corpus.eos, methods, means), rtol=1e-12)
    plain = scorer.reader.losses(tokens, corpus.eos, Methods(), Grid((1.0,)), STEPS)
    assert (abs(plain - found) > 1e-3) == bool(settings)


def test_a_grid_has_the_loss_of_each_of_its_settings():
    _, scorer, corpus = made()
    grid = Grid((0.8, 1.2), (0.3, 2.0), (0.1, 0.4, 0.6))
    methods = Methods(**CACHE)
    found = scorer.reader.losses(corpus.test, corpus.eos, methods, grid, 10)
    assert found.shape == (2, 2, 3)
    for place in np.ndindex(found.shape):
        names = ("temperature", "cache_theta", "cache_share")
        one = methods.but({name: values[n] for name, values, n in zip(names, grid, place, strict=True)})
        alone = scorer.reader.losses(corpus.test, corpus.eos, one, grid_of(one), 10)
        np.testing.assert_allclose(found[place], alone.item(), rtol=1e-12)
    best = grid.best(found)
    assert found.min() == scorer.losses("test", methods.but(best), grid_of(methods.but(best))).item()


def test_the_statistics_are_those_of_the_training_text():
    learner, scorer, corpus = made()
    sums, count = [0.0 for _ in learner.network.weights], 0
    learner.network.state = learner.network.zero_state(16)  # 101 words for rows of 5 and the next
    for x, y in windows(corpus.train, 16, 5):
        found = gradients(learner, learner.network.forward(x), y)
        sums, count = [total + g**2 for total, g in zip(sums, found, strict=True)], count + 1
    assert count == 1
    means = scorer.means(5)
    for mean, total in zip(means, sums, strict=True):
        np.testing.assert_allclose(mean, np.sqrt(total / count), rtol=1e-10, atol=1e-16)


def test_statistics_of_a_text_that_has_what_the_run_does_not_know():
    _, scorer, corpus = made()
    text = corpus.train.copy()
    text[7] = -1
    scorer.data = dataclasses.replace(corpus, train=text)
    with pytest.raises(
        InputError, match="--dynamic: the training text of random has tokens that the run does not know"
    ):
        scorer.means(5)


def test_averaged_dropout_is_the_mean_of_the_chances():
    _, scorer, corpus = made(dropout=0.5, output_dropout=0.3)
    methods, reader, tokens = Methods(mc_dropout=3), scorer.reader, corpus.test[:6]
    start = [variable.numpy() for variable in reader.seeds]
    found = reader.losses(tokens, corpus.eos, methods, grid_of(methods), 6)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(start, reader.seeds, strict=True))
    x = tf.tile([[corpus.eos, *tokens[:-1]]], (3, 1))
    _, logits, *_ = reader.model([x, *reader.start(3)], training=True)
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[:, np.arange(6), tokens]
    assert np.ptp(chances, axis=0).min() > 1e-6
    np.testing.assert_allclose(found.item(), -np.mean(np.log(chances.mean(0))), rtol=1e-10)


def test_without_dropout_to_average_nothing_changes():
    _, scorer, corpus = made(restart=0.5)  # of training alone
    one, other = (
        scorer.reader.losses(corpus.test, corpus.eos, m, grid_of(m), 5) for m in (Methods(), Methods(mc_dropout=2))
    )
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_tuning_takes_the_best_on_validation_of_what_is_free(monkeypatch):
    """Of rates and epsilons together: at the first epsilon the second rate is best, with the other one the third."""
    monkeypatch.setattr(scoring, "RATES", (0.03, 0.1, 0.2))
    monkeypatch.setattr(scoring, "DECAYS", (0.1, 0.5))
    monkeypatch.setattr(scoring, "EPSILONS", (0.01, 0.1))
    monkeypatch.setattr(scoring, "TUNED_WORDS", 20)
    _, scorer, corpus = made()
    words = np.resize([1, 2], 40)  # a text to learn from
    scorer.data = dataclasses.replace(corpus, valid=words)
    methods = Methods(**DYNAMIC | CACHE | {"dynamic_steps": 5})
    free = {"dynamic_rate", "dynamic_epsilon", "temperature", "cache_share"}
    tuned = scorer.tuned(methods, free)
    assert tuned.but({name: getattr(methods, name) for name in free}) == methods
    means = scorer.means(5)

    def loss(**changed):
        methods = tuned.but(changed)
        return scorer.reader.losses(words[:20], corpus.eos, methods, grid_of(methods), 5, means).item()

    best = loss()
    assert scorer.losses("valid", tuned, grid_of(tuned), 20).item() == best
    assert (tuned.dynamic_rate, tuned.dynamic_epsilon) == (0.2, 0.1)
    others = [
        loss(dynamic_rate=rate, dynamic_epsilon=epsilon, temperature=temperature, cache_share=share)
        for rate, epsilon in itertools.product(scoring.RATES, scoring.EPSILONS)
        for temperature, share in ((0.8, 0.02), (1.0, 0.05), (1.1, 0.3), (1.0, 0.1))
    ]
    assert best <= min(others)
