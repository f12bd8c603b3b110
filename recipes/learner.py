"""A recipe's network and optimiser at work."""

import math

import keras
import numpy as np
import tensorflow as tf

from recipes.recipe import InputError, Recipe

OPTIMIZERS = {
    "sgd": lambda recipe: keras.optimizers.SGD(recipe.learning_rate),
    "adam": lambda recipe: keras.optimizers.Adam(recipe.learning_rate, epsilon=recipe.epsilon),
}


class Learner:
    """The model, its optimiser and the recurrent state of the training text.

    Those, and the random seeds among the model's variables, are all that training changes; `arrays`
    and `restore` take them out and put them back.
    """

    def __init__(self, recipe: Recipe, data, seed: int, engine: str, precision: str):
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(precision)
        self.recipe = recipe
        self.model = recipe.build(data)
        self.weights = self.model.trainable_variables
        self.optimizer = OPTIMIZERS[recipe.optimizer](recipe)
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
        recipe = self.recipe
        with tf.GradientTape() as tape:
            losses, state = recipe.losses(self.model, x, y, state, training=True)
            objective = recipe.objective(losses)
            if recipe.weight_decay:
                squares = tf.add_n([tf.nn.l2_loss(weight) for weight in self.weights])
                objective += recipe.weight_decay * squares
        # An embedding's gradient comes as slices, a word that occurs twice as two. The norm is that
        # of their sum.
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(objective, self.weights)]
        return tf.reduce_sum(losses), self.update(gradients), state

    def update(self, gradients):
        """Clip the gradients and let the optimiser use them; their norm before."""
        norm = tf.linalg.global_norm(gradients)
        if self.recipe.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.recipe.clip_norm, norm)
        self.optimizer.apply(gradients, self.weights)
        return norm

    def evaluate(self, batches):
        """Loss and number of predictions of each window of a text, in order."""
        state = None
        for x, y, weight in batches:
            if state is None:
                state = self.recipe.initial_state(self.model, x.shape[0])
            loss, number, state = self.evaluation_step(x, y, weight, state)
            yield float(loss), int(number)

    def evaluation_step(self, x, y, weight, state):
        losses, state = self.recipe.losses(self.model, x, y, state)
        return tf.reduce_sum(losses * weight), tf.reduce_sum(weight), state

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
            "state": [tf.cast(value, tf.float32) for value in self.state],
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
