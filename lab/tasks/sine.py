"""Waves: predict the next sample, then continue alone."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lab import style
from lab.fields import Count, InputError
from lab.task import Model, Tensor
from lab.tasks.layers import wide
from lab.tasks.sequences import Arrays, Examples, Figure, Rng, SequenceTask

PERIOD = 25  # samples
HEARD, ALONE = 100, 200  # samples


@dataclass(frozen=True, kw_only=True)
class Sine(SequenceTask):
    """sin(a), or sin(a) + sin(sqrt(2) a) / 2, for a = 2 pi t / 25, from any t on.

    wave: one sine, or the sum of two
    steps: samples of a sequence

    Each step reads a sample and predicts the next one. ``one_step`` is the squared error of that over
    the squared error of persistence (that nothing changes), after the first period; ``alone`` the
    squared error, over the variance of the wave, of 200 samples that the network generates from its own
    outputs after 100 samples of the wave.
    """

    wave: Literal["sine", "sum"] = "sine"
    steps: Count = 125
    fresh = True

    name, unit, score_name = "sine", "sequences", "squared_error"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps <= PERIOD:
            raise InputError(f"steps={self.steps}: must be more than a period, {PERIOD}")

    def at(self, t: np.ndarray) -> np.ndarray:
        """The wave at those samples."""
        a = 2 * math.pi * t / PERIOD
        f = np.sin(a) if self.wave == "sine" else np.sin(a) + np.sin(math.sqrt(2) * a) / 2
        return f.astype("float32")

    def draw(self, rng: Rng, count: int, samples: int) -> np.ndarray:
        return self.at(rng.uniform(0, 10_000, (count, 1)) + np.arange(samples))[..., None]

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        f = self.draw(rng, count, self.steps + 1)
        return f[:, :-1], f[:, 1:]

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        x = keras.Input((None, 1), name="samples")
        y, before, after = self.carried(x)
        return keras.Model([x, *before], [keras.layers.Dense(1, name="output")(y), *after])

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        found, *state = model([x, *self.initial_state(model, len(x))], training=training)
        found = wide(found)
        return tf.reduce_mean(tf.square(found - tf.cast(y, found.dtype)), [1, 2]), state

    def alone(self, model: Model, heard: np.ndarray, samples: int) -> np.ndarray:
        """The network's own continuation of the start of some waves."""
        import tensorflow as tf

        @tf.function
        def listen(x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            y, *state = model([x, *state])
            return y[:, -1:], state

        y, state = listen(tf.constant(heard), self.initial_state(model, len(heard)))
        made = [y]
        for _ in range(samples - 1):
            y, state = listen(y, state)
            made.append(y)
        return np.concatenate([np.asarray(y) for y in made], 1)

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        import tensorflow as tf

        x, y = getattr(data, split)
        found = np.asarray(model([tf.constant(x), *self.initial_state(model, len(x))])[0])
        error, still = ((part - y)[:, PERIOD:] ** 2 for part in (found, x))
        wave = self.draw(self.rng(9), min(len(x), 50), HEARD + ALONE)
        alone = self.alone(model, wave[:, :HEARD], ALONE) - wave[:, HEARD:]
        return {
            "one_step": float(error.mean() / still.mean()),
            "alone": float((alone**2).mean() / wave.var()),
        }

    def figure(self, model: Model, data: Examples) -> Figure:
        wave = self.draw(self.rng(8), 1, HEARD + ALONE)
        made = self.alone(model, wave[:, :HEARD], ALONE)[0, :, 0]
        off = np.abs(made - wave[0, HEARD:, 0]).max()
        figure = style.figure(f"Alone for {ALONE} samples the network is off by at most {off:.1g}", 5, 3)
        axes = style.axes(figure, xlabel="sample", ylabel="wave")
        axes.plot(wave[0, :, 0], color=style.LIGHT, linewidth=4, label="wave")
        axes.plot(range(HEARD, HEARD + ALONE), made, color=style.DARK, linewidth=1.2, label="network")
        axes.axvspan(0, HEARD, color="0.95", zorder=0)
        axes.annotate("heard", (HEARD / 2, 1), xycoords=axes.get_xaxis_transform(), ha="center", fontsize=style.SMALL)
        style.label_ends(axes)
        return figure
