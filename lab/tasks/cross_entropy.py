"""Softmax cross-entropy over a large vocabulary, with few passes over the logits, and what may be added to it."""

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


@tf.custom_gradient
def augmentation(labels: Tensor, logits: Tensor, embeddings: Tensor, rate: float, temperature: float) -> Any:
    """Zeros like the losses, with the gradient for the logits of

        rate * temperature * KL(softmax(embeddings . e / temperature), softmax(logits / temperature))

    e being the label's embedding, and the first distribution held constant. embeddings: (words, units).
    """

    def gradient(d_losses: Tensor) -> tuple[None, Tensor, None, None, None]:
        d = away(labels, logits, embeddings, rate, temperature)
        return None, tf.cast(d * d_losses[..., None], logits.dtype), None, None, None

    losses = tf.zeros_like(labels, tf.float32 if logits.dtype.size < 4 else logits.dtype)
    return losses, gradient


@tf.function(jit_compile=XLA)
def away(labels: Tensor, logits: Tensor, embeddings: Tensor, rate: float, temperature: float) -> Tensor:
    """rate * (softmax(logits / temperature) - softmax(likeness to the label / temperature))."""
    logits = tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
    embeddings = tf.cast(embeddings, logits.dtype)
    alike = tf.einsum("bsu,wu->bsw", tf.gather(embeddings, labels), embeddings)
    return rate * (tf.nn.softmax(logits / temperature) - tf.nn.softmax(alike / temperature))
