"""Arrays as the batches of an epoch."""

import numpy as np

from lab.task import Batches


def in_order(*arrays: np.ndarray) -> Batches:
    """A tf.data.Dataset of the rows of some arrays, in order."""
    import tensorflow as tf

    options = tf.data.Options()
    # There is nothing to tune, and the end of an epoch waits for the tuner's next turn: up to a minute.
    options.autotune.enabled = False
    with tf.device("CPU"):  # a corpus does not belong in the memory of a GPU
        return tf.data.Dataset.from_tensor_slices(arrays).with_options(options)
