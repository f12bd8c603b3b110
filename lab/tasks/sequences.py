"""The classic tasks: short sequences, any cell, and a picture of what was learned.

Keras and TensorFlow are imported where they are used, as in the language models.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab import style
from lab.fields import Count, InputError, Whole
from lab.recipe import Recipe
from lab.run import Run
from lab.task import Batches, Model, Tensor
from lab.tasks.batches import in_order
from lab.tasks.layers import carried, recurrent

Arrays = tuple[np.ndarray, ...]
Rng = np.random.Generator
Figure = style.Figure

SPLITS = "train", "valid", "test"
AT_DOUBLE = 250  # sequences of a score at double length


@dataclass(frozen=True)
class Examples:
    """The pairs (x, y) of a task by split; the first axis of every array counts the sequences."""

    name: str
    train: Arrays
    valid: Arrays
    test: Arrays
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class SequenceTask(Recipe[Examples]):
    """A recurrent network for sequences that a generator draws.

    data_seed: seed of all examples
    train_examples: training sequences of an epoch
    valid_examples: sequences that validation reads
    test_examples: sequences that the test reads
    evaluation_batch_size: sequences that validation and test read at once

    An epoch has its ``train_examples`` in a new order, or new ones where the task says so. A prediction, to the
    learner, is that for a whole sequence.

    A task has a `name`, `examples`, a `network`, `losses`, `measures` and a `figure`.
    """

    data_seed: Whole = 0
    train_examples: Count
    valid_examples: Count
    test_examples: Count
    evaluation_batch_size: Count = 250
    shards: Count = 1

    name = "task"
    fresh = False  # whether each epoch has examples of its own

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size > self.train_examples:
            raise InputError(f"batch_size={self.batch_size}: must be at most train_examples, {self.train_examples}")

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        """`count` pairs (x, y) as two arrays."""
        raise NotImplementedError

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        """The model, [x, *state] -> [outputs, *state], for arrays of those shapes (without the batch)."""
        raise NotImplementedError

    def figure(self, model: Model, data: Examples) -> Figure:
        """The picture of what was learned."""
        raise NotImplementedError

    def recurrent(self, x: Tensor) -> Tensor:
        """The recurrent layers over x, with outputs for all steps."""
        return recurrent(x, (self.make_cell() for _ in range(self.layers)))

    def carried(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The same for layers that take and return their state: outputs, states before and after."""
        return carried(x, (self.make_cell() for _ in range(self.layers)))

    unit = "sequences"
    score_name = "loss"

    def rng(self, *stream: int) -> Rng:
        return np.random.default_rng([self.data_seed, *stream])

    @property
    def corpora(self) -> tuple[str, ...]:
        return "auto", self.name

    @property
    def epoch_steps(self) -> int:
        """How many batches there are for an epoch."""
        return self.train_examples // self.batch_size

    def load(self, corpus: str, data_dir: str | None, like: Examples | None = None) -> Examples:
        if corpus not in self.corpora:
            raise InputError(f"--corpus must be auto, as {self.name} draws its own data")
        if data_dir is not None:
            raise InputError(f"--data_dir {data_dir}: must not be given, as {self.name} draws its own data")
        if like is None:
            self.check_steps(self.epoch_steps)
        counts = (getattr(self, f"{split}_examples") for split in SPLITS)
        train, valid, test = (
            self.examples(self.rng(stream), count, split) for stream, (split, count) in enumerate(zip(SPLITS, counts))
        )
        return Examples(self.name, train, valid, test)

    def files(self, data: Examples) -> dict[str, object]:
        return {}

    def recall(self, read: Callable[[str], Any] | None) -> Examples:
        pair = self.examples(self.rng(0), 1, "train")
        return Examples("none", pair, pair, pair)

    def fingerprint(self, data: Examples) -> str:
        digest = hashlib.sha256()
        for array in (*data.train, *data.valid, *data.test):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def prompt(self, data: Examples, text: str) -> Any:
        raise InputError(f"generate: {self.name} is no language model")

    def sample(self, *_: Any) -> str:
        raise InputError(f"generate: {self.name} is no language model")

    def build(self, data: Examples) -> Model:
        return self.network(*(array.shape[1:] for array in data.train))

    def batches(self, data: Examples, epoch: int = 0) -> Batches:
        rng, count = self.rng(len(SPLITS), epoch), self.train_examples
        x, y = self.examples(rng, count, "train") if self.fresh else data.train
        return self.shuffled(rng, x, y)

    def shuffled(self, rng: Rng, *arrays: np.ndarray) -> Batches:
        """An epoch of these rows in a random order."""
        order = rng.permutation(len(arrays[0]))
        every = in_order(*(array[order] for array in arrays))
        return self.taken(every.batch(self.batch_size, drop_remainder=True))

    def evaluation(self, data: Examples, split: str) -> Batches:
        x, y = getattr(data, split)
        size = min(self.evaluation_batch_size, len(x))
        where = np.arange(-(-len(x) // size) * size)  # the last batch is filled up with copies
        weight = (where < len(x)).astype("float32")
        where = np.minimum(where, len(x) - 1)
        return in_order(x[where], y[where], weight).batch(size, drop_remainder=True)

    def predictions(self, batches: Batches) -> int:
        return batches.element_spec[1].shape[0]

    def objective(self, losses: Tensor, penalties: Tensor = 0.0) -> Tensor:
        import tensorflow as tf

        return tf.reduce_mean(losses) + tf.cast(penalties, losses.dtype)

    def results(self, train: float, valid: float, test: float) -> dict[str, object]:
        return {"train_loss": train, "valid_loss": valid, "test_loss": test}

    def portable(self, model: Model, data: Examples) -> Model:
        return model

    def illustrate(self, model: Model, data: Examples, run: Run, seed: int) -> str:
        """Draw what was learned into the run's folder."""
        style.save(self.figure(model, data), run.folder / "picture.png")
        return f"the picture is {run.folder / 'picture.png'}"

    def predict(self, model: Model, x: np.ndarray) -> np.ndarray:
        """The model's outputs for an array, in batches."""
        size = self.evaluation_batch_size
        parts = [model(x[n : n + size], training=False) for n in range(0, len(x), size)]
        return np.concatenate([np.asarray(part) for part in parts])
