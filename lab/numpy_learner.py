"""A recipe's network in NumPy alone, at work."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from lab.configuration import configure
from lab.engines import check_numpy
from lab.recipe import Recipe
from lab.run import Arrays
from lab.task import Batches, Model, Tensor
from tfcells import from_scratch as networks

OPTIMIZERS = {"sgd": networks.SGD, "adam": networks.Adam}


class NumPyLearner:
    """A network of LSTMs in NumPy, with the methods of `lab.learner.Learner`.

    It starts from the weights of the Keras model that the recipe builds with that seed, and writes
    its own into it when `model` is asked for. A batch is worked on as a whole, whatever `shards`
    says: NumPy's large products keep all cores busy.
    """

    def __init__(self, recipe: Recipe[Any], data: Any, seed: int, precision: str) -> None:
        check_numpy(recipe, precision)
        self.network, self.loss = recipe.in_numpy(data, precision)
        configure(precision)
        keras.utils.set_random_seed(seed)
        self.recipe = recipe
        self.keras_model = recipe.build(data)
        self.carries = len(self.keras_model.outputs) > 1
        for weight, variable in self.pairs():
            weight[:] = variable.numpy()
        optimizer = OPTIMIZERS[recipe.optimizer]
        self.optimizer = optimizer(self.network.weights, recipe.learning_rate)
        self.start()

    def pairs(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Each weight beside the Keras model's."""
        return zip(self.network.weights, self.keras_model.trainable_variables, strict=True)

    @property
    def model(self) -> Model:
        """The Keras model, with the weights as they are now."""
        for weight, variable in self.pairs():
            variable.assign(weight)
        return self.keras_model

    def start(self) -> None:
        """Forget the text read so far."""
        self.state = self.network.zero_state(self.recipe.batch_size)

    def parameters(self) -> int:
        """The number of trainable scalars."""
        return sum(weight.size for weight in self.network.weights)

    def predict(self, x: Tensor, y: Tensor, state: Any) -> tuple[np.ndarray, Any]:
        """The losses, (batch, steps), and the state after them."""
        self.network.state = state if self.carries else self.network.zero_state(len(x))
        losses = self.loss.forward(self.network.forward(x), y)
        return losses, self.network.state

    def train(self, x: Tensor, y: Tensor, rate: float) -> tuple[float, float]:
        """One step of the optimizer; the sum of the losses, and the norm of the gradient."""
        with np.errstate(over="ignore", invalid="ignore"):  # train.py looks at what is returned
            losses, self.state = self.predict(x, y, self.state)
            averaged = losses.size if getattr(self.recipe, "loss", "mean") == "mean" else len(losses)
            self.network.backward(self.loss.backward(1 / averaged))
            gradients = self.network.gradients
            norm = networks.clip(gradients, self.recipe.clip_norm or math.inf)
            self.optimizer.rate = rate
            self.optimizer.update(gradients)
            return float(losses.sum()), norm

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Nothing: it takes no averages."""
        return contextlib.nullcontext()

    def evaluate(self, batches: Batches) -> Iterator[tuple[float, int]]:
        """Loss and number of predictions of each window of a text, in order."""
        state = None
        for x, y, weight in batches:
            if state is None:
                state = self.network.zero_state(len(x))
            with np.errstate(over="ignore", invalid="ignore"):
                losses, state = self.predict(x, y, state)
                loss = np.sum(losses * np.asarray(weight))
            yield float(loss), int(np.sum(weight))

    def arrays(self) -> Arrays:
        """All that training changes."""
        return {name: value.copy() for name, value in self.values().items()}

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` took out."""
        for name, value in self.values().items():
            value[...] = arrays[name]

    def values(self) -> Arrays:
        """The arrays that `arrays` copies, by name."""
        groups = {
            "weight": self.network.weights,
            "optimizer": self.optimizer.arrays,
            "state": [part for layer in self.state for part in layer],
        }
        return {f"{group} {number}": value for group, members in groups.items() for number, value in enumerate(members)}

    def weight_arrays(self) -> Arrays:
        """The weights alone, without what only training needs."""
        return {name: value for name, value in self.arrays().items() if name.startswith("weight")}

    def restore_weights(self, arrays: Arrays) -> None:
        for number, weight in enumerate(self.network.weights):
            weight[...] = arrays[f"weight {number}"]
