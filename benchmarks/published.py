"""Runs of `train.py lstm` beside what others published of Zaremba's small model, epoch by epoch."""

import argparse
import json
import pathlib
import sys

from benchmarks import report
from recipes import BAD_INPUT
from recipes.compare import story
from recipes.run import Run

PUBLISHED = {  # training and validation perplexity by epoch; the last: test
    # github.com/tensorlayer, a log of its example; five epochs at rate 1, as TensorFlow had it at first
    "TensorLayer": (
        [(269.98, 178.56), (133.77, 142.60), (102.27, 131.88), (85.84, 128.41), (75.72, 127.06)]
        + [(59.13, 120.34), (48.30, 120.78), (42.65, 122.12), (39.79, 123.17), (38.30, 123.66)]
        + [(37.48, 123.52), (37.02, 123.19), (36.77, 122.92)],
        116.72,
    ),
    # github.com/tmatha/lstm, lstm_tfe.ipynb; losses summed over the batch, so that clipping differs
    "tmatha, eager": (
        [(270.93, 185.33), (136.55, 148.93), (105.28, 139.41), (88.71, 134.79), (68.40, 121.44)]
        + [(56.43, 120.15), (50.33, 120.69), (47.28, 120.83), (45.71, 120.72), (44.87, 120.45)]
        + [(44.39, 120.03), (44.12, 119.65), (43.98, 119.41)],
        113.64,
    ),
}
ZAREMBA = "Zaremba et al. 2014: validation 120.7, test 114.5; TensorFlow's ptb_word_lm.py: 121.39, 115.91."


def main(arguments: list[str]) -> int:
    """Write the report of finished runs; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks published", description=__doc__)
    help = "a finished run's folder"
    parser.add_argument("runs", type=pathlib.Path, nargs="+", metavar="RUN", help=help)
    options = parser.parse_args(arguments)
    try:
        facts = {name: curve for name, curve in map(ours, options.runs)}
    except BAD_INPUT as error:
        print(f"benchmarks published: error: {error}", file=sys.stderr)
        return 2
    every = facts | PUBLISHED
    rows = [("epoch", *(f"{name}: train, valid" for name in every))]
    for number in range(max(len(epochs) for epochs, _ in every.values())):
        cells = (
            "{:.2f}, {:.2f}".format(*epochs[number]) if number < len(epochs) else ""
            for epochs, _ in every.values()
        )
        rows.append((number + 1, *cells))
    rows.append(("test", *(f"{test:.2f}" for _, test in every.values())))
    title = "Zaremba's small model on Penn Treebank, beside what others published"
    path = report.write("published", title, {"curves": every}, rows, notes=[ZAREMBA])
    draw(every).savefig(path.with_suffix(".png"), dpi=120)
    print(path)
    return 0


def ours(folder: pathlib.Path) -> tuple[str, tuple]:
    """A run by its engine's name: perplexities of training and validation by epoch, and test."""
    result, history = Run(folder).read("result.json"), story(Run(folder))["history"]
    epochs = [(epoch["train_perplexity"], epoch["valid_perplexity"]) for epoch in history]
    return f"ours, {result['metrics']['engine']}", (epochs, result["test_perplexity"])


def curves() -> dict:
    """What the report has: by name, as in PUBLISHED."""
    return json.loads((report.RESULTS / "published.json").read_text())["curves"]


def draw(curves: dict):
    """A figure: validation by epoch, and training paler."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="perplexity", yscale="log")
    for (name, (epochs, test)), style in zip(curves.items(), ("o-", "s--", "^:", "v-.")):
        numbers = range(1, len(epochs) + 1)
        train, valid = zip(*epochs)
        (line,) = axes.plot(numbers, valid, style, markersize=4, label=f"{name}; test {test:.1f}")
        axes.plot(numbers, train, style, markersize=3, color=line.get_color(), alpha=0.35)
    axes.set_title("validation; paler: training", fontsize="medium")
    axes.legend()
    axes.grid(which="both", alpha=0.3)
    return figure
