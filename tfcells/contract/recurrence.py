"""Recurrences that all steps can run at once: what a linear cell writes in its step.

Each function takes one step where it is given a state, and a whole sequence where it is given `Before`.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from tfcells.contract.linear import Tensor

STILL = {"linear": (1.0, 0.0), "complex": ((1.0, 0.0), 0.0), "maximum": (0.0, -float("inf"))}
"""The decay and the addition with which a state of each kind of recurrence stays as it is."""


class Before:
    """The state before each step of a sequence, of which the first alone is known.

    A `linear` cell gets it in place of a state, to take all steps at once. The functions of this module read it, and
    nothing else can.

    start: the state before the first step. along: makes the states after all steps, as `scan` does. keep: of a masked
    sequence, (steps, batch, 1), the steps that count.
    """

    def __init__(self, start: Tensor, along: Callable, keep: Tensor | None = None) -> None:
        self.start, self.along, self.keep = start, along, keep
        self.shape, self.dtype = (None, *start.shape), start.dtype

    def refused(self, *_: Any) -> Any:
        raise TypeError(
            "the state before each step is not known yet: a linear cell's step gives it to `linear` and its like"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __getitem__ = __array__ = refused
    __tf_tensor__ = __matmul__ = __rmatmul__ = __neg__ = refused

    def states(self, kind: str, decay: Tensor, added: Tensor, start: Tensor) -> Tensor:
        """The states after all steps, which stay as they are where a step does not count."""
        decay = ops.reshape(decay, (*[1] * (len(added.shape) - len(decay.shape)), *ops.shape(decay)))
        if self.keep is not None:
            shape = (*ops.shape(self.keep)[:2], *[1] * (len(added.shape) - 2))
            keep = ops.reshape(self.keep, shape)
            decay, added = (
                ops.where(keep, values, ops.convert_to_tensor(still, values.dtype))
                for values, still in zip((decay, added), STILL[kind], strict=True)
            )
        return self.along(kind, decay, added, start)


def linear(decay: Any, added: Tensor, state: Any) -> Tensor:
    """The new state, decay * state + added; decay may be a number. Of a sequence added has all steps, first."""
    if isinstance(state, Before):
        decay = ops.full([1] * len(added.shape), decay, added.dtype) if isinstance(decay, float) else decay
        return state.states("linear", decay, added, state.start)
    return decay * state + added


def maximum(decay: Tensor, added: Tensor, state: Any) -> Tensor:
    """The new state, max(decay + state, added)."""
    if isinstance(state, Before):
        return state.states("maximum", decay, added, state.start)
    return ops.maximum(decay + state, added)


def rotated(
    decay: tuple[Tensor, Tensor], added: tuple[Tensor, Tensor], state: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    """`linear` for complex numbers, each a real and an imaginary part."""
    (a, b), (x, y), (re, im) = decay, added, state
    if not isinstance(re, Before):
        return a * re - b * im + x, a * im + b * re + y
    numbers = [ops.stack(pair, -1) for pair in (decay, added, (re.start, im.start))]
    found = re.states("complex", *numbers)
    return found[..., 0], found[..., 1]


def previous(new: Tensor, state: Any) -> Tensor:
    """The state before a step; of a sequence before each, made of those after each, `new`."""
    if not isinstance(state, Before):
        return state
    return ops.concatenate([state.start[None], frozen(new, state)[:-1]])


def frozen(values: Tensor, state: Before) -> Tensor:
    """Values of all steps, each as it was at the last step that counts."""
    return values if state.keep is None else state.states("linear", ops.zeros_like(values), values, state.start)


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
