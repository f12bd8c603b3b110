"""The embedded Reber grammar: predict the next symbol of a string (Hochreiter & Schmidhuber, 1997)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data.reber import source
from lab import style
from lab.cells import CellName
from lab.fields import Count, InputError
from lab.task import Model, Tensor
from lab.tasks.sequences import Arrays, Examples, Figure, Rng, SequenceTask

PADDING = -1


@dataclass(frozen=True, kw_only=True)
class Reber(SequenceTask):
    """Symbols as one-hot vectors, a recurrent layer, a softmax over the next symbol.

    Success is the paper's: after every symbol of all strings of training and test, the units of all
    symbols that may come next are the most active ones. Training stops at it. Validation is the test
    strings: nothing is chosen by it but the moment to stop, as in the paper.
    """

    cell: CellName = "PeepholeLSTMCell"
    valid_examples: Count = 1

    name, unit = "reber", "strings"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.valid_examples != 1:
            text = f"valid_examples={self.valid_examples}"
            raise InputError(f"{text}: must be 1, as validation is by the test strings")

    def load(self, corpus: str, data_dir: str | None, like: Examples | None = None) -> Examples:
        super().load(corpus, data_dir, like)
        count = self.train_examples + self.test_examples
        strings = source.draw_different(self.rng(), count)
        splits = strings[: self.train_examples], strings[self.train_examples :]
        steps = max(map(len, strings)) - 1
        train, test = (tuple(pad(array, steps) for array in encode(split)) for split in splits)
        return Examples(self.name, train, test, test)

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        return encode(source.draw_different(rng, count))

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        x = keras.Input((None, len(source.SYMBOLS)), name="symbols")
        y = self.recurrent(keras.layers.Masking()(x))
        logits = keras.layers.Dense(len(source.SYMBOLS), name="output")(y)
        return keras.Model(x, logits)

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        logits = model(x, training=training)
        target, known = y[..., 0], tf.cast(y[..., 0] != PADDING, logits.dtype)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(target, 0), logits)
        return tf.reduce_sum(each * known, 1) / tf.reduce_sum(known, 1), state

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        """The share of symbols, of all strings and of the worst split, whose successors are known."""
        rights = [right(self.predict(model, x), y) for x, y in (data.train, data.test)]
        return {
            "right": float(np.mean(np.concatenate([r[~np.isnan(r)] for r in rights]))),
            "success": float(all(np.nanmin(r) == 1 for r in rights)),
        }

    def reached(self, facts: dict[str, Any]) -> bool:
        return bool(facts.get("success") == 1)

    def figure(self, model: Model, data: Examples) -> Figure:
        x, y = (array[np.argmax((data.test[1][..., 0] != PADDING).sum(1))] for array in data.test)
        steps = int((y[:, 0] != PADDING).sum())
        logits = self.predict(model, x[None])[0, :steps]
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        known = int(right(logits, y[:steps]).sum())
        title = f"{known} of {steps} times the network knows what may come next, which is circled"
        figure = style.figure(title, max(5, 1.4 + 0.13 * steps), 3.4)
        axes = style.axes(figure, xlabel="symbol read", ylabel="next symbol")
        image = style.heat(axes, chances.T)
        axes.plot(*np.nonzero(y[:steps, 1:]), "o", markersize=6, fillstyle="none", color=style.MIDDLE)
        axes.set_xticks(range(steps), [source.SYMBOLS[n] for n in x[:steps].argmax(1)], fontsize=8)
        axes.set_yticks(range(len(source.SYMBOLS)), source.SYMBOLS)
        figure.colorbar(image, label="predicted probability").outline.set_visible(False)
        return figure


def encode(strings: list[str]) -> Arrays:
    """One-hot symbols, (strings, steps, 7); and targets, (strings, steps, 8).

    Of a target the first entry is the index of the next symbol, PADDING after the end; the others are
    1 for the symbols that may come next.
    """
    steps, symbols = max(map(len, strings)) - 1, source.SYMBOLS
    x = np.zeros((len(strings), steps, len(symbols)), "float32")
    y = np.zeros((len(strings), steps, 1 + len(symbols)), "int32")
    y[..., 0] = PADDING
    for row, string in enumerate(strings):
        for t, (symbol, following, legal) in enumerate(zip(string, string[1:], source.legal(string))):
            x[row, t, symbols.index(symbol)] = 1
            y[row, t, 0] = symbols.index(following)
            y[row, t, [1 + symbols.index(each) for each in legal]] = 1
    return x, y


def pad(array: np.ndarray, steps: int) -> np.ndarray:
    """More steps of padding at the end."""
    more = np.zeros((len(array), steps - array.shape[1], array.shape[2]), array.dtype)
    if array.dtype == "int32":
        more[..., 0] = PADDING
    return np.concatenate([array, more], 1)


def right(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where all legal symbols' units are more active than all others, 0 elsewhere, NaN in padding."""
    legal = y[..., 1:] == 1
    low = np.where(legal, logits, np.inf).min(-1)
    high = np.where(legal, -np.inf, logits).max(-1)
    return np.where(y[..., 0] == PADDING, np.nan, low > high)
