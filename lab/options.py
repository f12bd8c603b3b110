"""The command line of train.py, read and checked before Keras or TensorFlow is imported."""

import argparse
import functools
import math
import os
import pathlib
import re
import runpy
import shlex
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NoReturn, TypedDict, get_type_hints

from lab.cells import KINDS, check_target
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
from lab.recipe import RENAMED, Recipe, Targets, differences, fields, meanings, with_defaults
from lab.run import DEMO, Run, taken
from lab.search_options import DESCRIPTION as SEARCH
from lab.search_options import HINTS as SEARCH_HINTS
from lab.search_options import USAGE as SEARCH_USAGE
from lab.search_options import add_options

DESCRIPTION = """Train a recurrent network, or use one.

    python train.py rhn --quick                         a first look, in three minutes
    python train.py rhn                                 a target as its recipe says
    python train.py rhn --units 100 --batch_size 10     with some fields of the recipe changed
    python train.py lstm --cell gru --budget 4.65M      with another cell, at most so many parameters
    python train.py rhn --resume                        continue the newest run of the target
    python train.py rhn --resume --epochs 20            train a finished run on, to so many epochs
    python train.py --list                              the targets, cells and wrappers
    python train.py --list rhn                          a target's sizes, their scores and fields
    python train.py evaluate runs/rhn-small-1           the perplexity of a run's best weights
    python train.py generate runs/rhn-small-1           text that they generate
    python train.py generate demo                       text at once, from a small model that comes along
    python train.py compare RUN RUN                     learning curves in one picture
    python train.py search lstm --units 100..400        the best of many runs

Every field of a target's recipe is a flag, too, listed below; TARGET --help has its defaults.
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
CORPUS = "auto, ptb, wikitext2, text8, enwik8, pydoc, or a folder with train.txt, valid.txt, test.txt or the like"
RUN_HELP = "a run's folder; it need not be finished"
DATA_DIR = "the folder of the corpus's files, or of MNIST's (default: found or downloaded)"
FORMATTER = functools.partial(
    argparse.RawDescriptionHelpFormatter,
    max_help_position=40,
    width=1000,  # a line a flag: the terminal wraps what is too long for it
)
QUICK = "quick"  # the size for a first look
QUICK_STEPS = 150  # of an epoch of it, where the text is longer than the one that comes with Python
VERSION = pathlib.Path(__file__).parents[1] / "tfcells" / "version.py"
LONG = "auto", "ptb", "wikitext2", "text8", "enwik8"
UNITS_OF_BUDGET = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}


class Parser(argparse.ArgumentParser):
    """One whose errors are like all others: a line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message.removeprefix("argument "))


class Version(argparse.Action):
    """Prints the version, which is read from its file: Keras takes seconds to import."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print("tfcells", runpy.run_path(str(VERSION))["__version__"])
        sys.exit()


def parse(arguments: list[str], targets: Targets) -> tuple[argparse.Namespace, dict[str, str]]:
    """The options, and the texts of the fields that are to differ from the recipe."""
    for text in arguments:
        if text.endswith("=--"):  # argparse would make an empty list of it
            raise InputError(f"{text}: must be followed by a value")
    arguments = underscored(arguments)
    if arguments and arguments[0] in USES:
        return parse_use(*arguments), {}
    searching = arguments[:1] == ["search"]
    arguments = arguments[searching:]
    usage = (
        "train.py TARGET [--size SIZE] [--FIELD VALUE ...] [options], or --help\n"
        "       train.py evaluate RUN [options], or --help\n"
        "       train.py generate RUN [options], or --help\n"
        "       train.py compare RUN [RUN ...] [options], or --help\n"
        f"       {SEARCH_USAGE}"
    )
    parser = Parser(
        prog="train.py",
        usage=SEARCH_USAGE if searching else usage,
        description=SEARCH if searching else DESCRIPTION,
        allow_abbrev=False,
        formatter_class=FORMATTER,
    )
    parser.set_defaults(command="search" if searching else "train", epochs=None)
    add = parser.add_argument
    add("target", nargs="?", help=", ".join(targets))
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--size", help="one of the target's sizes (default: the first in --list TARGET)")
    help = "--size quick: a language model in three minutes, of the text that comes with Python or of --data_dir"
    sizes.add_argument("--quick", action="store_const", dest="size", const=QUICK, help=help)
    add(
        "--budget",
        help="choose the units for at most so many parameters: 4650000 or 4.65M (default: the recipe's units)",
    )
    corpus = add("--corpus", help=f"the data: {CORPUS} (default: the size's own)")
    add("--data_dir", type=absolute, help=DATA_DIR)
    kind, stem = ("study", "TARGET-SIZE-search") if searching else ("run", "TARGET-SIZE")
    add("--out", type=path, help=f"the new folder of the {kind} (default: the next runs/{stem}-n)")
    add("--resume", action="store_true", help=f"continue the {kind} in --out, or the newest one")
    add("--save_seconds", default="600", help="seconds between two checkpoints at the most (default: 600)")
    add("--seed", help="seed of all random numbers, but of --data_seed where there is one (default: 1)")
    for name, what in (("engine", "what computes"), ("precision", "what numbers are")):
        add(f"--{name}", help=f"{what}: {describe(SETTINGS[name])} (default: {DEFAULTS[name]})")
    if searching:
        add_options(parser)
    else:
        add("--workers", help="processes that share each batch, or the machines of TF_CONFIG (default: 1)")
        add("--wait", default="120", help="seconds that the workers wait for one another (default: 120)")
        help = "show the targets, cells and wrappers, or a target's sizes, and stop"
        add("--list", action="store_const", dest="command", const="list", help=help)
        add("--version", action=Version, nargs=0, help="show the version of tfcells, and stop")
    group = parser.add_argument_group("fields of every recipe")
    hints: dict[str, Hint] = {}
    for size in (size for sizes in targets.values() for size in sizes.values()):
        hints |= fields(size.recipe)
    names = field_names(hints, arguments, others=vars(parser.parse_args([])))
    flags = {name: add_field(group, name) for name in names}
    if {"-h", "--help"} & set(arguments):
        rest = [text for text in arguments if text not in ("-h", "--help")]
        explain(group, flags, corpus, parser.parse_known_args(rest)[0], targets)
    options, rest = parser.parse_known_args(arguments)
    if rest:
        if options.target and options.command != "list":
            named_recipe(options, targets)  # which is refused first
        known = known_flags(options, names, targets)
        strays = [text for text in rest if text.lstrip("-") in targets and text.lstrip("-") not in known]
        for text in strays if options.target else ():
            raise InputError(
                f"unexpected argument {text!r}: the target is {options.target}, and there is one at a time"
            )
        refuse(rest, known | {text.lstrip("-") for text in strays}, options.resume)
    read_as: dict[str, Hint] = {"save_seconds": NonNegative} | {
        name: SETTINGS[name] for name in ("seed", "engine", "precision")
    }
    read_as |= SEARCH_HINTS if searching else {"workers": Few, "wait": Positive}
    for name, read_by in read_as.items():
        convert(options, name, read_by)
    overrides = overridden(options, names)
    if options.command == "list":
        check_alone(options, overrides)
    if options.budget is not None:
        options.budget = read_budget(options.budget)
        if "units" in overrides and not searching:
            raise InputError("--budget: must not be given with --units, which it chooses")
    return options, overrides


def check_alone(options: argparse.Namespace, overrides: dict[str, str]) -> None:
    """Refuse what --list has no use for."""
    names = {"budget", "out", "workers", *SETTINGS} - {"target"}
    given = sorted(name for name in names if getattr(options, name) is not None)
    if given := [*given, *overrides, *["resume"] * options.resume]:
        first = QUICK if given[0] == "size" and options.size == QUICK else given[0]
        raise InputError(f"--list: must be given alone or with a target, not with --{first}")


def overridden(options: argparse.Namespace, names: Iterable[str]) -> dict[str, str]:
    """The texts of the fields that are given."""
    texts = {name: getattr(options, f"field {name}") for name in names}
    return {name: text for name, text in texts.items() if text is not None}


def underscored(arguments: list[str]) -> list[str]:
    """The arguments, the hyphens within a flag's name as underscores: both are fine."""
    found = list(arguments)
    for place, text in enumerate(arguments):
        if text == "--":  # what follows is no flag
            break
        if text.startswith("--"):
            flag, equals, value = text.partition("=")
            name = flag.lstrip("-")
            found[place] = f"{flag.removesuffix(name)}{name.replace('-', '_')}{equals}{value}"
    return found


def field_names(hints: dict[str, Hint], arguments: list[str], others: Iterable[str]) -> list[str]:
    """The names of these fields, and of those of cells and wrappers that are given.

    A cell's own argument has a name with "cell." before it, and one without where none of `others` is that.
    """
    given = (text[2:].partition("=")[0] for text in arguments)
    dotted = [name for name in given if name.startswith(tuple(f"{kind}." for kind in KINDS))]
    names = list(dict.fromkeys([*hints, *dotted]))
    short = [name.removeprefix("cell.") for name in hints if name.startswith("cell.")]
    taken = {*names, *others}
    return names + [name for name in [*dict.fromkeys(short), *RENAMED] if name not in taken]


def add_field(group: Any, name: str) -> argparse.Action:
    """Make a flag of a field, which --help leaves out."""
    flag: argparse.Action = group.add_argument(
        f"--{name}", dest=f"field {name}", metavar="VALUE", help=argparse.SUPPRESS
    )
    return flag


def explain(
    group: Any,
    flags: dict[str, argparse.Action],
    corpus: argparse.Action,
    options: argparse.Namespace,
    targets: Targets,
) -> None:
    """Have --help explain the fields of the target, size, cell and wrapper that the options name, or of all targets."""
    if options.target in targets:
        size = targets[options.target][size_of(options, targets)]
        classes = {name: text for name, text in overridden(options, flags).items() if name in KINDS}
        hints, values = size.recipe.known(**{kind: text.partition(",")[0] for kind, text in classes.items()})
        values, said = with_defaults(values), meanings(type(size.recipe), values)
        group.title = "fields of the recipe"
        names = ", ".join(size.recipe.corpora)
        corpus.help = f"the data: {CORPUS if CORPUS.startswith(names) else names} (default: {size.corpus})"
    else:
        hints, values, said = fields(Recipe), {}, meanings(Recipe)
    for name, hint in hints.items():
        flag = flags.get(name) or add_field(group, name)
        default = f" (default: {written(values[name])})" if name in values else ""
        choices = f": {describe(hint)}" if typing.get_origin(hint) is Literal else ""
        flag.help = f"{said[name]}{choices}{default}".replace("%", "%%")


def refuse(rest: list[str], known: set[str], resume: bool = False) -> NoReturn:
    """Name the first of the arguments that are no flags, and the flags that are near it."""
    flags = (text.partition("=")[0] for text in rest if text.startswith("--"))
    name = next((flag.lstrip("-").replace("-", "_") for flag in flags if flag.strip("-")), None)
    if name is not None:
        raise InputError(f"unknown option {name!r}{nearest(name, known)}")
    more = ""
    if rest[0].lstrip("-") in known:
        more = f"; did you mean --{rest[0].lstrip('-')}?"
    elif resume:
        more = "; --resume continues the run of --out FOLDER"
    raise InputError(f"unexpected argument {rest[0]!r}{more}")


def known_flags(options: argparse.Namespace, names: list[str], targets: Targets) -> set[str]:
    """What may stand behind -- with the target."""
    known = {key for key in vars(options) if not key.startswith("field ")}
    sizes = targets.get(options.target, {}).values()
    own = {each for size in sizes for each in fields(size.recipe)} or {*names}
    known |= own | {each.removeprefix("cell.") for each in own} | {"quick", "list"}
    return known - {"command", "target", "worker"}


def read_budget(text: str) -> int:
    """A number of parameters: 4650000, 4.65M."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(?:e(\d))?([kKmMgG]?)", text)
    number, power, unit = match.groups() if match else ("0", None, "")
    value = float(number) * 10 ** int(power or 0) * UNITS_OF_BUDGET[unit.upper()]
    budget = round(value)
    if not 1 <= budget <= 1e12 or not math.isclose(value, budget):  # 4.65 is no number of parameters
        raise InputError(f"--budget={text}: must be a number of parameters such as 4650000 or 4.65M")
    return budget


USES = {
    "evaluate": "The perplexity, on validation and test, of a run's best weights, as JSON.",
    "generate": "Text that a run's best weights generate.",
    "compare": "Learning curves of some runs in one picture, results in one table, as Markdown. "
    "The runs need not be finished.",
}


def parse_use(command: str, *arguments: str) -> argparse.Namespace:
    """The options of the commands that use runs."""
    parser = Parser(
        prog=f"train.py {command}",
        usage=f"train.py {command} RUN {'[RUN ...] ' * (command == 'compare')}[options]",
        description=USES[command],
        allow_abbrev=False,
        formatter_class=FORMATTER,
    )
    parser.set_defaults(command=command)
    add = parser.add_argument
    if command == "compare":
        add("runs", type=path_or_demo, nargs="+", metavar="RUN", help="a run's folder")
        picture = pathlib.Path("compare.png")
        add("--out", type=path, default=picture, help=f"the picture (default: {picture})")
        return without_demo(strictly(parser, arguments))
    if command == "evaluate":
        add("run", type=path_or_demo, metavar="RUN", help=RUN_HELP)
        add("--corpus", help=f"the data: {CORPUS} (default: the run's own)")
        add("--data_dir", type=absolute, help=DATA_DIR)
        return without_demo(with_methods(parser, arguments))
    help = f"{RUN_HELP}; demo, where there is no such folder, is a small model that comes with train.py"
    add("run", type=path_or_demo, metavar="RUN", help=help)
    add("--words", default="100", help="words to generate (default: 100)")
    add("--temperature", default="1", help="below 1 likely words are favored, above 1 rare ones (default: 1)")
    add("--prompt", default="", help="how the text begins; unknown words are <unk>")
    add("--seed", help="seed of the random numbers (default: the run's own)")
    options = named(strictly(parser, arguments))
    for name, hint in {"words": Count, "temperature": Positive, "seed": Seed}.items():
        convert(options, name, hint)
    return options


def strictly(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and no other argument than these."""
    options, rest = parser.parse_known_args(arguments)
    if rest:
        refuse(rest, {*vars(options)} - {"command", "run", "runs"})
    return options


def with_methods(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of evaluate: of a language model also how it reads."""
    group = parser.add_argument_group("how a language model reads")
    hints = get_type_hints(Methods, include_extras=True)
    said, defaults = meanings(Methods), Methods()
    for name, hint in hints.items():
        if hint is bool:
            group.add_argument(f"--{name}", action="store_true", default=None, help=said[name])
        else:
            text = f"{said[name]} (default: {written(getattr(defaults, name))})"
            group.add_argument(f"--{name}", metavar="VALUE", help=text)
    chosen = "choose rate, decay, epsilon, theta, share and temperature on validation, but those that are given"
    group.add_argument("--tune", action="store_true", help=chosen)
    options = named(strictly(parser, arguments))
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


def without_demo(options: argparse.Namespace) -> argparse.Namespace:
    """The options, if no run is the demo, which comes without its corpus and its learning curve."""
    if DEMO in (*getattr(options, "runs", []), getattr(options, "run", None)):
        raise InputError("RUN demo: must be a run of your own; the demo can only generate")
    return options


def path(text: str) -> pathlib.Path:
    """The path that an option gives, "~" being one's own folder, also where no shell has seen to it."""
    return pathlib.Path(os.path.expanduser(text))


def path_or_demo(text: str) -> pathlib.Path:
    """The same, of a run that may be the one that comes with the lab."""
    found = path(text)
    return DEMO if text == DEMO.name and not os.path.lexists(found) else found


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


def new_settings(options: argparse.Namespace, recipe: Recipe[Any], size: str, targets: Targets) -> Settings:
    """What is given, else the size's own, else the defaults."""
    corpus = targets[options.target][size].corpus
    if size == QUICK and options.data_dir is not None:  # which is to be read
        corpus = DEFAULTS["corpus"]
    settings: Any = DEFAULTS | {"size": size, "corpus": corpus}
    return settings | given_settings(options, recipe)


def shortened(texts: dict[str, str], settings: Settings) -> dict[str, str]:
    """The texts of fields; those of a quick look at a long text have shorter epochs, unless they say how long."""
    short = settings["size"] == QUICK and settings["corpus"] in LONG
    return ({"steps_per_epoch": str(QUICK_STEPS)} if short else {}) | texts


def settle(
    options: argparse.Namespace, overrides: dict[str, str], targets: Targets
) -> tuple[Recipe[Any], Settings, Run | None]:
    """The recipe and the settings of the run; and the run itself, if it is one to continue."""
    plain, size = named_recipe(options, targets)
    recipe = plain.replace(**overrides)
    given = given_settings(options, recipe)
    if not options.resume:
        if options.out and os.path.lexists(options.out):
            raise taken(options.out)
        settings = new_settings(options, recipe, size, targets)
        return plain.replace(**shortened(overrides, settings)), settings, None

    run = Run(options.out) if options.out else Run.latest(f"{options.target}-{size}")
    if "epochs" in overrides:  # a run may be trained on
        options.epochs = recipe.epochs
        overrides = {name: text for name, text in overrides.items() if name != "epochs"}
    saved, settings = recall(run, targets)
    given["data_dir"] = place_of(run, settings, given.get("corpus", settings["corpus"]), options.data_dir)
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


def named_recipe(options: argparse.Namespace, targets: Targets) -> tuple[Recipe[Any], str]:
    """The recipe of the target and the size that the options name, and that size."""
    if options.target is None:
        raise InputError(f"name a target: {', '.join(targets)}")
    check_target(options.target, targets, (*USES, "search") if options.command == "train" else ())
    size = size_of(options, targets)
    return targets[options.target][size].recipe, size


def given_settings(options: argparse.Namespace, recipe: Recipe[Any]) -> Any:
    """The settings that the options give, of a run or study whose folder has a name that can be written."""
    if options.out and not is_utf8(str(options.out)):
        raise InputError(f"--out {str(options.out)!r}: must be UTF-8")
    given = {name: getattr(options, name) for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if "corpus" in given:
        given["corpus"] = located(given["corpus"], recipe)
    return given


def size_of(options: argparse.Namespace, targets: Targets) -> str:
    """The size that the options choose of a known target."""
    sizes = targets[options.target]
    size = next(iter(sizes)) if options.size is None else options.size
    if size not in sizes:
        more = "; language models have it" if size == QUICK else ""
        raise InputError(f"{options.target} has no size {size!r}{nearest(size, sizes)}{more}")
    return size


def place_of(run: Run, settings: Settings, corpus: str, data_dir: str | None) -> str | None:
    """Where the corpus of a run is: in the folder that is given now, else in the one that was when the run began."""
    if data_dir is not None or corpus != settings["corpus"]:
        return data_dir
    place = settings["data_dir"] if corpus in (*LONG, "mnist") else None  # a run of 0.1 may name one it never read
    if place and not os.path.isdir(place):
        raise InputError(
            f"{run.folder}: its corpus was in {place}, which is gone; --data_dir FOLDER names the new place"
        )
    return place


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


def of_network(arguments: list[str], recipe: Recipe[Any]) -> list[str]:
    """The flags of a command line that choose cells and wrappers, and arguments of these."""
    values = recipe.values()
    short = {name.removeprefix("cell.") for name in values if name.startswith("cell.")} - values.keys()
    return chosen(arguments, lambda name: name in short or name.partition(".")[0] in KINDS)


def chosen(arguments: list[str], wanted: Callable[[str], bool]) -> list[str]:
    """The flags of a command line, with their values, whose names are wanted."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        name = argument.partition("=")[0]
        if name.startswith("--") and wanted(name.removeprefix("--")):
            kept += [argument] if "=" in argument else [argument, next(rest)]
    return kept


def continuation(arguments: list[str], folder: pathlib.Path) -> str:
    """The command that continues the run that a command line began."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--out":
            next(rest)
        elif argument != "--resume" and not argument.startswith("--out="):
            kept.append(argument)
    return shlex.join([sys.executable, sys.argv[0], *kept, "--resume", "--out", str(folder)])
