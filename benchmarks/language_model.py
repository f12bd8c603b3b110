"""Whole training steps of Zaremba's language models: words/s of train.py, of Keras's fit, of PyTorch.

Embedding, two layers, softmax over 10,000 words, gradients clipped by their norm over all weights, SGD;
dropout as the recipe has it. Ours goes through `lab.learner.Learner.train`, batch by batch, as in
train.py. One step without dropout is compared first: its loss and what it does to every weight.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from benchmarks import charts, report, rounds
from benchmarks.limits import Limit, Product, products_of
from benchmarks.peers import keras_model, notes, torch
from lab.learner import Learner
from lab.memory import keep_memory
from lab.tasks.corpus import Corpus
from recipes.penn_treebank import TARGETS

WORDS = 10_000
STEPS = {"small": 40, "medium": 8, "large": 3}  # of a contender in a round
GOALS = {"small": (2.0, 1.5), "medium": (2.7, 2.3), "large": (2.5, 2.0)}  # against Keras
MINE, HALF, KERAS, TORCH = "train.py", "train.py, mixed_bfloat16", "Keras fit", "PyTorch"


def main(arguments: list[str]) -> int:
    parser = rounds.parser("language_model", __doc__)
    parser.add_argument("--only", choices=STEPS, help="that size")
    parser.add_argument("--units", type=int, help="instead of the recipe's")
    parser.add_argument("--words", type=int, default=WORDS, help="in the vocabulary; 10,000")
    parser.add_argument("--steps", type=int, help="of a contender in a round; 40, 8 and 3")
    options = rounds.read(parser, arguments)
    keep_memory()  # as train.py does, for all contenders: they share the process
    head = ("size", "units", "train.py, words/s", "Keras fit, words/s", "PyTorch, words/s")
    rows = [(*head, "train.py / Keras", "train.py / PyTorch", "of the limit")]
    goals, result, waits = [rounds.GOALS], {}, []
    for size in [options.only] if options.only else STEPS:
        recipe = TARGETS["lstm"][size].recipe
        recipe = dataclasses.replace(recipe, units=options.units or recipe.units)
        count = options.steps or STEPS[size]
        times, facts = measure(recipe, random_corpus(recipe, options.words, count), options)
        words = recipe.batch_size * recipe.steps * count
        speeds = {name: [words / s for s in seconds] for name, seconds in times.items()}
        result[size] = {"words_per_second": speeds, **facts}
        rows.append((size, recipe.units, *row(times, speeds)))
        goals += goals_of(size, times)
        after = rounds.median(facts["waits"]), rounds.median(times[KERAS])
        waits.append("{} {:.2f} s after {:.2f} s".format(size, *after))
    tables = {"Language models: whole training steps": rows, "Goals": goals}
    remarks = [
        *notes(),
        "The C library was told to keep freed memory (lab/memory.py), as train.py does: for all "
        "contenders, since they share the process.",
        f"Random text of {options.words:,} words. The limit has the products of layers and softmax "
        "alone, of whole batches.",
        "Keras: the steps alone. Then fit waits for tf.data's tuner, whose pauses double from 10 ms to "
        f"60 s: {', '.join(waits)} of steps. Counted in, words/s would depend on how long an epoch is.",
    ]
    return rounds.publish("language_model", options, result, tables, remarks, picture)


def picture(told: dict):
    """A figure: the time of a training step."""
    speeds = {size: found["words_per_second"] for size, found in told.items()}
    return charts.compared(
        {size: {name: [1 / s for s in each] for name, each in of.items()} for size, of in speeds.items()}
    )


def random_corpus(recipe, words: int, count: int) -> Corpus:
    """A text for so many training steps."""
    size = recipe.batch_size * (recipe.steps * count + 1)
    text = np.random.default_rng(0).integers(words, size=size, dtype=np.int32)
    return Corpus("random", "word", tuple(map(str, range(words - 1))) + ("<eos>",), *3 * (text,))


class Ours:
    """Trains as train.py does."""

    def __init__(self, recipe, data, precision: str = "float32"):
        self.recipe, self.data = recipe, data
        self.learner = Learner(recipe, data, 1, "graph", precision)
        keras.config.set_dtype_policy("float32")  # it's the others' turn

    def epoch(self, batches: int = -1) -> float:
        """Train on so many batches, or all, from the zero state; the mean loss."""
        self.learner.start()
        losses = [
            self.learner.train(x, y, self.recipe.learning_rate)[0]
            for x, y in self.recipe.batches(self.data).take(batches)
        ]
        return sum(losses) / len(losses) / self.recipe.batch_size

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(tf.convert_to_tensor(weight)) for weight in self.learner.weights]


def measure(recipe, data, options) -> tuple[dict, dict]:
    """Seconds of a round of each contender, and what else is to be known."""
    x, y = (np.stack(part) for part in zip(*recipe.batches(data).as_numpy_iterator()))
    certain = contenders_of(dataclasses.replace(recipe, dropout=0.0), data, x, y)
    found = {name: one_step(contender) for name, contender in certain.items()}
    differences = rounds.compare(found, 1e-3)  # rounding: weights move little in one step
    contenders = contenders_of(recipe, data, x, y)
    limit = Limit(products(recipe, data, contenders[MINE].learner.model, len(x)))
    if "avx512_bf16" in report.processor():
        half = Ours(dataclasses.replace(recipe, dropout=0.0), data, "mixed_bfloat16")
        pair = {MINE: found[MINE], HALF: one_step(half)}
        differences |= rounds.compare(pair, 0.1)  # numbers of eight bits
        contenders[HALF] = Ours(recipe, data, "mixed_bfloat16")
    fit = contenders[KERAS]
    contenders = {name: contender.epoch for name, contender in contenders.items()}
    times = rounds.alternate(contenders | {KERAS: fit, "limit": limit}, options)
    waits = fit.waits[-options.rounds :]
    return times, {"differences": differences, "rates": limit.rates(), "waits": waits}


def contenders_of(recipe, data, x, y) -> dict:
    """All contenders by name, with equal weights."""
    mine = Ours(recipe, data)
    weights, words = mine.weights(), len(data.vocabulary)
    made = {MINE: mine, KERAS: keras_model.Training(recipe, words, x, y, weights)}
    if torch:
        from benchmarks.peers import torch_model

        made[TORCH] = torch_model.Training(recipe, x, y, weights)
    return made


def one_step(contender) -> list[np.ndarray]:
    """The loss of the first batch, and what the step does to each weight."""
    before = contender.weights()
    loss = contender.epoch(1)
    moved = [new - old for new, old in zip(contender.weights(), before, strict=True)]
    return [np.float32(loss), *moved]


def products(recipe, data, model, count: int) -> list[Product]:
    """The matrix products of so many steps."""
    words, rows = len(data.vocabulary), recipe.batch_size * recipe.steps
    found = [
        Product(rows, recipe.units, words),
        Product(rows, words, recipe.units, layout="b"),
        Product(recipe.units, rows, words, layout="a"),
    ]
    for layer in model.layers:
        if isinstance(layer, keras.layers.RNN):
            found += products_of(layer.cell, recipe.batch_size, recipe.steps, recipe.units)
    return [product._replace(times=count * product.times) for product in found]


def row(times: dict, speeds: dict) -> list[str]:
    shown = [rounds.spread(speeds[name], ".0f") if name in speeds else "absent" for name in (MINE, KERAS, TORCH)]
    for name in (KERAS, TORCH):
        known = name in times
        shown.append(rounds.spread(rounds.ratios(times, name, MINE)) if known else "absent")
    return [*shown, rounds.spread(rounds.ratios(times, "limit", MINE))]


def goals_of(size: str, times: dict) -> list[tuple]:
    goals = []
    for name, (aim, floor) in {TORCH: (1.3, 1.0), KERAS: GOALS[size]}.items():
        measured = rounds.ratios(times, name, MINE) if name in times else f"{name} is absent"
        goals.append(rounds.goal(f"{size}, words/s: train.py / {name}", measured, aim, floor))
        goals += [rounds.bound(times, name, size)] if name in times else []
    if size == "medium":
        absent = "this processor has no AVX512-BF16"
        measured = rounds.ratios(times, MINE, HALF) if HALF in times else absent
        goals.append(rounds.goal("medium, words/s: mixed_bfloat16 / float32", measured, 1.4, 1.1))
    return goals
