"""Training: from a recipe to a run's folder, epoch by epoch."""

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import platform
import shlex
import signal
import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lab import style
from lab.budget import fitted
from lab.checkpoints import NotFinite, best_weights, keep, keep_best, restore
from lab.compare import learning_curve
from lab.configuration import configure
from lab.engines import check_numpy
from lab.evaluation import check_data, mean_loss, splits, strictly
from lab.fields import InputError
from lab.memory import OutOfMemory, check_fits, enough_memory
from lab.options import QUICK, Settings, check_unchanged, chosen, continuation, of_network
from lab.progress import Progress, bar
from lab.recipe import Recipe, differences
from lab.run import Run, digest, replacing, write_json
from lab.signals import Interrupted, Signals
from lab.streams import complain, say
from lab.workers import ALONE, Workers, check_workers, joined

if TYPE_CHECKING:
    from lab.learner import AnyLearner

WARM_UP_STEPS = 20  # the first steps don't count when the speed is measured
DIGITS = ".5g"  # of a score


def train(
    recipe: Recipe[Any],
    settings: Settings,
    run: Run | None,
    options: argparse.Namespace,
    arguments: list[str],
) -> int:
    """Train to the end, or until something stops it; the exit code.

    run: the one to continue; else a new one is made, in the folder `options.out` if it is named.
    arguments: the command line, to say how to continue.
    """
    if settings["engine"] == "numpy":
        check_numpy(recipe, settings["precision"])
    cluster = check_workers(recipe, settings, options.workers)
    with (
        joined(options.workers or 1, cluster, options.wait, arguments) as workers,
        Signals() as signals,
        enough_memory(recipe),
    ):
        data = recipe.load(settings["corpus"], settings["data_dir"])
        if run:
            check_data(run, recipe, data, "--resume: ")

        configure()  # Keras and TensorFlow are imported from here on, where the input is known to be good
        if options.budget:
            fit = fitted(recipe, data, options.budget)
            if run:
                check_unchanged(run, differences(fit, recipe))
            recipe = fit
        check_fits(recipe, data, recipe.batches(data), *splits(recipe, data))
        if workers.count > 1:
            workers.agree(facts(recipe, settings, data))
        begun = not run
        with opened(recipe, settings, data, run, options.out, signals, workers) as training:
            if training.run is None:
                return follow(training)
            run = training.run
            if options.epochs:
                prolong(run, recipe, data, training.learner, training.progress, options.epochs)
            command = continuation(arguments, run.folder)
            if workers.heartbeat:
                workers.heartbeat.say = lambda text: run.say(f"{text}; to go on: {command}")
            if begun:
                names = " in ".join(filter(None, (recipe.cell, recipe.wrapper)))
                network = f" with {names}" if of_network(arguments, recipe) else ""
                what = f"{settings['target']} {settings['size']}{network} on {data.name}"
                steps = f" of {counted(recipe.steps_per_epoch, 'step')}" if recipe.steps_per_epoch else ""
                size = f"{training.learner.parameters():,} parameters, {counted(recipe.epochs, 'epoch')}{steps}"
                complain(f"training {what}: {size}, in {run.folder}")
            if begun and data.notice:
                complain(data.notice)
            try:
                with enough_memory(recipe):
                    result = training.go_on(options.save_seconds)
            except Interrupted:
                run.say(f"stopped; to go on: {command}")
                return 128 + (signals.received or 0)
            except NotFinite as error:
                run.say(f"stopped: {error}; the last good checkpoint is {run.checkpoint}")
                return 3
            except OutOfMemory as error:
                on = f"to go on where there is more memory: {command}"
                raise InputError(f"{error}, in a new run; the last checkpoint is whole; {on}") from error
            except OSError as error:
                raise InputError(f"{error}; the last checkpoint is whole; to go on: {command}") from error
    say(json.dumps(result, allow_nan=False))
    if begun and settings["size"] == QUICK:
        text = chosen(arguments, {"corpus", "level", "data_dir"}.__contains__)
        real = shlex.join([settings["target"], *of_network(arguments, recipe), *text])
        place = "" if options.corpus or options.data_dir else " --data_dir FOLDER"
        complain(f"That was a quick look. The real run: python train.py {real}{place}")
    return 0


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


@contextlib.contextmanager
def opened(
    recipe: Recipe[Any], settings: Settings, data: Any, run: Run | None, out: Any, signals: Signals, workers: Workers
) -> Iterator["Training"]:
    """A run where it stands, which nobody else can train within. run: None for a new one, in the folder `out`."""
    from lab.learner import make_learner

    learner = make_learner(recipe, data, settings, workers)
    if workers.rank:
        yield Training(recipe, data, settings, learner, None, Progress(), signals, workers)
        return
    if not run:
        if settings["corpus"] == "auto":
            settings["corpus"] = data.name  # from now on
        run = begin(recipe, settings, data, learner, out)
    with run.locked():
        progress = restore(recipe, data, run, learner)
        yield Training(recipe, data, settings, learner, run, progress, signals, workers)


def prolong(run: Run, recipe: Recipe[Any], data: Any, learner: "AnyLearner", progress: Progress, epochs: int) -> None:
    """Let a run train on to a later epoch than it was begun for, as if that were its recipe's from here on."""
    planned = progress.epochs or recipe.epochs
    if epochs < planned:
        raise InputError(f"epochs={epochs}: must be at least {planned}, those of {run.folder}")
    if epochs == planned:
        return
    longer = dataclasses.replace(recipe, epochs=epochs)
    if end := progress.end(longer):
        raise InputError(f"epochs={epochs}: {run.folder} ended after epoch {progress.epoch}: {end}")
    progress.epochs = epochs
    keep(run, learner, progress)
    (run.folder / "result.json").unlink(missing_ok=True)
    rate = longer.rate(progress.epoch, progress.step, len(recipe.batches(data)))
    run.say(f"training on to epoch {epochs}, with the learning rate of a run of {epochs} epochs, from {rate:.4g}")


def follow(training: "Training") -> int:
    """Train beside the first worker, which writes the run; the exit code."""
    try:
        training.go_on(math.inf)
    except Interrupted:
        return 128 + (training.signals.received or signal.SIGTERM)
    except NotFinite:
        return 3
    return 0


def facts(recipe: Recipe[Any], settings: Settings, data: Any) -> dict[str, Any]:
    """What must be the same for all workers, by names for the user."""
    names = "target", "seed", "engine", "precision"
    found = {name: value for name, value in settings.items() if name in names}
    return found | {"recipe": recipe.values(), "corpus": [data.name, recipe.fingerprint(data)], "version": versions()}


def versions() -> dict[str, str]:
    import keras
    import tensorflow as tf

    import tfcells

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tfcells": tfcells.__version__,
    }


def begin(recipe: Recipe[Any], settings: Settings, data: Any, learner: "AnyLearner", out: Any) -> Run:
    """A new run, with a first checkpoint."""
    files = recipe.files(data)
    about = {
        **settings,
        "recipe": recipe.values(),
        "data_sha256": recipe.fingerprint(data),
        "files_sha256": {name: digest(value) for name, value in files.items()},
        "data": {"corpus": data.name} | recipe.describe(data),
    }
    stem = f"{settings['target']}-{settings['size']}"
    first = functools.partial(keep, learner=learner, progress=Progress())
    return Run.create(out, stem, {"recipe.json": about} | files, first)


@dataclasses.dataclass
class Training:
    """A run at work: all that goes through training together.

    run: None if another worker writes it.
    """

    recipe: Recipe[Any]
    data: Any
    settings: Settings
    learner: "AnyLearner"
    run: Run | None
    progress: Progress
    signals: Signals
    workers: Workers = ALONE

    @property
    def shared(self) -> Any:
        """The learner, if it is one of several."""
        return self.learner if self.workers.count > 1 else None

    def go_on(self, save_seconds: float) -> dict[str, Any]:
        """Train to the end, all workers from where the first is; the results."""
        if self.shared:
            self.shared.follow()
            self.progress = Progress(**self.workers.first(lambda: dataclasses.asdict(self.progress)))
        if self.progress.epochs:
            self.recipe = dataclasses.replace(self.recipe, epochs=self.progress.epochs)
        done = bool(self.progress.end(self.recipe))
        if self.run and not done and (self.progress.epoch or self.progress.step):
            complain(f"continuing {self.run.folder} in epoch {self.progress.epoch + 1} of {self.recipe.epochs}")
        self.check()
        while not (end := self.progress.end(self.recipe)):
            self.epoch(save_seconds)
        if self.run and not done and self.progress.epoch < self.recipe.epochs:
            self.run.say(f"ended early, after epoch {self.progress.epoch} of {self.recipe.epochs}: {end}")
        return self.workers.first(lambda: self.finish(done))

    def check(self, *flags: bool) -> list[bool]:
        """Stop if a worker was asked to; else which of the flags a worker has."""
        stopped, *found = self.workers.any(self.signals.received is not None, *flags)
        if stopped:
            self.signals.received = self.signals.received or signal.SIGTERM
        self.signals.check()
        return found

    def keep(self) -> None:
        """Write a checkpoint. Each worker has a part of it."""
        if self.shared:
            self.shared.gather()
        if self.run:
            keep(self.run, self.learner, self.progress)

    def epoch(self, save_seconds: float) -> None:
        """Do what is left of an epoch: train, validate, keep the best weights and a checkpoint."""
        recipe, learner, progress, run = self.recipe, self.learner, self.progress, self.run
        number = progress.epoch + 1
        name = f"epoch {number}/{recipe.epochs}"
        batches = recipe.batches(self.data, progress.epoch)
        steps, size = len(batches), recipe.predictions(batches)
        if progress.step == 0:
            learner.start()
        try:
            self.steps(name, batches, save_seconds)
            valid_loss, measures = self.workers.first(self.validate)
        except Interrupted:
            self.keep()
            raise

        train_loss = progress.loss / size / steps
        train_score, valid_score = recipe.score(train_loss), recipe.score(valid_loss)
        if not math.isfinite(train_score + valid_score):
            raise NotFinite(f"{name}: {recipe.score_name} {train_score}, on validation {valid_score}")
        better = progress.best_loss is None or valid_loss < progress.best_loss
        if better or recipe.reached(measures):
            progress.best_loss, progress.best_epoch = valid_loss, number
        facts = {
            f"train_{recipe.score_name}": train_score,
            f"valid_{recipe.score_name}": valid_score,
            **{measure: value for measure, value in measures.items() if math.isfinite(value)},
            "learning_rate": recipe.rate(progress.epoch, steps - 1, steps),
            recipe.speed_name: size / statistics.median(progress.step_seconds[-steps:]),
            "seconds": time.monotonic() - progress.began,
        }
        progress.history.append({"epoch": number, "train_loss": train_loss, **facts})
        progress.epoch, progress.step, progress.loss = number, 0, 0.0
        self.keep()
        if not run:
            return
        if progress.best_epoch == number:
            with learner.averaged():
                keep_best(run, learner.weight_arrays(), progress)
        run.record(number, facts)
        run.say(
            f"{name}: train {train_score:{DIGITS}}, valid {valid_score:{DIGITS}}{self.unknown('valid')}, "
            + "".join(f"{measure} {value:.4g}, " for measure, value in measures.items())
            + f"rate {facts['learning_rate']:.4g}, {facts[recipe.speed_name]:,.0f} {recipe.unit}/s, "
            f"{facts['seconds']:,.0f} s in all"
        )

    def validate(self) -> tuple[float, dict[str, float]]:
        """The loss on validation, and other measures."""
        with self.learner.averaged():
            loss = mean_loss(self.learner, self.data, "valid", self.signals.check)
            finite = math.isfinite(self.recipe.score(loss))
            return loss, self.recipe.measures(self.learner.model, self.data, "valid") if finite else {}

    def unknown(self, split: str) -> str:
        """The share of unknown tokens, where there are any: without it a perplexity says little."""
        share: Any = self.recipe.describe(self.data).get(f"{split}_unknown")
        return f" ({100 * share:.2g} % unknown)" if share else ""

    def steps(self, name: str, batches: Any, save_seconds: float) -> None:
        """Train on the batches of an epoch that are left, with a checkpoint now and then."""
        recipe, learner, progress, saved = (
            self.recipe,
            self.learner,
            self.progress,
            time.monotonic(),
        )
        steps, size = len(batches), recipe.predictions(batches)
        with bar(name, recipe.unit, steps * size, progress.step * size, not self.workers.rank) as shown:
            for x, y in batches.skip(progress.step):
                started = time.perf_counter()
                loss, norm = learner.train(x, y, recipe.rate(progress.epoch, progress.step, steps))
                progress.step_seconds.append(time.perf_counter() - started)
                progress.step += 1
                if not math.isfinite(loss + norm):
                    raise NotFinite(
                        f"{name}, step {progress.step}: the loss is {loss / size}, the norm of its gradient {norm}"
                    )
                progress.loss += loss
                mean = progress.loss / size / progress.step
                shown.set_postfix({recipe.score_name: f"{recipe.score(mean):.2f}"}, refresh=False)
                shown.update(size)
                (due,) = self.check(time.monotonic() > saved + save_seconds)
                if due:
                    self.keep()
                    saved = time.monotonic()

    def finish(self, done: bool) -> dict[str, Any]:
        """Test the best weights, and write all results. done: whether that may have been done before."""
        recipe, learner, progress, run = self.recipe, self.learner, self.progress, self.run
        assert run is not None
        if done and (run.folder / "result.json").exists():
            more = "; --epochs N trains it on" if progress.epoch == recipe.epochs else ""
            complain(f"train.py: {run.folder} was finished already: {progress.end(recipe)}{more}")
            return json.loads(strict(run, "result.json"))
        if done:
            complain(f"continuing {run.folder} after its last epoch: the test is left")
        settings, data = self.settings, self.data
        if progress.best_epoch != progress.epoch or recipe.ema:
            learner.restore_weights(best_weights(run, learner, progress))
        test_loss = mean_loss(learner, data, "test", self.signals.check)
        if not math.isfinite(recipe.score(test_loss)):
            raise NotFinite(f"{recipe.score_name} on test is {recipe.score(test_loss)}")
        times = progress.step_seconds[WARM_UP_STEPS:] or progress.step_seconds
        size = recipe.predictions(recipe.batches(data))
        train_loss = progress.history[progress.best_epoch - 1]["train_loss"]
        assert progress.best_loss is not None
        result = {
            "target": settings["target"],
            "size": settings["size"],
            "corpus": data.name,
            **recipe.describe(data),
            **recipe.results(train_loss, progress.best_loss, test_loss),
            "parameters": learner.parameters(),
            "epochs": progress.epoch,
            recipe.speed_name: size / statistics.median(times),
            "seconds": time.monotonic() - progress.began,
            "seed": settings["seed"],
            "versions": versions(),
            "metrics": {
                "best_epoch": progress.best_epoch,
                "engine": settings["engine"],
                "precision": settings["precision"],
                **({"workers": self.workers.count} if self.workers.count > 1 else {}),
                **strictly(recipe.measures(learner.model, data, "test")),
            },
        }
        style.save(learning_curve(progress.history, recipe.score_name), run.folder / "learning_curve.png")
        with replacing(run.folder / "model.keras") as path:
            recipe.portable(learner.model, data).save(path)
        shown = recipe.illustrate(learner.model, data, run, settings["seed"])
        write_json(run.folder / "result.json", result)
        test = f"test {recipe.score(test_loss):{DIGITS}}{self.unknown('test')}"
        run.say(f"{test}; {shown}\nAll results are in {run.folder}.")
        return result


def strict(run: Run, name: str) -> str:
    """One of the run's files as a line of strict JSON."""
    try:
        return json.dumps(run.read(name), allow_nan=False)
    except ValueError as error:
        raise InputError(f"{run.folder / name}: damaged ({error})") from error
