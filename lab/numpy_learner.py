"""A recipe's network in NumPy alone, at work."""

import dataclasses
import math

import keras
import numpy as np

from lab.recipe import InputError, Recipe
from tfcells import numpy as networks

PRECISIONS = "float32", "float64"
OPTIMIZERS = {"sgd": networks.SGD, "adam": networks.Adam}
HEEDED = """
    epochs patience batch_size learning_rate steps_per_epoch optimizer decay decay_after warm_up
    anneal clip_norm shards level units layers steps embedding_units unigram_start init_scale loss
    evaluation_batch_size evaluation_steps forget_bias
    count features data_seed train_examples valid_examples test_examples
""".split()
"""The fields that may have any value; the others do what these networks can't, unless as they are."""


def check(recipe: Recipe, precision: str):
    """Refuse, by name, what these networks can't do."""
    if not hasattr(recipe, "in_numpy"):
        raise InputError(
            f"--engine numpy: must be graph or eager or xla for a {type(recipe).__name__}; "
            "the networks in NumPy are of LSTMs, for the targets lstm and numbers"
        )
    if precision not in PRECISIONS:
        raise InputError(
            f"--precision={precision}: must be {' or '.join(PRECISIONS)} with --engine numpy"
        )
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if field.name not in HEEDED and value != field.default:
            default = str(field.default).lower()
            raise InputError(f"{field.name}={value!r}: must be {default} with --engine numpy")


class NumPyLearner:
    """A network of LSTMs in NumPy: what `lab.learner.Learner` does, by hand.

    It starts from the weights of the Keras model that the recipe builds with that seed, and writes
    its own into it when `model` is asked for. A batch is worked on as a whole, whatever `shards`
    says: NumPy's large products keep all cores busy.
    """

    def __init__(self, recipe: Recipe, data, seed: int, precision: str):
        check(recipe, precision)
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(precision)
        self.recipe = recipe
        self.keras_model = recipe.build(data)
        self.carries = len(self.keras_model.outputs) > 1
        self.network, self.loss = recipe.in_numpy(data, precision)
        for weight, variable in self.pairs():
            weight[:] = variable.numpy()
        optimizer = OPTIMIZERS[recipe.optimizer]
        self.optimizer = optimizer(self.network.weights, recipe.learning_rate)
        self.start()

    def pairs(self):
        """Each weight beside the Keras model's."""
        return zip(self.network.weights, self.keras_model.trainable_variables, strict=True)

    @property
    def model(self):
        """The Keras model, with the weights as they are now."""
        for weight, variable in self.pairs():
            variable.assign(weight)
        return self.keras_model

    def start(self):
        """Forget the text read so far."""
        self.state = self.network.zero_state(self.recipe.batch_size)

    def parameters(self) -> int:
        """The number of trainable scalars."""
        return sum(weight.size for weight in self.network.weights)

    def predict(self, x, y, state):
        """The losses, (batch, steps), and the state after them."""
        self.network.state = state if self.carries else self.network.zero_state(len(x))
        losses = self.loss.forward(self.network.forward(x), y)
        return losses, self.network.state

    def train(self, x, y, rate: float) -> tuple[float, float]:
        """One step of the optimiser; the sum of the losses, and the norm of the gradient."""
        with np.errstate(over="ignore", invalid="ignore"):  # train.py looks at what is returned
            losses, self.state = self.predict(x, y, self.state)
            averaged = losses.size if self.recipe.loss == "mean" else len(losses)
            self.network.backward(self.loss.backward(1 / averaged))
            gradients = self.network.gradients
            norm = networks.clip(gradients, self.recipe.clip_norm or math.inf)
            self.optimizer.rate = rate
            self.optimizer.update(gradients)
            return float(losses.sum()), norm

    def evaluate(self, batches):
        """Loss and number of predictions of each window of a text, in order."""
        state = None
        for x, y, weight in batches:
            if state is None:
                state = self.network.zero_state(len(x))
            with np.errstate(over="ignore", invalid="ignore"):
                losses, state = self.predict(x, y, state)
                loss = np.sum(losses * np.asarray(weight))
            yield float(loss), int(np.sum(weight))

    def arrays(self) -> dict[str, np.ndarray]:
        """All that training changes."""
        return {name: value.copy() for name, value in self.values().items()}

    def restore(self, arrays: dict[str, np.ndarray]):
        """Put back what `arrays` took out."""
        for name, value in self.values().items():
            value[...] = arrays[name]

    def values(self) -> dict[str, np.ndarray]:
        groups = {
            "weight": self.network.weights,
            "optimizer": self.optimizer.arrays,
            "state": [part for layer in self.state for part in layer],
        }
        return {
            f"{group} {number}": value
            for group, members in groups.items()
            for number, value in enumerate(members)
        }

    def weight_arrays(self) -> dict[str, np.ndarray]:
        """The weights alone, without what only training needs."""
        return {name: value for name, value in self.arrays().items() if name.startswith("weight")}

    def restore_weights(self, arrays: dict[str, np.ndarray]):
        for number, weight in enumerate(self.network.weights):
            weight[...] = arrays[f"weight {number}"]
