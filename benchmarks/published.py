"""Runs of `train.py lstm` beside what others published of Zaremba's small model, epoch by epoch.

Runs that the report has already, of other engines, stay in it.
"""

import argparse
import json
import pathlib
import sys

from benchmarks import report
from lab import compare
from lab.fields import BAD_INPUT
from lab.run import Run
from recipes import TARGETS

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
        every = kept() | dict(map(ours, options.runs)) | PUBLISHED
    except BAD_INPUT as error:
        print(f"benchmarks published: error: {error}", file=sys.stderr)
        return 2
    rows = [("epoch", *(f"{name}: train, valid" for name in every))]
    for number in range(max(len(epochs) for epochs, _ in every.values())):
        cells = (
            "{:.2f}, {:.2f}".format(*epochs[number]) if number < len(epochs) else "" for epochs, _ in every.values()
        )
        rows.append((number + 1, *cells))
    rows.append(("test", *(f"{test:.2f}" for _, test in every.values())))
    title = "Zaremba's small model on Penn Treebank, beside what others published"
    print(report.write("published", title, {"curves": every}, rows, notes=[ZAREMBA], picture=picture))
    return 0


def ours(folder: pathlib.Path) -> tuple[str, tuple]:
    """A run by its engine's name: perplexities of training and validation by epoch, and test."""
    result, history = Run(folder).read("result.json"), compare.story(Run(folder), TARGETS)["history"]
    epochs = [(epoch["train_perplexity"], epoch["valid_perplexity"]) for epoch in history]
    return f"ours, {result['metrics']['engine']}", (epochs, result["test_perplexity"])


def kept() -> dict:
    """Our runs that the report has."""
    known = curves() if (report.RESULTS / "published.json").exists() else {}
    return {name: curve for name, curve in known.items() if name not in PUBLISHED}


def curves() -> dict:
    """What the report has: by name, as in PUBLISHED."""
    return json.loads((report.RESULTS / "published.json").read_text())["curves"]


def picture(told: dict):
    """A figure of the report."""
    return draw(told["curves"])


def draw(curves: dict):
    """A figure of them."""
    lowest = [min(valid for _, valid in epochs) for epochs, _ in curves.values()]
    title = f"The lowest validation perplexities of {len(curves)} programs: {min(lowest):.1f} to {max(lowest):.1f}"
    return compare.draw([as_story(name, *curve) for name, curve in curves.items()], "perplexity", title)


def as_story(name: str, epochs: list, test: float) -> dict:
    """A curve as `lab.compare` tells of a run."""
    history = [
        {"epoch": number, "train_perplexity": train, "valid_perplexity": valid}
        for number, (train, valid) in enumerate(epochs, 1)
    ]
    return {"name": name, "changed": f"test {test:.1f}", "history": history}
