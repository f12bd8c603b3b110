"""The smallest example: one layer learns a list of numbers by heart."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab import style
from lab.fields import Count
from lab.task import Model, Tensor
from lab.tasks.layers import wide
from lab.tasks.sequences import Arrays, Examples, Figure, Rng, SequenceTask

GOAL = 1e-6  # a squared error
LEAD = 5  # steps before the first number: after one step an LSTM's output is within tanh(1) = 0.76


@dataclass(frozen=True, kw_only=True)
class Numbers(SequenceTask):
    """The first hidden unit is to equal ``count`` numbers from [-1, 1], one after the other.

    count: numbers to know by heart
    features: random inputs at each step

    The inputs begin five steps earlier. An epoch is ``train_examples`` steps of the optimizer on that one sequence.
    Training stops when the squared error is below 1e-6.
    """

    count: Count = 10
    features: Count = 50
    batch_size: Count = 1
    valid_examples: Count = 1
    test_examples: Count = 1

    name, unit, score_name = "numbers", "steps", "squared_error"
    numpy_cells = ("LSTMCell",)

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        rng = self.rng()  # one list for all splits
        x = rng.uniform(-1, 1, (1, LEAD + self.count, self.features)).astype("float32")
        y = rng.uniform(-1, 1, (1, self.count)).astype("float32")
        return np.repeat(x, count, 0), np.repeat(y, count, 0)

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        x = keras.Input((None, self.features), name="random")
        return keras.Model(x, self.recurrent(x)[:, LEAD:, 0])

    def in_numpy(self, data: Examples, dtype: str) -> tuple[Any, Any]:
        from tfcells import from_scratch as networks

        widths = [self.features, *[self.units] * self.layers]
        layers = (networks.LSTM(width, self.units, dtype=dtype) for width in widths[:-1])
        return networks.Network(*layers), FirstUnit(networks.SquaredError())

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        found = wide(model(x, training=training))
        return tf.reduce_mean(tf.square(found - tf.cast(y, found.dtype)), 1), state

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        x, y = getattr(data, split)
        return {"error": float(np.mean((self.predict(model, x) - y) ** 2))}

    def reached(self, facts: dict[str, Any]) -> bool:
        return bool(facts.get("error", math.inf) < GOAL)

    def figure(self, model: Model, data: Examples) -> Figure:
        x, y = data.test
        found = self.predict(model, x)
        off = np.abs(found - y).max()
        figure = style.figure(f"{self.count} numbers by heart: the first unit is off by at most {off:.1g}", 5, 3)
        axes = style.axes(figure, xlabel="step", ylabel="number")
        axes.plot(y[0], "o", markersize=11, color=style.LIGHT, label="number")
        axes.plot(found[0], "+", markersize=9, color=style.DARK, label="unit")
        style.label_ends(axes)
        return figure


class FirstUnit:
    """The mean of (y - target)² over the numbers, y being a network's first unit after the lead."""

    def __init__(self, squared_error: Any):
        self.squared_error = squared_error  # half of it

    def forward(self, y: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The losses, (batch,); y: (batch, steps, units); targets: (batch, numbers)."""
        self.like = y
        losses: np.ndarray = self.squared_error.forward(y[:, LEAD:, :1], targets[..., None])
        return 2 * losses.mean(axis=1)

    def backward(self, d: float) -> np.ndarray:
        """The gradient for y, from that for the losses."""
        dy = np.zeros_like(self.like)
        dy[:, LEAD:, :1] = self.squared_error.backward(2 * d / (dy.shape[1] - LEAD))
        return dy
