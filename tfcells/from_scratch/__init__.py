"""Recurrent networks in NumPy alone, their gradients worked out by hand: to be read, and fast.

A mini-batch has the shape (batch, steps, features). A layer maps it forward, then the gradient of
some loss backward, and knows no loss; a loss knows no layer; an optimizer knows neither.

>>> from tfcells.from_scratch import LSTM, SGD, Dense, Embedding, Network, SoftmaxCrossEntropy, clip
>>> random = np.random.default_rng(0)
>>> network = Network(
...     Embedding(10, 8, seed=random), LSTM(8, 16, seed=random), Dense(16, 10, seed=random)
... )
>>> loss, optimizer = SoftmaxCrossEntropy(), SGD(network.weights, rate=4.0)
>>> tokens = np.arange(42).reshape(2, 21) % 10
>>> for _ in range(60):
...     network.reset()
...     losses = loss.forward(network.forward(tokens[:, :-1]), tokens[:, 1:])
...     network.backward(loss.backward(1 / losses.size))
...     norm = clip(network.gradients, 5.0)
...     optimizer.update(network.gradients)
>>> bool(losses.mean() < 0.1)
True
"""

from tfcells.from_scratch.layers import Dense, Embedding, Layer, Network, Rows
from tfcells.from_scratch.losses import SoftmaxCrossEntropy, SquaredError
from tfcells.from_scratch.optimizers import SGD, Adam, clip
from tfcells.from_scratch.recurrent import LSTM, Elman, Recurrent

__all__ = [
    "Adam",
    "Dense",
    "Elman",
    "Embedding",
    "LSTM",
    "Layer",
    "Network",
    "Recurrent",
    "Rows",
    "SGD",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "clip",
]
