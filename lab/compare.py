"""Learning curves of several runs in one picture, their results in one table."""

import itertools
import pathlib
import sys
import textwrap
from typing import Any

from lab.fields import InputError
from lab.options import DEFAULTS, recall
from lab.recipe import Targets, differences, differing
from lab.run import Run, curve_axes, load_newest, replacing

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*<>p"
Story = dict[str, Any]


def compare(folders: list[pathlib.Path], out: pathlib.Path, targets: Targets) -> None:
    """Print the table, in Markdown, and write the picture. The runs need not be finished."""
    stories = [story(Run(folder), targets) for folder in folders]
    scores = {each["score"] for each in stories}
    if len(scores) > 1:
        raise InputError(f"RUN: must have one score, not {' and '.join(sorted(scores))}")
    print(table(stories))
    write(draw(stories, scores.pop()), out)
    print(f"the picture: {out}", file=sys.stderr)


def story(run: Run, targets: Targets) -> Story:
    """A run's name, what its recipe changes, its epochs and its result."""
    recipe, settings = recall(run, targets)
    try:
        _, facts = load_newest(run.checkpoint, lambda text: print(text, file=sys.stderr))
        history = facts["progress"]["history"]
    except FileNotFoundError as error:
        raise InputError(f"{run.folder}: not a run, it has no {run.checkpoint.name}") from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{run.checkpoint}: damaged ({error})") from error
    if not history:
        raise InputError(f"{run.folder}: no epoch is done yet")
    plain = targets[settings["target"]][settings["size"]].recipe
    names = "seed", "engine", "precision"
    own, usual = ({name: each[name] for name in names} for each in (dict(settings), DEFAULTS))
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


def table(stories: list[Story]) -> str:
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


def draw(stories: list[Story], score: str) -> Any:
    """A figure: validation by epoch, training paler; lines and marks stay apart in gray."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = curve_axes(figure, score.replace("_", " "))
    looks = itertools.cycle(zip(itertools.cycle(STYLES), MARKERS))
    for each, (style, mark) in zip(stories, looks):
        epochs = [epoch["epoch"] for epoch in each["history"]]
        valid, train = ([epoch[f"{split}_{score}"] for epoch in each["history"]] for split in ("valid", "train"))
        label = textwrap.fill(f"{each['name']} ({each['changed']})", 80)
        (line,) = axes.plot(epochs, valid, style, marker=mark, markersize=4, label=label)
        axes.plot(epochs, train, style, color=line.get_color(), alpha=0.35)
    axes.set_title("validation; paler: training", fontsize="medium")
    figure.legend(fontsize="small", loc="outside lower center")
    axes.grid(which="both", alpha=0.3)
    return figure


def write(figure: Any, path: pathlib.Path) -> None:
    """The figure as a file of the kind that its name says, or PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lstrip(".") or "png")
