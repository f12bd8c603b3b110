"""A recipe's network and optimizer at work."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from lab.configuration import configure
from lab.fields import InputError
from lab.memory import keep_memory
from lab.numpy_learner import NumPyLearner
from lab.recipe import Recipe
from lab.run import Arrays
from lab.task import Batches, Tensor
from lab.workers import ALONE, Workers

OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}


def decays(weight: keras.Variable) -> bool:
    """Whether weight decay acts on it: on matrices alone, and not on the biases among them."""
    return len(weight.shape) > 1 and "bias" not in weight.name


def make_learner(recipe: Recipe[Any], data: Any, settings: Any, workers: Workers = ALONE) -> "AnyLearner":
    """The learner of the settings' engine, with their seed and precision; of several workers that of one."""
    seed, engine, precision = (settings[name] for name in ("seed", "engine", "precision"))
    if engine == "numpy":
        return NumPyLearner(recipe, data, seed, precision)
    if workers.count > 1:
        from lab.shared_learner import SharedLearner

        return SharedLearner(recipe, data, seed, engine, precision, workers)
    return Learner(recipe, data, seed, engine, precision)


class Learner:
    """The model, its optimizer and the recurrent state of the training text.

    Training changes those, and the random seeds among the model's variables, and nothing else;
    `arrays` and `restore` take them out and put them back.
    """

    def __init__(self, recipe: Recipe[Any], data: Any, seed: int, engine: str, precision: str) -> None:
        keep_memory()
        configure(precision)
        keras.utils.set_random_seed(seed)
        self.recipe = recipe
        self.model = recipe.build(data)
        self.weights = self.model.trainable_variables
        self.idle: list[str] = []  # the weights without a gradient
        average = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
        self.optimizer = OPTIMIZERS[recipe.optimizer](
            recipe.learning_rate, weight_decay=recipe.weight_decay or None, **average
        )
        if not recipe.decay_all:
            self.optimizer.exclude_from_weight_decay(var_list=[w for w in self.weights if not decays(w)])
        self.optimizer.build(self.weights)
        self.start()
        if engine != "eager":
            self.compile(tf.function(jit_compile=engine == "xla"))
            self.update = tf.function(self.update, jit_compile=tf.test.is_built_with_xla())  # type: ignore[method-assign]

    def compile(self, compiled: Any) -> None:
        """Compile what runs at each step."""
        self.training_step = compiled(self.training_step)  # type: ignore[method-assign]
        self.evaluation_step = compiled(self.evaluation_step)  # type: ignore[method-assign]

    def start(self) -> None:
        """Forget the text read so far."""
        self.state: list[Tensor] = self.recipe.initial_state(self.model, self.recipe.batch_size)

    def parameters(self) -> int:
        """The number of trainable scalars, tied ones once."""
        return sum(math.prod(weight.shape) for weight in self.weights)

    def train(self, x: Tensor, y: Tensor, rate: float) -> tuple[float, float]:
        """One step of the optimizer; the sum of the losses, and the norm of the gradient."""
        self.optimizer.learning_rate.assign(rate)
        loss, norm, self.state = self.training_step(x, y, self.state)
        if self.idle:  # raised here, as what is raised in a graph comes out as another exception
            raise InputError(f"{', '.join(self.idle)}: no loss of this task depends on it")
        return float(loss), float(norm)

    def training_step(self, x: Tensor, y: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """One step of the optimizer on a batch."""
        loss, gradients, state = self.gradients(x, y, state)
        norm = tf.linalg.global_norm(gradients)
        self.update(gradients, norm)
        return loss, norm, state

    def gradients(self, x: Tensor, y: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The sum of the losses, the gradients, and the state at the end.

        The shards are independent of one another so that they can run at once.
        """
        losses, states = [], []
        with tf.GradientTape() as tape:
            objective = 0.0
            for shard in self.training_shards(x, y, state):
                part_x, part_y, *start = shard
                loss, end = self.recipe.losses(self.model, part_x, part_y, start, training=True)
                share = len(part_x) / len(x)
                objective += self.recipe.objective(loss, sum(self.model.losses)) * share
                losses.append(tf.reduce_sum(loss))
                states.append(end)
        gradients = tape.gradient(objective, self.weights)
        pairs = list(zip(self.weights, gradients, strict=True))
        self.idle = [weight.path for weight, gradient in pairs if gradient is None]
        gradients = [self.summed(tf.zeros_like(w) if g is None else g) for w, g in pairs]
        return tf.add_n(losses), gradients, joined(states)

    def training_shards(self, x: Tensor, y: Tensor, state: list[Tensor]) -> Iterator[Any]:
        """The shards of a batch in turn."""
        return self.shards(x, y, *state)

    def summed(self, gradient: Tensor) -> Tensor:
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

    def shards(self, *values: Tensor) -> Iterator[Any]:
        """The rows of some tensors in equal parts, which are independent of one another."""
        rows = values[0].shape[0]
        shards = min(self.recipe.shards, rows)
        sizes = [rows // shards + (number < rows % shards) for number in range(shards)]
        return zip(*(tf.split(value, sizes) for value in values), strict=True)

    def update(self, gradients: list[Tensor], norm: Tensor) -> None:
        """Let the optimizer use the gradients, clipped if their norm is too large."""
        if self.recipe.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.recipe.clip_norm, norm)
        self.optimizer.apply(gradients, self.weights)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the weights are their moving averages, if the recipe wants any."""
        if not self.recipe.ema:
            yield
            return
        trained = [tf.convert_to_tensor(weight) for weight in self.weights]
        self.optimizer.finalize_variable_values(self.weights)
        try:
            yield
        finally:
            for weight, value in zip(self.weights, trained, strict=True):
                weight.assign(value)

    def evaluate(self, batches: Batches) -> Iterator[tuple[float, int]]:
        """Loss and number of predictions of each window of a text, in order."""
        state = None
        for x, y, weight in batches:
            if state is None:
                state = self.recipe.initial_state(self.model, x.shape[0])
            loss, number, state = self.evaluation_step(x, y, weight, state)
            yield float(loss), int(number)

    def evaluation_step(
        self, x: Tensor, y: Tensor, weight: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The sum of the losses that count, their number, and the state at the end."""
        totals, states = [], []
        for x, y, counts, *state in self.shards(x, y, weight, *state):
            losses, state = self.recipe.losses(self.model, x, y, state)
            totals.append(tf.reduce_sum(losses * tf.cast(counts, losses.dtype)))
            states.append(state)
        return tf.add_n(totals), tf.reduce_sum(weight), joined(states)

    def arrays(self) -> Arrays:
        """All that training changes."""
        return {name: tf.convert_to_tensor(v).numpy() for name, v in self.values().items()}

    def restore(self, arrays: Arrays) -> None:
        """Put back what `arrays` took out."""
        values = self.values()
        for name, value in values.items():
            if name not in arrays or arrays[name].shape != value.shape:
                raise InputError(f"the checkpoint's {name!r} is not this network's")
        for name, value in values.items():
            if not name.startswith("state"):
                value.assign(arrays[name])
        self.state = [tf.cast(arrays[f"state {number}"], value.dtype) for number, value in enumerate(self.state)]

    def values(self) -> dict[str, Any]:
        """The variables and states that `arrays` copies, by name."""
        groups = {
            "variable": self.model.variables,
            "optimizer": self.optimizer.variables,
            # NumPy's files know no bfloat16.
            "state": [tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value for value in self.state],
        }
        return {f"{group} {number}": value for group, members in groups.items() for number, value in enumerate(members)}

    def weight_arrays(self) -> Arrays:
        """The weights alone, without what only training needs."""
        values = map(tf.convert_to_tensor, self.weights)
        return {f"weight {number}": value.numpy() for number, value in enumerate(values)}

    def restore_weights(self, arrays: Arrays) -> None:
        for number, weight in enumerate(self.weights):
            weight.assign(arrays[f"weight {number}"])


def joined(states: list[list[Tensor]]) -> list[Tensor]:
    """The states of all shards' rows."""
    return [tf.concat(shares, 0) for shares in zip(*states, strict=True)]


AnyLearner = Learner | NumPyLearner
