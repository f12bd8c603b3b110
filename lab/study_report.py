"""The results of a study: a table, pictures, and the command that trains its best recipe."""

import pathlib
import shlex
import sys
import warnings
from typing import Any

from lab import style
from lab.options import DEFAULTS, QUICK
from lab.run import write_text
from lab.streams import complain
from lab.study import Frozen, Study, trained

PICTURES = {
    "history": ("plot_optimization_history", "Each trial's {score}, and the lowest so far"),
    "epochs": ("plot_intermediate_values", "Each trial's {score} by epoch"),
    "importances": ("plot_param_importances", "Which fields the {score} depends on most"),
    "slice": ("plot_slice", "The {score} by each field's value"),
    "parallel": ("plot_parallel_coordinate", "Each trial as a line; the dark ones have the lowest {score}"),
    "timeline": ("plot_timeline", "When each trial ran"),
}
"""The pictures' names, the functions of Optuna that draw them, and what to see."""


def report(study: Study) -> str:
    """Write the table and the pictures; the text to be shown."""
    trials = study.record.trials
    text = f"{table(study, trials)}\n"
    refused = [each for each in trials if "refused" in each.user_attrs]
    if refused:
        text += f"\n{len(refused)} draws were refused, the last one because of {refused[-1].user_attrs['refused']}\n"
    complete = [each for each in trials if each.state.name == "COMPLETE"]
    if not complete:
        text += "\nNo trial is complete yet.\n"
    else:
        best = min(complete, key=lambda each: each.value)
        folder = study.run_of(best)
        text += f"\nThe best is trial {best.number}. Its recipe, to be trained anew:\n\n    {command(study, best)}\n"
        text += f"\nIts own run, to be tested:\n\n    {finish(study, folder)}\n"
        draw(study)
    write_text(study.folder / "trials.md", text)
    return text


def table(study: Study, trials: list[Frozen]) -> str:
    """All trials that were not refused, in Markdown, the best first."""
    score = f"valid {study.plain.score_name}".replace("_", " ")
    names = list(dict.fromkeys(name for each in trials for name in each.user_attrs.get("values", {})))
    rows = [["trial", score, "epochs", "parameters", "minutes", "state", *names]]
    rows.append(["---"] * len(rows[0]))
    again = {tries[-1]: each.number for each in trials if (tries := attempts(each))}
    shown = [each for each in trials if "refused" not in each.user_attrs]
    for each in sorted(shown, key=place):
        values, minutes = each.user_attrs.get("values", {}), each.duration and each.duration.total_seconds() / 60
        rows.append(
            [
                str(each.number),
                f"{score_of(each):.5g}" if each.intermediate_values else "",
                str(each.last_step or ""),
                f"{each.user_attrs.get('parameters', ''):,}" if "parameters" in each.user_attrs else "",
                f"{minutes:.1f}" if minutes else "",
                state(each, again),
                *(values.get(name, "") for name in names),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def place(trial: Frozen) -> tuple:
    """By which trials are sorted: those that came to an end before others, what is not finite after all scores."""
    return not trained(trial), "stopped" in trial.user_attrs, score_of(trial), trial.number


def score_of(trial: Frozen) -> float:
    """The best score on validation so far."""
    return min(trial.intermediate_values.values(), default=float("inf"))


def attempts(trial: Frozen) -> list[int]:
    """The trials that this one tries again."""
    import optuna

    return optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history(trial)


def state(trial: Frozen, again: dict[int, int]) -> str:
    """A trial's state in a word or two. again: the number by which a trial is tried again."""
    if trial.number in again:
        return f"again as {again[trial.number]}"
    return "not finite" if "stopped" in trial.user_attrs else str(trial.state.name.lower())


def command(study: Study, trial: Frozen) -> str:
    """The command line that trains a trial's recipe in a run of its own."""
    given: dict[str, Any] = dict(study.plan.settings)
    target, size = given.pop("target"), given.pop("size")
    size = {} if size == next(iter(study.targets[target])) else {"size": size}
    given = size | trial.user_attrs["flags"] | {n: v for n, v in given.items() if v != DEFAULTS[n]}
    if study.plan.settings["size"] == QUICK:
        given.setdefault("steps_per_epoch", "none")  # else a quick look at a long text would be short
    flags = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    return shlex.join([sys.executable, sys.argv[0], target, *flags])


def finish(study: Study, folder: pathlib.Path) -> str:
    """The command line that finishes a trial's run."""
    target, size = (study.plan.settings[name] for name in ("target", "size"))
    return shlex.join([sys.executable, sys.argv[0], target, "--size", size, "--resume", "--out", str(folder)])


def draw(study: Study) -> None:
    """Optuna's pictures."""
    import matplotlib
    import optuna
    from matplotlib import pyplot, ticker

    before, score = pyplot.get_backend(), f"validation {study.plain.score_name}".replace("_", " ")
    words = {"Objective Value": score, "Intermediate Value": score, "Step": "epoch", "Datetime": "time"}
    pyplot.switch_backend("agg")
    try:
        for name, (function, title) in PICTURES.items():
            with matplotlib.rc_context(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a few trials say little
                try:
                    getattr(optuna.visualization.matplotlib, function)(study.record)
                except (ValueError, RuntimeError) as error:  # there must be several trials for importances
                    complain(f"train.py: {name}.png: {error}")
                    continue
                figure = pyplot.gcf()
                figure.suptitle(title.format(score=score), color=style.DARK)
                for axes in figure.axes:
                    axes.set_title("", loc="left")
                    x, y = axes.get_xlabel(), axes.get_ylabel()
                    axes.set(title="", xlabel=words.get(x, x), ylabel=words.get(y, y))
                    if axes.get_xscale() == "log":  # where Optuna's labels overlap
                        axes.xaxis.set(major_locator=ticker.LogLocator(subs=(1, 3), numticks=5))
                        axes.xaxis.set(major_formatter="{x:g}", minor_formatter=ticker.NullFormatter())
                        axes.tick_params("x", labelrotation=30)
                    elif x in ("Step", "Trial"):
                        axes.xaxis.set(major_locator=ticker.MaxNLocator(integer=True))
                style.save(figure, study.folder / f"{name}.png")
                pyplot.close()
    finally:
        pyplot.switch_backend(before)
