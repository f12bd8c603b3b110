"""Softmax cross-entropy over a large vocabulary, with few passes over the logits."""

import tensorflow as tf


@tf.custom_gradient
def cross_entropy(labels, logits):
    """-log softmax(logits)[label]: labels (batch, steps), logits (batch, steps, words).

    In float32, or in the logits' own type if that is wider.
    """
    losses, odds, total = forward(labels, logits)

    def gradient(d_losses):
        return None, backward(labels, odds, total, d_losses, logits.dtype)

    return losses, gradient


@tf.function(jit_compile=True)
def forward(labels, logits):
    """The losses, and for the way back exp(logit - largest) and its sums."""
    logits = tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
    top = tf.reduce_max(logits, axis=-1)
    odds = tf.exp(logits - top[..., None])
    total = tf.reduce_sum(odds, axis=-1)
    return tf.math.log(total) + top - tf.gather(logits, labels, batch_dims=2), odds, total


@tf.function(jit_compile=True)
def backward(labels, odds, total, d_losses, dtype):
    """(softmax(logits) - one_hot(labels)) d_losses."""
    d = d_losses[..., None]
    scaled = odds * (d / total[..., None])
    hit = tf.range(odds.shape[-1]) == labels[..., None]
    return tf.cast(tf.where(hit, scaled - d, scaled), dtype)
