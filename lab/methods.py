"""How a language model reads a text: dynamic evaluation, a cache, the temperature, averaged dropout.

Neither Keras nor TensorFlow is imported.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from lab.fields import Count, Few, NonNegative, Positive, Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Methods:
    """How a text is read.

    dynamic: the weights learn from what they have read
    dynamic_steps: words of a segment, after which they do
    dynamic_rate: how far they move
    dynamic_decay: how fast they go back to the trained ones
    dynamic_epsilon: what is added to the root mean square of a weight's gradient
    cache: words that were read after similar outputs get likelier
    cache_window: words that the cache holds
    cache_theta: how sharply it tells outputs apart
    cache_share: its share of the prediction
    temperature: divides the logits
    mc_dropout: networks with dropout whose mean is the prediction, or none

    Dynamic evaluation (Krause et al., 1709.07432): after each segment of ``dynamic_steps`` words every weight w takes
    the step

        w += dynamic_decay * d * (w0 - w) - dynamic_rate * g / (m + dynamic_epsilon)

    g: the gradient of the segment's mean loss, without dropout; w0: the trained weight; m: the root of the mean square
    of g over the training text, in 100 rows; d = m / (the mean over the weights of the mean of m), at most
    1 / dynamic_decay. The defaults are the authors' but for the rate, which they have at 5e-5.

    The cache (Grave et al., 1612.04426): with h the last layer's outputs, of the ``cache_window`` words i before t

        p = (1 - cache_share) * p_softmax + cache_share * sum of softmax_i(cache_theta * h_i . h_t) with word i + 1 = t

    With ``mc_dropout`` p_softmax is the mean over so many networks, each with dropout and a state of its own. Dropout
    on weights is the same in all of them.
    """

    dynamic: bool = False
    dynamic_steps: Count = 5
    dynamic_rate: NonNegative = 4e-5
    dynamic_decay: NonNegative = 2e-3
    dynamic_epsilon: Positive = 2e-5
    cache: bool = False
    cache_window: Count = 500
    cache_theta: Positive = 1.0
    cache_share: Rate = 0.1
    temperature: Positive = 1.0
    mc_dropout: Few | None = None

    @property
    def names(self) -> list[str]:
        """The methods that act."""
        acting = {
            "dynamic": self.dynamic,
            "cache": self.cache,
            "temperature": self.temperature != 1.0,
            "mc_dropout": self.mc_dropout is not None,
        }
        return [name for name, acts in acting.items() if acts]

    def but(self, values: dict[str, Any]) -> Self:
        """These methods with other settings."""
        return dataclasses.replace(self, **values)

    def settings(self) -> dict[str, Any]:
        """The fields that have an effect."""
        off = [name for name in ("dynamic", "cache") if not getattr(self, name)]
        found = dataclasses.asdict(self)
        return {name: value for name, value in found.items() if not name.startswith(tuple(off))}


READ_OUT = "temperature", "cache_theta", "cache_share"


class Grid(NamedTuple):
    """Settings that one reading compares: they change what is predicted from the outputs, not the outputs."""

    temperatures: Sequence[float]
    thetas: Sequence[float] = (1.0,)
    shares: Sequence[float] = (0.0,)

    def best(self, losses: np.ndarray) -> dict[str, float]:
        """Those of the smallest loss."""
        place = np.unravel_index(np.argmin(losses), losses.shape)
        return {name: values[int(n)] for name, values, n in zip(READ_OUT, self, place, strict=True)}


def grid_of(methods: Methods) -> Grid:
    """The methods' own settings."""
    cache = ((methods.cache_theta,), (methods.cache_share,)) if methods.cache else ()
    return Grid((methods.temperature,), *cache)
