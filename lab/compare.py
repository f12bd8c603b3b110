"""Learning curves of several runs in one picture, their results in one table."""

import dataclasses
import pathlib
import textwrap
from typing import Any

from lab import style
from lab.fields import InputError
from lab.options import DEFAULTS, recall
from lab.recipe import Targets, differences, differing
from lab.run import Run, load_newest
from lab.streams import complain, deliver

LINE, PANEL = 0.19, 3.8  # inches: a line of the legend, the axes of a corpus
MOST, WIDTH = 6, 40  # names, and their letters, that stand beside the lines
Story = dict[str, Any]


def compare(folders: list[pathlib.Path], out: pathlib.Path, targets: Targets) -> None:
    """Print the table, in Markdown, and write the picture. The runs need not be finished."""
    check_kind(out)
    once: dict[pathlib.Path, pathlib.Path] = {}
    for folder in folders:
        once.setdefault(folder.resolve(), folder)
    stories = [story(Run(folder), targets) for folder in once.values()]
    measured = grouped(stories, "measure")
    if len(measured) > 1:
        have = "; ".join(f"{part[0]['measure']} in {', '.join(each['folder'] for each in part)}" for part in measured)
        raise InputError(f"RUN: must be runs with the same score; these have {have}")
    tell_apart(stories)
    deliver(table(stories) + "\n")
    style.save(draw(stories, stories[0]["score"]), out)
    complain(f"the picture: {out}")


def story(run: Run, targets: Targets) -> Story:
    """A run's name, its corpus, what its recipe changes, its epochs and its result."""
    recipe, settings = recall(run, targets)
    try:
        _, facts = load_newest(run.checkpoint, complain)
        history = facts["progress"]["history"]
        recipe = dataclasses.replace(recipe, epochs=facts["progress"].get("epochs") or recipe.epochs)
    except FileNotFoundError as error:
        raise InputError(
            f"{run.folder}: it has no {run.checkpoint.name}, which keeps the epochs that are compared"
        ) from error
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
        "measure": f"{recipe.score_name.replace('_', ' ')} of {recipe.unit}",
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
            "not finished" if each["parameters"] is None else f"{each['parameters']:,}",
            str(len(valid)),
            f"{each['history'][-1]['train_' + each['score']]:.4g}",
            f"{min(valid):.4g}",
            "not finished" if each["test"] is None else f"{each['test']:.4g}",
        ]
        shares = ["" if share is None else f"{100 * share:.2g} %" for share in each["unknown"]]
        rows.append(row + (shares if unknown else []))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(stories: list[Story], score: str, title: str = "") -> Any:
    """A figure: training beside validation by epoch, a row for each of the data.

    Lines stay apart in gray. A line ends in its run's name or, where names are long or many, its number in the table.
    """
    name = score.replace("_", " ")
    parts = grouped(stories, "panel")
    labels = [each.get("label", f"{each['name']}, {each['changed']}") for each in stories]
    direct = len(labels) <= MOST and max(map(len, labels)) <= WIDTH
    ends = labels if direct else [str(number) for number in range(1, 1 + len(labels))]
    labels = [textwrap.fill(f"{number}  {label}", 110) for number, label in enumerate(labels, 1)]
    legend = 0 if direct else LINE * sum(label.count("\n") + 1 for label in labels)
    corpora = [part[0].get("panel", "") for part in parts]
    title = title or "\n".join(
        best(part, score) + f" ({corpus})" * bool(corpus) for corpus, part in zip(corpora, parts)
    )
    figure = style.figure(title, 9, PANEL * len(parts) + legend)
    drawn = zip(ends, labels, style.looks(len(stories)), strict=True)
    for row, (corpus, part) in enumerate(zip(corpora, parts)):
        longest = max(epoch["epoch"] for each in part for epoch in each["history"])
        given = {"ylabel": name, "title": f"{corpus} training".strip()}
        train = curve_axes(figure, longest, len(parts), 2, 2 * row + 1, **given)
        valid = curve_axes(
            figure, longest, len(parts), 2, 2 * row + 2, title=f"{corpus} validation".strip(), sharey=train
        )
        for each, (end, label, look) in zip(part, drawn):
            epochs = [epoch["epoch"] for epoch in each["history"]]
            for axes, split in ((train, "train"), (valid, "valid")):
                axes.plot(epochs, [epoch[f"{split}_{score}"] for epoch in each["history"]], label=end, **look)
            train.lines[-1].set_label(label)
        valid.tick_params(labelleft=False)
        style.label_ends(valid)
    if not direct:
        handles = [line for axes in figure.axes[::2] for line in axes.lines]
        figure.legend(handles=handles, fontsize="small", loc="outside lower center", frameon=False)
    return figure


def best(stories: list[Story], score: str) -> str:
    """In a sentence, which run is best on validation."""
    lowest = [min((epoch[f"valid_{score}"], epoch["epoch"]) for epoch in each["history"]) for each in stories]
    number = lowest.index(min(lowest))
    who = f" by {stories[number].get('folder', stories[number]['name'])}" if len(stories) > 1 else ""
    value, epoch = lowest[number]
    return f"Lowest validation {score.replace('_', ' ')} {value:.4g}{who}, in epoch {epoch}"


def learning_curve(history: list[dict[str, Any]], score: str) -> Any:
    """A figure: the score of a run by epoch."""
    figure = style.figure(best([{"history": history}], score), 6, 3.6)
    axes = curve_axes(figure, len(history), ylabel=score.replace("_", " "))
    for split, name, color in (("valid", "validation", style.DARK), ("train", "training", style.MIDDLE)):
        values = [epoch[f"{split}_{score}"] for epoch in history]
        axes.plot(range(1, len(values) + 1), values, "o-", color=color, markersize=3, label=name)
    style.label_ends(axes)
    return figure


def curve_axes(figure: Any, epochs: int, *place: int, **given: Any) -> Any:
    """Axes for scores of so many epochs: whole epochs, plain numbers on a logarithmic scale."""
    from matplotlib.ticker import MaxNLocator

    margin = max(0.5, epochs / 20)
    limits = 1 - margin, epochs + margin
    axes = style.axes(figure, *place, xlabel="epoch", xlim=limits, yscale="log", **given)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return axes


def check_kind(path: pathlib.Path) -> None:
    """Refuse a picture that matplotlib can't write by itself."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes().keys() - {"pgf"}  # that takes a LaTeX
    if style.kind_of(path) not in kinds:
        raise InputError(f"--out {path}: must end in .{', .'.join(sorted(kinds))}")
