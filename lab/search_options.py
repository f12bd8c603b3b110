"""The options of train.py search, beside those of any training."""

import argparse
from typing import Annotated, Any, Literal, NamedTuple

from lab.fields import Allowed, Count, Few, Hint, Positive, describe

USAGE = "train.py search TARGET [--size SIZE] [--FIELD RANGE ...] [options], or --help"
DESCRIPTION = """Search for the best fields of a recipe: train many runs, compare them on validation.

    python train.py search lstm --units 100..400 --learning_rate 0.1..10:log --epochs 6
    python train.py search lstm --cell lstm,gru,rhn --cell.depth 2..5 --budget 4.65M --hours 2
    python train.py search cell --sampler evolution --pruner none
    python train.py search lstm --resume --trials 60

A field has one value in all trials, or is drawn from LOW..HIGH, in steps from LOW..HIGH:STEP, on a
logarithmic scale from LOW..HIGH:log, or from a list with commas between the values. A cell.genotype is
drawn from those of LOW..HIGH nodes. A field that only some of the cells have is drawn for these.
With --budget each trial has the most units that fit; where --units is a range, too, trials above the
budget are left out.

Each trial is a run in the study's folder, and is never tested: --resume finishes it. A trial whose worker was
killed is tried again, from its checkpoint.
"""

Patience = Annotated[int, Allowed("a whole number from 5 to 86400", 5, 86400)]


class Option(NamedTuple):
    hint: Hint
    default: Any
    help: str


OPTIONS = {
    "trials": Option(Count, 20, "so many in all; to go on, as many as the study was begun with"),
    "sampler": Option(Literal["tpe", "random", "evolution"], "tpe", "chooses the fields of a trial"),
    "pruner": Option(Literal["asha", "hyperband", "none"], "asha", "ends trials that are worse after as many epochs"),
    "hours": Option(Positive, None, "at most so long, from now on"),
    "parallel": Option(Few, 1, "workers on this machine"),
    "storage": Option(str, None, "the URL of a database, or the path of a journal"),
    "wait": Option(Patience, 60, "seconds after which a silent worker counts as killed"),
}
HINTS: dict[str, Hint] = {name: option.hint for name, option in OPTIONS.items()} | {"worker": Few}


def add_options(parser: argparse.ArgumentParser) -> None:
    for name, option in OPTIONS.items():
        default = "" if option.default is None else f" (default: {option.default})"
        default = " (default: study.db in the folder)" if name == "storage" else default
        parser.add_argument(f"--{name}", help=f"{option.help}: {describe(option.hint)}{default}")
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # which of the workers this process is


def given(options: argparse.Namespace, name: str) -> Any:
    """An option's value, or its default."""
    value = getattr(options, name)
    return OPTIONS[name].default if value is None else value
