"""The engines side by side on Zaremba's small model, from the same weights and batches.

How far apart the losses of their steps are, and how many words a second each reads. Single steps
drift apart in the end, whoever works them out: training at rate 1 is chaotic. So the losses are
compared over the first steps, in float64 over more of them, and over many as their mean.
"""

import argparse
import math
import statistics
import time

import numpy as np

from benchmarks import report
from lab.options import parse, settle
from lab.workers import ALONE, Workers
from recipes import TARGETS

ENGINES = "numpy", "eager", "graph", "xla"
EXACT, CLOSE, MANY = 50, 20, 200  # steps: in float64, in float32, of the mean
LIMITS = {"exact": 1e-8, "close": 1e-4, "mean": 0.005}
WARM_UP_STEPS = 20  # the first steps don't count when the speed is measured


def main(arguments: list[str]) -> int:
    """Run all engines, write the report; 1 if they are further apart than they may be."""
    line, recipe, settings, data = given("engines", __doc__, "lstm --corpus ptb", arguments)
    exact, close, speeds = {}, {}, {}
    for engine in ENGINES:
        run = settings | {"engine": engine}
        exact[engine], _ = train(recipe, data, run | {"precision": "float64"}, EXACT)
        close[engine], speeds[engine] = train(recipe, data, run | {"precision": "float32"}, MANY)
        print(f"{engine}: {speeds[engine]:,.0f} words/s", flush=True)
    means = {engine: losses.mean() for engine, losses in close.items()}
    found = {
        "exact": apart(exact, EXACT),
        "close": apart(close, CLOSE),
        "mean": (max(means.values()) - min(means.values())) / min(means.values()),
    }
    result = {
        "command": line,
        "apart": found,
        "limits": LIMITS,
        "words_per_second": speeds,
        "losses": {
            "float64": {engine: losses.tolist() for engine, losses in exact.items()},
            "float32": {engine: losses.tolist() for engine, losses in close.items()},
        },
    }
    rows = [("engine", "words/s", f"mean loss of {MANY} steps")]
    rows += [(engine, f"{speeds[engine]:,.0f}", f"{means[engine]:.4f}") for engine in ENGINES]
    title = (
        f"`train.py {line}` by engine: losses of a step at most {found['exact']:.1e} apart "
        f"over {EXACT} steps in float64, {found['close']:.1e} over {CLOSE} in float32; the mean of "
        f"{MANY} {found['mean']:.4%} apart. Words/s by the median step of {MANY - WARM_UP_STEPS}"
    )
    print(title)
    print(report.write("engines", title, result, rows))
    return 1 if any(found[name] > limit for name, limit in LIMITS.items()) else 0


def given(name: str, description: str, line: str, arguments: list[str]):
    """What is to be trained: the line that train.py would be given, its recipe, settings and data."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=description)
    parser.add_argument("--data_dir", default=None, help="a folder with Penn Treebank")
    parser.add_argument("--line", default=line, help=f"what train.py would be given; {line}")
    options = parser.parse_args(arguments)
    recipe, settings, _ = settle(*parse(options.line.split(), TARGETS), TARGETS)
    data = recipe.load(settings["corpus"], options.data_dir or settings["data_dir"])
    return options.line, recipe, settings, data


def train(recipe, data, settings: dict, steps: int, workers: Workers = ALONE) -> tuple[np.ndarray, float]:
    """The mean loss of each of the first steps, and the words per second."""
    from lab.learner import make_learner

    learner = make_learner(recipe, data, settings, workers)
    batches = recipe.batches(data)
    losses, seconds = [], []
    for step, (x, y) in enumerate(batches.take(steps)):
        size = math.prod(y.shape)
        started = time.perf_counter()
        loss, _ = learner.train(x, y, recipe.rate(0, step, len(batches)))
        seconds.append(time.perf_counter() - started)
        losses.append(loss / size)
    if len(losses) < steps:
        raise ValueError(f"this text has only {len(losses)} steps of {steps}")
    return np.array(losses), size / statistics.median(seconds[WARM_UP_STEPS:] or seconds)


def apart(losses: dict[str, np.ndarray], steps: int) -> float:
    """The largest difference, in any of the first steps, between any two engines."""
    return float(np.ptp([each[:steps] for each in losses.values()], axis=0).max())
