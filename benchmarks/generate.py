"""Text word by word: the latency of one token, and tokens/s at batch 1 and 64.

The language models of the target `lstm`. Ours is the model that train.py saves; its step is a graph from token and
state to logits and state. Keras's is stateful, in a graph, too; PyTorch's is a module in inference mode. For tokens/s
the most likely word is chosen and fed back: by `tfcells.Decoder`, as in `train.py generate`, for the others by NumPy.
"""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

import tfcells
from benchmarks import charts, rounds
from benchmarks.limits import Limit, Product, products_of
from benchmarks.peers import keras_model, notes, torch
from recipes.penn_treebank import TARGETS

WORDS = 10_000
SIZES = ("small", "medium", "large")
BATCHES = (1, 64)
TOKENS = 20  # compared
HEAD = ("size", "batch", "what", "tfcells, ms", "Keras / tfcells", "PyTorch / tfcells")


def main(arguments: list[str]) -> int:
    parser = rounds.parser("generate", __doc__)
    parser.add_argument("--only", choices=SIZES, help="that size")
    parser.add_argument("--units", type=int, help="instead of the recipe's")
    parser.add_argument("--words", type=int, default=WORDS, help="in the vocabulary; 10,000")
    options = rounds.read(parser, arguments)
    rows, result = [(*HEAD, "tfcells, tokens/s", "of the limit")], {}
    for size in [options.only] if options.only else SIZES:
        recipe = TARGETS["lstm"][size].recipe
        recipe = dataclasses.replace(recipe, units=options.units or recipe.units)
        for batch in BATCHES:
            times, facts = measure(recipe, options.words, batch, options)
            result[f"{size}, batch {batch}"] = {"seconds": times, **facts}
            for what, of in times.items():
                rows.append((size, batch, what, *row(of, batch)))
    remarks = [
        *notes(),
        f"One token at a time, {options.words:,} words; state carried on. `step`: token and state "
        "to logits and state. `chosen`: with the choice of the next token, ours by `tfcells.Decoder`, else by NumPy.",
        "The limit has the products alone; at batch 1 it is the time to read the weights.",
        f"Logits of {TOKENS} tokens were compared first. There is no gradient.",
    ]
    tables = {"Generating text": rows}
    return rounds.publish("generate", options, result, tables, remarks, picture)


def picture(told: dict):
    """A figure: the time of a token."""
    return charts.compared(
        {f"{size}: {what}": times for size, found in told.items() for what, times in found["seconds"].items()}
    )


class Ours:
    """The model of whole sequences, stepped."""

    def __init__(self, recipe, words: int, batch: int):
        self.batch = batch
        self.model = recipe.network(words, with_state=False)
        self.decoder = tfcells.Decoder(self.model)
        self.run = tf.function(lambda token, state: self.decoder.step([token, *state]))
        self.reset()

    def reset(self):
        self.state = self.decoder.step.get_initial_state(self.batch)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Logits, (batch, words), of the tokens, (batch,)."""
        logits, *self.state = self.run(tf.constant(tokens[:, None]), self.state)
        return np.asarray(logits)[:, 0]


class Writing:
    """The decoder's most likely words, as many as fill that time."""

    def __init__(self, decoder: tfcells.Decoder, first: np.ndarray, seconds: float):
        self.decoder, self.first, self.seconds, self.words = decoder, first, seconds, TOKENS

    def measure(self) -> float:
        """Seconds a token."""
        started = time.perf_counter()
        self.decoder.greedy(self.first[:, None], self.words)
        found = (time.perf_counter() - started) / self.words
        self.words = max(TOKENS, round(self.seconds / found))
        return found


class Keras:
    """Keras's stateful layers."""

    def __init__(self, recipe, words: int, batch: int, weights):
        self.model = keras_model.network(recipe, words, batch, 1, weights)
        self.run = tf.function(self.model)
        self.reset()

    def reset(self):
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.RNN):
                layer.reset_state()

    def step(self, tokens: np.ndarray) -> np.ndarray:
        return np.asarray(self.run(tf.constant(tokens[:, None])))[:, 0]


class Torch:
    """PyTorch's torch.nn.LSTM."""

    def __init__(self, recipe, weights):
        from benchmarks.peers.torch_model import Network

        self.network = Network(recipe, weights).eval()
        self.reset()

    def reset(self):
        self.state = None

    def step(self, tokens: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits, self.state = self.network(torch.from_numpy(tokens)[None], self.state)
        return logits[0].numpy()


def measure(recipe, words: int, batch: int, options) -> tuple[dict, dict]:
    """Seconds a token, of the step alone and with the choice of the next token."""
    ours = Ours(recipe, words, batch)
    weights = [np.asarray(tf.convert_to_tensor(w)) for w in ours.model.trainable_variables]
    made = {"tfcells": ours, "Keras": Keras(recipe, words, batch, weights)}
    if torch:
        made["PyTorch"] = Torch(recipe, weights)
    tokens = np.random.default_rng(0).integers(words, size=(TOKENS, batch), dtype="int32")
    logits = {name: [np.stack([c.step(now) for now in tokens])] for name, c in made.items()}
    differences = rounds.compare(logits)
    limit = Limit(products(recipe, words, ours.model, batch))
    steps = {name: lambda c=contender: c.step(tokens[0]) for name, contender in made.items()}
    times = rounds.alternate(steps | {"limit": limit}, options)
    chosen = {name: choosing(contender, tokens[0]) for name, contender in made.items() if contender is not ours}
    chosen = {"tfcells": Writing(ours.decoder, tokens[0], options.seconds)} | chosen
    more = rounds.alternate(chosen | {"limit": limit}, options)
    return {"step": times, "chosen": more}, {"differences": differences, "rates": limit.rates()}


def choosing(contender, first: np.ndarray):
    """A function that feeds the contender its own most likely words."""
    contender.reset()
    last = first

    def advance():
        nonlocal last
        last = contender.step(last).argmax(-1).astype("int32")

    return advance


def products(recipe, words: int, model, batch: int) -> list[Product]:
    """The products of one token; all kernels take turns."""
    found = [Product(batch, recipe.units, words)]
    for layer in model.layers:
        if isinstance(layer, keras.layers.RNN):
            found += products_of(layer.cell, batch, 1, recipe.units, backward=False)
    resident = sum(4 * product.inner * product.columns for product in found)
    return [product._replace(resident=resident) for product in found]


def row(times: dict, batch: int) -> list[str]:
    shown = [rounds.milliseconds(times["tfcells"])]
    for name in ("Keras", "PyTorch"):
        known = name in times
        shown.append(rounds.spread(rounds.ratios(times, name, "tfcells")) if known else "absent")
    shown.append(rounds.spread([batch / seconds for seconds in times["tfcells"]], ".0f"))
    return [*shown, rounds.spread(rounds.ratios(times, "limit", "tfcells"))]
