"""The classic tasks: short sequences, any cell, and a picture of what was learnt.

Keras and TensorFlow are imported where they are used, as in the language models.
"""

import ast
import hashlib
import importlib.util
import pathlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lab.tasks.batches import in_order
from lab.recipe import Count, Few, InputError, Recipe, Whole
from lab.run import replacing


def registered() -> list[str]:
    """The names of the cells, read where they are registered: without Keras."""
    (package,) = importlib.util.find_spec("tfcells").submodule_search_locations
    source = (pathlib.Path(package) / "cells" / "__init__.py").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    imports = [node for node in imports if node.module != "tfcells.cells.base"]
    return sorted(alias.name for node in imports for alias in node.names)


CellName = Literal[*registered()]
SPLITS = "train", "valid", "test"
PERIODS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # of a Clockwork RNN, as many as divide the units


@dataclass(frozen=True)
class Examples:
    """The pairs (x, y) of a task by split; the first axis of every array counts the sequences."""

    name: str
    train: tuple
    valid: tuple
    test: tuple


@dataclass(frozen=True, kw_only=True)
class Task(Recipe):
    """A recurrent network of any `cell` for sequences that a generator makes.

    All examples come of `data_seed`. An epoch has ``train_examples`` of them in a new order, or new
    ones where the task says so. A prediction, to the learner, is that for a whole sequence.

    A task gives `name`, `examples`, `network`, `losses`, `measures` and `figure`.
    """

    cell: CellName = "LSTMCell"
    units: Count
    layers: Few = 1
    data_seed: Whole = 0
    train_examples: Count
    valid_examples: Count
    test_examples: Count
    evaluation_batch_size: Count = 250
    shards: Count = 1

    name = "task"
    fresh = False  # whether each epoch has examples of its own

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size > self.train_examples:
            raise InputError(
                f"batch_size={self.batch_size}: must be at most train_examples, "
                f"{self.train_examples}"
            )

    def examples(self, rng, count: int, split: str) -> tuple:
        """So many pairs (x, y) as two arrays."""
        raise NotImplementedError

    def network(self, features: tuple, targets: tuple):
        """The model, [x, *state] -> [outputs, *state], for arrays of those shapes (without the batch)."""
        raise NotImplementedError

    def measures(self, model, data, split: str) -> dict[str, float]:
        """What tells of success besides the loss."""
        return {}

    def reached(self, facts: dict) -> bool:
        """Whether an epoch of those facts is the last that is needed."""
        return False

    def figure(self, model, data):
        """The picture of what was learnt."""
        raise NotImplementedError

    def make_cell(self, **more):
        """A cell as the recipe names it."""
        import tfcells

        if self.cell == "ClockworkRNNCell":
            fit = [n for n in range(1, len(PERIODS) + 1) if self.units % n == 0]
            more["periods"] = PERIODS[: max(fit)]
        try:
            return getattr(tfcells, self.cell)(self.units, **more)
        except ValueError as error:
            raise InputError(f"cell={self.cell}, units={self.units}: {error}") from error

    def recurrent(self, x):
        """`layers` recurrent layers over x, with outputs for all steps."""
        import tfcells

        for number in range(1, self.layers + 1):
            name = f"layer_{number}"
            x = tfcells.RNN(self.make_cell(), return_sequences=True, name=name)(x)
        return x

    def carried(self, x):
        """The same for layers that take and give their state: outputs, states before and after."""
        import keras

        import tfcells

        before, after = [], []
        floats = keras.config.dtype_policy().variable_dtype
        for number in range(1, self.layers + 1):
            cell, name = self.make_cell(), f"layer_{number}"
            start = [keras.Input((size,), dtype=floats) for size in cell.state_size]
            layer = tfcells.RNN(cell, return_sequences=True, return_state=True, name=name)
            x, *end = layer(x, initial_state=start)
            before += start
            after += end
        return x, before, after

    def parameters(self) -> int:
        """The number of trainable scalars, without making a single one."""
        return self.scalars(lambda: self.build(self.recall(None)))

    # What train.py asks for, as recipes/__init__.py lists it.

    unit = "sequences"
    speed_name = "sequences_per_second"
    score_name = "loss"

    def rng(self, *stream: int):
        return np.random.default_rng([self.data_seed, *stream])

    def load(self, corpus: str, data_dir: str | None, like=None) -> Examples:
        if corpus not in ("auto", self.name):
            raise InputError(f"--corpus {corpus}: must be auto, as {self.name} makes its own data")
        counts = (getattr(self, f"{split}_examples") for split in SPLITS)
        parts = (
            self.examples(self.rng(stream), count, split)
            for stream, (split, count) in enumerate(zip(SPLITS, counts))
        )
        return Examples(self.name, *parts)

    def files(self, data) -> dict[str, object]:
        return {}

    def recall(self, read) -> Examples:
        pair = self.examples(self.rng(0), 1, "train")
        return Examples("none", pair, pair, pair)

    def fingerprint(self, data) -> str:
        digest = hashlib.sha256()
        for array in (*data.train, *data.valid, *data.test):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def prompt(self, data, text: str):
        raise InputError(f"generate: {self.name} is no language model")

    def build(self, data):
        return self.network(*(array.shape[1:] for array in data.train))

    def batches(self, data, epoch: int = 0):
        rng, count = self.rng(len(SPLITS), epoch), self.train_examples
        x, y = self.examples(rng, count, "train") if self.fresh else data.train
        return self.shuffled(rng, x, y)

    def shuffled(self, rng, *arrays):
        """An epoch of these rows in a random order."""
        order = rng.permutation(len(arrays[0]))
        every = in_order(*(array[order] for array in arrays))
        every = every.batch(self.batch_size, drop_remainder=True)
        return every.take(self.steps_per_epoch) if self.steps_per_epoch else every

    def evaluation(self, data, split: str):
        x, y = getattr(data, split)
        size = min(self.evaluation_batch_size, len(x))
        where = np.arange(-(-len(x) // size) * size)  # the last batch is filled up with copies
        weight = (where < len(x)).astype("float32")
        where = np.minimum(where, len(x) - 1)
        return in_order(x[where], y[where], weight).batch(size, drop_remainder=True)

    def predictions(self, batches) -> int:
        return batches.element_spec[1].shape[0]

    def objective(self, losses, penalties=0.0):
        import tensorflow as tf

        return tf.reduce_mean(losses) + tf.cast(penalties, losses.dtype)

    def score(self, loss: float) -> float:
        return loss

    def results(self, train: float, valid: float, test: float) -> dict[str, object]:
        return {"train_loss": train, "valid_loss": valid, "test_loss": test}

    def portable(self, model, data):
        return model

    def illustrate(self, model, data, run, seed: int) -> str:
        """Draw what was learnt into the run's folder; what there is to say of it."""
        with replacing(run.folder / "picture.png") as path:
            self.figure(model, data).savefig(path, dpi=120)
        return f"the picture is {run.folder / 'picture.png'}"

    def predict(self, model, x):
        """The model's outputs for an array, in batches."""
        size = self.evaluation_batch_size
        parts = [model(x[n : n + size], training=False) for n in range(0, len(x), size)]
        return np.concatenate([np.asarray(part) for part in parts])
