"""A worker of a search: it trains the study's trials, one after the other."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import threading
import time

import filelock
import optuna

from data import CorpusError
from lab.budget import fitted
from lab.checkpoints import NotFinite
from lab.engines import check_numpy
from lab.evaluation import splits
from lab.fields import InputError, written
from lab.memory import check_fits, enough_memory
from lab.options import recall
from lab.run import Run
from lab.signals import Interrupted, Signals
from lab.space import flags
from lab.study import BEGUN, RELIEVED, STOPS, Frozen, Study, retry, trained
from lab.training import Training, opened
from lab.workers import ALONE

PAUSE = 1.0  # seconds until it is asked anew whether a trial has to be tried again
REFUSED = 20  # draws in a row after which no other is to be expected
SHIFT = 20  # trials, after which memory is given back: compiled programs take some 30 MB a trial


def work(study: Study, trials: int, save_seconds: float) -> int:
    """Train until there are so many trials, or until standard input ends; the exit code."""
    with Signals() as signals:
        threading.Thread(target=listen, args=[signals], daemon=True).start()
        enough = Worker(study, save_seconds, signals).work(trials)
    if signals.received:
        return 128 + signals.received
    return 0 if enough else RELIEVED


def listen(signals: Signals) -> None:
    """Ask this process to stop once the one that started it closes its standard input, or is gone."""
    os.read(sys.stdin.fileno(), 1)
    signals.received = signals.received or signal.SIGTERM


@dataclasses.dataclass
class Worker:
    """This process, which trains one trial after the other."""

    study: Study
    save_seconds: float
    signals: Signals

    def __post_init__(self) -> None:
        self.lock = filelock.FileLock(self.study.folder / "lock")

    def work(self, trials: int) -> bool:
        """Train until there are so many trials; whether there are, or another worker is to go on."""
        record, left = self.study.record, SHIFT
        while left and not self.signals.received:
            with (
                self.lock
            ):  # until its trial has begun: one worker at a time counts trials, and finds those of the dead
                optuna.storages.fail_stale_trials(record)
                found = record.get_trials(deepcopy=False)
                check_refusals(found[record.user_attrs.get(BEGUN, 0) :])
                done = sum(map(trained, found))
                running = sum(each.state.name == "RUNNING" for each in found)
                if done >= trials or (done + running >= trials and self.study.silent):
                    return True
                if done + running < trials:
                    with contextlib.suppress(Interrupted, optuna.exceptions.UpdateFinishedTrialError):
                        record.optimize(self.trial, n_trials=1, gc_after_trial=True)
                    left -= 1
                    continue
            time.sleep(PAUSE)  # one of those that run may have to be tried again
        return False

    def trial(self, trial: optuna.Trial) -> float:
        """Train a trial; its best score on validation."""
        self.lock.release()
        record = self.study.record
        frozen = record.trials[trial.number]
        try:
            return self.score(trial, self.study.run_of(frozen))
        except NotFinite as error:
            trial.set_user_attr("stopped", str(error))
            raise optuna.TrialPruned(str(error)) from error
        except InputError as error:
            trial.set_user_attr("refused", str(error))
            raise optuna.TrialPruned(str(error)) from error
        except (Interrupted, CorpusError, OSError):
            trial.set_user_attr(STOPS, trial.user_attrs.get(STOPS, 0) + 1)
            retry(record, record.trials[trial.number])
            raise

    def score(self, trial: optuna.Trial, folder: pathlib.Path) -> float:
        """Train the run of a trial from where it stands; its best score on validation."""
        study, plan = self.study, self.study.plan
        settings = plan.settings.copy()
        recipe = study.space.draw(trial)
        if settings["engine"] == "numpy":
            check_numpy(recipe, settings["precision"])
        with enough_memory(recipe):
            data = recipe.load(settings["corpus"], settings["data_dir"])
            study.check_data(recipe, data)
            if plan.budget and "units" not in study.space.domains:
                recipe = fitted(recipe, data, plan.budget)
            elif plan.budget and (count := recipe.parameters(data)) > plan.budget:
                raise InputError(f"--budget={plan.budget}: these are {count} parameters")
            run = Run(folder) if folder.exists() else None
            if run:
                self.wait_for(run)
            if run and recall(run, study.targets)[0] != recipe:
                raise InputError(f"{folder}: the run of another trial, which the study does not know")
            shown = [name for name in ("units", *study.space.drawn) if name in study.space.drawn or plan.budget]
            values = recipe.values()
            trial.set_user_attr("values", {name: written(values[name]) for name in shown if name in values})
            trial.set_user_attr("flags", flags(recipe, study.plain))
            check_fits(recipe, data, recipe.batches(data), *splits(recipe, data))
            with opened(recipe, settings, data, run, folder, self.signals, ALONE) as training:
                trial.set_user_attr("parameters", training.learner.parameters())
                return self.train(trial, training)

    def wait_for(self, run: Run) -> None:
        """Wait until nobody trains a run: a worker that was silent, but there, learns after an epoch that it lost."""
        while True:
            self.signals.check()
            try:
                with run.locked():
                    return
            except InputError:
                time.sleep(PAUSE)

    def train(self, trial: optuna.Trial, training: Training) -> float:
        """Train, telling the study of each epoch, until it says that the trial is worse than others."""
        recipe, progress = training.recipe, training.progress
        scores: list[float] = []
        while True:
            for epoch in progress.history[len(scores) :]:
                scores.append(epoch[f"valid_{recipe.score_name}"])
                trial.report(scores[-1], epoch["epoch"])
                if trial.should_prune() and not progress.end(recipe):
                    raise optuna.TrialPruned(f"worse than others after epoch {epoch['epoch']}")
            if progress.end(recipe):
                return min(scores)
            training.epoch(self.save_seconds)


def check_refusals(found: list[Frozen]) -> None:
    """Raise an InputError if trials are refused, one after the other."""
    reasons = [each.user_attrs.get("refused") for each in found if each.state.is_finished()][-REFUSED:]
    if len(reasons) == REFUSED and all(reasons):
        raise InputError(f"search: the last {REFUSED} draws were refused: {reasons[-1]}")
