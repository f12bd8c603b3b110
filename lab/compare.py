"""python -m lab.compare RUN [RUN ...]: learning curves in one picture, results in one table.

The table, in Markdown, goes to standard output, the picture to --out. Runs need not be finished.
"""

import argparse
import itertools
import pathlib
import sys
import textwrap

from recipes import BAD_INPUT, TARGETS, InputError
from lab.options import DEFAULTS, recall
from lab.recipe import differences, differing
from lab.run import Run, curve_axes, load_newest, replacing

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*<>p"


def main(arguments: list[str]) -> int:
    """Compare some runs; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.compare", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("runs", type=pathlib.Path, nargs="+", metavar="RUN", help="a run's folder")
    picture = "compare.png"
    parser.add_argument("--out", type=pathlib.Path, default=picture, help=f"{picture} by default")
    options = parser.parse_args(arguments)
    try:
        stories = [story(Run(folder)) for folder in options.runs]
        scores = {story["score"] for story in stories}
        if len(scores) > 1:
            raise InputError(f"RUN: must have one score, not {' and '.join(sorted(scores))}")
        print(table(stories))
        write(draw(stories, scores.pop()), options.out)
        print(f"the picture: {options.out}", file=sys.stderr)
    except BAD_INPUT as error:
        print(f"lab.compare: error: {error}", file=sys.stderr)
        return 2
    return 0


def story(run: Run) -> dict:
    """What there is to say of a run: its name, what is special about it, its epochs."""
    recipe, settings = recall(run)
    try:
        _, facts = load_newest(run.checkpoint, lambda text: print(text, file=sys.stderr))
        history = facts["progress"]["history"]
    except FileNotFoundError as error:
        raise InputError(f"{run.folder}: not a run, it has no {run.checkpoint.name}") from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{run.checkpoint}: damaged ({error})") from error
    if not history:
        raise InputError(f"{run.folder}: no epoch is done yet")
    plain = TARGETS[settings["target"]][settings["size"]].recipe
    names = "seed", "engine", "precision"
    own, usual = ({name: each[name] for name in names} for each in (settings, DEFAULTS))
    changed = [*differences(recipe, plain), *differing(own, usual)]
    changed = [text.partition(" (was")[0] for text in changed]
    finished = (run.folder / "result.json").exists()
    result = run.read("result.json") if finished else {}
    return {
        "name": f"{settings['target']} {settings['size']}",
        "changed": ", ".join(changed) or "as it is",
        "score": recipe.score_name,
        "history": history,
        "result": result,
        "parameters": result.get("parameters"),
    }


def table(stories: list[dict]) -> str:
    """The scores of all runs, in Markdown."""
    score = stories[0]["score"].replace("_", " ")
    head = ("run", "recipe", "parameters", "epochs", f"train {score}", "valid, best", "test")
    rows = [head, ["---"] * len(head)]
    for each in stories:
        valid = [epoch[f"valid_{each['score']}"] for epoch in each["history"]]
        test = each["result"].get(f"test_{each['score']}")
        rows.append(
            (
                each["name"],
                each["changed"],
                "" if each["parameters"] is None else f"{each['parameters']:,}",
                str(len(valid)),
                f"{each['history'][-1]['train_' + each['score']]:.4g}",
                f"{min(valid):.4g}",
                "not finished" if test is None else f"{test:.4g}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(stories: list[dict], score: str):
    """A figure: validation by epoch, training paler; lines and marks differ, so that grey will do."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = curve_axes(figure, score.replace("_", " "))
    looks = itertools.cycle(zip(itertools.cycle(STYLES), MARKERS))
    for each, (style, mark) in zip(stories, looks):
        epochs = [epoch["epoch"] for epoch in each["history"]]
        valid, train = (
            [epoch[f"{split}_{score}"] for epoch in each["history"]] for split in ("valid", "train")
        )
        label = textwrap.fill(f"{each['name']} ({each['changed']})", 80)
        (line,) = axes.plot(epochs, valid, style, marker=mark, markersize=4, label=label)
        axes.plot(epochs, train, style, color=line.get_color(), alpha=0.35)
    axes.set_title("validation; paler: training", fontsize="medium")
    figure.legend(fontsize="small", loc="outside lower center")
    axes.grid(which="both", alpha=0.3)
    return figure


def write(figure, path: pathlib.Path):
    """The figure as a file of the kind that its name says, or PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lstrip(".") or "png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
