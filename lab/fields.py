"""The types of fields: what a field may hold, in words and as a check.

A type is all of a field's check: ``Rate`` is a number in [0, 1), and 1.7 is refused by name.
"""

import difflib
import math
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

from data import CorpusError

Hint = Any  # what an annotation is once evaluated: a class, a union, an `Annotated`


class InputError(ValueError):
    """A bad argument, corpus or run folder: the message names the culprit and what is allowed."""


BAD_INPUT = InputError, CorpusError, OSError
"""What a mistake of the user, or a failure of a disk, raises."""


class Allowed(NamedTuple):
    """The numbers a field may hold: in words, and as the bounds of ``low <= value <= high``."""

    words: str
    low: float
    high: float

    def admits(self, value: object, kind: type) -> bool:
        if type(value) is int or (type(value) is float and kind is float):
            return self.low <= value <= self.high
        return False


class Series:
    """A list of whole numbers above 0, written 1,2,4."""

    words = "whole numbers above 0 with commas between them"

    def admits(self, value: object, kind: type) -> bool:
        return (
            isinstance(value, list | tuple)
            and bool(value)
            and all(type(number) is int and number > 0 for number in value)
        )

    def normal(self, value: Any) -> list[int]:
        return list(value)


LARGEST, BELOW_ONE = 1_000_000, math.nextafter(1, 0)
TINY, FINITE = 1e-37, 3e38  # what float32 can hold

Few = Annotated[int, Allowed("a whole number from 1 to 100", 1, 100)]
Count = Annotated[int, Allowed("a whole number from 1 to 1000000", 1, LARGEST)]
Whole = Annotated[int, Allowed("a whole number from 0 to 1000000", 0, LARGEST)]
Natural = Annotated[int, Allowed("a whole number", 0, math.inf)]
Rate = Annotated[float, Allowed("a number in [0, 1)", 0, BELOW_ONE)]
Positive = Annotated[float, Allowed("a number above 0, to 3e38", TINY, FINITE)]
NonNegative = Annotated[float, Allowed("a number from 0 to 3e38", 0, FINITE)]
Number = Annotated[float, Allowed("a number from -3e38 to 3e38", -FINITE, FINITE)]
Numbers = Annotated[list, Series()]
Seed = Annotated[int, Allowed("a whole number from 0 to 4294967295", 0, 2**32 - 1)]


WORDS: dict[Hint, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    types.NoneType: "none",
}


def describe(hint: Hint) -> str:
    """A type in words, for a message."""
    if hint in WORDS:
        return WORDS[hint]
    if typing.get_origin(hint) is Literal:
        return " or ".join(typing.get_args(hint))
    if typing.get_origin(hint) is Annotated:
        return str(hint.__metadata__[0].words)
    if is_union(hint):
        return " or ".join(describe(option) for option in typing.get_args(hint))
    return f"a {(typing.get_origin(hint) or hint).__name__}"


def holds(hint: Hint, value: object) -> bool:
    """Whether a value is of a type."""
    if typing.get_origin(hint) is Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        return bool(hint.__metadata__[0].admits(value, hint.__origin__))
    if is_union(hint):
        return any(holds(option, value) for option in typing.get_args(hint))
    return type(value) is (typing.get_origin(hint) or hint)


def normal(hint: Hint, value: Any) -> Any:
    """The form in which a field keeps a value: 1.0 for 1 where it holds a float, a full name, a list."""
    for option in typing.get_args(hint) if is_union(hint) else [hint]:
        if typing.get_origin(option) is Annotated and holds(option, value):
            rule = option.__metadata__[0]
            if hasattr(rule, "normal"):
                return rule.normal(value)
            if option.__origin__ is float:
                return float(value)  # Keras takes no learning rate of 1
    return value


def is_union(hint: Hint) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def checked(name: str, hint: Hint, value: Any, text: str | None = None) -> Any:
    """The value in its field's form, or an InputError that names the field and what it may hold."""
    if holds(hint, value):
        return normal(hint, value)
    options = typing.get_args(hint) if is_union(hint) else [hint]
    rules = [rule for option in options for rule in getattr(option, "__metadata__", ())]
    names = next((rule.names for rule in rules if hasattr(rule, "names")), None)
    near = nearest(str(value), names) if names else ""
    raise InputError(
        f"{name}={repr(value) if text is None else text}: must be {describe(hint)}{near}"
    )


def read(name: str, hint: Hint, text: str) -> Any:
    """The value that a text stands for."""
    for convert in (
        {"none": None, "true": True, "false": False}.__getitem__,
        int,
        float,
        series,
        str,
    ):
        try:
            value: Any = convert(text)
        except (KeyError, ValueError):
            continue
        if holds(hint, value):
            return normal(hint, value)
    return checked(name, hint, text, text)


def series(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an error message: the nearest valid names, or all of them where none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(names)}"
