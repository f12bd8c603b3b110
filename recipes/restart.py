"""States that are forgotten now and then, as at the beginning of a text."""

import keras
from keras import ops


class Restart(keras.layers.Layer):
    """In training, sets all states of a sequence to their zeros with the probability `rate`.

    states: a list of (batch, units). A network whose state is carried from window to window sees a
    zero state once an epoch, and may need hundreds of words to find its way from there in a new text.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, states, training=False):
        if not training:
            return states
        drawn = keras.random.uniform((ops.shape(states[0])[0], 1), seed=self.seed_generator)
        return [ops.where(drawn < self.rate, ops.zeros_like(state), state) for state in states]

    def compute_output_shape(self, shapes):
        return shapes
