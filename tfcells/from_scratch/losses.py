"""What a network is to make small: the loss of each prediction, and its gradient."""

import numpy as np
from numpy.typing import ArrayLike

from tfcells.from_scratch.checks import Array, indices, shaped
from tfcells.from_scratch.layers import rows

BLOCK = 2**17
"""Numbers that are worked on at a time, so that they stay in the processor's cache meanwhile."""


class SoftmaxCrossEntropy:
    r"""L = -log p_k, p = softmax(y) = exp(y) / the sum of exp(y), k the target;  dL/dy = p - one_hot(k).

    Of y its maximum is subtracted first: that doesn't change p, and nothing can overflow.

    >>> loss = tfcells.from_scratch.SoftmaxCrossEntropy()
    >>> loss.forward(np.log([[[1.0, 2.0, 1.0]]]), [[1]]).round(3).tolist()  # log 2
    [[0.693]]
    >>> loss.backward(1.0).round(3).tolist()
    [[[0.25, -0.5, 0.25]]]
    """

    def forward(self, y: Array, targets: ArrayLike) -> Array:
        """The losses, (batch, steps).

        y: (batch, steps, words), an array of floats, which is overwritten. targets: whole numbers
        from 0 to words - 1, (batch, steps).
        """
        y = shaped("y", y, (None, None, None))
        self.targets = indices("targets", targets, y.shape[-1])
        shaped("targets", targets, y.shape[:2])
        self.chances, self.shape = np.ascontiguousarray(rows(y)), y.shape
        self.sums = np.empty_like(self.chances[:, :1])
        chosen = np.empty_like(self.sums)
        size = max(BLOCK // y.shape[-1], 1)
        for first in range(0, len(chosen), size):
            part = slice(first, first + size)
            z = self.chances[part]
            z -= z.max(axis=1, keepdims=True)
            chosen[part] = np.take_along_axis(z, self.targets.reshape(-1, 1)[part], 1)
            np.exp(z, out=z)
            np.sum(z, axis=1, keepdims=True, out=self.sums[part])
        return (np.log(self.sums) - chosen).reshape(self.shape[:2])

    def backward(self, d: float | Array) -> Array:
        """The gradient for y, in its place, from that for the losses: a number, or (batch, steps)."""
        d = np.broadcast_to(np.asarray(d, self.sums.dtype), self.shape[:2]).reshape(-1, 1)
        self.chances *= d / self.sums
        self.chances[np.arange(len(d)), self.targets.ravel()] -= d[:, 0]
        return self.chances.reshape(self.shape)


class SquaredError:
    r"""L = 1/2 the sum of (y - target)² over the features;  dL/dy = y - target.

    >>> loss = tfcells.from_scratch.SquaredError()
    >>> loss.forward(np.ones((1, 1, 2)), [[[1, 3]]]).tolist()
    [[2.0]]
    >>> loss.backward(1.0).tolist()
    [[[0.0, -2.0]]]
    """

    def forward(self, y: Array, targets: ArrayLike) -> Array:
        """The losses, (batch, steps); y and targets: (batch, steps, features)."""
        y = shaped("y", y, (None, None, None))
        self.error = y - shaped("targets", targets, y.shape, y.dtype)
        return np.sum(self.error**2, axis=-1) / 2

    def backward(self, d: float | Array) -> Array:
        """The gradient for y from that for the losses: a number, or (batch, steps)."""
        d = np.broadcast_to(np.asarray(d, self.error.dtype), self.error.shape[:2])
        return self.error * d[..., None]
