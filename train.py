"""Train a recurrent network: python train.py TARGET, for instance rhn, hypernets or lstm.

Every field of the target's recipe is a flag, too: --units 100 --batch_size 10. --list shows what
there is.
"""

import dataclasses
import json
import math
import os
import platform
import signal
import statistics
import sys
import time

import numpy as np
from tqdm import tqdm

from recipes import BAD_INPUT, InputError
from recipes.options import continuation, parse, settle, table
from recipes.recipe import Recipe
from recipes.run import Run, load, load_newest, replacing, save, write_json, write_text

SAVE_SECONDS = 600  # a checkpoint at least so often, besides one at the end of each epoch
WARM_UP_STEPS = 20  # the first steps don't count when the speed is measured
SAMPLE_WORDS = 50


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit code."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        options, overrides = parse(arguments)
        if options.list:
            print(table())
            return 0
        recipe, settings, run = settle(options, overrides)
        return train(recipe, settings, run, options.out, arguments)
    except BAD_INPUT as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train.py: stopped before the first step", file=sys.stderr)
        return 128 + signal.SIGINT


def train(recipe: Recipe, settings: dict, run: Run | None, out, arguments) -> int:
    """Train to the end, or until something stops it; the exit code.

    run: the one to go on with; else a new one is made, in the folder `out` if that is given.
    arguments: the command line, to say how to go on.
    """
    data = recipe.load(settings["corpus"], settings["data_dir"])
    fingerprint = recipe.fingerprint(data)
    if run and run.about().get("data_sha256") != fingerprint:
        raise InputError(f"--resume: {run.folder} was begun with another corpus than {data.name}")

    # Keras and TensorFlow are imported here, where the input is known to be good.
    from recipes.learner import Learner

    learner = Learner(recipe, data, settings["seed"], settings["engine"], settings["precision"])
    if run:
        progress = restore(run, learner)
    else:
        about = settings | {"recipe": dataclasses.asdict(recipe), "data_sha256": fingerprint}
        stem = f"{settings['target']}-{settings['size']}"
        run = Run.create(out, stem, {"recipe.json": about} | recipe.files(data))
        progress = Progress()
        keep(run, learner, progress)

    with Signals() as signals:
        try:
            while progress.epoch < recipe.epochs:
                one_epoch(recipe, data, learner, progress, run, signals)
            result = finish(recipe, data, learner, progress, run, signals, settings)
        except Interrupted:
            run.say(f"stopped; to go on: {continuation(arguments, run.folder)}")
            return 128 + signals.received
        except NotFinite as error:
            run.say(f"stopped: {error}; the last good checkpoint is {run.checkpoint}")
            return 3
    print(json.dumps(result, allow_nan=False))
    return 0


@dataclasses.dataclass
class Progress:
    """Where a run stands: all that a checkpoint holds besides what the learner has learnt."""

    epoch: int = 0  # epochs done
    step: int = 0  # steps done of the next one
    loss: float = 0.0  # the sum of those steps' losses
    best_loss: float | None = None  # on validation, a prediction
    best_epoch: int = 0
    history: list[dict] = dataclasses.field(default_factory=list)
    step_seconds: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self):
        self.began = time.monotonic() - self.seconds


def one_epoch(recipe, data, learner, progress, run, signals):
    """What is left of an epoch: train, validate, keep the best weights and a checkpoint."""
    number, saved = progress.epoch + 1, time.monotonic()
    name = f"epoch {number}/{recipe.epochs}"
    batches = recipe.batches(data)
    steps, size = len(batches), batches.element_spec[1].shape.num_elements()
    if progress.step == 0:
        learner.start()
    try:
        with bar(name, recipe.unit, steps * size, progress.step * size) as shown:
            for x, y in batches.skip(progress.step):
                started = time.perf_counter()
                loss, norm = learner.train(x, y, recipe.rate(progress.epoch, progress.step, steps))
                progress.step_seconds.append(time.perf_counter() - started)
                progress.step += 1
                if not math.isfinite(loss + norm):
                    raise NotFinite(
                        f"{name}, step {progress.step}: the loss is {loss / size}, the norm of its "
                        f"gradient {norm}"
                    )
                progress.loss += loss
                mean = progress.loss / size / progress.step
                shown.set_postfix({recipe.score_name: f"{recipe.score(mean):.2f}"}, refresh=False)
                shown.update(size)
                signals.check()
                if time.monotonic() > saved + SAVE_SECONDS:
                    keep(run, learner, progress)
                    saved = time.monotonic()
        valid_loss = mean_loss(recipe, data, learner, "valid", signals)
    except Interrupted:
        keep(run, learner, progress)
        raise

    train_loss = progress.loss / size / steps
    train_score, valid_score = recipe.score(train_loss), recipe.score(valid_loss)
    if not math.isfinite(train_score + valid_score):
        raise NotFinite(f"{name}: {recipe.score_name} {train_score}, on validation {valid_score}")
    if progress.best_loss is None or valid_loss < progress.best_loss:
        progress.best_loss, progress.best_epoch = valid_loss, number
        save(run.best, learner.weight_arrays(), {"epoch": number})
    facts = {
        f"train_{recipe.score_name}": train_score,
        f"valid_{recipe.score_name}": valid_score,
        "learning_rate": recipe.rate(progress.epoch, steps - 1, steps),
        "words_per_second": size / statistics.median(progress.step_seconds[-steps:]),
        "seconds": time.monotonic() - progress.began,
    }
    progress.history.append({"epoch": number, "train_loss": train_loss, **facts})
    progress.epoch, progress.step, progress.loss = number, 0, 0.0
    keep(run, learner, progress)
    run.record(number, facts)
    run.say(
        f"{name}: train {train_score:.2f}, valid {valid_score:.2f}, "
        f"rate {facts['learning_rate']:.4g}, {facts['words_per_second']:,.0f} {recipe.unit}/s, "
        f"{facts['seconds']:,.0f} s"
    )


def mean_loss(recipe, data, learner, split: str, signals) -> float:
    """The loss of a prediction, averaged over a whole split."""
    windows = recipe.evaluation(data, split)
    size = windows.element_spec[1].shape.num_elements()
    total = predictions = 0
    with bar(split, recipe.unit, len(windows) * size) as shown:
        for loss, number in learner.evaluate(windows):
            total += loss
            predictions += number
            shown.update(size)
            signals.check()
    return total / predictions


def finish(recipe, data, learner, progress, run, signals, settings) -> dict:
    """Test the weights best on validation, and write down all that came of the run."""
    import keras
    import tensorflow as tf

    import tfcells

    arrays, facts = load(run.best)
    if facts["epoch"] != progress.best_epoch:
        raise InputError(f"{run.best}: of epoch {facts['epoch']}, not {progress.best_epoch}")
    learner.restore_weights(arrays)
    test_loss = mean_loss(recipe, data, learner, "test", signals)
    if not math.isfinite(recipe.score(test_loss)):
        raise NotFinite(f"{recipe.score_name} on test is {recipe.score(test_loss)}")
    times = progress.step_seconds[WARM_UP_STEPS:] or progress.step_seconds
    size = recipe.batches(data).element_spec[1].shape.num_elements()
    train_loss = progress.history[-1]["train_loss"]
    result = {
        "target": settings["target"],
        "size": settings["size"],
        "corpus": data.name,
        **recipe.results(train_loss, progress.best_loss, test_loss),
        "parameters": learner.parameters(),
        "epochs": progress.epoch,
        "words_per_second": size / statistics.median(times),
        "seconds": time.monotonic() - progress.began,
        "seed": settings["seed"],
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "tfcells": tfcells.__version__,
        },
        "metrics": {
            "best_epoch": progress.best_epoch,
            "engine": settings["engine"],
            "precision": settings["precision"],
        },
    }
    run.draw(progress.history, recipe.score_name)
    with replacing(run.folder / "model.keras") as path:
        recipe.portable(learner.model, data).save(path)
    sample = recipe.sample(learner.model, data, SAMPLE_WORDS, settings["seed"])
    write_text(run.folder / "sample.txt", sample)
    run.say(
        f"test {recipe.score(test_loss):.2f}; a sample:\n{sample}\nAll of it is in {run.folder}."
    )
    write_json(run.folder / "result.json", result)
    return result


def keep(run, learner, progress):
    """A checkpoint."""
    progress.seconds = time.monotonic() - progress.began
    facts = dataclasses.asdict(progress)
    times = {"step_seconds": np.array(facts.pop("step_seconds"), "float32")}
    save(run.checkpoint, learner.arrays() | times, facts)


def restore(run, learner) -> Progress:
    """Put the learner where the run's last good checkpoint was."""
    arrays, facts = load_newest(run.checkpoint, run.say)
    learner.restore(arrays)
    return Progress(step_seconds=arrays["step_seconds"].tolist(), **facts)


def bar(name: str, unit: str, total: int, done: int = 0) -> tqdm:
    """A progress bar; now and then a line where standard error is a file."""
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=name,
        unit=f" {unit}",
        total=total,
        initial=done,
        unit_scale=True,
        leave=not terminal,
        mininterval=0.2 if terminal else 30,
    )


class Interrupted(Exception):
    """Someone asks the run to stop."""


class NotFinite(Exception):
    """A loss or a gradient is infinite, or not a number."""


class Signals:
    """Within it, Ctrl-C and SIGTERM wait until `check` is called; the second time they don't."""

    received = None

    def __enter__(self):
        self.before = {n: signal.signal(n, self.receive) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number, frame):
        self.received = number
        signal.signal(number, signal.SIG_DFL)

    def check(self):
        if self.received:
            raise Interrupted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
