"""The language models of recipes/penn_treebank.py, of the target `lstm`, as a user of Keras has them."""

import time

import keras
import numpy as np


def network(recipe, words: int, batch: int, steps: int, weights) -> keras.Model:
    """tokens -> logits, stateful, with copies of those weights."""
    network = keras.Sequential([keras.Input(batch_shape=(batch, steps), dtype="int32")])
    network.add(keras.layers.Embedding(words, recipe.units))
    for _ in range(recipe.layers):
        if recipe.dropout:
            network.add(keras.layers.Dropout(recipe.dropout))
        network.add(keras.layers.LSTM(recipe.units, return_sequences=True, stateful=True))
    if recipe.dropout:
        network.add(keras.layers.Dropout(recipe.dropout))
    network.add(keras.layers.Dense(words))
    for mine, theirs in zip(network.trainable_variables, weights, strict=True):
        mine.assign(theirs)
    return network


class Training:
    """Trains by `fit`. x, y: (batches, rows, steps).

    As a contender, its time is that of the steps alone. `waits`: of each epoch, how many seconds `fit`
    took from the end of the last step until it returned.
    """

    def __init__(self, recipe, words: int, x, y, weights):
        _, self.rows, steps = x.shape
        self.x, self.y = x.reshape(-1, steps), y.reshape(-1, steps)
        self.network = network(recipe, words, self.rows, steps, weights)
        optimizer = keras.optimizers.SGD(recipe.learning_rate, global_clipnorm=recipe.clip_norm)

        def loss(y, logits):
            losses = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
            return steps * keras.ops.mean(losses)

        self.network.compile(optimizer, loss)
        self.clock, self.waits = Clock(), []

    def epoch(self, batches: int | None = None) -> float:
        """Train on so many batches, or all, from the zero state; the mean loss."""
        for layer in self.network.layers:
            if isinstance(layer, keras.layers.RNN):
                layer.reset_state()
        rows = slice(batches and batches * self.rows)
        fit = {"batch_size": self.rows, "shuffle": False, "verbose": 0, "callbacks": [self.clock]}
        loss = self.network.fit(self.x[rows], self.y[rows], **fit).history["loss"][0]
        self.waits.append(time.perf_counter() - self.clock.ended)
        return loss

    def measure(self) -> float:
        """Seconds from before the first step of an epoch to after its last."""
        self.epoch()
        return self.clock.ended - self.clock.began

    def weights(self) -> list[np.ndarray]:
        return self.network.get_weights()


class Clock(keras.callbacks.Callback):
    """When the first step began, and when the last one ended."""

    def on_train_batch_begin(self, batch, logs=None):
        if not batch:
            self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.ended = time.perf_counter()
