"""Sequence to sequence: copy, reverse, sort, and the adding problem."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lab.recipe import Count, InputError, Size
from lab.tasks.sequences import Task

NOTHING = 0  # padding, and what the decoder reads first; the end of a target is symbols + 1


@dataclass(frozen=True, kw_only=True)
class Transducer(Task):
    """An encoder, and a decoder that attends to what it has read.

    Targets are symbols from 1 on, then their end, then padding. In training the decoder reads the right
    answer so far; else its own, the likeliest of ``beam`` that it follows at once.
    """

    symbols: Count
    shortest: Count
    longest: Count
    embedding_units: Count = 64
    attention_units: Count = 64
    beam: Count = 1
    fresh = True

    unit, speed_name, score_name = "sequences", "sequences_per_second", "cross_entropy"

    def __post_init__(self):
        super().__post_init__()
        if self.shortest > self.longest:
            raise InputError(f"shortest={self.shortest}: must be at most longest, {self.longest}")

    def encoder(self):
        """A model from x to [memory, its mask]."""
        raise NotImplementedError

    def network(self, features, targets):
        import keras

        import tfcells

        encoder = self.encoder()
        so_far = keras.Input((None,), dtype="int32", name="answer_so_far")
        memory, mask = encoder(encoder.input)
        cell = tfcells.Attention(self.make_cell(), self.attention_units, memory.shape[-1])
        decoder = tfcells.RNN(cell, return_sequences=True, return_state=True, name="decoder")
        size = self.symbols + 2
        embedded = keras.layers.Embedding(size, self.embedding_units, name="embedding")(so_far)
        y, *_ = decoder(embedded, memory=memory, memory_mask=mask)
        logits = keras.layers.Dense(size, name="output")(y)
        return keras.Model([encoder.input, so_far], logits)

    def losses(self, model, x, y, state, training=False):
        import tensorflow as tf

        so_far = tf.pad(y[:, :-1], [[0, 0], [1, 0]])
        logits = tf.cast(model([x, so_far], training=training), "float32")
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        known = tf.cast(y != NOTHING, each.dtype)
        return tf.reduce_sum(each * known, 1) / tf.reduce_sum(known, 1), state

    def answers(self, model, x, steps):
        """The likeliest answers of a beam search, (rows, steps), and their alignments.

        A beam that has come to its end goes on with NOTHING, at no cost.
        """
        import tensorflow as tf

        rows, beam, size = len(x), self.beam, self.symbols + 2
        memory, mask = (tf.repeat(part, beam, 0) for part in model.get_layer("encoder")(x))
        embed, decoder, output = map(model.get_layer, ("embedding", "decoder", "output"))

        @tf.function
        def step(symbols, state):
            y, *state = decoder(
                embed(symbols[:, None]), initial_state=state, memory=memory, memory_mask=mask
            )
            return tf.nn.log_softmax(tf.cast(output(y)[:, 0], "float32")), state

        state = decoder.get_initial_state(rows * beam)
        found = np.zeros((rows * beam, steps), "int32")
        before = np.zeros((rows * beam, steps, state[0].shape[-1]), "float32")
        score = np.where(np.arange(rows * beam) % beam == 0, 0, -np.inf)  # all begin alike
        symbols, ended = np.zeros(rows * beam, "int32"), np.zeros(rows * beam, bool)
        for t in range(steps):
            before[:, t] = state[0]
            chances, state = step(tf.constant(symbols), state)
            chances = np.where(ended[:, None], -np.inf, np.asarray(chances, "float64"))
            chances[ended, NOTHING] = 0
            total = (score[:, None] + chances).reshape(rows, beam * size)
            best = np.argsort(-total, axis=1, kind="stable")[:, :beam]
            score = np.take_along_axis(total, best, 1).ravel()
            origin = (np.arange(rows)[:, None] * beam + best // size).ravel()
            symbols = (best % size).ravel().astype("int32")
            found, before = found[origin], before[origin]
            state = [tf.gather(value, origin) for value in state]
            found[:, t] = symbols
            ended = ended[origin] | (symbols == self.symbols + 1)
        first = slice(None, None, beam)
        alignment = decoder.cell.alignment(before[first], memory[first], mask[first])
        return found[first], np.asarray(alignment)

    def right(self, model, x, y):
        """The share of rows that are right up to their ends."""
        size = self.evaluation_batch_size
        parts = [
            self.answers(model, x[n : n + size], y.shape[1])[0] for n in range(0, len(x), size)
        ]
        return float(np.mean(np.all((np.concatenate(parts) == y) | (y == NOTHING), axis=1)))


@dataclass(frozen=True, kw_only=True)
class Transduction(Transducer):
    """Copies, reverses or sorts; the encoder reads in both directions.

    Sequences of ``shortest`` to ``longest`` symbols, new ones each epoch. ``right`` is the share of
    whole sequences that come out right, ``right_at_double`` the same for sequences of twice the longest
    length, which training never sees.
    """

    kind: Literal["copy", "reverse", "sort"] = "copy"
    symbols: Count = 20
    shortest: Count = 5
    longest: Count = 15

    @property
    def name(self):
        return self.kind

    def examples(self, rng, count, split):
        return self.draw(rng, count, self.shortest, self.longest)

    def draw(self, rng, count, shortest, longest):
        lengths = rng.integers(shortest, longest + 1, count)
        x = rng.integers(1, self.symbols + 1, (count, longest)).astype("int32")
        x[np.arange(longest) >= lengths[:, None]] = NOTHING
        y = np.zeros((count, longest + 1), "int32")
        for row, length in enumerate(lengths):
            y[row, :length] = GOALS[self.kind](x[row, :length])
            y[row, length] = self.symbols + 1
        return x, y

    def encoder(self):
        import keras

        import tfcells

        x = keras.Input((None,), dtype="int32", name="symbols")
        mask = keras.ops.not_equal(x, NOTHING)
        memory = keras.layers.Embedding(self.symbols + 1, self.embedding_units)(x)
        for _ in range(self.layers):
            layer = tfcells.RNN(self.make_cell(), return_sequences=True)
            memory = keras.layers.Bidirectional(layer)(memory, mask=mask)
        return keras.Model(x, [memory, mask], name="encoder")

    def measures(self, model, data, split):
        double = self.draw(self.rng(7), 250, 2 * self.longest, 2 * self.longest)
        return {
            "right": self.right(model, *getattr(data, split)),
            "right_at_double": self.right(model, *double),
        }

    def figure(self, model, data):
        from matplotlib.figure import Figure

        x, y = (array[:1] for array in data.test)
        length = int((x[0] != NOTHING).sum())
        found, alignment = self.answers(model, x, length + 1)
        figure = Figure(figsize=(5, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="read", ylabel="answered", title=self.kind)
        image = axes.imshow(alignment[0, :, :length], cmap="Greys", vmin=0, vmax=1)
        axes.set_xticks(range(length), x[0, :length])
        end = self.symbols + 1
        axes.set_yticks(range(length + 1), ["end" if s == end else s for s in found[0]])
        figure.colorbar(image, label="attention")
        return figure


GOALS = {"copy": lambda x: x, "reverse": lambda x: x[::-1], "sort": np.sort}


@dataclass(frozen=True, kw_only=True)
class Adding(Task):
    """The sum of the two numbers, of many in [0, 1], that are marked (Hochreiter & Schmidhuber, 1997).

    In training sequences have half of ``steps`` to ``steps`` steps, in validation and test ``steps``;
    one marker is in either half. To answer 1 always has the squared error 0.1667 (0.1767 in some papers).
    ``at_double`` is the squared error at twice the steps.
    """

    steps: Count = 200
    fresh = True

    name, unit, speed_name, score_name = "add", "sequences", "sequences_per_second", "squared_error"

    def __post_init__(self):
        super().__post_init__()
        if self.steps < 2:
            raise InputError(f"steps={self.steps}: must be at least 2, one for either number")

    def examples(self, rng, count, split):
        return self.draw(
            rng, count, self.steps // 2 if split == "train" else self.steps, self.steps
        )

    def draw(self, rng, count, shortest, longest):
        """x: numbers, markers, and 1 as long as the sequence lasts; y: the sum."""
        lengths = rng.integers(max(shortest, 2), longest + 1, count)
        x = np.zeros((count, longest, 3), "float32")
        x[..., 0] = rng.uniform(0, 1, (count, longest))
        first = rng.integers(0, lengths // 2)
        second = rng.integers(lengths // 2, lengths)
        rows = np.arange(count)
        x[rows, first, 1] = x[rows, second, 1] = 1
        x[..., 2] = 1
        x[np.arange(longest) >= lengths[:, None]] = 0
        return x, (x[..., 0] * x[..., 1]).sum(1)

    def network(self, features, targets):
        import keras

        x = keras.Input((None, 3), name="numbers_and_markers")
        y = self.recurrent(keras.layers.Masking()(x))[:, -1]
        return keras.Model(x, keras.layers.Dense(1, name="output")(y)[:, 0])

    def losses(self, model, x, y, state, training=False):
        import tensorflow as tf

        return tf.square(tf.cast(model(x, training=training), y.dtype) - y), state

    def measures(self, model, data, split):
        x, y = self.draw(self.rng(7), self.evaluation_batch_size, 2 * self.steps, 2 * self.steps)
        return {"at_double": float(np.mean((self.predict(model, x) - y) ** 2))}

    def figure(self, model, data):
        from matplotlib.figure import Figure

        x, y = data.test
        found = self.predict(model, x)
        figure = Figure(figsize=(4, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="sum", ylabel="answer", aspect="equal")
        axes.plot([0, 2], [0, 2], color="0.7")
        axes.plot(y, found, "k.", markersize=3)
        axes.set_title(f"{self.steps} steps: squared error {np.mean((found - y) ** 2):.2g}")
        return figure


def size(kind, **more):
    defaults = {
        "kind": kind,
        "units": 128,
        "epochs": 15,
        "batch_size": 64,
        "train_examples": 12_800,
        "valid_examples": 500,
        "test_examples": 1000,
        "evaluation_batch_size": 500,
        "optimizer": "adam",
        "learning_rate": 3e-3,
        "anneal": "linear",
        "clip_norm": 1.0,
    }
    return {"attention": Size(Transduction(**(defaults | more)), paper="", source="ours")}


TARGETS = {
    "copy": size("copy"),
    "reverse": size("reverse"),
    "sort": size("sort"),
    "add": {
        "steps_200": Size(
            Adding(
                units=64,
                epochs=30,
                batch_size=50,
                train_examples=10_000,
                valid_examples=500,
                test_examples=1000,
                optimizer="adam",
                learning_rate=3e-3,
                anneal="linear",
                clip_norm=1.0,
            ),
            paper="Hochreiter & Schmidhuber 1997",
            source="section 5.4: 74,000 sequences at 100 steps",
        )
    },
}
