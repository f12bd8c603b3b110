"""The command line of train.py, read and checked before Keras or TensorFlow is imported."""

import argparse
import inspect
import os
import pathlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict, get_type_hints

from lab.cells import REQUIRED, TABLE
from lab.cells import arguments as arguments_of
from lab.fields import (
    Count,
    Few,
    Hint,
    InputError,
    NonNegative,
    Positive,
    Seed,
    describe,
    holds,
    nearest,
    read,
    written,
)
from lab.methods import Methods
from lab.recipe import KINDS, RENAMED, Recipe, Targets, differences, fields
from lab.run import Run, taken

DESCRIPTION = """Train a recurrent network, or use one.

    python train.py rhn                                 a target as its recipe says
    python train.py rhn --units 100 --batch_size 10     with some fields of the recipe changed
    python train.py lstm --cell gru --budget 4.65M      with another cell, at most so many parameters
    python train.py rhn --resume                        continue the newest run of the target
    python train.py --list                              the targets, cells and wrappers
    python train.py evaluate runs/rhn-small-1           the perplexity of a run's best weights
    python train.py generate runs/rhn-small-1           text that they generate
    python train.py compare RUN RUN                     learning curves in one picture
"""


class Settings(TypedDict):
    """The part of recipe.json that is not the recipe."""

    target: str
    size: str
    corpus: str
    data_dir: str | None
    seed: Seed
    engine: Literal["graph", "eager", "xla", "numpy"]
    precision: Literal["float32", "mixed_bfloat16", "float64"]


SETTINGS: dict[str, Hint] = get_type_hints(Settings, include_extras=True)
DEFAULTS: dict[str, Any] = {
    "corpus": "auto",
    "data_dir": None,
    "seed": 1,
    "engine": "graph",
    "precision": "float32",
}
CORPUS = (
    "auto, ptb, wikitext2, text8, enwik8, pydoc, or a folder with train.txt, valid.txt and test.txt, or ptb.*.txt, or "
    "wiki.*.tokens"
)
DATA_DIR = "a folder with the files of the corpus"
UNITS_OF_BUDGET = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}


def parse(arguments: list[str], targets: Targets) -> tuple[argparse.Namespace, dict[str, str]]:
    """The options, and the texts of the fields that are to differ from the recipe."""
    for text in arguments:
        if text.endswith("=--"):  # argparse would make an empty list of it
            raise InputError(f"{text}: must be followed by a value")
    if arguments[:1] in (["evaluate"], ["generate"], ["compare"]):
        return parse_use(*arguments), {}
    parser = argparse.ArgumentParser(
        prog="train.py",
        usage="train.py TARGET [--size SIZE] [--FIELD VALUE ...] [options], or --help\n"
        "       train.py evaluate RUN [options], or --help\n"
        "       train.py generate RUN [options], or --help\n"
        "       train.py compare RUN [RUN ...] [options], or --help",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command="train")
    add = parser.add_argument
    add("target", nargs="?", help=", ".join(targets))
    add("--size", help="one of the target's sizes, the first by default: see --list")
    add("--budget", help="choose the units for at most so many parameters: 4650000 or 4.65M")
    add("--corpus", help=f"{CORPUS}; by default the size's own, auto for most")
    add("--data_dir", "--data-dir", type=absolute, help=DATA_DIR)
    add("--out", type=path, help="the folder of the run, a new one: runs/TARGET-SIZE-n")
    add("--resume", action="store_true", help="continue the run in --out, or the newest one")
    help = "at most between two checkpoints; 600 by default"
    add("--save_seconds", "--save-seconds", default="600", help=help)
    add("--seed", help="of all random numbers but a task's data, which have data_seed; 1 by default")
    for name in ("engine", "precision"):
        add(f"--{name}", help=f"{describe(SETTINGS[name])}; {DEFAULTS[name]} by default")
    hint = "show targets, cells and wrappers, and stop"
    add("--workers", help="processes that share each batch, or the machines of TF_CONFIG; 1 by default")
    add("--wait", default="120", help="seconds that the workers wait for one another; 120 by default")
    add("--list", action="store_const", dest="command", const="list", help=hint)
    text = "those of all targets: see TARGET --help for its own"
    group = parser.add_argument_group("fields of the recipe", text)
    hints: dict[str, Hint] = {}
    for size in (size for sizes in targets.values() for size in sizes.values()):
        hints |= fields(size.recipe)
    names = field_names(hints, arguments, others=vars(parser.parse_args([])))
    flags = {name: add_field(group, name, hints.get(name)) for name in names}
    if {"-h", "--help"} & set(arguments):
        rest = [text for text in arguments if text not in ("-h", "--help")]
        explain(group, flags, parser.parse_known_args(rest)[0], targets)
    options, rest = parser.parse_known_args(arguments)
    if rest:
        refuse(rest, options, names, targets)
    convert(options, "save_seconds", NonNegative)
    convert(options, "workers", Few)
    convert(options, "wait", Positive)
    for name in ("seed", "engine", "precision"):
        convert(options, name, SETTINGS[name])
    overrides = overridden(options, names)
    if options.budget is not None:
        options.budget = read_budget(options.budget)
        if "units" in overrides:
            raise InputError("--budget: must not be given with --units, which it chooses")
    return options, overrides


def overridden(options: argparse.Namespace, names: Iterable[str]) -> dict[str, str]:
    """The texts of the fields that are given."""
    texts = {name: getattr(options, f"field {name}") for name in names}
    return {name: text for name, text in texts.items() if text is not None}


def field_names(hints: dict[str, Hint], arguments: list[str], others: Iterable[str]) -> list[str]:
    """The names of these fields, and of those of cells and wrappers that are given.

    A cell's own argument has a name with "cell." before it, and one without where none of `others` is that.
    """
    given = (text[2:].partition("=")[0] for text in arguments)
    dotted = [name for name in given if name.startswith(tuple(f"{kind}." for kind in KINDS))]
    names = list(dict.fromkeys([*hints, *(name.replace("-", "_") for name in dotted)]))
    short = [name.removeprefix("cell.") for name in hints if name.startswith("cell.")]
    taken = {*names, *others}
    return names + [name for name in [*dict.fromkeys(short), *RENAMED] if name not in taken]


def add_field(group: Any, name: str, hint: Hint | None) -> argparse.Action:
    """Make a flag of a field, without help where it has no hint."""
    flags = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
    flag: argparse.Action = group.add_argument(*flags, dest=f"field {name}", metavar="VALUE")
    flag.help = argparse.SUPPRESS if hint is None else describe(hint).replace("%", "%%")
    return flag


def explain(group: Any, flags: dict[str, argparse.Action], options: argparse.Namespace, targets: Targets) -> None:
    """Have --help explain the fields of the target, size, cell and wrapper that the options name."""
    if options.target not in targets:
        return
    recipe = targets[options.target][size_of(options, targets)].recipe
    own, values = recipe.known(**{name: text for name, text in overridden(options, flags).items() if name in KINDS})
    for kind in KINDS:
        for key, argument in arguments_of(values.get(kind)).items():
            if argument.default is not REQUIRED:
                values.setdefault(f"{kind}.{key}", argument.default)
    group.description = explained(type(recipe))
    for name in flags.keys() - own.keys():
        flags[name].help = argparse.SUPPRESS
    for name, hint in own.items():
        flag = flags.get(name) or add_field(group, name, hint)
        default = f"; {written(values[name])} by default" if name in values else ""
        flag.help = f"{describe(hint)}{default}".replace("%", "%%")


def refuse(rest: list[str], options: argparse.Namespace, names: list[str], targets: Targets) -> None:
    """Name the first of the arguments that are no flags, and the flags that are near it."""
    flags = (text.partition("=")[0] for text in rest if text.startswith("--"))
    name = next((flag.lstrip("-").replace("-", "_") for flag in flags if flag.strip("-")), None)
    if name is None:
        raise InputError(f"unexpected argument {rest[0]!r}")
    known = {key for key in vars(options) if not key.startswith("field ")}
    sizes = targets.get(options.target, {}).values()
    own = {each for size in sizes for each in fields(size.recipe)} or set(names)
    known |= own | {each.removeprefix("cell.") for each in own}
    raise InputError(f"unknown field {name!r}{nearest(name, known - {'command', 'target'})}")


def read_budget(text: str) -> int:
    """A number of parameters: 4650000, 4.65M."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(?:e(\d))?([kKmMgG]?)", text)
    number, power, unit = match.groups() if match else ("0", None, "")
    budget = round(float(number) * 10 ** int(power or 0) * UNITS_OF_BUDGET[unit.upper()])
    if not 1 <= budget <= 1e12:
        raise InputError(f"--budget={text}: must be a number of parameters such as 4650000 or 4.65M")
    return budget


def explained(kind: type) -> str:
    """The docstrings of a recipe and those that it extends."""
    kinds = [each for each in reversed(kind.__mro__) if issubclass(each, Recipe)]
    return "\n\n".join(inspect.cleandoc(each.__doc__ or "") for each in kinds).replace("``", "")


def parse_use(command: str, *arguments: str) -> argparse.Namespace:
    """The options of the commands that use runs."""
    helps = {
        "evaluate": "The perplexity, on validation and test, of a run's best weights, as JSON.",
        "generate": "Text that a run's best weights generate.",
        "compare": "Learning curves of some runs in one picture, results in one table, as Markdown. "
        "The runs need not be finished.",
    }
    parser = argparse.ArgumentParser(prog=f"train.py {command}", description=helps[command], allow_abbrev=False)
    parser.set_defaults(command=command)
    add = parser.add_argument
    if command == "compare":
        add("runs", type=path, nargs="+", metavar="RUN", help="a run's folder")
        picture = pathlib.Path("compare.png")
        add("--out", type=path, default=picture, help=f"the picture; {picture} by default")
        return parser.parse_args(arguments)
    add("run", type=path, metavar="RUN", help="a run's folder; it need not be finished")
    if command == "evaluate":
        add("--corpus", help=f"{CORPUS}; the run's own by default")
        add("--data_dir", "--data-dir", type=absolute, help=DATA_DIR)
        return with_methods(parser, arguments)
    add("--words", default="100", help="how many to generate; 100 by default")
    add(
        "--temperature",
        default="1",
        help="below 1 likely words are favored, above 1 rare ones; 1 by default",
    )
    add("--prompt", default="", help="how the text begins; unknown words are <unk>")
    add("--seed", help="of the random numbers; the run's own by default")
    options = named(parser.parse_args(arguments))
    for name, hint in {"words": Count, "temperature": Positive, "seed": Seed}.items():
        convert(options, name, hint)
    return options


def with_methods(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of evaluate: of a language model also how it reads."""
    group = parser.add_argument_group(
        "how a language model reads", inspect.cleandoc(Methods.__doc__ or "").replace("``", "")
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    hints = get_type_hints(Methods, include_extras=True)
    defaults = Methods()
    for name, hint in hints.items():
        flags, default = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]), getattr(defaults, name)
        if hint is bool:
            group.add_argument(*flags, action="store_true", default=None, help="use it")
        else:
            text = f"{describe(hint)}; {written(default)} by default".replace("%", "%%")
            group.add_argument(*flags, metavar="VALUE", help=text)
    group.add_argument("--tune", action="store_true", help="choose the settings that are not given on validation")
    options = named(parser.parse_args(arguments))
    for name, hint in hints.items():
        if hint is not bool:
            convert(options, name, hint)
    options.methods = {name: value for name in hints if (value := getattr(options, name)) is not None}
    for name in options.methods:
        method = name.partition("_")[0]
        if method != name and method in hints and not options.methods.get(method):
            raise InputError(f"--{name}: must not be given without --{method}")
    return options


def named(options: argparse.Namespace) -> argparse.Namespace:
    """The options, if the folder of the run has a name to be seen."""
    if not str(options.run).strip():
        raise InputError(f"RUN {str(options.run)!r}: must be the folder of a run")
    return options


def path(text: str) -> pathlib.Path:
    """The path that an option gives, "~" being one's own folder, also where no shell has seen to it."""
    return pathlib.Path(os.path.expanduser(text))


def absolute(text: str) -> str:
    """The same from the root on, so that a run finds it from any folder; an empty text stays one."""
    return os.path.abspath(path(text)) if text else text


def located(corpus: str, recipe: Recipe[Any]) -> str:
    """A corpus by its name, or by the absolute path of its folder."""
    return corpus if corpus in recipe.corpora else absolute(corpus)


def convert(options: argparse.Namespace, name: str, hint: Hint) -> None:
    """Read an option, if it is given, as a value of its type."""
    if (text := getattr(options, name)) is not None:
        setattr(options, name, read(f"--{name}", hint, text))


def settle(
    options: argparse.Namespace, overrides: dict[str, str], targets: Targets
) -> tuple[Recipe[Any], Settings, Run | None]:
    """The recipe and the settings of the run; and the run itself, if it is one to continue."""
    if options.target is None:
        raise InputError(f"name a target: {', '.join(targets)}")
    if options.target not in targets:
        raise InputError(f"unknown target {options.target!r}{nearest(options.target, targets)}")
    sizes, size = targets[options.target], size_of(options, targets)
    recipe = sizes[size].recipe.replace(**overrides)
    given: Any = {name: getattr(options, name) for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if "corpus" in given:
        given["corpus"] = located(given["corpus"], recipe)
    if options.out and not is_utf8(str(options.out)):
        raise InputError(f"--out {str(options.out)!r}: must be UTF-8")
    if not options.resume:
        if options.out and os.path.lexists(options.out):
            raise taken(options.out)
        defaults: Any = DEFAULTS
        return recipe, defaults | {"size": size, "corpus": sizes[size].corpus} | given, None

    run = Run(options.out) if options.out else Run.latest(f"{options.target}-{size}")
    saved, settings = recall(run, targets)
    was: dict[str, Any] = dict(settings)
    changed = [
        f"{name}={given[name]!r} (was {was[name]!r})"
        for name in ("target", "size", "seed", "engine", "precision")
        if name in given and given[name] != was[name]
    ]
    if type(recipe) is type(saved) and options.target == settings["target"]:
        changed += differences(saved.replace(**overrides), saved)
    check_unchanged(run, changed)
    return saved, settings | given, run


def size_of(options: argparse.Namespace, targets: Targets) -> str:
    """The size that the options choose of a known target."""
    sizes = targets[options.target]
    size = next(iter(sizes)) if options.size is None else options.size
    if size not in sizes:
        raise InputError(f"{options.target} has no size {size!r}{nearest(size, sizes)}")
    return size


def check_unchanged(run: Run, changed: list[str]) -> None:
    """Refuse to continue a run otherwise than it was begun."""
    if changed:
        raise InputError(
            f"--resume: {run.folder} continues as it was begun, and that is not with "
            f"{', '.join(changed)}; begin a new run for that"
        )


def is_utf8(text: str) -> bool:
    """Whether a text can be written to a file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def recall(run: Run, targets: Targets) -> tuple[Recipe[Any], Settings]:
    """The recipe and the settings that a run was begun with."""
    about = run.about()
    try:
        settings: Any = {name: about[name] for name in SETTINGS}
        for name, hint in SETTINGS.items():
            if not holds(hint, settings[name]):
                raise InputError(f"{name}={settings[name]!r}: must be {describe(hint)}")
        size = targets[settings["target"]][settings["size"]]
        if not isinstance(about["recipe"], dict):
            raise InputError(f"recipe={about['recipe']!r}: must be an object")
        return size.recipe.with_values(about["recipe"]), settings
    except KeyError as error:
        raise InputError(f"{run.folder / 'recipe.json'}: damaged (no {error})") from error
    except (TypeError, InputError) as error:
        raise InputError(f"{run.folder / 'recipe.json'}: damaged ({error})") from error


def continuation(arguments: list[str], folder: pathlib.Path) -> str:
    """The command that continues the run that a command line began."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--out":
            next(rest)
        elif argument != "--resume" and not argument.startswith("--out="):
            kept.append(argument)
    return shlex.join([sys.executable, sys.argv[0], *kept, "--resume", "--out", str(folder)])


def table(targets: Targets) -> str:
    """Targets with their sizes, then cells and wrappers, in lines and columns."""
    rows: list[tuple[str, ...]] = [("target", "size", "parameters", "published", "own", "paper")]
    for target, sizes in targets.items():
        for size, entry in sizes.items():
            count = f"{entry.parameters:,}"
            rows.append((target, size, count, entry.published, entry.own, entry.paper))
    note = "published, own: validation / test perplexity; of characters or bytes, bits of each"
    parts = [columns(rows), note]
    for kind in KINDS:
        rows = [(f"--{kind}", "family", "year", "paper")]
        rows += [(r.name, r.family, str(r.year), r.paper) for r in TABLE.values() if r.kind == kind]
        parts.append(columns(rows))
    return "\n\n".join(parts)


def columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([text.ljust(n) for text, n in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)
