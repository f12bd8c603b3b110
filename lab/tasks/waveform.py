"""Sequence generation: a network without input reproduces a signal (Koutnik et al., 2014).

The signal and the networks are those of the example of junhyukoh/caffe-lstm.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lab import style
from lab.cells import arguments, make_cell
from lab.fields import Count, InputError, Number, Positive
from lab.task import Batches, Model, Tensor
from lab.tasks.batches import in_order
from lab.tasks.layers import wide
from lab.tasks.sequences import Arrays, Examples, Figure, Rng, SequenceTask

DISTANCE = 0.01  # between samples


@dataclass(frozen=True, kw_only=True)
class Waveform(SequenceTask):
    """`layers` recurrent layers, a linear map to one number, and zeros as inputs.

    samples: length of the signal
    steps: samples of a chunk, over which gradients flow
    forget_bias: cell.forget_bias, if that is not given, in cells that have one
    init_scale: standard deviation with which weights start

    State is carried from chunk to chunk. An epoch goes over the signal ``train_examples`` times. The loss is the
    squared error over the variance of the signal: 1 for its mean, 0.0216 for its slow sine alone.
    """

    samples: Count
    steps: Count = 320
    forget_bias: Number = 5.0
    init_scale: Positive = 0.1
    clip_norm: Positive | None = 1.0
    valid_examples: Count = 1
    test_examples: Count = 1
    batch_size: Count = 1

    name, unit = "waveform", "chunks"
    score_name = "normalised_mse"  # as the runs of version 0.1 spell it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples % self.steps:
            raise InputError(f"steps={self.steps}: must divide samples, {self.samples}")
        for name in ("batch_size", "valid_examples", "test_examples"):
            if getattr(self, name) != 1:
                raise InputError(f"{name}={getattr(self, name)}: must be 1, as the signal is one")

    @property
    def epoch_steps(self) -> int:
        return self.train_examples * (self.samples // self.steps)

    def load(self, corpus: str, data_dir: str | None, like: Examples | None = None) -> Examples:
        super().load(corpus, data_dir, like)
        whole = self.examples(None, 1, "test")
        chunks = self.samples // self.steps
        parts = (array.reshape(chunks, self.steps, -1) for array in whole)
        train = tuple(np.tile(part, (self.train_examples, 1, 1)) for part in parts)
        return Examples(self.name, train, whole, whole)

    def examples(self, rng: Rng | None, count: int, split: str) -> Arrays:
        """x: what the network reads, zero, and beside it 1 where the signal begins."""
        y = np.repeat(signal(self.samples)[None, :, None], count, 0)
        x = np.zeros((count, self.samples, 2), "float32")
        x[:, 0, 1] = 1
        return x, y

    def batches(self, data: Examples, epoch: int = 0) -> Batches:
        return self.taken(in_order(*data.train).batch(1, drop_remainder=True))

    def make_cell(self, **more: Any) -> Any:
        import keras

        draw = keras.initializers.RandomNormal(stddev=self.init_scale)
        more = {"kernel_initializer": draw, "recurrent_initializer": draw} | more
        own = self.cell_arguments
        if "forget_bias" in arguments(self.cell):
            own = {"forget_bias": self.forget_bias} | own
        return self.wrapped(make_cell(self.cell, self.units, own, **more))

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        x = keras.Input((None, 2), name="zeros_and_start")
        y, before, after = self.carried(x[..., :1])
        return keras.Model([x, *before], [keras.layers.Dense(1, name="output")(y), *after])

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        goes_on = 1 - x[:, 0, 1:]
        start = [s * tf.cast(goes_on, s.dtype) for s in state]
        found, *state = model([x, *start], training=training)
        found = wide(found)
        error = tf.square(found - tf.cast(y, found.dtype))
        return tf.reduce_mean(error, [1, 2]) / float(np.var(signal(self.samples))), state

    def reproduced(self, model: Model, data: Examples) -> np.ndarray:
        import tensorflow as tf

        x = tf.constant(data.test[0])
        return np.asarray(model([x, *self.initial_state(model, 1)])[0])[0, :, 0]

    def figure(self, model: Model, data: Examples) -> Figure:
        truth, found = data.test[1][0, :, 0], self.reproduced(model, data)
        off = np.abs(found - truth).max()
        title = f"{self.layers} x {self.units} {self.cell} without input: off by at most {off:.1g}"
        figure = style.figure(title, 5, 3)
        axes = style.axes(figure, xlabel="sample", ylabel="signal")
        axes.plot(truth, color=style.LIGHT, linewidth=4, label="signal")
        axes.plot(found, color=style.DARK, linewidth=1.2, label="network")
        style.label_ends(axes)
        return figure


def signal(samples: int) -> np.ndarray:
    """The signal, scaled to at most 1, then moved to the mean 0."""
    t = DISTANCE * np.arange(samples)
    f = 0.5 * np.sin(2 * t) - 0.05 * np.cos(17 * t + 0.8)
    f += 0.05 * np.sin(25 * t + 10) - 0.02 * np.cos(45 * t + 0.3)
    f /= np.abs(f).max()
    return (f - f.mean()).astype("float32")
