"""A cell's step as a loop runs it, and what tells equal steps."""

import functools
import itertools
import math
import types
import weakref
from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

from tfcells import masks
from tfcells.contract.cell import Cell
from tfcells.contract.linear import Projection, Tensor
from tfcells.contract.weights import Weights


def step_of(cell: Cell, held: bool | None) -> Callable:
    """The cell's step, checked, as a function of what `inputs` gave and what `bind` has along time.

    held: for masked sequences whether the output is zero on masked steps, or else held; None without a mask.
    """

    def step(x: Any, state: tuple, w: Weights) -> tuple[Tensor, tuple]:
        x, now = x
        return cell.advance(x, state, w.at(now))

    return step if held is None else hold(step, held)


def step_key(cell: Cell, held: bool | None) -> tuple:
    """A hashable description of what `step_of` makes."""
    return cell_key(cell), held


def hold(step: Callable, zero_output: bool) -> Callable:
    """`step` with a mask as one more slice: where it is False, the old state and output stand.

    With zero_output the output is zero there; else the output before is held, as one more state.
    """

    def held(x: Any, state: tuple, w: Weights) -> tuple[Tensor, tuple]:
        keep, x = x
        if zero_output:
            output, new = step(x, state, w)
            return ops.where(keep, output, ops.zeros_like(output)), masks.choose(keep, new, state)
        last, before = state[0], state[1:]
        output, new = step(x, before, w)
        output = ops.where(keep, output, last)
        return output, (output, *masks.choose(keep, new, before))

    return held


def unrolled(step: Callable, slices: Any, state: tuple, weights: Weights, steps: int) -> tuple:
    """A known number of steps, one after the other."""
    outputs = []
    moments = [ops.unstack(s, steps) for s in tree.flatten(slices)]
    for moment in zip(*moments, strict=True):
        output, state = step(tree.pack_sequence_as(slices, moment), state, weights)
        outputs.append(output)
    return ops.stack(outputs), state


def in_turn(step: Callable, slices: Any, state: tuple, weights: Weights) -> tuple:
    """The ordinary loop on other backends."""

    def advance(state: tuple, now: Any) -> tuple:
        output, state = step(now, state, weights)
        return tuple(state), output

    state, outputs = ops.scan(advance, state, slices)
    return outputs, state


def in_strides(step: Callable, slices: Any, state: tuple, weights: Weights) -> tuple:
    """`in_turn`, in strides of about the root of the steps: for the gradient only the state before each is kept.

    A stride's products are made when its turn comes, and again on the way back: slices may be `Projection`s.
    """
    leaves = tree.flatten(slices)
    sequences = [leaf.tensors[0] if isinstance(leaf, Projection) else leaf for leaf in leaves]

    def of(part: list) -> Any:
        pairs = zip(leaves, part, strict=True)
        made = [leaf.using([x, *leaf.tensors[1:]]).whole() if isinstance(leaf, Projection) else x for leaf, x in pairs]
        return tree.pack_sequence_as(slices, made)

    @keras.remat
    def stride(state: tuple, part: list) -> tuple:
        outputs, state = in_turn(step, of(part), state, weights)
        return state, outputs

    steps = sequences[0].shape[0]
    length = math.isqrt(steps)
    number, left = divmod(steps, length)
    parts = [ops.reshape(x[: steps - left], (number, length, *x.shape[1:])) for x in sequences]
    state, outputs = ops.scan(stride, state, parts)
    outputs = ops.reshape(outputs, (steps - left, *outputs.shape[2:]))
    if left:
        state, rest = stride(state, [x[steps - left :] for x in sequences])
        outputs = ops.concatenate([outputs, rest])
    return outputs, state


IDENTITIES: dict[int, tuple[Callable, int]] = {}


def identity_of(value: Any) -> int:
    """A number that no other object has or will have, unlike its id; the object is not kept alive by it."""
    known = IDENTITIES.get(id(value))
    if known is None or known[0]() is not value:
        try:
            reference: Callable = weakref.ref(value)
        except TypeError:  # what can't be referred to weakly stays, so that its id does
            reference = functools.partial(lambda value: value, value)
        known = IDENTITIES[id(value)] = reference, next(NUMBERS)
    return known[1]


NUMBERS = itertools.count()


@functools.cache
def named_in_step(kind: type[Cell]) -> frozenset[str]:
    """The names in the step of a class, in those of its bases, and in the methods and properties that these name."""
    found = {"step", "advance"}
    ahead = list(found)
    while ahead:
        name = ahead.pop()
        for base in kind.__mro__[: kind.__mro__.index(keras.layers.Layer)]:
            member = vars(base).get(name)
            function = getattr(member, "fget", None) or getattr(member, "func", None) or member
            for each in names_of(getattr(function, "__code__", None)) - found:
                found.add(each)
                ahead.append(each)
    return frozenset(found)


@functools.cache
def shared_in_step(kind: type[Cell]) -> list[str]:
    """Of these names those of numbers and texts that the class has, for all its cells."""
    bases = kind.__mro__[: kind.__mro__.index(keras.layers.Layer)]
    declared = {name: value for base in reversed(bases) for name, value in vars(base).items()}
    named: Any = named_in_step(kind)  # type: ignore[arg-type]
    return [name for name in sorted(named) if isinstance(declared.get(name), str | int | float)]


def names_of(code: Any) -> set[str]:
    """The names in compiled code, in functions within it, too."""
    if not isinstance(code, types.CodeType):
        return set()
    return {*code.co_names, *itertools.chain(*map(names_of, code.co_consts))}


def cell_key(cell: Cell) -> tuple:
    """A hashable description, equal for cells whose steps are equal, whatever their weights.

    It has the constructor's arguments, and other attributes that the step names: of the class, numbers and texts alone.
    What is changed within an object is not noticed.
    """
    aside = keras.Initializer, keras.Regularizer, keras.constraints.Constraint

    def essence(value: Any) -> Any:
        if isinstance(value, Cell):
            return cell_key(value)
        if isinstance(value, list | tuple):
            return tuple(map(essence, value))
        if isinstance(value, dict):
            return tuple((name, essence(value[name])) for name in sorted(value, key=str))
        if isinstance(value, keras.Variable):
            return "weight"
        if hasattr(value, "__self__") and hasattr(value, "__func__"):  # a bound method is made anew at each look
            return "method", identity_of(value.__self__), value.__func__.__qualname__
        return value if isinstance(value, str | int | float | None) else ("object", identity_of(value))

    named: Any = named_in_step(type(cell))  # type: ignore[arg-type]
    given = cell.given()
    read = {name: getattr(cell, name) for name in shared_in_step(type(cell))}  # type: ignore[arg-type]
    read |= {name: value for name, value in vars(cell).items() if name in named} | given
    if "seed" not in named:
        read.pop("seed", None)
    return (
        type(cell),
        cell.dtype_policy.name,
        *((name, essence(v)) for name, v in read.items() if not isinstance(v, aside)),
    )
