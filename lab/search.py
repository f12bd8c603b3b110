"""Search: workers, each a process of its own, train many runs to find the best fields of a recipe."""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import time
from typing import Any, Self

from lab.fields import InputError
from lab.options import continuation
from lab.progress import bar
from lab.recipe import Targets
from lab.search_options import given
from lab.signals import Signals
from lab.streams import complain, deliver, say
from lab.study import BEGUN, RELIEVED, Frozen, Study, find_optuna, trained
from lab.study_report import report, score_of

POLL = 1.0  # seconds
LEAVE = 120.0  # seconds for a worker to write its checkpoint
DEATHS = 3  # workers that die without a trial in between that ends
REFUSAL = 2  # the exit code of bad input


def search(options: argparse.Namespace, texts: dict[str, str], targets: Targets, arguments: list[str]) -> int:
    """Search until there are enough trials, time is up, or someone stops it; the exit code.

    texts: the fields that are given. arguments: the command line, to say how to go on.
    """
    find_optuna()
    study = Study.opened(options, texts, targets)
    trials = options.trials or study.plan.trials
    if options.worker:
        from lab.trials import work

        return work(study, trials, options.save_seconds)
    study.record.set_user_attr(BEGUN, len(study.record.get_trials(deepcopy=False)))
    end = None if options.hours is None else time.time() + 3600 * options.hours
    with Signals() as signals:
        watch(study, Crew(study, options, trials), trials, end, signals)
    deliver(report(study))
    complain(f"All results are in {study.folder}.")
    if sum(map(trained, study.record.trials)) < trials:
        complain(f"stopped; to go on: {continuation(arguments, study.folder)}")
    return 128 + signals.received if signals.received else 0


class Crew:
    """The workers of this process. One that dies is replaced; they end when this process does."""

    def __init__(self, study: Study, options: argparse.Namespace, trials: int) -> None:
        settings = study.plan.settings
        passed = {
            "out": study.folder,
            "trials": trials,
            "wait": study.wait,
            "save_seconds": options.save_seconds,
            "storage": study.storage,
            "corpus": settings["corpus"],
            "data_dir": settings["data_dir"],
        }
        flags = [text for name, value in passed.items() if value is not None for text in (f"--{name}", str(value))]
        self.command = [sys.executable, sys.argv[0], "search", settings["target"], "--resume", *flags]
        self.size = given(options, "parallel")
        self.folder = study.folder
        self.there: dict[int, subprocess.Popen] = {}
        self.deaths = 0

    def __enter__(self) -> Self:
        for rank in range(1, self.size + 1):
            self.start(rank)
        return self

    def __exit__(self, *_: Any) -> None:
        for process in self.there.values():
            release(process)
        for process in self.there.values():
            try:
                process.wait(LEAVE)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self, rank: int) -> None:
        with open(self.folder / f"worker-{rank}.log", "ab") as log:
            self.there[rank] = subprocess.Popen(
                [*self.command, "--worker", str(rank)],
                stdin=subprocess.PIPE,  # which says that this process is there
                stdout=log,
                stderr=log,
                env=os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},  # the first would take all of a GPU
            )

    def check(self) -> None:
        """Replace workers that died, and raise an InputError with what one of them refuses."""
        for rank, process in list(self.there.items()):
            code = process.poll()
            if code is None:
                continue
            del self.there[rank]
            release(process)
            log = self.folder / f"worker-{rank}.log"
            if code == REFUSAL:
                raise InputError(log.read_text(errors="replace").splitlines()[-1].removeprefix("train.py: error: "))
            if code == RELIEVED:
                self.start(rank)
            if code in (0, RELIEVED, *(128 + number for number in (signal.SIGINT, signal.SIGTERM))):
                continue
            self.deaths += 1
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            if self.deaths > DEATHS:
                raise InputError(f"search: worker {rank} {how}, like {DEATHS} before it; see {log}")
            complain(f"train.py: worker {rank} {how}; another takes its place")
            self.start(rank)


def release(process: subprocess.Popen) -> None:
    """Let a worker know that it is to end."""
    assert process.stdin
    process.stdin.close()


def watch(study: Study, crew: Crew, trials: int, end: float | None, signals: Signals) -> None:
    """Show how the study goes on, until its workers have trained so many trials, or have to stop."""
    found = study.record.get_trials(deepcopy=False)
    told = {each.number for each in found if each.state.is_finished()}
    done = sum(map(trained, found))
    if done >= trials:
        return
    with bar("search", "trials", trials, done) as shown, crew:
        shown.smoothing = 0  # trials end now and then: all of the time says how long they take
        if end:
            shown.set_postfix(until=f"{datetime.datetime.fromtimestamp(end):%H:%M}", refresh=False)
        while crew.there and not signals.received and (end is None or time.time() < end):
            time.sleep(POLL)
            found = study.record.get_trials(deepcopy=False)
            for each in found:
                if each.state.is_finished() and each.number not in told:
                    told.add(each.number)
                    say(line(study, each))
                    crew.deaths = 0 if trained(each) else crew.deaths
            parts = [(each.last_step or 0) / study.longest for each in found if each.state.name == "RUNNING"]
            if more := sum(map(trained, found)) + sum(parts) - shown.n:
                shown.update(more)
            crew.check()


def line(study: Study, trial: Frozen) -> str:
    """What became of a trial."""
    name = f"trial {trial.number}:"
    if "refused" in trial.user_attrs:
        return f"{name} refused: {trial.user_attrs['refused']}"
    if trial.state.name == "FAIL":
        return f"{name} stopped, or its worker was killed"
    values = ", ".join(f"{key}={value}" for key, value in trial.user_attrs["values"].items())
    if "stopped" in trial.user_attrs:
        return f"{name} {trial.user_attrs['stopped']}; {values}"
    how = {"COMPLETE": "", "PRUNED": ", ended early"}[trial.state.name]
    score = f"valid {study.plain.score_name.replace('_', ' ')} {score_of(trial):.5g}"
    return f"{name} {score} after epoch {trial.last_step}{how}; {values}; {trial.user_attrs['parameters']:,} parameters"
