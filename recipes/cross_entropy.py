"""Softmax cross-entropy over a large vocabulary, with few passes over the logits."""

import tensorflow as tf


@tf.custom_gradient
def cross_entropy(labels, logits):
    """-log softmax(logits)[label], in float32: labels (batch, steps), logits (batch, steps, words)."""
    losses, top, total = forward(labels, logits)

    def gradient(d_losses):
        return None, backward(labels, logits, top, total, d_losses)

    return losses, gradient


@tf.function(jit_compile=True)
def forward(labels, logits):
    """The losses, and for the way back the largest logits and the sums of exp(logit - largest)."""
    logits = tf.cast(logits, tf.float32)
    top = tf.reduce_max(logits, axis=-1)
    total = tf.reduce_sum(tf.exp(logits - top[..., None]), axis=-1)
    return tf.math.log(total) + top - tf.gather(logits, labels, batch_dims=2), top, total


@tf.function(jit_compile=True)
def backward(labels, logits, top, total, d_losses):
    """(softmax(logits) - one_hot(labels)) d_losses, in the dtype of the logits."""
    d = d_losses[..., None]
    softmax = tf.exp(tf.cast(logits, tf.float32) - top[..., None]) / total[..., None]
    hit = tf.range(logits.shape[-1]) == labels[..., None]
    return tf.cast(tf.where(hit, softmax - 1, softmax) * d, logits.dtype)
