"""Both sides of a comparison of recurrent layers: inputs, a forward pass, and that with gradients."""

import functools

import keras
import numpy as np
import tensorflow as tf

import tfcells
from benchmarks.peers import torch

ARGUMENTS = {"ClockworkRNNCell": {"periods": (1, 2, 4, 8, 16)}}  # which 200 and 650 units can have
DEEP = "RHNCell, depth 10"
CELLS = {name: functools.partial(cell, **ARGUMENTS.get(name, {})) for name, cell in tfcells.CELLS.items()} | {
    DEEP: functools.partial(tfcells.RHNCell, depth=10)
}
"""Every registered cell, as it is by default, and a deep one: functions of the units."""

BUILT_IN = {
    tfcells.ElmanCell: keras.layers.SimpleRNN,
    tfcells.LSTMCell: keras.layers.LSTM,
    tfcells.GRUCell: keras.layers.GRU,
}
"""Keras's own layers, by the cell whose weights they take."""


class KerasSide:
    """A Keras layer, in a graph.

    x, d: NumPy arrays, (batch, steps, features): the inputs, and the gradient of the outputs.
    """

    def __init__(self, layer, x, d, xla: bool = False):
        self.layer, self.x, self.d = layer, tf.constant(x), tf.constant(d)
        self.outputs_of = tf.function(self.outputs, jit_compile=xla)
        self.gradients_of = tf.function(self.gradients, jit_compile=xla)

    def outputs(self, x):
        return self.layer(x, training=True)

    def gradients(self, x, d):
        weights = self.layer.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.outputs(x)
        return [y, *tape.gradient(y, [x, *weights], tf.cast(d, y.dtype))]

    def forward(self):
        return self.outputs_of(self.x)

    def total(self):
        return self.gradients_of(self.x, self.d)

    def arrays(self) -> list[np.ndarray]:
        """Outputs, gradients of the inputs and of each weight."""
        return [np.asarray(tf.cast(value, "float32")) for value in self.total()]


class TorchSide:
    """A module of PyTorch's with the method `gradients`, its sequences time-major."""

    def __init__(self, module, x, d):
        self.module, self.d = module, torch.tensor(d.swapaxes(0, 1).copy())
        self.x = torch.tensor(x.swapaxes(0, 1).copy(), requires_grad=True)

    def forward(self):
        with torch.no_grad():
            return self.module(self.x)

    def total(self):
        self.module.zero_grad()
        self.x.grad = None
        y = self.module(self.x)
        y.backward(self.d)
        return y

    def arrays(self) -> list[np.ndarray]:
        y = self.total().detach()
        sequences = [np.swapaxes(value.numpy(), 0, 1) for value in (y, self.x.grad)]
        return sequences + self.module.gradients()


def numbers(*shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def for_outputs(layer, batch: int, steps: int) -> np.ndarray:
    """A gradient of the outputs of a `tfcells.RNN`, which may be wider than its cell has units."""
    return numbers(batch, steps, layer.cell.output_size)[::-1].copy()


def tfcells_layer(cells: list, features: int, **options):
    """The cells in `tfcells.RNN`, built; all vectors among their weights made random."""
    cell = cells[0] if len(cells) == 1 else cells
    layer = tfcells.RNN(cell, return_sequences=True, **options)
    layer.build((None, None, features))
    random = np.random.default_rng(1)
    for weight in layer.trainable_variables:
        if len(weight.shape) == 1:
            weight.assign_add(random.normal(scale=0.1, size=weight.shape))
    return layer


def keras_layer(layer):
    """Copies of a `tfcells.RNN`'s cell and weights in `keras.layers.RNN`."""
    cell = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer.cell))
    return copied(keras.layers.RNN(cell, return_sequences=True), layer)


def keras_lstm(layer, units: int, layers: int):
    """The same as `keras.layers.LSTM`s, one upon the other."""
    made = [keras.layers.LSTM(units, return_sequences=True) for _ in range(layers)]
    return copied(made[0] if layers == 1 else keras.Sequential(made), layer)


def copied(copy, layer):
    """`copy`, built, with the weights of `layer`."""
    features = layer.trainable_variables[0].shape[0]
    copy.build((None, None, features))
    weights = zip(copy.trainable_variables, layer.trainable_variables, strict=True)
    for mine, theirs in weights:
        mine.assign(theirs)
    return copy


def weights_of(layer) -> list[np.ndarray]:
    return [np.asarray(tf.convert_to_tensor(weight)) for weight in layer.trainable_variables]
