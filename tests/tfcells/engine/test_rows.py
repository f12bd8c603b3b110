"""What keeps samples apart is found out from a step's operations; whatever is not known to, does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfcells
from tfcells.engine.rows import apart

W = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
GROUPS = np.random.default_rng(1).normal(size=(2, 2, 2)).astype("float32")
APART = {
    "elementwise": lambda x: tf.tanh(x * 2 + W[0]) - tf.where(x > 0, x, 0.0),
    "a product": lambda x: x @ W,
    "slices": lambda x: x[:, 1:] + x[..., :3] + x[:, ::-1][:, :3],
    "split and concatenated": lambda x: tf.concat(tf.split(x, 2, axis=-1)[::-1], 1),
    "grouped": lambda x: ops.einsum("bgi,gij->bgj", ops.reshape(x, (-1, 2, 2)), GROUPS),
    "outer products": lambda x: ops.matmul(x[:, :, None], x[:, None, :]),
    "turned round by sample": lambda x: tf.transpose(tf.reshape(x, (-1, 2, 2)), (0, 2, 1)),
    "sums": lambda x: x - tf.reduce_mean(x, -1, keepdims=True),
    "softmax and sums so far": lambda x: tf.cumsum(tf.nn.softmax(x), axis=1),
    "rows of groups": lambda x: tf.reshape(tf.nn.softmax(tf.reshape(x, (-1, 2))), (-1, 4)),
    "the batch size": lambda x: x + tf.zeros((tf.shape(x)[0], 1)),
    "stacked": lambda x: tf.stack([x, 2 * x], 1),
    "looked up": lambda x: tf.gather(x, tf.argsort(W[0]), axis=1),
    "looked up by each row": lambda x: tf.gather(x, tf.argmax(x, 1)[:, None], axis=1, batch_dims=1),
    "repeated": lambda x: tf.tile(x, (1, 3)),
}
MIXED = {
    "a mean": lambda x: x - tf.reduce_mean(x, 0),
    "a mean of all": lambda x: x - tf.reduce_mean(x),
    "a product along the batch": lambda x: x @ tf.linalg.matmul(x, x, transpose_a=True),
    "a product with the batch": lambda x: x @ tf.transpose(x) @ x,
    "an einsum along the batch": lambda x: x @ tf.einsum("bi,bj->ij", x, x),
    "sums so far": lambda x: tf.cumsum(x, axis=0),
    "the order": lambda x: x[::-1],
    "the next row": lambda x: tf.concat([x[1:], x[:1]], 0),
    "rolled": lambda x: tf.roll(x, 1, 0),
    "one row": lambda x: x + x[0],
    "two rows as one": lambda x: tf.reshape(tf.nn.softmax(tf.reshape(x, (2, 8))), (4, 4)),
    "a softmax": lambda x: keras.ops.softmax(x, axis=0),
    "an axis that is computed": lambda x: tf.reduce_sum(x, tf.cast(x[0, 0] > 9, "int32"), keepdims=True) + x,
    "a row as columns": lambda x: x + x[:, 0],
    "looked up by all rows": lambda x: tf.gather(x, tf.argmax(x, 1), axis=1),
    "sorted": lambda x: tf.sort(x, 0),
}


def found(function, batch):
    graph = tf.function(function).get_concrete_function(tf.TensorSpec((batch, 4)))
    return apart(graph.graph.get_operations(), [graph.inputs[0]], [], graph.outputs)


@pytest.mark.parametrize("name", APART)
def test_apart(name):
    """A step that does it is found so with a known and an unknown batch, and really is."""
    x = np.random.default_rng(2).normal(size=(4, 4)).astype("float32")
    parts = [APART[name](tf.constant(part)) for part in (x[:1], x[1:])]
    np.testing.assert_allclose(APART[name](tf.constant(x)), tf.concat(parts, 0), rtol=1e-5)
    assert found(APART[name], 4) and found(APART[name], None)


@pytest.mark.parametrize("name", MIXED)
def test_mixed(name):
    assert not found(MIXED[name], 4)


def test_what_mixes_and_does_not_count():
    """A row of the batch that no result depends on."""
    assert found(lambda x: (tf.reduce_mean(x, 0), x)[1], 4)


class Whitened(tfcells.ElmanCell):
    def step(self, x, state, w):
        output, (h,) = super().step(x, state, w)
        h = ops.matmul(h, ops.matmul(ops.transpose(h), h)) / 100
        return h, (h,)


@pytest.mark.parametrize("training", [True, False])
def test_a_step_that_mixes_samples_gets_its_whole_batch(training):
    x = np.random.default_rng(3).normal(size=(700, 3, 4))
    results = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(4)
        layer = tfcells.RNN(Whitened(16), jit_compile=jit_compile, dtype="float64")
        results.append([layer(x[:5]), layer(x[:7], training=training), layer(x, training=training)])
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)
