"""Checkpoints: a learner and its progress, kept in a run's folder and restored from it."""

import dataclasses
import math
import pathlib
import shutil
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lab.fields import Count, InputError, describe, holds
from lab.progress import Progress
from lab.recipe import Recipe, differing
from lab.run import Arrays, Run, check_arrays, load, load_newest, previous, replacing, save
from lab.streams import complain

if TYPE_CHECKING:
    from lab.learner import AnyLearner


class NotFinite(Exception):
    """A loss or a gradient is infinite, or not a number."""


def keep(run: Run, learner: "AnyLearner", progress: Progress) -> None:
    """Write a checkpoint."""
    progress.seconds = time.monotonic() - progress.began
    facts = dataclasses.asdict(progress)
    times = {"step_seconds": np.array(facts.pop("step_seconds"), "float32")}
    arrays = learner.arrays()
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NotFinite(f"{name!r} is not finite")
    save(run.checkpoint, arrays | times, {"about": run.about(), "progress": facts})


def keep_best(run: Run, weights: Arrays, progress: Progress) -> None:
    """Write weights as the best on validation, after a checkpoint has them, too."""
    save(run.best, weights, {"epoch": progress.best_epoch, "about": run.about()})


def restore(recipe: Recipe[Any], data: Any, run: Run, learner: "AnyLearner") -> Progress:
    """Put the learner where the run's last good checkpoint was."""
    try:
        arrays, facts = load_newest(run.checkpoint, run.say, set_aside=True)
    except FileNotFoundError as error:
        raise InputError(f"{error}; without it the run can't go on: start anew") from error
    try:
        seconds = arrays.pop("step_seconds").tolist()
        progress = Progress(**facts["progress"], step_seconds=seconds)
        keys = {f"{split}_{recipe.score_name}" for split in ("train", "valid")} | {"train_loss"}
        progress.check(recipe.epochs, len(recipe.batches(data)), keys)
        losses = [epoch["train_loss"] for epoch in progress.history] + [progress.best_loss or 0.0]
        if not all(math.isfinite(recipe.score(loss)) for loss in losses):
            raise InputError(f"a loss of {max(losses)} is impossible")
        changed = differing(run.about(), facts["about"])
    except (AttributeError, KeyError, TypeError, InputError) as error:
        raise InputError(f"{run.checkpoint}: damaged ({error})") from error
    if changed:
        raise InputError(f"{run.folder}: recipe.json is not the checkpoint's: {', '.join(changed)}")
    check_arrays(arrays, learner.arrays(), run.checkpoint)
    learner.restore(arrays)
    if progress.epoch:
        try:
            best_weights(run, learner, progress)  # better refused now than after the last epoch
        except InputError:
            if progress.best_epoch != progress.epoch or progress.step:
                raise
            with learner.averaged():
                keep_best(run, learner.weight_arrays(), progress)
    return progress


def best_weights(run: Run, learner: "AnyLearner", progress: Progress) -> Arrays:
    """The weights best on validation; the file before the newest has them after an older checkpoint."""
    faults = []
    for path in (run.best, previous(run.best)):
        try:
            arrays, facts = load(path)
            if facts.get("epoch") != progress.best_epoch:
                raise InputError(f"{path}: not the weights of epoch {progress.best_epoch}")
            check_arrays(arrays, learner.weight_arrays(), path)
        except (InputError, FileNotFoundError) as error:
            missing = isinstance(error, FileNotFoundError)
            faults.append(f"{path}: missing" if missing else str(error))
            continue
        if path != run.best:
            with replacing(run.best) as temporary:
                shutil.copyfile(path, temporary)
        return arrays
    raise InputError(f"{'; '.join(faults)}; the best weights are lost: start anew")


class Best(NamedTuple):
    """The best weights of a run, or its last arrays if no epoch is done."""

    path: pathlib.Path
    arrays: Arrays
    epoch: int  # 0 if none is done

    def give(self, learner: "AnyLearner") -> None:
        """Put them into a learner."""
        expected = learner.weight_arrays() if self.epoch else learner.arrays()
        check_arrays(self.arrays, expected, self.path)
        (learner.restore_weights if self.epoch else learner.restore)(self.arrays)


def find_best(run: Run) -> Best:
    """The best weights of a run, which need not be finished."""

    def say(text: str) -> None:
        complain(f"train.py: {text}")

    try:
        arrays, facts = load_newest(run.best, say)
    except FileNotFoundError:
        arrays, _ = load_newest(run.checkpoint, say)
        arrays.pop("step_seconds", None)
        say("no epoch is done yet: these are the weights so far")
        return Best(run.checkpoint, arrays, 0)
    arrays = {name: x.astype(np.float32) if x.dtype == np.float16 else x for name, x in arrays.items()}  # lab/demo's
    epoch, about = facts.get("epoch"), facts.get("about")
    if not isinstance(epoch, int) or not holds(Count, epoch):
        raise InputError(f"{run.best}: damaged (epoch={epoch!r}: must be {describe(Count)})")
    if about != run.about():
        raise InputError(f"{run.folder}: recipe.json is not that of {run.best.name}")
    return Best(run.best, arrays, epoch)
