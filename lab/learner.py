"""A recipe's network and optimiser at work."""

import math

import keras
import numpy as np
import tensorflow as tf

from lab.memory import keep_memory
from lab.numpy_learner import NumPyLearner
from lab.recipe import InputError, Recipe

OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
NOT_DECAYED = ["bias", "gain", "shift", "peephole"]  # in the names of weights


def make_learner(recipe: Recipe, data, settings: dict):
    """The learner of the settings' engine, with their seed and precision."""
    seed, engine, precision = (settings[name] for name in ("seed", "engine", "precision"))
    if engine == "numpy":
        return NumPyLearner(recipe, data, seed, precision)
    return Learner(recipe, data, seed, engine, precision)


class Learner:
    """The model, its optimiser and the recurrent state of the training text.

    Those, and the random seeds among the model's variables, are all that training changes; `arrays`
    and `restore` take them out and put them back.
    """

    def __init__(self, recipe: Recipe, data, seed: int, engine: str, precision: str):
        keep_memory()
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(precision)
        self.recipe = recipe
        self.model = recipe.build(data)
        self.weights = self.model.trainable_variables
        self.optimizer = OPTIMIZERS[recipe.optimizer](
            recipe.learning_rate, weight_decay=recipe.weight_decay or None
        )
        if not recipe.decay_all:
            self.optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
        self.optimizer.build(self.weights)
        self.start()
        if engine != "eager":
            compiled = tf.function(jit_compile=engine == "xla")
            self.training_step = compiled(self.training_step)
            self.evaluation_step = compiled(self.evaluation_step)
            self.update = tf.function(self.update, jit_compile=True)

    def start(self):
        """Forget the text read so far."""
        self.state = self.recipe.initial_state(self.model, self.recipe.batch_size)

    def parameters(self) -> int:
        """The number of trainable scalars, tied ones once."""
        return sum(math.prod(weight.shape) for weight in self.weights)

    def train(self, x, y, rate: float) -> tuple[float, float]:
        """One step of the optimiser; the sum of the losses, and the norm of the gradient."""
        self.optimizer.learning_rate.assign(rate)
        loss, norm, self.state = self.training_step(x, y, self.state)
        return float(loss), float(norm)

    def training_step(self, x, y, state):
        """The batch's shards, independent of one another so that they can be had at once."""
        losses, states = [], []
        with tf.GradientTape() as tape:
            objective = 0.0
            for shard in self.shards(x, y, *state):
                loss, end = self.recipe.losses(self.model, *shard[:2], shard[2:], training=True)
                share = len(shard[0]) / len(x)
                objective += self.recipe.objective(loss, sum(self.model.losses)) * share
                losses.append(tf.reduce_sum(loss))
                states.append(end)
        gradients = [self.summed(g) for g in tape.gradient(objective, self.weights)]
        norm = tf.linalg.global_norm(gradients)
        self.update(gradients, norm)
        return tf.add_n(losses), norm, joined(states)

    def summed(self, gradient):
        """A gradient with the norm that it should have.

        An embedding's comes as slices, a word that occurs twice as two: here they are added up. SGD, which
        leaves all other words alone, gets them as slices.
        """
        if self.recipe.optimizer != "sgd" or not isinstance(gradient, tf.IndexedSlices):
            return tf.convert_to_tensor(gradient)
        words, rows = gradient.indices, tf.size(gradient.indices)
        last = tf.math.unsorted_segment_max(tf.range(rows), words, gradient.dense_shape[0])
        values = tf.math.unsorted_segment_sum(gradient.values, tf.gather(last, words), rows)
        return tf.IndexedSlices(values, words, gradient.dense_shape)  # zero but where a word is last

    def shards(self, *values):
        """The rows of some tensors in equal parts, which are independent of one another."""
        rows = values[0].shape[0]
        shards = min(self.recipe.shards, rows)
        sizes = [rows // shards + (number < rows % shards) for number in range(shards)]
        return zip(*(tf.split(value, sizes) for value in values), strict=True)

    def update(self, gradients, norm):
        """Let the optimiser use the gradients, clipped if their norm is too large."""
        if self.recipe.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.recipe.clip_norm, norm)
        self.optimizer.apply(gradients, self.weights)

    def evaluate(self, batches):
        """Loss and number of predictions of each window of a text, in order."""
        state = None
        for x, y, weight in batches:
            if state is None:
                state = self.recipe.initial_state(self.model, x.shape[0])
            loss, number, state = self.evaluation_step(x, y, weight, state)
            yield float(loss), int(number)

    def evaluation_step(self, x, y, weight, state):
        """The sum of the losses that count, their number, and the state at the end."""
        totals, states = [], []
        for x, y, counts, *state in self.shards(x, y, weight, *state):
            losses, state = self.recipe.losses(self.model, x, y, state)
            totals.append(tf.reduce_sum(losses * tf.cast(counts, losses.dtype)))
            states.append(state)
        return tf.add_n(totals), tf.reduce_sum(weight), joined(states)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that training changes."""
        return {name: tf.convert_to_tensor(v).numpy() for name, v in self.values().items()}

    def restore(self, arrays: dict[str, np.ndarray]):
        """Put back what `arrays` took out."""
        values = self.values()
        for name, value in values.items():
            if name not in arrays or arrays[name].shape != value.shape:
                raise InputError(f"the checkpoint's {name!r} is not this network's")
        for name, value in values.items():
            if not name.startswith("state"):
                value.assign(arrays[name])
        self.state = [
            tf.cast(arrays[f"state {number}"], value.dtype)
            for number, value in enumerate(self.state)
        ]

    def values(self) -> dict:
        groups = {
            "variable": self.model.variables,
            "optimizer": self.optimizer.variables,
            # NumPy's files know no bfloat16.
            "state": [
                tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value
                for value in self.state
            ],
        }
        return {
            f"{group} {number}": value
            for group, members in groups.items()
            for number, value in enumerate(members)
        }

    def weight_arrays(self) -> dict[str, np.ndarray]:
        """The weights alone, without what only training needs."""
        values = map(tf.convert_to_tensor, self.weights)
        return {f"weight {number}": value.numpy() for number, value in enumerate(values)}

    def restore_weights(self, arrays: dict[str, np.ndarray]):
        for number, weight in enumerate(self.weights):
            weight.assign(arrays[f"weight {number}"])


def joined(states):
    """The states of all shards' rows."""
    return [tf.concat(shares, 0) for shares in zip(*states, strict=True)]
