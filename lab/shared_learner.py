"""A learner of some rows of each batch, beside other workers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

import tfcells
from lab.fields import InputError
from lab.learner import Learner
from lab.recipe import Recipe
from lab.task import Tensor
from lab.workers import Workers

TOLERANCE = {"float32": 1e-4, "mixed_bfloat16": 0.05, "float64": 1e-9}  # by precision, of a loss


class SharedLearner(Learner):
    """A learner of a worker's rows, whose gradients are summed over all workers: the sum is that of one process.

    It cuts the batch into the recipe's shards, as one process does, and takes its own rows of each. For every shard the
    random seeds stand where they would stand there, and the masks are drawn for all of its rows.

    Of `state`, which has all rows, a worker knows its own; `gather` brings the others.
    """

    def __init__(
        self, recipe: Recipe[Any], data: Any, seed: int, engine: str, precision: str, workers: Workers
    ) -> None:
        self.workers = workers
        self.own = cut(range(recipe.batch_size), workers.count)[workers.rank]
        self.tolerance = TOLERANCE[precision]
        super().__init__(recipe, data, seed, engine, precision)
        weights = {id(weight) for weight in self.model.weights}
        self.seeds = [variable for variable in self.model.variables if id(variable) not in weights]
        self.draws: list[Any] | None = None  # how far each seed moves in a shard; known after the first batch

    def compile(self, compiled: Any) -> None:
        self.own_gradients = compiled(self.own_gradients)  # type: ignore[method-assign]
        self.training_step = tf.function(self.training_step)  # type: ignore[method-assign]
        self.evaluation_step = compiled(self.evaluation_step)  # type: ignore[method-assign]

    def train(self, x: Tensor, y: Tensor, rate: float) -> tuple[float, float]:
        if self.draws is None:
            self.draws = self.examine(x, y)
        return super().train(x, y, rate)

    def gradients(self, x: Tensor, y: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Those of all workers; one collective operation for all of them."""
        loss, gradients, ends = self.own_gradients(x, y, state)
        parts = [*gradients, loss]
        flat = self.workers.total(tf.concat([tf.reshape(tf.cast(part, parts[0].dtype), [-1]) for part in parts], 0))
        sizes = [part.shape.num_elements() for part in parts]
        *gradients, loss = (tf.reshape(a, b.shape) for a, b in zip(tf.split(flat, sizes), parts, strict=True))
        return loss, gradients, [self.among_all(end) for end in ends]

    def own_gradients(self, x: Tensor, y: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        return super().gradients(x, y, state)

    def summed(self, gradient: Tensor) -> Tensor:
        return tf.convert_to_tensor(gradient)  # slices of different words can't be added up

    @tf.autograph.experimental.do_not_convert
    def training_shards(self, x: Tensor, y: Tensor, state: list[Tensor]) -> Iterator[Any]:
        """This worker's rows of each shard."""
        before = [tf.identity(seed) for seed in self.seeds]
        shards = cut(range(x.shape[0]), self.recipe.shards)
        for number, shard in enumerate(shards):
            if rows := common(shard, self.own):
                self.move_seeds(before, number)
                with tfcells.part_of_batch(rows.start - shard.start, len(shard)):
                    yield [value[rows.start : rows.stop] for value in (x, y, *state)]
        self.move_seeds(before, len(shards))

    def move_seeds(self, before: list[Tensor], shards: int) -> None:
        """Put the seeds where they stand after so many shards."""
        for seed, start, draws in zip(self.seeds, before, self.draws or [], strict=True):
            seed.assign(start + shards * draws)

    def examine(self, x: Tensor, y: Tensor) -> list[np.ndarray]:
        """How far each seed moves in a shard. Refuses a network that these workers can't train as one process does."""
        changing = [*self.seeds, *self.model.non_trainable_weights]
        before = [np.asarray(variable) for variable in changing]

        def losses(rows: range, shard: range) -> np.ndarray:
            """The losses of these rows, and last their part of the objective."""
            self.put_back(changing, before)
            with tfcells.part_of_batch(rows.start - shard.start, len(shard)):
                part_x, part_y, *state = (value[rows.start : rows.stop] for value in (x, y, *self.state))
                found, _ = self.recipe.losses(self.model, part_x, part_y, state, training=True)
            objective = self.recipe.objective(found, sum(self.model.losses))
            return np.append(np.asarray(found), objective * len(rows) / len(shard))

        workers = cut(range(len(x)), self.workers.count)
        shards = {
            shard: [rows for own in workers if (rows := common(shard, own))]
            for shard in cut(range(len(x)), self.recipe.shards)
        }
        shard, parts = max(shards.items(), key=lambda item: len(item[1]))
        whole = losses(shard, shard)
        moved = [np.asarray(variable) - value for variable, value in zip(changing, before, strict=True)]
        found = [losses(rows, shard) for rows in parts] if len(parts) > 1 else [whole]
        together = np.append(np.concatenate([part[:-1] for part in found]), sum(part[-1] for part in found))
        self.put_back(changing, before)
        if any(map(np.any, moved[len(self.seeds) :])):
            raise InputError(f"--workers={self.workers.count}: this network has weights that change with each batch")
        if not np.allclose(together, whole, self.tolerance, self.tolerance, equal_nan=True):
            raise InputError(
                f"--workers={self.workers.count}: this network's loss of a row depends on the other rows of its batch, "
                "or on noise that its layers draw on their own: only one process can train it"
            )
        return moved[: len(self.seeds)]

    def put_back(self, variables: list[Any], values: list[np.ndarray]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def among_all(self, own: Tensor) -> Tensor:
        """A state of this worker's rows, with zeros for the others'."""
        around = [[self.own.start, self.recipe.batch_size - self.own.stop], *[[0, 0]] * (len(own.shape) - 1)]
        return tf.pad(own, around)

    def gather(self) -> None:
        """Complete the state; all workers must do it."""
        own = (self.among_all(value[self.own.start : self.own.stop]) for value in self.state)
        self.state = [tf.constant(self.workers.pooled(np.asarray(value))) for value in own]

    def follow(self) -> None:
        """Go on where the first worker does; all workers must do it."""
        arrays = self.arrays()
        if self.workers.rank:
            arrays = {name: np.zeros_like(array) for name, array in arrays.items()}
        self.restore({name: self.workers.pooled(array) for name, array in arrays.items()})


def cut(rows: range, count: int) -> list[range]:
    """Rows in equal parts, of which the first may have one more."""
    count = min(count, len(rows))
    sizes = [len(rows) // count + (number < len(rows) % count) for number in range(count)]
    ends = np.cumsum([0, *sizes]).tolist()
    return [rows[start:end] for start, end in zip(ends, ends[1:])]


def common(one: range, other: range) -> range:
    """The rows that both have."""
    return range(max(one.start, other.start), max(one.start, other.start, min(one.stop, other.stop)))
