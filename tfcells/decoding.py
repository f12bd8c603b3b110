"""Sequences that a model writes token by token: greedily, drawn at random, or by beam search.

Rows are sequences being written: one for each prompt, or as many as there are beams.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tfcells import masks
from tfcells.checks import flag, number, positive, real, require, whole
from tfcells.choices import Best, Choice, Drawn, Likeliest
from tfcells.contract.cell import fits, fitting
from tfcells.contract.linear import Tensor
from tfcells.stepping import StepModel, step_model

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1


class Decoded(NamedTuple):
    """What a `Decoder` has written, as arrays. Beams are one more axis, after the batch, the best one first.

    tokens: (batch, length). Behind an end token there are more of it.
    lengths: (batch,). How many tokens a sequence has, the end token included.
    scores: (batch,). The logarithm of the sequence's probability, given its prompt, in beams divided by the
        penalty. -inf marks a beam without a sequence, where there are fewer sequences than beams.
    states: of the model, (batch, ...) each, before it has read the last token. Decoding goes on from there with that
        token as the prompt and these as the initial_state.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    scores: np.ndarray
    states: list[np.ndarray]


class Decoder:
    """Writes sequences with a model that predicts the next token.

    model: Sequential or functional, and built. It reads tokens, (batch, steps), and gives scores for the token that
        follows each, (batch, steps, vocabulary), or only for the one after the last, (batch, vocabulary). Whatever
        `step_model` takes will do, attention included; so will what it returns.
    end_token: ends a sequence when it is written. With None all sequences get the whole length.
    from_logits: False for a model that ends in a softmax.

    All methods have these arguments:

    - prompt: the tokens that each sequence begins with, at least one: an array (batch, steps), or lists of any lengths.
      Where nothing is given, that is the token for the beginning.
    - length: how many tokens to write at the most, the end token included.
    - context: what the model reads besides tokens, such as a memory and its mask, in the order of its inputs: an
      array, (batch, ...), or a list of them.
    - initial_state: before the prompt, in the order of `step_model(model).get_initial_state`; by default that.

    They return a `Decoded`. A method compiles its loop at the first call. On TensorFlow two programs at the most take
    all prompts, lengths and batch sizes; another top_k, another number of beams, or a top_p where there was none,
    compiles anew. JAX compiles one for each batch size, and for each power of two, from 16 on,
    to which lengths are filled up. Bad arguments raise a ValueError, and so do outputs that are not finite.

    >>> layers = [keras.layers.Embedding(9, 4), tfcells.RNN(tfcells.GRUCell(8), return_sequences=True)]
    >>> model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(9)])
    >>> decoder = tfcells.Decoder(model, end_token=2)
    >>> decoder.greedy([[1], [1, 5, 3]], length=6).tokens.shape
    (2, 6)
    >>> decoder.beam_search([[1], [1, 5, 3]], length=6, beams=4, length_penalty=0.6).scores.shape
    (2, 4)
    """

    def __init__(self, model: keras.Model, end_token: int | None = None, from_logits: bool = True) -> None:
        self.step = model if isinstance(model, StepModel) else step_model(model)
        self.from_logits = flag("from_logits", from_logits)
        given = len(self.step.inputs) - self.step.states
        if len(self.step.stepping) != 1 or len(self.step.outputs) != 1 + self.step.states:
            names = [self.step.inputs[index].name for index in self.step.stepping]
            raise ValueError(
                "model must read one input step by step, the tokens, and have one output, got inputs "
                f"{names} and {len(self.step.outputs) - self.step.states} outputs"
            )
        (self.place,) = self.step.stepping
        tokens, logits = self.step.inputs[self.place], self.step.outputs[0]
        if len(tokens.shape) != 2 or logits.shape[-1] is None:
            raise ValueError(
                "model must read tokens, (batch, steps), and know its vocabulary, got an input of shape "
                f"{tokens.shape} and an output of shape {logits.shape}"
            )
        self.context = [x for index, x in enumerate(self.step.inputs[:given]) if index != self.place]
        self.vocabulary = logits.shape[-1]
        nodes = [node for nodes in self.step._nodes_by_depth.values() for node in nodes]
        readers = [node.operation for node in nodes if any(x is tokens for x in node.input_tensors)]
        sizes = [each.input_dim for each in readers if isinstance(each, keras.layers.Embedding)]
        self.known = min(sizes, default=math.inf)
        if end_token is not None:
            known = whole(end_token) and 0 <= end_token < self.vocabulary
            require("end_token", end_token, f"None or a whole number from 0 to {self.vocabulary - 1}", known)
        self.end_token = end_token
        self.searches: dict[tuple[Choice, bool], Search] = {}
        self.checked = False

    def greedy(self, prompt: Any, length: int, context: Any = (), initial_state: Any = None) -> Decoded:
        """The likeliest token at each step."""
        return self.run(Likeliest(), prompt, length, context, initial_state, {})

    def sample(
        self,
        prompt: Any,
        length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | np.random.Generator | None = None,
        context: Any = (),
        initial_state: Any = None,
    ) -> Decoded:
        """Tokens drawn at random, each by softmax(logits / temperature).

        top_k: draws from so many of the likeliest tokens alone. top_p: draws from the fewest of the likeliest whose
        probabilities, after temperature and top_k, add up to this or more (Holtzman et al., 1904.09751). seed: a whole
        number, which decides all draws, a NumPy generator that goes on drawing, or None, for which
        `keras.utils.set_random_seed` decides. The same numbers are drawn on every backend. Scores are those of the
        model, without temperature, top_k and top_p.
        """
        number("temperature", temperature, low=0)
        if top_k is not None:
            several = whole(top_k) and 1 <= top_k <= self.vocabulary
            require("top_k", top_k, f"None or a whole number from 1 to {self.vocabulary}", several)
        if top_p is not None:
            require("top_p", top_p, "None or a number above 0 and at most 1", real(top_p) and 0 < top_p <= 1)
        known = seed is None or isinstance(seed, np.random.Generator) or (whole(seed) and seed >= 0)
        require("seed", seed, "None, a whole number of at least 0 or a numpy.random.Generator", known)
        seed = ops.convert_to_numpy(keras.random.SeedGenerator().state) if seed is None else seed
        prompt, random = as_prompt(prompt), np.random.default_rng(seed)
        drawn = np.zeros((filled(positive("length", length)), len(prompt)))
        drawn[:length] = np.minimum(random.random((length, len(prompt))), BELOW_ONE)
        options = {"drawn": drawn, "temperature": np.array(temperature, "float64")}
        options |= {"top_p": np.array(top_p or 1, "float64")}
        return self.run(Drawn(top_k=top_k, nucleus=top_p is not None), prompt, length, context, initial_state, options)

    def beam_search(
        self,
        prompt: Any,
        length: int,
        beams: int,
        length_penalty: float = 0.0,
        context: Any = (),
        initial_state: Any = None,
    ) -> Decoded:
        r"""The likeliest sequences that are found by following the best few at once, `beams` of them.

        A sequence's score is \log P / ((5 + n) / 6)^a. n is the number of its tokens, the end token included, and a the
        length_penalty. With 0, the default, the score is \log P. The larger a, the longer are the sequences that win.
        Source: Wu et al., 1609.08144, section 7, without its coverage penalty. At each step the best of all
        continuations stay, ended sequences among them. The search is over when all that stay have ended.
        """
        holds = real(length_penalty) and 0 <= length_penalty < math.inf
        require("length_penalty", length_penalty, "a finite number of at least 0", holds)
        options = {"length_penalty": np.array(length_penalty, "float64")}
        found = self.run(Best(positive("beams", beams)), prompt, length, context, initial_state, options)
        return Decoded(*keras.tree.map_structure(lambda x: x.reshape(-1, beams, *x.shape[1:]), tuple(found)))

    def run(
        self, choice: Choice, prompt: Any, length: int, context: Any, initial_state: Any, options: dict[str, Any]
    ) -> Decoded:
        """What `Search` writes with this choice of tokens, whose numbers are the options."""
        prompt, length = as_prompt(prompt), positive("length", length)
        largest = max(int(row.max()) for row in prompt)
        require("prompt", largest, f"tokens below {self.known}, those of the model's Embedding", largest < self.known)
        rows, ends = len(prompt), np.array([len(row) - 1 for row in prompt], "int32")
        size = self.step.inputs[self.place].shape[0]
        require("prompt", rows, f"{size} sequences, the batch size of the model", size in (None, rows))
        require("beams", choice.beams, "1 with a model of a fixed batch size", size is None or choice.beams == 1)
        padded = np.zeros((rows, filled(max(ends) + 1)), "int32")
        for row, tokens in zip(padded, prompt, strict=True):
            row[: len(tokens)] = tokens
        given = {
            "prompt": padded,
            "ends": ends,
            "context": self.checked_context(context, rows),
            "states": self.checked_state(initial_state, rows),
            "tokens": np.full((rows, filled(length)), self.end_token or 0, "int32"),
            "length": np.array(length, "int32"),
            **options,
        }
        self.check_outputs(given)
        reads = bool(max(ends) > 0) or (choice, True) in self.searches  # one that can read need not
        if (choice, reads) not in self.searches:
            self.searches[choice, reads] = Search(self, choice, reads)
        found = self.searches[choice, reads].predict_on_batch(given)
        if np.isnan(found["scores"]).any():
            raise ValueError("model must have finite outputs, or -inf for what never comes, got others")
        return Decoded(found["tokens"][:, :length], found["lengths"], found["scores"], found["states"])

    def checked_context(self, context: Any, rows: int) -> list[Tensor]:
        """What the model reads besides tokens, as tensors without masks of Keras's: there are inputs for those."""
        given = [ops.convert_to_numpy(x) for x in keras.tree.flatten(context)]
        wanted = [(rows, *x.shape[1:]) for x in self.context]
        shapes = [tuple(x.shape) for x in given]
        if len(given) != len(wanted) or not all(map(fits, shapes, wanted)):
            names = [x.name for x in self.context]
            raise ValueError(
                f"context must be arrays of shapes {wanted}, the inputs {names} of the model, got {shapes}"
            )
        return [ops.convert_to_tensor(x, like.dtype) for x, like in zip(given, self.context, strict=True)]

    def checked_state(self, initial_state: Any, rows: int) -> list[Tensor]:
        """The states before the prompt: given, or the model's own."""
        own = self.step.get_initial_state(rows)
        if initial_state is None:
            return own
        given = fitting("initial_state", initial_state, [tuple(x.shape) for x in own])
        return [ops.cast(x, like.dtype) for x, like in zip(given, own, strict=True)]

    def check_outputs(self, given: dict[str, Any]) -> None:
        """Raises ValueError where probabilities are taken for logits, or logits for probabilities; looks once."""
        if self.checked:
            return
        output, _ = self.advance(given["prompt"][:, 0], given["context"], given["states"])
        output = ops.convert_to_numpy(ops.cast(output, "float32"))
        distributions = output.min() >= 0 and np.abs(output.sum(-1) - 1).max() < 0.01
        if distributions == self.from_logits:
            what = "are probabilities" if distributions else "are no probabilities"
            raise ValueError(f"from_logits must be {not self.from_logits}, as the outputs of the model {what}")
        self.checked = True

    def advance(self, tokens: Tensor, context: list, states: list) -> tuple[Tensor, list]:
        """The output for tokens, (rows, vocabulary), and the states after them."""
        given = list(context)
        given.insert(self.place, ops.cast(tokens, self.step.inputs[self.place].dtype)[:, None])
        output, *states = self.step([*given, *states], training=False)
        return ops.reshape(output, (-1, self.vocabulary)), states


class Search(keras.Model):
    """Reads prompts and writes what follows, until all sequences have ended or are as long as they may be.

    A `keras.Model`, so that Keras compiles the loop in whichever way its backend does. reads: whether there may be
    prompts of more than one token; without them half as much is to be compiled.
    """

    def __init__(self, decoder: Decoder, choice: Choice, reads: bool) -> None:
        super().__init__(autocast=False)
        self.step = decoder.step  # whose variables are this model's
        self.decoder, self.choice, self.reads = decoder, choice, reads
        self.built = True
        if keras.backend.backend() == "tensorflow":
            self.jit_compile = False  # XLA would compile anew for every batch size and length

    def call(self, given: dict[str, Any]) -> dict[str, Any]:
        prompt, ends, context = given["prompt"], given["ends"], given["context"]

        def read(t: Tensor, states: list) -> tuple:
            _, new = self.decoder.advance(ops.take(prompt, t, axis=1), context, states)
            return t + 1, like(list(masks.choose((t < ends)[:, None], new, states)), states)

        start, states = ops.zeros((), "int32"), list(given["states"])
        if self.reads:
            _, states = ops.while_loop(lambda t, _: t < ops.max(ends), read, (start, states))
        last = ops.take_along_axis(prompt, ends[:, None], axis=1)[:, 0]
        rows = last, states, given["tokens"], context
        last, states, tokens, context = keras.tree.map_structure(self.choice.spread, rows)
        ended = ops.zeros_like(last, dtype="bool")
        first = last, states, tokens, ops.zeros_like(last), self.choice.start(ended, self.step.outputs[0].dtype), ended

        def write(t: Tensor, *now: Any) -> tuple:
            return t + 1, *like(self.write(t, given, context, *now), now)

        def goes_on(t: Tensor, *now: Any) -> Tensor:
            return ops.logical_and(t < given["length"], ops.logical_not(ops.all(now[-1])))

        _, _, states, tokens, lengths, score, _ = ops.while_loop(goes_on, write, (start, *first))
        return {
            "tokens": tokens,
            "lengths": lengths,
            "scores": self.choice.ranked(score, lengths, given),
            "states": states,
        }

    def write(
        self,
        t: Tensor,
        given: dict[str, Any],
        context: list,
        last: Tensor,
        states: list,
        tokens: Tensor,
        lengths: Tensor,
        score: Tensor,
        ended: Tensor,
    ) -> tuple:
        """One more token in each row. One that has ended goes on with its end token, which costs nothing."""
        end = self.decoder.end_token
        logits, new = self.decoder.advance(last, context, states)
        logits = ops.cast(logits, score.dtype)
        logits = logits if self.decoder.from_logits else ops.log(logits)
        if end is not None:
            over = ended[:, None]
            new = list(masks.choose(ops.logical_not(over), new, states))
            only = ops.where(ops.arange(self.decoder.vocabulary) == end, 0.0, -math.inf)
            logits = ops.where(over, ops.cast(only, logits.dtype), logits)
        lengths = lengths + ops.cast(ops.logical_not(ended), lengths.dtype)
        origin, last, score = self.choice(logits, score, lengths, t, given)
        if origin is not None:
            rows = new, tokens, lengths, ended
            new, tokens, lengths, ended = keras.tree.map_structure(lambda x: ops.take(x, origin, axis=0), rows)
        tokens = ops.where(ops.arange(ops.shape(tokens)[1]) == t, last[:, None], tokens)
        ended = ended if end is None else ops.logical_or(ended, last == end)
        return last, new, tokens, lengths, score, ended


def like(new: Any, old: Any) -> Any:
    """The new values, of which as much of the shapes is known as of the old ones: TensorFlow's loops insist on it."""

    def reshaped(a: Tensor, b: Tensor) -> Tensor:
        return a if tuple(a.shape) == tuple(b.shape) else ops.reshape(a, ops.shape(b))

    return keras.tree.map_structure(reshaped, new, old)


def as_prompt(given: Any) -> list[np.ndarray]:
    """Prompts as arrays of tokens, one for each sequence."""
    given = ops.convert_to_numpy(given) if hasattr(given, "shape") else given
    rows = [np.asarray(row) for row in given] if isinstance(given, Sequence | np.ndarray) else []
    if not rows or not all(row.ndim == 1 and row.size and row.dtype.kind in "iu" and row.min() >= 0 for row in rows):
        raise ValueError(
            "prompt must be whole numbers of at least 0, one or more for each sequence: an array (batch, steps), or "
            f"lists, got {given!r}"
        )
    return rows


def filled(length: int) -> int:
    """The next power of two from 16 on: so many lengths have one program."""
    return max(16, 1 << (int(length) - 1).bit_length())
