"""Softmax cross-entropy over a large vocabulary, with few passes over the logits."""

import tensorflow as tf


@tf.custom_gradient
def cross_entropy(labels, logits):
    """-log softmax(logits)[label]: labels (batch, steps), logits (batch, steps, words).

    In float32, or in the logits' own type if that is wider.
    """
    losses, top, total = forward(labels, logits)

    def gradient(d_losses):
        return None, backward(labels, logits, top, total, d_losses)

    return losses, gradient


@tf.function(jit_compile=True)
def forward(labels, logits):
    """The losses, and for the way back the largest logits and the sums of exp(logit - largest)."""
    logits = widened(logits)
    top = tf.reduce_max(logits, axis=-1)
    total = tf.reduce_sum(tf.exp(logits - top[..., None]), axis=-1)
    return tf.math.log(total) + top - tf.gather(logits, labels, batch_dims=2), top, total


@tf.function(jit_compile=True)
def backward(labels, logits, top, total, d_losses):
    """(softmax(logits) - one_hot(labels)) d_losses, in the dtype of the logits."""
    d = d_losses[..., None]
    softmax = tf.exp(widened(logits) - top[..., None]) / total[..., None]
    hit = tf.range(logits.shape[-1]) == labels[..., None]
    return tf.cast(tf.where(hit, softmax - 1, softmax) * d, logits.dtype)


def widened(logits):
    """The logits with at least the precision of float32."""
    return tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
