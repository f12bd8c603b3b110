"""The adding problem: the sum of two marked numbers of many (Hochreiter & Schmidhuber, 1997)."""

from dataclasses import dataclass

import numpy as np

from lab import style
from lab.fields import Count, InputError
from lab.task import Model, Tensor
from lab.tasks.layers import wide
from lab.tasks.sequences import AT_DOUBLE, Arrays, Examples, Figure, Rng, SequenceTask


@dataclass(frozen=True, kw_only=True)
class Adding(SequenceTask):
    """The sum of the two numbers, of many in [0, 1], that are marked (Hochreiter & Schmidhuber, 1997).

    steps: length of the longest sequences in training, and of all in validation and test

    In training the shortest sequences have half of ``steps``. One marker is in either half. To answer 1 always has
    the squared error 0.1667 (0.1767 in some papers).
    ``at_double`` is the squared error at twice the steps.
    """

    steps: Count = 200
    fresh = True

    name, unit, score_name = "add", "sequences", "squared_error"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 2:
            raise InputError(f"steps={self.steps}: must be at least 2, one for either number")

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        return self.draw(rng, count, self.steps // 2 if split == "train" else self.steps, self.steps)

    def draw(self, rng: Rng, count: int, shortest: int, longest: int) -> Arrays:
        """x: numbers, markers, and 1 as long as the sequence lasts; y: the sum."""
        lengths = rng.integers(max(shortest, 2), longest + 1, count)
        x = np.zeros((count, longest, 3), "float32")
        x[..., 0] = rng.uniform(0, 1, (count, longest))
        first = rng.integers(0, lengths // 2)
        second = rng.integers(lengths // 2, lengths)
        rows = np.arange(count)
        x[rows, first, 1] = x[rows, second, 1] = 1
        x[..., 2] = 1
        x[np.arange(longest) >= lengths[:, None]] = 0
        return x, (x[..., 0] * x[..., 1]).sum(1)

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        x = keras.Input((None, 3), name="numbers_and_markers")
        y = self.recurrent(keras.layers.Masking()(x))[:, -1]
        return keras.Model(x, keras.layers.Dense(1, name="output")(y)[:, 0])

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        found = wide(model(x, training=training))
        return tf.square(found - tf.cast(y, found.dtype)), state

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        x, y = self.draw(self.rng(7), AT_DOUBLE, 2 * self.steps, 2 * self.steps)
        return {"at_double": float(np.mean((self.predict(model, x) - y) ** 2))}

    def figure(self, model: Model, data: Examples) -> Figure:
        x, y = data.test
        found = self.predict(model, x)
        error = np.mean((found - y) ** 2)
        figure = style.figure(f"{self.steps} steps: squared error {error:.2g}\nOn the line an answer is right", 4, 4)
        axes = style.axes(figure, xlabel="sum", ylabel="answer", aspect="equal")
        axes.plot([0, 2], [0, 2], color=style.MIDDLE, linewidth=1)
        axes.plot(y, found, ".", markersize=3, color=style.DARK)
        return figure
