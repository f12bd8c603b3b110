"""The types of fields: what a field may hold, in words and as a check.

A type is all of a field's check: ``Rate`` is a number in [0, 1), and 1.7 is refused by name.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from data import CorpusError

NO_NAMES: Mapping[str, str] = types.MappingProxyType({})
Hint = Any  # what an annotation is once evaluated: a class, a union, an `Annotated`


class InputError(ValueError):
    """A bad argument, corpus or run folder: the message names the culprit and what is allowed."""


BAD_INPUT = InputError, CorpusError, OSError
"""The exceptions that a mistake of the user, or a failure of a disk, raises."""


class Rule:
    """The check of an `Annotated` type, and the form in which a field keeps a value."""

    words: str
    found: Mapping[str, str] = NO_NAMES
    """The names that it admits: spelling, in small letters -> name."""

    def admits(self, value: Any, kind: type) -> bool:
        raise NotImplementedError

    def normal(self, value: Any, kind: type) -> Any:
        return value


@dataclasses.dataclass(frozen=True)
class Allowed(Rule):
    """The numbers a field may hold: in words, and as the bounds of ``low <= value <= high``."""

    words: str
    low: float
    high: float

    def admits(self, value: Any, kind: type) -> bool:
        return type(value) in (int, kind) and self.low <= value <= self.high

    def normal(self, value: Any, kind: type) -> Any:
        return kind(value)  # Keras takes no learning rate of 1


class Series(Rule):
    """A list of numbers above 0, written 1,2,4 or 1.0,2.5."""

    words = "numbers above 0 with commas between them"

    def admits(self, value: Any, kind: type) -> bool:
        fits = isinstance(value, list | tuple) and all(type(n) in (int, float) and 0 < n <= FINITE for n in value)
        return fits and len(value) > 0

    def normal(self, value: Any, kind: type) -> Any:
        return kind(value)


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
    if len(options := options_of(hint)) > 1:
        return " or ".join(map(describe, options))
    return f"a {(typing.get_origin(hint) or hint).__name__}"


def holds(hint: Hint, value: object) -> bool:
    """Whether a value is of a type."""
    if typing.get_origin(hint) is Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        return bool(hint.__metadata__[0].admits(value, hint.__origin__))
    if len(options := options_of(hint)) > 1:
        return any(holds(option, value) for option in options)
    return type(value) is (typing.get_origin(hint) or hint)


def normal(hint: Hint, value: Any) -> Any:
    """The form in which a field of the type keeps a value that it holds."""
    for option in options_of(hint):
        if typing.get_origin(option) is Annotated and holds(option, value):
            return option.__metadata__[0].normal(value, option.__origin__)
    return value


def options_of(hint: Hint) -> tuple[Hint, ...]:
    """The types of a union; a type by itself otherwise."""
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if union else (hint,)


def checked(name: str, hint: Hint, value: Any, text: str | None = None) -> Any:
    """The value in its field's form, or an InputError that names the field and what it may hold."""
    if holds(hint, value):
        return normal(hint, value)
    rules = [rule for each in options_of(hint) for rule in getattr(each, "__metadata__", ())]
    found = {short: name for rule in rules for short, name in rule.found.items()}
    near = nearest(str(value), found.values(), found) if found else ""
    shown = repr(value) if text is None else text
    raise InputError(f"{name}={shown}: must be {describe(hint)}{near}")


def read(name: str, hint: Hint, text: str) -> Any:
    """The value that a text stands for."""
    words = {"none": None, "true": True, "false": False}
    for convert in (words.__getitem__, int, float, series, str):
        try:
            value: Any = convert(text)
        except (KeyError, ValueError):
            continue
        if holds(hint, value):
            return normal(hint, value)
    return checked(name, hint, text, text)


def written(value: Any) -> str:
    """The text that `read` takes for a value."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def series(text: str) -> list[float]:
    return [float(number) if "." in number else int(number) for number in text.split(",")]


def nearest(name: str, names: Iterable[str], short: Mapping[str, str] = NO_NAMES) -> str:
    """The end of an error message: the names that begin so, else the nearest, in any case; all where none is near.

    short: other spellings, in small letters -> name.
    """
    known = {each.lower(): each for each in sorted(names)} | dict(short)
    name = name.lower()
    longer = [each for each in known if name and each.startswith(name)][:3]
    close = dict.fromkeys(known[each] for each in longer or difflib.get_close_matches(name, known, n=3))
    return (
        f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(dict.fromkeys(known.values()))}"
    )
