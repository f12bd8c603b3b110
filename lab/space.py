"""What a search draws a recipe's fields from, as the command line gives it."""

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lab.fields import Few, Hint, InputError, Series, describe, options_of, read, written
from lab.recipe import KINDS, Recipe, fields, full_name

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(?::(log|[1-9]\d*))?")
FORMS = "LOW..HIGH, LOW..HIGH:STEP, LOW..HIGH:log, or values with commas between them"
GENOTYPE, SEARCHED = "cell.genotype", "GenotypeCell"
FUNCTIONS = "identity", "relu", "sigmoid", "tanh"

Trial = Any  # optuna.Trial: Optuna is imported where a study is opened


class Fixed(NamedTuple):
    """One value in all trials."""

    text: str

    def draw(self, name: str, trial: Trial) -> str:
        return self.text


class Range(NamedTuple):
    """All numbers from one to another, or those by steps, or evenly by their logarithms."""

    low: Any
    high: Any
    step: int = 1
    log: bool = False

    def draw(self, name: str, trial: Trial) -> str:
        if isinstance(self.low, int):
            return written(trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log))
        drawn = float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.4g}")  # to be read and typed
        return written(min(max(drawn, self.low), self.high))


class Choice(NamedTuple):
    """Some values."""

    values: tuple[Any, ...]

    def draw(self, name: str, trial: Trial) -> str:
        return written(trial.suggest_categorical(name, self.values))


class Genotypes(NamedTuple):
    """For each of so many nodes a function and the earlier node that it reads."""

    fewest: int
    most: int

    def draw(self, name: str, trial: Trial) -> str:
        found = []
        for node in range(1, 1 + trial.suggest_int(f"{name}.nodes", self.fewest, self.most)):
            function = trial.suggest_categorical(f"{name}.function_{node}", FUNCTIONS)
            found.append(f"{function}{trial.suggest_int(f'{name}.reads_{node}', 0, node - 1)}")
        return "-".join(found)


Domain = Fixed | Range | Choice | Genotypes


def domain(name: str, hint: Hint, text: str) -> Domain:
    """What a text says that a field is drawn from; an InputError if the field can't hold that."""
    if match := RANGE.fullmatch(text):
        return between(name, hint, text, *match.groups())
    rules = [rule for each in options_of(hint) for rule in getattr(each, "__metadata__", ())]
    if "," in text and not any(isinstance(rule, Series) for rule in rules):
        return Choice(tuple(dict.fromkeys(read(name, hint, each) for each in text.split(","))))
    try:
        read(name, hint, text)
    except InputError as error:
        raise InputError(f"{error}; to draw it: {FORMS}") from error
    return Fixed(text)


def between(name: str, hint: Hint, text: str, first: str, last: str, how: str | None) -> Domain:
    """What LOW..HIGH stands for."""
    if name == GENOTYPE:
        hint = Few
    low, high = (read(name, hint, each) for each in (first, last))
    if not all(type(each) in (int, float) for each in (low, high)):
        raise InputError(f"{name}={text}: must be {describe(hint)}, which can't be drawn from a range")
    if low > high:
        raise InputError(f"{name}={text}: must be LOW..HIGH with LOW at most HIGH")
    whole = type(low) is type(high) is int
    if how and name == GENOTYPE:
        raise InputError(f"{name}={text}: must be LOW..HIGH, numbers of nodes")
    if how == "log" and low <= 0:
        raise InputError(f"{name}={text}: must have LOW above 0 with :log")
    if how and how != "log" and not whole:
        raise InputError(f"{name}={text}: must have whole numbers with :STEP")
    if name == GENOTYPE:
        return Genotypes(low, high)
    low, high = (low, high) if whole else (float(low), float(high))
    step = 1 if how in (None, "log") else int(how)
    return Range(low, low + (high - low) // step * step if whole else high, step, how == "log")


class Space:
    """The recipes that a search draws: a recipe with some of its fields drawn.

    texts: what the command line gives for them. A recipe's own genotype is drawn, too, unless it is given.
    """

    def __init__(self, recipe: Recipe[Any], texts: dict[str, str]) -> None:
        if recipe.cell == SEARCHED and not {"cell", GENOTYPE, GENOTYPE.removeprefix("cell.")} & texts.keys():
            texts = texts | {GENOTYPE: "8..8"}
        hints = fields(type(recipe))
        self.recipe = recipe
        self.kinds = {kind: domain(kind, hints[kind], texts[kind]) for kind in KINDS if kind in texts}
        self.texts = {name: text for name, text in texts.items() if name not in KINDS}
        self.domains = self.kinds | self.checked()
        if not self.drawn:
            raise InputError(f"search: must have a field to draw, as --units 100..400: {FORMS}")

    @property
    def drawn(self) -> list[str]:
        """The names of the fields that are not the same in all trials."""
        return [name for name, each in self.domains.items() if not isinstance(each, Fixed)]

    def checked(self) -> dict[str, Domain]:
        """What each field is drawn from, whichever cells and wrappers have it."""
        found: dict[str, Domain] = {}
        used: set[str] = set()
        for classes in self.classes():
            for given, name, each in self.known(classes):
                used.add(given)
                if found.setdefault(name, each) != each:
                    raise InputError(
                        f"{name}={self.texts[given]}: means one thing for one cell, and another for another"
                    )
        for given in self.texts.keys() - used:
            known, values = self.recipe.known(**next(self.classes()))
            full_name(given, known, values)  # which raises: none of the cells has it
        return found

    def classes(self) -> Iterator[dict[str, str]]:
        """The cells and wrappers that may be drawn together."""
        texts = [
            [each.text] if isinstance(each, Fixed) else list(map(written, each.values))
            for each in self.kinds.values()
            if isinstance(each, Fixed | Choice)
        ]
        for together in itertools.product(*texts):
            yield dict(zip(self.kinds, together, strict=True))

    def known(self, classes: dict[str, str]) -> Iterator[tuple[str, str, Domain]]:
        """The fields that a recipe with these cells and wrappers has: as they are given, their names, their domains."""
        known, values = self.recipe.known(**classes)
        seen: dict[str, str] = {}
        for given, text in self.texts.items():
            try:
                name = full_name(given, known, values)
            except InputError:
                continue
            if name in seen:
                raise InputError(f"--{given}: must not be given with --{seen[name]}, which is the same")
            seen[name] = given
            yield given, name, domain(name, known[name], text)

    def draw(self, trial: Trial) -> Recipe[Any]:
        """A recipe; an InputError if its fields do not go together."""
        classes = {kind: each.draw(kind, trial) for kind, each in self.kinds.items()}
        texts = {name: each.draw(name, trial) for _, name, each in self.known(classes)}
        return self.recipe.replace(**classes, **texts)

    def ends(self) -> tuple[Recipe[Any], Recipe[Any]]:
        """A recipe with the first and one with the last of everything; if one of them is refused, the other twice."""
        try:
            first = self.draw(End(0))
        except InputError:
            last = self.draw(End(-1))
            return last, last
        try:
            return first, self.draw(End(-1))
        except InputError:
            return first, first


class End(NamedTuple):
    """In place of a trial: the first of everything, or the last."""

    place: int

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return (low, high)[self.place]

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return (low, high)[self.place]

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        return choices[self.place]


def flags(recipe: Recipe[Any], plain: Recipe[Any]) -> dict[str, str]:
    """The fields to give, with texts for them, so that one recipe becomes another."""
    values = recipe.values()
    classes = {kind: written(values[kind]) for kind in KINDS if values[kind] != getattr(plain, kind)}
    _, start = plain.known(**classes)
    changed = {name: written(value) for name, value in values.items() if name not in start or start[name] != value}
    return classes | changed
