"""A row of a cell, and a row of a wrapper."""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import numpy as np


def shape_of(batch, size):
    """The shape of a state of a size that a cell gives, a number or a tuple."""
    return (batch, *(size if isinstance(size, tuple) else (size,)))


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A row: `weights` has the oracle's letters for the cell's weights, in their order.

    given: further arguments of the layer's call. start: the states that a cell has of its weights, if
    it is not to be given any, from the batch size and these. valid: what drawn states become, if not all can occur.
    within: by letter, functions that bring a random weight to where the cell makes sense.
    """

    name: str
    cell: type
    arguments: dict
    oracle: Callable
    weights: dict
    settings: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    start: Callable | None = None
    valid: Callable | None = None
    within: dict = dataclasses.field(default_factory=dict)

    def build(self, features, **more):
        """The cell, built for inputs of that width."""
        cell = self.cell(**self.arguments, **more)
        cell.build((None, features))
        cell.built = True
        return cell

    def draw(self, cell, draw):
        """Random weights of the built cell by the oracle's letters. draw: a function of the shape."""
        pairs = zip(self.weights, cell.weights, strict=True)
        return {letter: self.within.get(letter, np.asarray)(draw(weight.shape)) for letter, weight in pairs}

    def roll(self, x, state, weights, mask=None, **settings):
        """The oracle along (batch, steps, features): all outputs and the final states.

        weights: arrays by the oracle's letters. Where the mask is False, state and output stay.
        """
        y, outputs, state = 0.0, [], self.start(len(x), weights) if self.start else state
        moments = timed(self.oracle)
        for t in range(x.shape[1]):
            more = {"moment": (t, x.shape[1])} if moments else {}
            new = self.oracle(x[:, t], *state, **weights, **self.settings | settings | more)
            if mask is not None:
                pairs = zip(new, (y, *state), strict=True)
                new = [hold(mask[:, t], now, before) for now, before in pairs]
            y, *state = new
            outputs.append(y)
        return np.stack(outputs, 1), *state


def timed(oracle):
    """Whether an oracle, or that of a cell inside, is told which step it is."""
    inner = getattr(oracle, "keywords", {}).get("inner")
    return "moment" in inspect.signature(oracle).parameters or (inner is not None and timed(inner))


def hold(keep, now, before):
    """By sample, what is now or what was before."""
    return np.where(keep.reshape(-1, *[1] * (now.ndim - 1)), now, before)


def names(text):
    return dict(pair.split(":") for pair in text.split())


H = {"units": 5}
SHARED = "W:kernel U:recurrent_kernel b:bias "
EPSILON = {"epsilon": 1e-2}


@dataclasses.dataclass(frozen=True, eq=False)
class Wrapped:
    """A row of a wrapper: its arguments, its oracle over that of the cell inside, its own weights.

    arguments: one that is a cell is a partial, called for each wrapper.
    settings: of the oracle. given, start: a `Case`'s. units: of the cell inside, if not its row's.
    others: what differs from the defaults besides; the oracle does not know it. after: from the weights of the
    cell inside, by letters, those that come after them.
    """

    wrapper: type
    arguments: dict
    oracle: Callable
    weights: Callable = lambda cell: {}
    settings: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    start: Callable | None = None
    units: dict = dataclasses.field(default_factory=dict)
    others: dict = dataclasses.field(default_factory=dict)
    after: Callable = lambda weights: {}

    @property
    def name(self):
        return self.wrapper.__name__

    def make(self, cell, /, **more):
        """The wrapper around a cell."""
        given = {"cell": cell} | self.arguments | more
        given = {name: value() if isinstance(value, functools.partial) else value for name, value in given.items()}
        return self.wrapper(**given)

    def around(self, inner):
        """The row of the wrapper around the cell of a row."""

        def make(dtype=None, **more):
            return self.make(inner.cell(**inner.arguments | self.units | more, dtype=dtype), dtype=dtype)

        return Case(
            f"{self.name}-{inner.name}",
            make,
            {},
            functools.partial(self.oracle, inner=functools.partial(inner.oracle, **inner.settings)),
            self.weights(inner.cell(**inner.arguments)) | inner.weights | self.after(inner.weights),
            self.settings,
            inner.given | self.given,
            self.start,
        )
