"""A trained language model reads a text, and scores better than its weights alone.

Three methods, alone or together, beside the temperature of the softmax. Each word is predicted from those before it,
and only then may it change anything.
"""

import itertools
import json
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from lab.fields import InputError
from lab.methods import READ_OUT, Grid, Methods, grid_of
from lab.progress import bar
from lab.task import Model, Tensor
from lab.tasks.corpus import NOWHERE, windows

Arrays = list[np.ndarray]
Remember = Callable[[str, Callable[[], Arrays]], Arrays]

ROWS = 100  # of the training text, for the statistics
RATES, DECAYS = (3e-5, 4e-5, 5e-5, 6e-5, 7e-5, 1e-4), (1e-3, 2e-3, 3e-3, 5e-3)  # for 5 steps: the authors' grid
EPSILONS = 2e-5, 5e-5  # with the larger one larger rates are better
TEMPERATURES = 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1
THETAS = 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0
SHARES = 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3
TUNED_WORDS = 20_000


class Reader:
    """Reads texts with a model [tokens, *state] -> [logits, *state].

    layer: the name of the recurrent layer whose outputs the cache compares.
    """

    def __init__(self, model: Model, layer: str, start: Callable[[int], list[Tensor]]) -> None:
        import keras
        import tensorflow as tf

        hidden = model.get_layer(layer).output[0]
        self.model, self.start = keras.Model(model.inputs, [hidden, *model.outputs]), start
        self.weights = model.trainable_variables
        self.trained = [tf.convert_to_tensor(weight) for weight in self.weights]
        self.seeds = [v for v in model.variables if not v.trainable]
        self.noisy = any(keras.backend.is_int_dtype(v.dtype) for v in self.seeds)  # of generators of random numbers
        self.step = tf.function(self.read)
        self.moved = tf.function(self.move, jit_compile=tf.test.is_built_with_xla())

    def gradients(self, x: Tensor, y: Tensor, state: list[Tensor]) -> tuple[Any, ...]:
        """Outputs, logits, the state after them, and the gradient of the mean loss without dropout."""
        import tensorflow as tf

        from lab.tasks.cross_entropy import cross_entropy

        with tf.GradientTape() as tape:
            hidden, logits, *state = self.model([x, *state], training=False)
            loss = tf.reduce_mean(cross_entropy(y, logits))
        found = tape.gradient(loss, self.weights)
        pairs = zip(found, self.weights, strict=True)
        return hidden, logits, state, [tf.zeros_like(w) if g is None else tf.convert_to_tensor(g) for g, w in pairs]

    def mean_squares(self, batches: Any, update: Callable[[int], Any]) -> list[np.ndarray]:
        """m of each weight: the root of the mean square of the gradient over some batches of a text."""
        import tensorflow as tf

        sums = [tf.Variable(tf.zeros_like(weight)) for weight in self.trained]

        @tf.function
        def add(x: Tensor, y: Tensor, state: list[Tensor]) -> list[Tensor]:
            *_, state, gradients = self.gradients(x, y, state)
            for total, gradient in zip(sums, gradients, strict=True):
                total.assign_add(gradient**2)
            return state

        state, count = self.start(batches.element_spec[0].shape[0]), 0
        for x, y in batches:
            state = add(x, y, state)
            count += 1
            update(math.prod(x.shape))
        return [np.sqrt(total.numpy() / count) for total in sums]

    def losses(
        self,
        tokens: np.ndarray,
        first: int,
        methods: Methods,
        grid: Grid,
        steps: int,
        means: Sequence[np.ndarray] = (),
        update: Callable[[int], Any] = lambda words: None,
    ) -> np.ndarray:
        """The mean loss of a token for each setting of the grid: (temperatures, thetas, shares).

        first: the token before the text. steps: of a segment, where the weights stay as they are. means: what
        `mean_squares` returned. The model is in the end what it was.
        """
        import tensorflow as tf

        noisy = self.start(methods.mc_dropout) if methods.mc_dropout else []
        state = self.start(1), noisy, self.empty(methods)
        seeds = [tf.convert_to_tensor(seed) for seed in self.seeds]
        total = np.zeros([len(values) for values in grid])
        rates = self.rates(methods, means) if methods.dynamic else []
        tokens = np.asarray(tokens, np.int32)[None]
        inputs = np.concatenate([np.full((1, 1), first, np.int32), tokens[:, :-1]], 1)
        try:
            for n in range(0, tokens.shape[1], steps):
                x, y = (tf.constant(part[:, n : n + steps]) for part in (inputs, tokens))
                found, state, gradients = self.step(x, y, state, methods.dynamic, methods.mc_dropout, grid)
                if rates:
                    self.moved(gradients, *rates)
                total += found.numpy()
                update(x.shape[1])
        finally:
            for variable, value in zip([*self.weights, *self.seeds], [*self.trained, *seeds], strict=True):
                variable.assign(value)
        return np.where(np.isnan(total), math.inf, total) / tokens.shape[1]  # NaN would count as the least

    def empty(self, methods: Methods) -> tuple[Tensor, Tensor]:
        """A cache without words: outputs, and the words after them, -1 for none."""
        import tensorflow as tf

        window = methods.cache_window if methods.cache else 0
        hidden = self.model.outputs[0]
        return tf.zeros((window, hidden.shape[-1]), hidden.dtype), tf.fill((window,), -1)

    def rates(self, methods: Methods, means: Sequence[np.ndarray]) -> list[list[Tensor]]:
        """How far each weight goes back to where it was, and how far along its gradient."""
        import tensorflow as tf

        middle = np.mean([m.mean() for m in means]) or 1.0  # all zero: nothing to learn
        back = [np.minimum(methods.dynamic_decay * m / middle, 1.0) for m in means]
        with np.errstate(over="ignore"):  # the losses tell
            along = [methods.dynamic_rate / (m + methods.dynamic_epsilon) for m in means]
        return [[tf.constant(a, w.dtype) for a, w in zip(part, self.trained, strict=True)] for part in (back, along)]

    def move(self, gradients: list[Tensor], back: list[Tensor], along: list[Tensor]) -> None:
        """The step of dynamic evaluation."""
        parts = zip(self.weights, self.trained, gradients, back, along, strict=True)
        for weight, trained, gradient, pull, rate in parts:
            weight.assign_add(pull * (trained - weight) - rate * gradient)

    def read(
        self, x: Tensor, y: Tensor, state: tuple[Any, ...], dynamic: bool, rows: int | None, grid: Grid
    ) -> tuple[Tensor, tuple[Any, ...], list[Tensor]]:
        """The losses of a segment, summed, by setting; the states after it; the gradients where weights move."""
        import tensorflow as tf

        carried, noisy, memory = state
        gradients: list[Tensor] = []
        cache = len(memory[1]) > 0
        if dynamic:
            hidden, logits, carried, gradients = self.gradients(x, y, carried)
        elif cache or not rows:
            hidden, logits, *carried = self.model([x, *carried], training=False)
        if rows:
            _, logits, *noisy = self.model([tf.repeat(x, rows, 0), *noisy], training=True)
        chances = tf.stack([log_chances(logits / temperature, y[0]) for temperature in grid.temperatures])
        losses = -chances[:, None, None]
        if cache:
            cached, memory = from_cache(hidden[0], y[0], memory, grid.thetas)
            losses = -mixed(chances, cached, grid.shares)
        return tf.reduce_sum(losses, -1), (carried, noisy, memory), gradients


def log_chances(logits: Tensor, words: Tensor) -> Tensor:
    """log of the mean over the rows of the chances of the words: (rows, steps, words), (steps,) -> (steps,)."""
    import tensorflow as tf

    rows = logits.shape[0]
    logits = tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
    found = tf.gather(tf.nn.log_softmax(logits), tf.tile(words[None], (rows, 1)), batch_dims=2)
    return tf.reduce_logsumexp(found, 0) - math.log(rows)


def from_cache(
    hidden: Tensor, words: Tensor, memory: tuple[Tensor, Tensor], thetas: Sequence[float]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """log of the chances of some words in the cache, (thetas, steps), and the cache after them.

    NaN where it is empty.
    """
    import tensorflow as tf

    window, steps = tf.shape(memory[1])[0], tf.shape(words)[0]
    keys, values = tf.concat([memory[0], hidden], 0), tf.concat([memory[1], words], 0)
    place, now = tf.range(window + steps)[None], tf.range(steps)[:, None]
    seen = (place >= now) & (place < window + now) & (values[None] >= 0)
    scores = tf.matmul(hidden, keys, transpose_b=True)
    scores = tf.cast(scores, tf.float32) if scores.dtype.size < 4 else scores
    none = tf.constant(-math.inf, scores.dtype)
    found = []
    for theta in thetas:
        likeness = tf.where(seen, theta * scores, none)
        hits = tf.where(values[None] == words[:, None], likeness, none)
        found.append(tf.reduce_logsumexp(hits, 1) - tf.reduce_logsumexp(likeness, 1))
    return tf.stack(found), (keys[steps:], values[steps:])


def mixed(chances: Tensor, cached: Tensor, shares: Sequence[float]) -> Tensor:
    """log of the mixture of softmax, (temperatures, steps), and cache, (thetas, steps), for each share."""
    import tensorflow as tf

    share = tf.constant(np.array(shares)[:, None], chances.dtype)
    chances, cached = chances[:, None, None], tf.cast(cached, chances.dtype)[None, :, None]
    own, other = chances + tf.math.log1p(-share), cached + tf.math.log(share)
    top = tf.maximum(own, other)
    both = top + tf.math.log(tf.exp(own - top) + tf.exp(other - top))
    return tf.where(tf.math.is_nan(cached), chances, both)


class Scorer:
    """Reads the splits of a corpus with a run's best weights, and chooses settings on validation.

    remember: (name, make) -> what make() gave, now or in an earlier process.
    """

    def __init__(self, recipe: Any, reader: Reader, data: Any, remember: Remember) -> None:
        self.recipe, self.reader, self.data, self.remember = recipe, reader, data, remember

    def losses(self, split: str, methods: Methods, grid: Grid, words: int | None = None) -> np.ndarray:
        """The mean loss of a word, or of so many first ones, for each setting of a grid."""
        tokens, steps = getattr(self.data, split)[:words], self.recipe.evaluation_steps
        if methods.mc_dropout:
            steps = self.recipe.steps  # a mask lasts as long as in training
        if methods.dynamic:
            steps = methods.dynamic_steps
        means = self.means(steps) if methods.dynamic else []

        def make() -> Arrays:
            with bar(split, self.recipe.unit, len(tokens)) as shown:
                return [self.reader.losses(tokens, self.data.eos, methods, grid, steps, means, shown.update)]

        name = json.dumps({"split": split, "words": len(tokens), "grid": grid, "steps": steps, **methods.settings()})
        return self.remember(name, make)[0]

    def means(self, steps: int) -> Arrays:
        """The statistics of the training text of what is read, which dynamic evaluation needs."""
        text = self.data.train
        if (text == NOWHERE).any():
            raise InputError(
                f"--dynamic: the training text of {self.data.name} has tokens that the run does not know, and the run "
                "has no <unk>"
            )
        rows = max(min(ROWS, len(text) // (steps + 1)), 1)

        def make() -> Arrays:
            read = windows(text, rows, steps)
            with bar("statistics of the training text", self.recipe.unit, len(read) * rows * steps) as shown:
                return self.reader.mean_squares(read, shown.update)

        return self.remember(json.dumps({"statistics": steps, "rows": rows}), make)

    def tuned(self, methods: Methods, free: Collection[str]) -> Methods:
        """The methods with the settings in `free` chosen on the first words of validation."""
        own = grid_of(methods)
        wide = Grid(TEMPERATURES, THETAS, SHARES) if methods.cache else own._replace(temperatures=TEMPERATURES)
        grid = Grid(*(w if name in free else o for name, w, o in zip(READ_OUT, wide, own, strict=True)))

        def losses(methods: Methods) -> np.ndarray:
            return self.losses("valid", methods, grid, TUNED_WORDS)

        longer = methods.dynamic_steps / 5
        values = {
            "dynamic_rate": [rate * longer for rate in RATES],
            "dynamic_epsilon": EPSILONS,
            "dynamic_decay": [decay * longer for decay in DECAYS],
        }
        for together in ("dynamic_rate", "dynamic_epsilon"), ("dynamic_decay",):
            names = [name for name in together if methods.dynamic and name in free]
            every = itertools.product(*(values[name] for name in names))
            tried = [methods.but(dict(zip(names, each, strict=True))) for each in every]
            if names:
                methods = min(tried, key=lambda each: losses(each).min())
        best = grid.best(losses(methods))
        return methods.but({name: value for name, value in best.items() if name in free})
