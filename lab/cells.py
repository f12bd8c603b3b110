"""The cells and wrappers that a recipe can name, and their arguments, without importing Keras."""

import ast
import functools
import importlib.util
import inspect
import pathlib
import re
from collections.abc import Iterable
from types import ModuleType
from typing import Annotated, Any, NamedTuple

from lab.fields import (
    Count,
    Few,
    Hint,
    InputError,
    Number,
    Numbers,
    Rate,
    Rule,
    Whole,
    checked,
    nearest,
)

BASES = {
    "Cell",
    "InputCell",
    "KernelCell",
    "GatedCell",
    "GainedCell",
    "Wrapper",
    "OutputWrapper",
    "Pair",
    "Noise",
    "Inlined",
}
"""Their arguments are no fields of a recipe."""

SHARED = re.compile("(kernel|recurrent|bias)_(initializer|regularizer|constraint)|use_bias|timed")
"""Arguments that are no fields either, where a cell lists them itself: no task has times in its input."""

PERIODS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Of a Clockwork RNN that is given none: as many as divide the units."""


def library() -> pathlib.Path:
    """The folder of tfcells, found without importing it."""
    spec = importlib.util.find_spec("tfcells")
    assert spec and spec.submodule_search_locations
    return pathlib.Path(spec.submodule_search_locations[0])


def load_rows() -> ModuleType:
    """The module of the table, loaded by its path: as `tfcells.cells.rows` it would bring Keras."""
    spec = importlib.util.spec_from_file_location("rows", library() / "cells" / "rows.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE: dict[str, Any] = {row.name: row for row in load_rows().ROWS}


class Names(Rule):
    """The names of one kind of the table, written in any case, a cell's with or without "Cell"."""

    def __init__(self, kind: str):
        self.words = f"the name of one {kind}"
        names = sorted(name for name, row in TABLE.items() if row.kind == kind)
        short = {name.lower().removesuffix("cell"): name for name in names}
        self.found = short | {name.lower(): name for name in names}

    def admits(self, value: Any, kind: type) -> bool:
        return isinstance(value, str) and value.lower() in self.found

    def normal(self, value: Any, kind: type) -> Any:
        return self.found[value.lower()]


KINDS = {kind: Names(kind) for kind in ("cell", "wrapper")}
"""The fields that name a class of the table, and its names; the class's arguments are in KIND_arguments."""

CellName = Annotated[str, KINDS["cell"]]
WrapperName = Annotated[str, KINDS["wrapper"]]


def check_target(target: str, targets: Iterable[str], commands: Iterable[str] = ()) -> None:
    """Raises InputError for a target that there is not; it may be a run, a cell, a wrapper or a misspelled command."""
    if target in targets:
        return
    kinds = [kind for kind, names in KINDS.items() if names.admits(target, str) and target.lower() not in targets]
    if (pathlib.Path(target) / "recipe.json").is_file():
        hint = f"; for the run: evaluate {target}, generate {target}"
    elif kinds:
        hint = f"; it is a {kinds[0]}: lstm --{kinds[0]} {target}"
    else:
        hint = nearest(target, [*targets, *commands])
    raise InputError(f"unknown target {target!r}{hint}")


REQUIRED = object()
FILLED = "self", "units", "cell", "seed"  # by the recipe, or by Keras


class Argument(NamedTuple):
    """An argument of a cell or wrapper: the type of its values, and its default or REQUIRED."""

    hint: Hint
    default: Any


@functools.cache
def arguments(name: str | None) -> dict[str, Argument]:
    """The arguments of a class of the table, but for units, cell and seed, and those of the classes it takes on."""
    node = definition(name) if name else None
    if node is None:
        return {}
    inits = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    init = next((each for each in inits if each.name == "__init__"), None)
    found: dict[str, Argument] = {}
    if init is None or init.args.kwarg:
        for each in taken_on(node):
            if each not in BASES:
                found |= arguments(each)
    if init is not None:
        given, optional = init.args.args, init.args.defaults
        defaults = [None] * (len(given) - len(optional)) + optional + init.args.kw_defaults
        for argument, default in zip(given + init.args.kwonlyargs, defaults, strict=True):
            if argument.arg not in FILLED and not SHARED.fullmatch(argument.arg):
                value = REQUIRED if default is None else literal(default)
                found[argument.arg] = Argument(hint_of(argument.arg, value), value)
    return found


def meaning(name: str, argument: str) -> str:
    """What the docstring of a class, or of one that it extends, says of an argument, in a line."""
    kinds = [name]
    for each in kinds:
        if node := definition(each):
            text = ast.get_docstring(node) or ""
            line = rf"(?:^|[.]\s+)(?:\w+,\s+)*{argument}(?:,\s+\w+)*:\s+(.+?)(?:[.:;]\s|[.]?\Z)"
            if found := re.search(line, text, re.MULTILINE | re.DOTALL):
                return " ".join(found[1].split()).replace("`", "").replace("None", "none")
            kinds += taken_on(node)
    return ""


def taken_on(node: ast.ClassDef) -> list[str]:
    """The classes whose arguments a class has, too: that of the cell in it, if it is `Inlined`, and its bases."""
    assigned = [each for each in node.body if isinstance(each, ast.Assign)]
    inner = [each.value for each in assigned if ast.unparse(each.targets[0]) == "inner"]
    return [ast.unparse(each).rpartition(".")[2] for each in (*inner, *node.bases)]


@functools.cache
def definition(name: str) -> ast.ClassDef | None:
    """Where the library defines a class: in the module that the table names, as a rule."""
    module = TABLE[name].module.replace(".", "/") + ".py" if name in TABLE else ""
    paths = sorted(library().rglob("*.py"), key=lambda path: not path.as_posix().endswith(module))
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if f"class {name}(" in text:
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return node
    return None


def literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def hint_of(name: str, default: Any) -> Hint:
    """The type of an argument's values, from its name and default; the class itself checks the rest."""
    if name in ("depth", "rounds", "inner_steps"):  # so many products one after the other
        return Few
    if name == "rate" or name.endswith("_rate"):
        return Rate
    match default:
        case bool():
            return bool
        case int() if default >= 0:
            return Count if default else Whole
        case int() | float():
            return Number
        case tuple():
            return Numbers
        case str():
            return str | None
    return bool | int | float | str | None


def check_arguments(kind: str, name: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a cell or wrapper in their fields' form. kind: the field that names it."""
    if name is None:
        if given:
            raise InputError(f"{kind}.{next(iter(given))}: must be left out without {kind}")
        return {}
    known = arguments(name)
    for key in given:
        if key not in known:
            raise InputError(f"{name} has no argument {key!r}{nearest(key, known)}")
    for key, argument in known.items():
        if argument.default is REQUIRED and key not in given:
            raise InputError(f"{kind}={name}: must have --{kind}.{key} with it")
    return {key: checked(f"{kind}.{key}", known[key].hint, value) for key, value in given.items()}


def make(kind: str, name: str, *values: Any, **given: Any) -> Any:
    """A cell or wrapper; a value that only the class itself can refuse becomes an InputError."""
    import tfcells

    try:
        return getattr(tfcells, name)(*values, **given)
    except (TypeError, ValueError) as error:
        own = str(error).split(" ")[0].rstrip(":") in arguments(name)
        raise InputError(f"{kind}.{error}" if own else f"{kind}={name}: {error}") from error


def regularized(cell: Any, name: str, rates: dict[str, float], *more: Any) -> Any:
    """A cell in the wrapper of that name, if a rate is above 0. rates: fields of the recipe, which an error names."""
    import tfcells

    acting = [f"{field}={rate}" for field, rate in rates.items() if rate]
    if not acting:
        return cell
    try:
        return getattr(tfcells, name)(cell, *rates.values(), *more)
    except ValueError as error:
        raise InputError(f"{', '.join(acting)}: {str(error).removeprefix('cell: ')}") from error


def make_cell(name: str, units: int, given: dict[str, Any], **more: Any) -> Any:
    """A cell. given: its own arguments; more: initializers, for a cell that has such weights."""
    import tfcells

    if name == "ClockworkRNNCell" and "periods" not in given:
        fit = [n for n in range(1, len(PERIODS) + 1) if units % n == 0]
        given = {"periods": PERIODS[: max(fit)]} | given
    mro = getattr(tfcells, name).__mro__
    taken = {each for base in mro for each in inspect.signature(base.__init__).parameters}
    more = {each: value for each, value in more.items() if each in taken}
    return make("cell", name, units, **given, **more)
