"""Sequence to sequence: copy, reverse and sort."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lab import style
from lab.cells import make_cell
from lab.fields import Count, InputError
from lab.task import Model, Tensor
from lab.tasks.layers import wide
from lab.tasks.sequences import AT_DOUBLE, Arrays, Examples, Figure, Rng, SequenceTask

NOTHING = 0  # padding, and what the decoder reads first; the end of a target is symbols + 1


@dataclass(frozen=True, kw_only=True)
class Transducer(SequenceTask):
    """An encoder, and a decoder that attends to what it has read.

    symbols: different symbols
    shortest: symbols of the shortest sequences
    longest: symbols of the longest sequences in training
    embedding_units: width of the embedding of a symbol
    attention_units: width of the attention's hidden layer
    beam: answers that the decoder follows at once

    Targets are symbols from 1 on, then their end, then padding. In training the decoder reads the right answer so
    far; else its own, the likeliest of ``beam``.
    """

    symbols: Count
    shortest: Count
    longest: Count
    embedding_units: Count = 64
    attention_units: Count = 64
    beam: Count = 1
    fresh = True

    unit, score_name = "sequences", "cross_entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortest > self.longest:
            raise InputError(f"shortest={self.shortest}: must be at most longest, {self.longest}")

    def encoder(self) -> Model:
        """A model from x to [memory, its mask]."""
        raise NotImplementedError

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        import tfcells

        encoder = self.encoder()
        so_far = keras.Input((None,), dtype="int32", name="answer_so_far")
        memory, mask = encoder(encoder.input)
        bare = make_cell(self.cell, self.units, self.cell_arguments)
        cell = self.wrapped(tfcells.Attention(bare, self.attention_units, memory.shape[-1]))
        decoder = tfcells.RNN(cell, return_sequences=True, return_state=True, name="decoder")
        size = self.symbols + 2
        embedded = keras.layers.Embedding(size, self.embedding_units, name="embedding")(so_far)
        y, *_ = decoder(embedded, memory=memory, memory_mask=mask)
        logits = keras.layers.Dense(size, name="output")(y)
        return keras.Model([encoder.input, so_far], logits)

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        so_far = tf.pad(y[:, :-1], [[0, 0], [1, 0]])
        logits = wide(model([x, so_far], training=training))
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        known = tf.cast(y != NOTHING, each.dtype)
        return tf.reduce_sum(each * known, 1) / tf.reduce_sum(known, 1), state

    def answers(self, model: Model, x: np.ndarray, steps: int) -> np.ndarray:
        """The likeliest answers of a beam search, (rows, steps). Behind its end an answer is padded."""
        if not hasattr(model, "written_by"):
            model.written_by = decoder_of(model, self.symbols + 1)
        encoder, decoder = model.get_layer("encoder"), model.written_by
        found = []
        for first in range(0, len(x), self.evaluation_batch_size):
            part = x[first : first + self.evaluation_batch_size]
            begin = np.full((len(part), 1), NOTHING)
            context = encoder(part)
            tokens, lengths, *_ = decoder.beam_search(begin, steps, beams=self.beam, context=context)
            found.append(np.where(np.arange(steps) < lengths[:, :1], tokens[:, 0], NOTHING))
        return np.concatenate(found)

    def alignment(self, model: Model, x: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Where the decoder looks for each symbol of its answers: (rows, steps, rows of the memory)."""
        import tfcells

        memory, mask = model.get_layer("encoder")(x)
        so_far = model.get_layer("embedding")(np.pad(answers[:, :-1], [(0, 0), (1, 0)]))
        found = tfcells.trace(model.get_layer("decoder"), so_far, memory=memory, memory_mask=mask)
        name = "cell.a" if self.wrapper else "a"  # a cell may have an a of its own
        return found[name if name in found else "a"]

    def right(self, model: Model, x: np.ndarray, y: np.ndarray) -> float:
        """The share of rows that are right up to their ends."""
        return float(np.mean(np.all((self.answers(model, x, y.shape[1]) == y) | (y == NOTHING), axis=1)))


def decoder_of(model: Model, end_token: int) -> Any:
    """The `tfcells.Decoder` of a network: one for all epochs, as it compiles."""
    import keras

    import tfcells

    encoder, embed, decode, output = map(model.get_layer, ("encoder", "embedding", "decoder", "output"))
    so_far = keras.Input((None,), dtype="int32")
    memory, mask = (keras.Input(read.shape[1:], dtype=read.dtype) for read in encoder.output)
    y, *_ = decode(embed(so_far), memory=memory, memory_mask=mask)
    return tfcells.Decoder(keras.Model([so_far, memory, mask], output(y)), end_token=end_token)


@dataclass(frozen=True, kw_only=True)
class Transduction(Transducer):
    """Copies, reverses or sorts; the encoder reads in both directions.

    kind: what the answer is

    Each epoch has new sequences. ``right`` is the share of
    whole sequences that come out right, ``right_at_double`` the same for sequences of twice the longest
    length, which training never sees.
    """

    kind: Literal["copy", "reverse", "sort"] = "copy"
    symbols: Count = 20
    shortest: Count = 5
    longest: Count = 15

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.kind

    def examples(self, rng: Rng, count: int, split: str) -> Arrays:
        return self.draw(rng, count, self.shortest, self.longest)

    def draw(self, rng: Rng, count: int, shortest: int, longest: int) -> Arrays:
        lengths = rng.integers(shortest, longest + 1, count)
        x = rng.integers(1, self.symbols + 1, (count, longest)).astype("int32")
        x[np.arange(longest) >= lengths[:, None]] = NOTHING
        y = np.zeros((count, longest + 1), "int32")
        for row, length in enumerate(lengths):
            y[row, :length] = GOALS[self.kind](x[row, :length])
            y[row, length] = self.symbols + 1
        return x, y

    def encoder(self) -> Model:
        import keras

        import tfcells

        x = keras.Input((None,), dtype="int32", name="symbols")
        mask = keras.ops.not_equal(x, NOTHING)
        memory = keras.layers.Embedding(self.symbols + 1, self.embedding_units)(x)
        for _ in range(self.layers):
            layer = tfcells.RNN(self.make_cell(), return_sequences=True)
            memory = keras.layers.Bidirectional(layer)(memory, mask=mask)
        return keras.Model(x, [memory, mask], name="encoder")

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        double = self.draw(self.rng(7), AT_DOUBLE, 2 * self.longest, 2 * self.longest)
        return {
            "right": self.right(model, *getattr(data, split)),
            "right_at_double": self.right(model, *double),
        }

    def figure(self, model: Model, data: Examples) -> Figure:
        x, y = (array[:1] for array in data.test)
        length = int((x[0] != NOTHING).sum())
        found = self.answers(model, x, length + 1)
        alignment = self.alignment(model, x, found)
        right = "right" if (found == y[:, : length + 1]).all() else "wrong"
        figure = style.figure(f"{self.kind}: {length} symbols {right}; dark: where attention looks", 5, 4)
        axes = style.axes(figure, xlabel="symbol read", ylabel="symbol answered")
        image = style.heat(axes, alignment[0, :, :length])
        axes.set_xticks(range(length), x[0, :length])
        end = self.symbols + 1
        axes.set_yticks(range(length + 1), ["end" if s == end else s for s in found[0]])
        figure.colorbar(image, label="attention").outline.set_visible(False)
        return figure


GOALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "copy": lambda x: x,
    "reverse": lambda x: x[::-1],
    "sort": np.sort,
}
