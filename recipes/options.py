"""The command line of train.py, read and checked before Keras or TensorFlow is imported."""

import argparse
import os
import pathlib
import shlex

from recipes import TARGETS, InputError
from recipes.recipe import Recipe, describe, differences, fields, nearest
from recipes.run import Run

DESCRIPTION = """Train a recurrent network.

    python train.py rhn                                 a target as its recipe says
    python train.py rhn --units 100 --batch_size 10     with some fields of the recipe changed
    python train.py --list                              what there is
"""

DEFAULTS = {
    "corpus": "auto",
    "data_dir": None,
    "seed": 1,
    "engine": "graph",
    "precision": "float32",
}


def parse(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """The options, and the texts of the fields that are to differ from the recipe."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        usage="train.py TARGET [--size SIZE] [--FIELD VALUE ...] [options], or --help",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", nargs="?", help=", ".join(TARGETS))
    add("--size", help="one of the target's sizes, the first by default: see --list")
    add("--corpus", help="auto, ptb, pydoc, or a folder with train.txt, valid.txt and test.txt")
    add("--data_dir", "--data-dir", help="a folder with the files of Penn Treebank")
    add("--out", type=pathlib.Path, help="the folder of the run, a new one: runs/TARGET-SIZE-n")
    add("--resume", action="store_true", help="go on with the run in --out, or the newest one")
    add("--seed", type=seed, help="of all random numbers; 1 by default")
    add("--engine", choices=["graph", "eager", "xla"], help="how a step runs; graph by default")
    add("--precision", choices=["float32", "mixed_bfloat16"], help="float32 by default")
    add("--list", action="store_true", help="show targets, sizes, parameters and scores, and stop")
    hints = {}
    for sizes in TARGETS.values():
        for size in sizes.values():
            hints |= fields(size.recipe)
    group = parser.add_argument_group("fields of the recipe")
    for name, hint in hints.items():
        flags = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        group.add_argument(
            *flags, dest=f"field {name}", metavar="VALUE", help=describe(hint).replace("%", "%%")
        )
    options, rest = parser.parse_known_args(arguments)
    if rest:
        flag = next((text for text in rest if text.startswith("--")), None)
        if flag is None:
            raise InputError(f"unexpected argument {rest[0]!r}")
        name = flag.partition("=")[0].lstrip("-").replace("-", "_")
        known = [*hints, *(key for key in vars(options) if not key.startswith("field "))]
        raise InputError(f"unknown field {name!r}{nearest(name, known)}")
    overrides = {name: getattr(options, f"field {name}") for name in hints}
    return options, {name: text for name, text in overrides.items() if text is not None}


def seed(text: str) -> int:
    """A seed, as argparse reads it."""
    if not text.isascii() or not text.isdigit() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 0 to {2**32 - 1}")
    return int(text)


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
    if not options.resume:
        if options.out and os.path.lexists(options.out):
            raise InputError(f"--out {options.out}: exists already; --resume would go on with it")
        return recipe, DEFAULTS | {"size": size} | given, None

    run = Run(options.out) if options.out else Run.latest(f"{options.target}-{size}")
    about = run.about()
    try:
        settings = {name: about[name] for name in ("target", "size", *DEFAULTS)}
        sizes = TARGETS[settings["target"]]
        saved = type(sizes[settings["size"]].recipe)(**about["recipe"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{run.folder / 'recipe.json'}: damaged ({error})") from error
    changed = [
        f"{name}={given[name]!r} (was {settings[name]!r})"
        for name in ("target", "size", "seed", "engine", "precision")
        if name in given and given[name] != settings[name]
    ]
    if not changed:
        changed = differences(saved.replace(**overrides), saved)
    if changed:
        raise InputError(f"--resume: {run.folder} is another run: {', '.join(changed)}")
    return saved, settings | given, run


def continuation(arguments: list[str], folder: pathlib.Path) -> str:
    """The command that goes on with the run that a command line began."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--out":
            next(rest)
        elif argument != "--resume" and not argument.startswith("--out="):
            kept.append(argument)
    return shlex.join(["python", "train.py", *kept, "--resume", "--out", str(folder)])


def table() -> str:
    """Targets and sizes in lines and columns."""
    rows = [("target", "size", "parameters", "published", "own", "paper")]
    for target, sizes in TARGETS.items():
        for size, entry in sizes.items():
            count = f"{entry.recipe.parameters():,}"
            rows.append((target, size, count, entry.published, entry.own, entry.paper))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([text.ljust(n) for text, n in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)
