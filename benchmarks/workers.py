"""One process beside several workers, one core each, on the same batches: the losses of their steps, and words/s."""

import json
import os
import subprocess
import sys

import numpy as np

from benchmarks import report
from benchmarks.engines import apart, given, train
from benchmarks.processes import ROOT
from lab.workers import Cluster, configs, joined

COUNTS = 1, 2
EXACT, MANY = 20, 60  # steps: in float64, and for the speed
LIMIT = 1e-9


def main(arguments: list[str]) -> int:
    """Run all, write the report; 1 if the losses are further apart than they may be."""
    exact, speeds = {}, {}
    line, *_ = given("workers", __doc__, "lstm --corpus ptb", arguments)
    for count in COUNTS:
        exact[count] = np.array(steps(count, arguments, "float64", EXACT)[0]["losses"])
        speeds[count] = steps(count, arguments, "float32", MANY)[0]["words_per_second"]
        print(f"{count}: {speeds[count]:,.0f} words/s", flush=True)
    far = apart(exact, EXACT)
    losses = {count: found.tolist() for count, found in exact.items()}
    result = {"command": line, "apart": far, "limit": LIMIT, "words_per_second": speeds, "losses": losses}
    rows = [("workers, one core each", "words/s", "times one process")]
    rows += [(count, f"{speed:,.0f}", f"{speed / speeds[1]:.2f}") for count, speed in speeds.items()]
    title = f"`train.py {line}` by workers: losses at most {far:.1e} apart over {EXACT} steps in float64"
    print(title, report.write("workers", title, result, rows), sep="\n")
    return 1 if far > LIMIT else 0


def steps(count: int, arguments: list[str], precision: str, number: int) -> list[dict]:
    """What each of so many workers finds: the mean losses of its first steps, and its words per second."""
    command = [sys.executable, "-m", "benchmarks.workers", str(count), precision, str(number), *arguments]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TF_CONFIG": config}, text=True, stdout=subprocess.PIPE)
        for config in configs(count)
    ]
    return [json.loads(process.communicate()[0]) for process in started]


def work(count: str, precision: str, number: str, *arguments: str) -> None:
    """Be one of the workers."""
    cluster = Cluster.read()
    assert cluster is not None
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[cluster.rank % len(cores)]})
    with joined(int(count), cluster, 60, []) as workers:
        _, recipe, settings, data = given("workers", __doc__, "lstm --corpus ptb", list(arguments))
        losses, speed = train(recipe, data, settings | {"precision": precision}, int(number), workers)
    print(json.dumps({"losses": losses.tolist(), "words_per_second": speed}))


if __name__ == "__main__":
    work(*sys.argv[1:])
