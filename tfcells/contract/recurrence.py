"""Recurrences that all steps can run at once: what a linear cell writes in its step.

Each function takes one step where it is given a state, and a whole sequence where it is given `Before`.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from tfcells.contract.linear import Tensor
from tfcells.masks import choose

STILL = {"linear": (1.0, 0.0), "complex": ((1.0, 0.0), 0.0), "maximum": (0.0, -float("inf"))}
"""The decay and the addition with which a state of each kind of recurrence stays as it is."""


class Before:
    """The state before each step of a sequence, of which the first alone is known.

    A `linear` cell gets it in place of a state, to take all steps at once. The functions of this module read it, and
    nothing else can.

    start: the state before the first step. along: makes the states after all steps, as `scan` does. keep: of a masked
    sequence, (steps, batch, 1), the steps that count. flags, first: before which steps the state is `first` again.
    """

    def __init__(
        self,
        start: Tensor,
        along: Callable,
        keep: Tensor | None = None,
        flags: Tensor | None = None,
        first: Tensor | None = None,
    ) -> None:
        self.start, self.along, self.keep, self.flags, self.first = start, along, keep, flags, first
        self.shape, self.dtype = (None, *start.shape), start.dtype

    def refused(self, *_: Any) -> Any:
        raise TypeError(
            "the state before each step is not known yet: a linear cell's step gives it to `linear` and its like"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __getitem__ = __array__ = refused
    __tf_tensor__ = __matmul__ = __rmatmul__ = __neg__ = refused

    def states(self, kind: str, decay: Tensor, added: Tensor, start: Tensor, first: Tensor | None = None) -> Tensor:
        """The states after all steps, which stay as they are where a step does not count."""
        decay = ops.reshape(decay, (*[1] * (len(added.shape) - len(decay.shape)), *ops.shape(decay)))
        if self.flags is not None and first is not None:
            flags = like(self.flags, added)
            added = ops.where(flags, stepped(kind, decay, added, first), added)
            forgets = -float("inf") if kind == "maximum" else 0.0
            decay = ops.where(flags, ops.cast(forgets, decay.dtype), decay)
        if self.keep is not None:
            keep = like(self.keep, added)
            decay, added = (
                ops.where(keep, values, ops.convert_to_tensor(still, values.dtype))
                for values, still in zip((decay, added), STILL[kind], strict=True)
            )
        return self.along(kind, decay, added, start)


def linear(decay: Any, added: Tensor, state: Any) -> Tensor:
    """The new state, decay * state + added; decay may be a number. Of a sequence added has all steps, first."""
    if isinstance(state, Before):
        decay = ops.full([1] * len(added.shape), decay, added.dtype) if isinstance(decay, int | float) else decay
        return state.states("linear", decay, added, state.start, state.first)
    return decay * state + added


def maximum(decay: Tensor, added: Tensor, state: Any) -> Tensor:
    """The new state, max(decay + state, added)."""
    if isinstance(state, Before):
        return state.states("maximum", decay, added, state.start, state.first)
    return ops.maximum(decay + state, added)


def rotated(
    decay: tuple[Tensor, Tensor], added: tuple[Tensor, Tensor], state: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    """`linear` for complex numbers, each a real and an imaginary part."""
    (a, b), (x, y), (re, im) = decay, added, state
    if not isinstance(re, Before):
        return a * re - b * im + x, a * im + b * re + y
    turn, sums, start = (ops.stack(pair, -1) for pair in (decay, added, (re.start, im.start)))
    first = None if re.first is None else ops.stack([re.first, im.first], -1)
    found = re.states("complex", turn, sums, start, first)
    return found[..., 0], found[..., 1]


def previous(new: Tensor, state: Any) -> Tensor:
    """The state before a step; of a sequence before each, made of those after each, `new`."""
    if not isinstance(state, Before):
        return state
    found = ops.concatenate([state.start[None], frozen(new, state)[:-1]])
    return found if state.flags is None else ops.where(like(state.flags, found), state.first, found)


def frozen(values: Tensor, state: Before) -> Tensor:
    """Values of all steps, each as it was at the last step that counts."""
    return values if state.keep is None else state.states("linear", ops.zeros_like(values), values, state.start)


def restarted(flags: Tensor, first: list[Tensor], states: tuple) -> tuple:
    """The states before a step, or before each, but `first` where there is a flag."""
    if not isinstance(states[0], Before):
        return choose(flags, first, states)
    return tuple(Before(old.start, old.along, old.keep, flags, new) for old, new in zip(states, first, strict=True))


def like(flags: Tensor, values: Tensor) -> Tensor:
    """Flags, (steps, batch, 1), with as many axes as the values."""
    return ops.reshape(flags, (*ops.shape(flags)[:2], *[1] * (len(values.shape) - 2)))


def stepped(kind: str, decay: Tensor, added: Tensor, state: Tensor) -> Tensor:
    """One step of a recurrence."""
    if kind != "complex":
        return (linear if kind == "linear" else maximum)(decay, added, state)
    pairs = ((x[..., 0], x[..., 1]) for x in (decay, added, state))
    return ops.stack(rotated(*pairs), -1)


def scan(kind: str, decay: Tensor, added: Tensor, start: Tensor) -> Tensor:
    """All states of a recurrence, (steps, ...), on any backend.

    kind: "linear"; "complex", with a last axis of two parts; or "maximum". Where added has many entries, decay may have
    one for all.
    """
    decay = ops.broadcast_to(decay, ops.shape(added))
    if kind == "maximum":
        moves, tops = ops.associative_scan(lambda a, b: (a[0] + b[0], ops.maximum(a[1] + b[0], b[1])), (decay, added))
        return ops.maximum(moves + start, tops)
    if kind == "linear":
        decays, sums = ops.associative_scan(lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (decay, added))
        return decays * start + sums

    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., 0], x[..., 1]

    def joined(a: tuple, b: tuple) -> tuple:
        (p, q, u, v), zero = b, ops.zeros_like(b[0])
        return *rotated((p, q), (zero, zero), a[:2]), *rotated((p, q), (u, v), a[2:])

    p, q, u, v = ops.associative_scan(joined, (*parts(decay), *parts(added)))
    return ops.stack(rotated((p, q), (u, v), parts(start)), -1)
