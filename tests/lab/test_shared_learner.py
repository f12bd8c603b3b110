"""Several workers' learners, as threads of this process: they agree with one learner of the whole batch."""

import concurrent.futures
import dataclasses
import itertools
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab.fields import InputError
from lab.learner import Learner
from lab.options import parse, settle
from lab.shared_learner import SharedLearner, common, cut
from lab.tasks.language_model import LanguageModel
from lab.workers import Workers
from recipes import TARGETS
from tests.lab.tasks.test_tasks import SMALL
from tests.tiny import random_corpus

pytestmark = pytest.mark.slow

NOISE = {
    "dropout": 0.3,
    "word_dropout": 0.3,
    "input_dropout": 0.2,
    "state_dropout": 0.3,
    "output_dropout": 0.2,
    "recurrent_dropout": 0.2,
    "zoneout": 0.2,
    "weight_drop": 0.3,
    "restart": 0.3,
    "activation_penalty": 2.0,
    "temporal_penalty": 1.0,
}
MODEL = LanguageModel(units=4, layers=2, batch_size=4, steps=5, epochs=1, learning_rate=0.5, init_scale=0.5)
MODELS = {
    "all noise": dataclasses.replace(MODEL, **NOISE, clip_norm=0.1),
    "untied, tied": dataclasses.replace(MODEL, **NOISE, untied_masks=True, tied=True, optimizer="adam", loss="mean"),
    "uneven": dataclasses.replace(MODEL, **NOISE, batch_size=5, weight_decay=0.1, optimizer="adam"),
    "one shard": dataclasses.replace(MODEL, **NOISE, shards=1),
    "many shards": dataclasses.replace(MODEL, **NOISE, shards=4),
    "rhn": dataclasses.replace(MODEL, **NOISE, cell="RHNCell", cell_arguments={"depth": 2}, layers=1),
    "kvp": dataclasses.replace(MODEL, units=6, wrapper="KVPAttention", wrapper_arguments={"window": 3}, dropout=0.2),
}
TASKS = [target for target in SMALL if target not in ("waveform", "numbers")]  # a batch of one row


class Threads:
    """Workers that are threads: what they sum, each puts down for the others."""

    def __init__(self, count):
        self.barrier, self.values = threading.Barrier(count, timeout=60), [None] * count

    def worker(self, rank):
        worker = Workers(rank, len(self.values))
        worker.total = lambda tensor: self.total(rank, tensor)
        return worker

    def total(self, rank, tensor):
        self.values[rank] = np.asarray(tensor)
        self.barrier.wait()
        total = sum(self.values)
        self.barrier.wait()
        return tf.constant(total)

    def each(self, function):
        """What a function of the rank gives in each thread."""
        with concurrent.futures.ThreadPoolExecutor(len(self.values)) as pool:
            return list(pool.map(function, range(len(self.values))))


def compare(recipe, data, count, steps=2):
    """Train alone, then with so many workers; the losses, gradients and all that is kept must agree."""
    batches = list(itertools.islice(itertools.cycle(recipe.batches(data)), steps))
    alone = Learner(recipe, data, 1, "eager", "float64")
    threads = Threads(count)
    shared = [SharedLearner(recipe, data, 1, "eager", "float64", threads.worker(rank)) for rank in range(count)]
    for weight in alone.weights:
        weight.assign(np.random.default_rng(1).normal(scale=0.3, size=weight.shape))
    arrays = alone.arrays()
    shared[0].restore(arrays)
    wanted = [alone.train(*batch, 0.1) for batch in batches]

    def train(rank):
        keras.config.set_dtype_policy("float64")
        shared[rank].follow()
        found = [shared[rank].train(*batch, 0.1) for batch in batches]
        shared[rank].gather()
        return found

    for found in threads.each(train):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    for learner in shared:
        for name, array in alone.arrays().items():
            np.testing.assert_allclose(learner.arrays()[name], array, 1e-9, 1e-11, err_msg=name)
            if name in ("variable 0", "optimizer 0"):
                assert not np.array_equal(array, arrays[name])


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """As where there is no XLA: rows, noise and sums are not compilation."""
    monkeypatch.setattr("tfcells.engine.has_compiler", lambda: False)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name, count", [*((name, 2) for name in MODELS), ("uneven", 3)])
def test_language_models(name, count):
    compare(MODELS[name], random_corpus(), count)


@pytest.mark.parametrize("target", TASKS)
def test_tasks(target):
    recipe, settings, _ = settle(*parse([target, *SMALL[target].split()], TARGETS), TARGETS)
    compare(recipe, recipe.load(settings["corpus"], None), 2)


class Mixed(LanguageModel):
    """Rows that depend on each other."""

    def losses(self, model, x, y, state, training=False):
        losses, state = super().losses(model, x, y, state, training)
        return losses - tf.reduce_mean(losses, 0), state


class Noisy(LanguageModel):
    """Noise that no one knows of."""

    def losses(self, model, x, y, state, training=False):
        losses, state = super().losses(model, x, y, state, training)
        return losses + keras.random.normal(losses.shape, seed=1), state


class Counting(LanguageModel):
    """A weight that each batch changes."""

    def losses(self, model, x, y, state, training=False):
        for weight in model.non_trainable_weights if training else ():
            weight.assign(weight + 1)
        return super().losses(model, x, y, state, training)


@pytest.mark.parametrize(
    "kind, more, message",
    [
        (Mixed, {}, "this network's loss of a row depends on the other rows"),
        (Noisy, {}, "this network's loss of a row depends on the other rows of its batch, or on noise"),
        (Counting, {"one_hot": True}, "this network has weights that change with each batch"),
    ],
)
def test_what_they_can_not_agree_on_is_refused(kind, more, message):
    values = {field.name: getattr(MODEL, field.name) for field in dataclasses.fields(MODEL)}
    recipe, data, threads = kind(**values | more | {"shards": 1}), random_corpus(), Threads(2)
    shared = [SharedLearner(recipe, data, 1, "eager", "float32", threads.worker(rank)) for rank in range(2)]
    x, y = next(iter(recipe.batches(data)))
    before = shared[0].arrays()
    for learner in shared:
        with pytest.raises(InputError, match=f"^--workers=2: {message}"):
            learner.train(x, y, 0.1)
    for name, array in shared[0].arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_rows_are_cut_into_equal_parts():
    assert cut(range(2, 9), 3) == [range(2, 5), range(5, 7), range(7, 9)]
    assert cut(range(2), 3) == [range(1), range(1, 2)]
    assert common(range(5), range(3, 8)) == range(3, 5)
    assert not common(range(2), range(3, 8)) and not common(range(3, 8), range(2))
