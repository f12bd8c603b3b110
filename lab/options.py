"""The command line of train.py, read and checked before Keras or TensorFlow is imported."""

import argparse
import inspect
import os
import pathlib
import shlex
import sys
from typing import Annotated, Literal

from recipes import TARGETS, InputError
from lab.recipe import (
    Allowed,
    Count,
    NonNegative,
    Positive,
    Recipe,
    describe,
    differences,
    fields,
    holds,
    nearest,
    read,
)
from lab.run import Run

DESCRIPTION = """Train a recurrent network, or use one.

    python train.py rhn                                 a target as its recipe says
    python train.py rhn --units 100 --batch_size 10     with some fields of the recipe changed
    python train.py rhn --resume                        on from where it was stopped
    python train.py --list                              what there is
    python train.py evaluate runs/rhn-small-1           the perplexity of a run's best weights
    python train.py generate runs/rhn-small-1           text that they make up
"""

Seed = Annotated[int, Allowed("a whole number from 0 to 4294967295", 0, 2**32 - 1)]

SETTINGS = {
    "corpus": str,
    "data_dir": str | None,
    "seed": Seed,
    "engine": Literal["graph", "eager", "xla", "numpy"],
    "precision": Literal["float32", "mixed_bfloat16", "float64"],
}
"""What recipe.json holds besides target, size and recipe, each with its type."""

DEFAULTS = {
    "corpus": "auto",
    "data_dir": None,
    "seed": 1,
    "engine": "graph",
    "precision": "float32",
}


CORPUS = "auto, ptb, pydoc, or a folder with train.txt, valid.txt and test.txt or ptb.*.txt"
DATA_DIR = "a folder with the files of Penn Treebank"


def parse(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """The options, and the texts of the fields that are to differ from the recipe."""
    for text in arguments:
        if text.endswith("=--"):  # argparse would make an empty list of it
            raise InputError(f"{text}: must be followed by a value")
    if arguments[:1] in (["evaluate"], ["generate"]):
        return parse_use(*arguments), {}
    parser = argparse.ArgumentParser(
        prog="train.py",
        usage="train.py TARGET [--size SIZE] [--FIELD VALUE ...] [options], or --help\n"
        "       train.py evaluate RUN [options], or --help\n"
        "       train.py generate RUN [options], or --help",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command="train")
    add = parser.add_argument
    add("target", nargs="?", help=", ".join(TARGETS))
    add("--size", help="one of the target's sizes, the first by default: see --list")
    add("--corpus", help=f"{CORPUS}; auto by default")
    add("--data_dir", "--data-dir", help=DATA_DIR)
    add("--out", type=pathlib.Path, help="the folder of the run, a new one: runs/TARGET-SIZE-n")
    add("--resume", action="store_true", help="go on with the run in --out, or the newest one")
    flags = ["--save_seconds", "--save-seconds"]
    add(*flags, default="600", help="at most between two checkpoints; 600 by default")
    add(
        "--seed", help="of all random numbers but a task's data, which have data_seed; 1 by default"
    )
    for name in ("engine", "precision"):
        hint = SETTINGS[name]
        add(f"--{name}", help=f"{describe(hint)}; {DEFAULTS[name]} by default")
    hint = "show targets, sizes, parameters and scores, and stop"
    add("--list", action="store_const", dest="command", const="list", help=hint)
    hints = {}
    for sizes in TARGETS.values():
        for size in sizes.values():
            hints |= fields(size.recipe)
    shown = recipe_of(arguments)
    text = (
        explained(type(shown)) if shown else "those of all targets: see TARGET --help for its own"
    )
    group = parser.add_argument_group("fields of the recipe", text)
    for name, hint in hints.items():
        flags = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        text = describe(hint).replace("%", "%%")
        if shown:
            own = name in fields(shown)
            value = str(getattr(shown, name, "")).replace("%", "%%")
            text = f"{text}; {value.lower()} by default" if own else argparse.SUPPRESS
        group.add_argument(*flags, dest=f"field {name}", metavar="VALUE", help=text)
    options, rest = parser.parse_known_args(arguments)
    if rest:
        flags = (text.partition("=")[0] for text in rest if text.startswith("--"))
        name = next((flag.lstrip("-").replace("-", "_") for flag in flags if flag.strip("-")), None)
        if name is None:
            raise InputError(f"unexpected argument {rest[0]!r}")
        known = {key for key in vars(options) if not key.startswith("field ")}
        sizes = TARGETS.get(options.target, {}).values()
        known |= {name for size in sizes for name in fields(size.recipe)} or set(hints)
        known -= {"command", "target"}
        raise InputError(f"unknown field {name!r}{nearest(name, known)}")
    convert(options, "save_seconds", NonNegative)
    for name in ("seed", "engine", "precision"):
        convert(options, name, SETTINGS[name])
    overrides = {name: getattr(options, f"field {name}") for name in hints}
    return options, {name: text for name, text in overrides.items() if text is not None}


def recipe_of(arguments: list[str]) -> Recipe | None:
    """The recipe that --help is to explain: of the target that comes first, and of its size."""
    sizes = TARGETS.get(next(iter(arguments), None))
    if sizes is None:
        return None
    size = next((size for size in sizes if f"--size {size}" in " ".join(arguments)), None)
    return sizes[size or next(iter(sizes))].recipe


def explained(kind: type[Recipe]) -> str:
    """What the docstrings of a recipe and those that it extends say."""
    kinds = [each for each in reversed(kind.__mro__) if issubclass(each, Recipe)]
    texts = [each.__doc__ for each in kinds if not each.__doc__.startswith(f"{each.__name__}(")]
    return "\n\n".join(map(inspect.cleandoc, texts)).replace("``", "")


def parse_use(command: str, *arguments: str) -> argparse.Namespace:
    """The options of the commands that use what a run has learnt."""
    helps = {
        "evaluate": "The perplexity, on validation and test, of a run's best weights, as JSON.",
        "generate": "Text that a run's best weights make up.",
    }
    parser = argparse.ArgumentParser(
        prog=f"train.py {command}", description=helps[command], allow_abbrev=False
    )
    parser.set_defaults(command=command)
    add = parser.add_argument
    add("run", type=pathlib.Path, metavar="RUN", help="a run's folder; it need not be finished")
    if command == "evaluate":
        add("--corpus", help=f"{CORPUS}; the run's own by default")
        add("--data_dir", "--data-dir", help=DATA_DIR)
        return named(parser.parse_args(arguments))
    add("--words", default="100", help="how many to make up; 100 by default")
    add(
        "--temperature",
        default="1",
        help="below 1 likely words are favoured, above 1 rare ones; 1 by default",
    )
    add("--prompt", default="", help="how the text begins; unknown words are <unk>")
    add("--seed", help="of the random numbers; the run's own by default")
    options = named(parser.parse_args(arguments))
    for name, hint in {"words": Count, "temperature": Positive, "seed": Seed}.items():
        convert(options, name, hint)
    return options


def named(options: argparse.Namespace) -> argparse.Namespace:
    """The options, if the folder of the run has a name to be seen."""
    if not str(options.run).strip():
        raise InputError(f"RUN {str(options.run)!r}: must be the folder of a run")
    return options


def convert(options: argparse.Namespace, name: str, hint):
    """Read an option, if it is given, as a value of its type."""
    if (text := getattr(options, name)) is not None:
        setattr(options, name, read(f"--{name}", hint, text))


def settle(options, overrides) -> tuple[Recipe, dict, Run | None]:
    """The recipe and the settings of the run; and the run itself, if it is one to go on with."""
    if options.target is None:
        raise InputError(f"name a target: {', '.join(TARGETS)}")
    if options.target not in TARGETS:
        raise InputError(f"unknown target {options.target!r}{nearest(options.target, TARGETS)}")
    sizes = TARGETS[options.target]
    size = next(iter(sizes)) if options.size is None else options.size
    if size not in sizes:
        raise InputError(f"{options.target} has no size {size!r}{nearest(size, sizes)}")
    given = {name: getattr(options, name) for name in ("target", "size", *DEFAULTS)}
    given = {name: value for name, value in given.items() if value is not None}
    recipe = sizes[size].recipe.replace(**overrides)
    if options.out and not is_utf8(str(options.out)):
        raise InputError(f"--out {str(options.out)!r}: must be UTF-8")
    if not options.resume:
        if options.out and os.path.lexists(options.out):
            raise InputError(f"--out {options.out}: exists already; --resume would go on with it")
        return recipe, DEFAULTS | {"size": size} | given, None

    run = Run(options.out) if options.out else Run.latest(f"{options.target}-{size}")
    saved, settings = recall(run)
    changed = [
        f"{name}={given[name]!r} (was {settings[name]!r})"
        for name in ("target", "size", "seed", "engine", "precision")
        if name in given and given[name] != settings[name]
    ]
    if type(recipe) is type(saved):
        changed += differences(saved.replace(**overrides), saved)
    if changed:
        raise InputError(
            f"--resume: {run.folder} goes on as it was begun, and that is not with "
            f"{', '.join(changed)}; begin a new run for that"
        )
    return saved, settings | given, run


def is_utf8(text: str) -> bool:
    """Whether a text can be written to a file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def recall(run: Run) -> tuple[Recipe, dict]:
    """The recipe and the settings that a run was begun with."""
    about = run.about()
    try:
        settings = {name: about[name] for name in ("target", "size", *DEFAULTS)}
        for name, hint in SETTINGS.items():
            if not holds(hint, settings[name]):
                raise InputError(f"{name}={settings[name]!r}: must be {describe(hint)}")
        sizes = TARGETS[settings["target"]]
        return type(sizes[settings["size"]].recipe)(**about["recipe"]), settings
    except KeyError as error:
        raise InputError(f"{run.folder / 'recipe.json'}: damaged (no {error})") from error
    except (TypeError, InputError) as error:
        raise InputError(f"{run.folder / 'recipe.json'}: damaged ({error})") from error


def continuation(arguments: list[str], folder: pathlib.Path) -> str:
    """The command that goes on with the run that a command line began."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--out":
            next(rest)
        elif argument != "--resume" and not argument.startswith("--out="):
            kept.append(argument)
    return shlex.join([sys.executable, sys.argv[0], *kept, "--resume", "--out", str(folder)])


def table() -> str:
    """Targets and sizes in lines and columns."""
    rows = [("target", "size", "parameters", "published", "own", "paper")]
    for target, sizes in TARGETS.items():
        for size, entry in sizes.items():
            count = f"{entry.recipe.parameters():,}"
            rows.append((target, size, count, entry.published, entry.own, entry.paper))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([text.ljust(n) for text, n in zip(row, widths, strict=True)] for row in rows)
    note = "published, own: validation / test perplexity; of characters, bits per character"
    return "\n".join(["  ".join(line).rstrip() for line in lines] + ["", note])
