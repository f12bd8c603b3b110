"""Learning curves of several runs in one picture, their results in one table."""

import dataclasses
import itertools
import pathlib
import textwrap
from typing import Any

from lab.fields import InputError
from lab.options import DEFAULTS, recall
from lab.recipe import Targets, differences, differing
from lab.run import Run, curve_axes, load_newest, replacing
from lab.streams import complain, deliver

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*<>p"
LINE, PANEL = 0.19, 4.2  # inches: a line of the legend, the axes of a corpus
Story = dict[str, Any]


def compare(folders: list[pathlib.Path], out: pathlib.Path, targets: Targets) -> None:
    """Print the table, in Markdown, and write the picture. The runs need not be finished."""
    check_kind(out)
    stories = [story(Run(folder), targets) for folder in folders]
    scores = {f"{each['score']} of {each['unit']}" for each in stories}
    if len(scores) > 1:
        raise InputError(f"RUN: must have one score, not {' and '.join(sorted(scores))}")
    tell_apart(stories)
    deliver(table(stories) + "\n")
    write(draw(stories, stories[0]["score"]), out)
    complain(f"the picture: {out}")


def story(run: Run, targets: Targets) -> Story:
    """A run's name, its corpus, what its recipe changes, its epochs and its result."""
    recipe, settings = recall(run, targets)
    try:
        _, facts = load_newest(run.checkpoint, complain)
        history = facts["progress"]["history"]
        recipe = dataclasses.replace(recipe, epochs=facts["progress"].get("epochs") or recipe.epochs)
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
    about = run.about()
    # Runs of version 0.2 and before have no "data".
    data = {"corpus": settings["corpus"]} | about.get("data", {}) | result
    return {
        "name": f"{settings['target']} {settings['size']}",
        "folder": str(run.folder),
        "corpus": data["corpus"],
        "data": about.get("data_sha256"),
        "changed": ", ".join(changed) or "as it is",
        "score": recipe.score_name,
        "unit": recipe.unit,
        "history": history,
        "result": result,
        "test": result.get(f"test_{recipe.score_name}", result.get("test_loss")),
        "unknown": [data.get(f"{split}_unknown") for split in ("valid", "test")],
        "parameters": result.get("parameters"),
    }


def tell_apart(stories: list[Story]) -> None:
    """Put runs on the same data together, in a panel of their own, whose name no other data have."""
    parts = grouped(stories, "data")
    names = [part[0]["corpus"] for part in parts]
    for part, name in zip(parts, names, strict=True):
        for each in part:
            each["panel"] = name if names.count(name) == 1 else f"{name} {str(each['data'])[:7]}"
            each["label"] = f"{each['folder']}: {each['name']} ({each['changed']})"
    stories[:] = [each for part in parts for each in part]


def grouped(stories: list[Story], key: str) -> list[list[Story]]:
    """The runs by what they have under a key, in their order."""
    found: dict[Any, list[Story]] = {}
    for each in stories:
        found.setdefault(each.get(key), []).append(each)
    return list(found.values())


def table(stories: list[Story]) -> str:
    """The scores of all runs, in Markdown."""
    score = stories[0]["score"].replace("_", " ")
    unknown = any(share for each in stories for share in each["unknown"])
    head = ["", "run", "target", "corpus", "recipe", "parameters", "epochs", f"train {score}", "valid, best", "test"]
    head += ["unknown, valid", "unknown, test"] if unknown else []
    rows = [head, ["---"] * len(head)]
    for number, each in enumerate(stories, 1):
        valid = [epoch[f"valid_{each['score']}"] for epoch in each["history"]]
        row = [
            str(number),
            each["folder"],
            each["name"],
            each["panel"],
            each["changed"],
            "" if each["parameters"] is None else f"{each['parameters']:,}",
            str(len(valid)),
            f"{each['history'][-1]['train_' + each['score']]:.4g}",
            f"{min(valid):.4g}",
            "not finished" if each["test"] is None else f"{each['test']:.4g}",
        ]
        shares = ["" if share is None else f"{100 * share:.2g} %" for share in each["unknown"]]
        rows.append(row + (shares if unknown else []))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(stories: list[Story], score: str) -> Any:
    """A figure: validation by epoch, training paler, axes for each of the data.

    Lines and marks stay apart in gray; a line ends in its run's number in the table.
    """
    from matplotlib.figure import Figure

    parts = grouped(stories, "panel")
    labels = [each.get("label", f"{each['name']} ({each['changed']})") for each in stories]
    labels = [textwrap.fill(f"{number}  {label}", 100) for number, label in enumerate(labels, 1)]
    legend = LINE * sum(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(7, PANEL * len(parts) + legend), layout="constrained")
    looks = itertools.cycle(zip(itertools.cycle(STYLES), MARKERS))
    colors = itertools.cycle(f"C{n}" for n in range(10))
    numbered = zip(itertools.count(1), looks, colors, labels)
    for place, part in enumerate(parts, 1):
        longest = max(epoch["epoch"] for each in part for epoch in each["history"])
        axes = curve_axes(figure, score.replace("_", " "), longest, len(parts), 1, place)
        for each, (number, (style, mark), color, label) in zip(part, numbered):
            epochs = [epoch["epoch"] for epoch in each["history"]]
            valid, train = ([epoch[f"{split}_{score}"] for epoch in each["history"]] for split in ("valid", "train"))
            axes.plot(epochs, valid, style, color=color, marker=mark, markersize=4, label=label)
            axes.plot(epochs, train, style, color=color, alpha=0.35)
            end = (epochs[-1], valid[-1])
            axes.annotate(str(number), end, (5, -3), textcoords="offset points", color=color, fontsize="small")
        corpus = f"{part[0]['panel']}: " if "panel" in part[0] else ""
        axes.set_title(f"{corpus}validation; paler: training", fontsize="medium")
        axes.grid(which="both", alpha=0.3)
    figure.legend(fontsize="small", loc="outside lower center")
    return figure


def check_kind(path: pathlib.Path) -> None:
    """Refuse a picture that matplotlib can't write by itself."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes().keys() - {"pgf"}  # that takes a LaTeX
    if kind_of(path) not in kinds:
        raise InputError(f"--out {path}: must end in .{', .'.join(sorted(kinds))}")


def kind_of(path: pathlib.Path) -> str:
    return path.suffix.lstrip(".").lower() or "png"


def write(figure: Any, path: pathlib.Path) -> None:
    """The figure as a file of the kind that its name says, or PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=kind_of(path))
