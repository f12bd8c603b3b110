"""Runs of train.py's recipes beside what others published of the same networks, epoch by epoch.

Runs that the report has already stay in it. A run need not be finished.
"""

import argparse
import json
import math
import pathlib
import sys
from collections.abc import Iterable

from benchmarks import report
from lab import compare
from lab.fields import BAD_INPUT, InputError
from lab.run import Run
from recipes import TARGETS

Curve = tuple[list[tuple], float | None]
"""(epoch, training, validation), the second None where nobody says; and test."""


def by_epoch(*scores: Iterable[float]) -> list[tuple]:
    return [(number, *pair) for number, pair in enumerate(scores, 1)]


PUBLISHED: dict[str, dict[str, Curve]] = {
    "lstm small": {
        # github.com/tensorlayer, a log of its example; five epochs at rate 1, as TensorFlow had it at first
        "TensorLayer": (
            by_epoch(
                *[(269.98, 178.56), (133.77, 142.60), (102.27, 131.88), (85.84, 128.41), (75.72, 127.06)],
                *[(59.13, 120.34), (48.30, 120.78), (42.65, 122.12), (39.79, 123.17), (38.30, 123.66)],
                *[(37.48, 123.52), (37.02, 123.19), (36.77, 122.92)],
            ),
            116.72,
        ),
        # github.com/tmatha/lstm, lstm_tfe.ipynb; losses summed over the batch, so that clipping differs
        "tmatha, eager": (
            by_epoch(
                *[(270.93, 185.33), (136.55, 148.93), (105.28, 139.41), (88.71, 134.79), (68.40, 121.44)],
                *[(56.43, 120.15), (50.33, 120.69), (47.28, 120.83), (45.71, 120.72), (44.87, 120.45)],
                *[(44.39, 120.03), (44.12, 119.65), (43.98, 119.41)],
            ),
            113.64,
        ),
    },
    "lstm medium": {"TensorLayer": ([(1, 360.8, 208.9), (39, 44.02, 87.52)], 83.86)},
    "hypernets paper": {
        # github.com/hardmaru/supercell, a picture of TensorBoard, read by eye to 0.01; 391 steps are an epoch
        "supercell": (
            [(round(step / 391, 2), None, bits) for step, bits in [(500, 1.81), (1000, 1.62), (2000, 1.5)]],
            None,
        )
    },
    "rhn paper": {},
}
TITLES = {
    "lstm small": "Zaremba's small model on Penn Treebank, beside what others published",
    "lstm medium": "Zaremba's medium model",
    "hypernets paper": "A HyperLSTM of 1,000 units: bits per character",
    "rhn paper": "A recurrent highway network of 830 units, depth 10",
}
NOTES = [
    "Zaremba et al. 2014: small, validation 120.7, test 114.5; TensorFlow's ptb_word_lm.py: 121.39, 115.91.",
    "Of the medium model only the first and the last epoch are published, of the recurrent highway network none.",
]


def main(arguments: list[str]) -> int:
    """Write the report; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks published", description=__doc__)
    parser.add_argument("runs", type=pathlib.Path, nargs="+", metavar="RUN", help="a run's folder")
    options = parser.parse_args(arguments)
    every = kept()
    try:
        for folder in options.runs:
            add(every, folder)
    except BAD_INPUT as error:
        print(f"benchmarks published: error: {error}", file=sys.stderr)
        return 2
    first, *others = (model for model in PUBLISHED if model in every)
    more = {TITLES[model]: table(model, every[model]) for model in others}
    told = {"models": every}
    print(report.write("published", TITLES[first], told, table(first, every[first]), more, NOTES, picture))
    return 0


def add(every: dict[str, dict[str, Curve]], folder: pathlib.Path):
    """Put a run beside the published ones, under the name of its engine."""
    told = compare.story(Run(folder), TARGETS)
    if told["name"] not in PUBLISHED:
        raise InputError(f"RUN {folder}: must be a run of {' or '.join(PUBLISHED)}, not {told['name']}")
    as_told = math.log2 if in_bits(told["name"]) else float
    scores = [[as_told(epoch[f"{split}_perplexity"]) for split in ("train", "valid")] for epoch in told["history"]]
    engine = Run(folder).about()["engine"]
    own = every.get(told["name"], {}) | {f"ours, {engine}": (by_epoch(*scores), told["test"] and as_told(told["test"]))}
    every[told["name"]] = {name: own[name] for name in sorted(own) if name.startswith("ours")} | PUBLISHED[told["name"]]


def in_bits(model: str) -> bool:
    """Whether its scores are told in bits per character instead of perplexity."""
    target, size = model.split()
    return TARGETS[target][size].recipe.level != "word"


def kept() -> dict[str, dict[str, Curve]]:
    """What the report has."""
    path = report.RESULTS / "published.json"
    return json.loads(path.read_text())["models"] if path.exists() else {}


def table(model: str, curves: dict[str, Curve]) -> list[tuple]:
    """Scores by epoch and program."""
    points = {name: {place: scores for place, *scores in epochs} for name, (epochs, _) in curves.items()}
    digits = 3 if in_bits(model) else 2
    rows = [("epoch", *(f"{name}: train, valid" for name in curves))]
    for place in sorted(set().union(*points.values())):
        scores = (points[name].get(place, []) for name in curves)
        shown = (", ".join(f"{each:.{digits}f}" for each in pair if each is not None) for pair in scores)
        rows.append((f"{place:g}", *shown))
    tests = ("" if test is None else f"{test:.{digits}f}" for _, test in curves.values())
    return [*rows, ("test", *tests)]


def picture(told: dict):
    """A figure of the report."""
    curves = told["models"].get("lstm small")
    return draw(curves) if curves else None


def draw(curves: dict[str, Curve]):
    """A figure of Zaremba's small model, of which whole curves are published."""
    lowest = [min(valid for *_, valid in epochs) for epochs, _ in curves.values()]
    title = f"The lowest validation perplexities of {len(curves)} programs: {min(lowest):.1f} to {max(lowest):.1f}"
    return compare.draw([as_story(name, *curve) for name, curve in curves.items()], "perplexity", title)


def as_story(name: str, epochs: list, test: float | None) -> dict:
    """A curve as `lab.compare` tells of a run."""
    history = [
        {"epoch": number, "train_perplexity": train, "valid_perplexity": valid} for number, train, valid in epochs
    ]
    return {"name": name, "changed": f"test {test:.1f}" if test else "not finished", "history": history}
