"""Softmax cross-entropy over a large vocabulary, with few passes over the logits."""

from typing import Any

import tensorflow as tf

from lab.task import Tensor

XLA = tf.test.is_built_with_xla()


@tf.custom_gradient
def cross_entropy(labels: Tensor, logits: Tensor) -> Any:
    """-log softmax(logits)[label]: labels (batch, steps), logits (batch, steps, words).

    In float32, or in the logits' own type if that is wider.
    """
    losses, odds, total = forward(labels, logits)

    def gradient(d_losses: Tensor) -> tuple[None, Tensor]:
        return None, backward(labels, odds, total, d_losses, logits.dtype)

    return losses, gradient


@tf.function(jit_compile=XLA)
def forward(labels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The losses, and for the backward pass exp(logit - largest) and its sums."""
    logits = tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
    top = tf.reduce_max(logits, axis=-1)
    odds = tf.exp(logits - top[..., None])
    total = tf.reduce_sum(odds, axis=-1)
    return tf.math.log(total) + top - tf.gather(logits, labels, batch_dims=2), odds, total


@tf.function(jit_compile=XLA)
def backward(labels: Tensor, odds: Tensor, total: Tensor, d_losses: Tensor, dtype: Any) -> Tensor:
    """(softmax(logits) - one_hot(labels)) d_losses."""
    d = d_losses[..., None]
    scaled = odds * (d / total[..., None])
    hit = tf.range(odds.shape[-1]) == labels[..., None]
    return tf.cast(tf.where(hit, scaled - d, scaled), dtype)
