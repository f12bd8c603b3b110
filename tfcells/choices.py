"""How a `Decoder` chooses the next token: the likeliest, one drawn at random, or the best few of several beams.

Rows are sequences being written: one for each prompt, or as many as there are beams.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from tfcells.contract.linear import Tensor

WIDE = "float32" if keras.backend.backend() == "jax" else "float64"  # of draws; JAX has no float64 by default


@dataclass(frozen=True)
class Choice:
    """How tokens are chosen."""

    beams: int = 1

    def spread(self, x: Tensor) -> Tensor:
        """A tensor with a row for each prompt, as one with a row for each beam."""
        return x if self.beams == 1 else ops.repeat(x, self.beams, axis=0)

    def start(self, ended: Tensor, dtype: str) -> Tensor:
        """The scores before the first token. ended: (rows,). dtype: of the logits."""
        return ops.zeros_like(ended, dtype="float64" if dtype == "float64" else "float32")

    def ranked(self, score: Tensor, lengths: Tensor, given: dict[str, Any]) -> Tensor:
        """The scores by which sequences are compared."""
        return score

    def __call__(
        self, logits: Tensor, score: Tensor, lengths: Tensor, t: Tensor, given: dict[str, Any]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Which row each row goes on from, None for itself; its next token; its new score.

        logits: (rows, vocabulary). lengths: with the next token.
        """
        raise NotImplementedError


class Likeliest(Choice):
    """The likeliest token."""

    def __call__(
        self, logits: Tensor, score: Tensor, lengths: Tensor, t: Tensor, given: dict[str, Any]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        highest, token = ops.top_k(logits, 1)  # on a processor in half the time of argmax and max
        gained = highest[:, 0] - ops.logsumexp(logits, axis=-1)
        return None, ops.cast(token[:, 0], "int32"), score + gained


@dataclass(frozen=True)
class Drawn(Choice):
    """The token at which the cumulated probabilities pass a number that was drawn from [0, 1)."""

    top_k: int | None = None
    nucleus: bool = False

    def start(self, ended: Tensor, dtype: str) -> Tensor:
        return ops.zeros_like(ended, dtype=WIDE)

    def __call__(
        self, logits: Tensor, score: Tensor, lengths: Tensor, t: Tensor, given: dict[str, Any]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        kept, tokens = logits, None
        if self.top_k is not None or self.nucleus:
            kept, tokens = ops.top_k(logits, self.top_k or logits.shape[-1])
        chances = ops.cumsum(self.chances(kept, given), axis=-1)
        drawn = ops.cast(ops.take(given["drawn"], t, axis=0), chances.dtype)[:, None]
        found = ops.argmax(ops.cast(chances / chances[:, -1:] > drawn, "int32"), axis=-1)[:, None]
        token = found if tokens is None else ops.take_along_axis(tokens, found, axis=1)
        gained = ops.take_along_axis(logits, token, axis=1)[:, 0] - ops.logsumexp(logits, axis=-1)
        return None, ops.cast(token[:, 0], "int32"), score + gained

    def chances(self, kept: Tensor, given: dict[str, Any]) -> Tensor:
        """The probabilities of the tokens that are kept, but for a factor. For top_p they are sorted."""
        below = kept - ops.max(kept, axis=-1, keepdims=True)
        temperature = ops.cast(given["temperature"], below.dtype)
        chances = ops.exp(ops.where(below == 0, below, below / temperature))  # the temperature may round to 0
        if not self.nucleus:
            return chances
        before = ops.cumsum(chances, axis=-1) - chances
        share = ops.cast(given["top_p"], chances.dtype) * ops.sum(chances, axis=-1, keepdims=True)
        return ops.where(before < share, chances, ops.zeros_like(chances))


class Best(Choice):
    """The best continuations of all beams of a prompt."""

    def start(self, ended: Tensor, dtype: str) -> Tensor:
        zeros = super().start(ended, dtype)
        first = ops.arange(ops.shape(zeros)[0]) % self.beams == 0  # all beams begin alike, and one is enough
        return ops.where(first, zeros, ops.full_like(zeros, -math.inf))

    def ranked(self, score: Tensor, lengths: Tensor, given: dict[str, Any]) -> Tensor:
        penalty = ops.cast(given["length_penalty"], score.dtype)
        return score / ((5 + ops.cast(lengths, score.dtype)) / 6) ** penalty

    def __call__(
        self, logits: Tensor, score: Tensor, lengths: Tensor, t: Tensor, given: dict[str, Any]
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        size = logits.shape[-1]
        total = score[:, None] + ops.log_softmax(logits, axis=-1)
        rank = self.ranked(total, lengths[:, None], given)
        rank = ops.where(ops.isnan(rank), math.inf, rank)  # so that it is not passed over
        _, best = ops.top_k(ops.reshape(rank, (-1, self.beams * size)), self.beams)
        score = ops.take_along_axis(ops.reshape(total, (-1, self.beams * size)), best, axis=1)
        origin = ops.arange(ops.shape(best)[0], dtype=best.dtype)[:, None] * self.beams + best // size
        return ops.reshape(origin, (-1,)), ops.cast(ops.reshape(best % size, (-1,)), "int32"), ops.reshape(score, (-1,))
