"""Train a recurrent network: python train.py TARGET, for instance rhn, hypernets or lstm.

Every field of the target's recipe is a flag, too: --units 100 --batch_size 10. --list shows what
there is. python train.py evaluate RUN and generate RUN use what a run has learnt.
"""

import dataclasses
import functools
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
from lab.checkpoints import NotFinite, best, best_weights, keep, keep_best, restore
from lab.memory import check_memory
from lab.options import continuation, parse, recall, settle, table
from lab.progress import Progress
from lab.recipe import Recipe
from lab.run import Run, check_arrays, digest, replacing, write_json
from lab.signals import Interrupted, Signals

WARM_UP_STEPS = 20  # the first steps don't count when the speed is measured
DIGITS = ".5g"  # of a score


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit code."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        options, overrides = parse(arguments)
        match options.command:
            case "list":
                print(table())
            case "evaluate":
                print(json.dumps(evaluate(options), allow_nan=False))
            case "generate":
                print(generate(options), end="")
            case "train":
                return train(*settle(options, overrides), options, arguments)
        return 0
    except BrokenPipeError:  # of `train.py --list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except BAD_INPUT as error:
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
        print(f"train.py: error: {text}", file=sys.stderr)
        return 2
    except NotFinite as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("train.py: stopped", file=sys.stderr)
        return 128 + signal.SIGINT


def train(recipe: Recipe, settings: dict, run: Run | None, options, arguments) -> int:
    """Train to the end, or until something stops it; the exit code.

    run: the one to go on with; else a new one is made, in the folder `options.out` if it is named.
    arguments: the command line, to say how to go on.
    """
    with Signals() as signals:
        data = recipe.load(settings["corpus"], settings["data_dir"])
        fingerprint = recipe.fingerprint(data)
        if run and run.about().get("data_sha256") != fingerprint:
            raise InputError(
                f"--resume: {run.folder} was begun with another corpus than {data.name}"
            )

        # Keras and TensorFlow are imported here, where the input is known to be good.
        import tensorflow as tf

        from lab.learner import make_learner

        check_memory(recipe, data, recipe.batches(data), *splits(recipe, data))
        learner = make_learner(recipe, data, settings)
        if not run:
            if settings["corpus"] == "auto":
                settings = settings | {"corpus": data.name}  # from now on
            files = recipe.files(data)
            about = {
                "recipe": dataclasses.asdict(recipe),
                "data_sha256": fingerprint,
                "files_sha256": {name: digest(value) for name, value in files.items()},
            }
            stem = f"{settings['target']}-{settings['size']}"
            first = functools.partial(keep, learner=learner, progress=Progress())
            run = Run.create(options.out, stem, {"recipe.json": settings | about} | files, first)
        on = f"to go on: {continuation(arguments, run.folder)}"
        with run.locked():
            progress = restore(recipe, data, run, learner)
            if done(recipe, progress) and (run.folder / "result.json").exists():
                print(strict(run, "result.json"))
                print(f"train.py: {run.folder} was finished already", file=sys.stderr)
                return 0
            try:
                signals.check()
                while not done(recipe, progress):
                    one_epoch(recipe, data, learner, progress, run, signals, options.save_seconds)
                result = finish(recipe, data, learner, progress, run, signals, settings)
            except Interrupted:
                run.say(f"stopped; {on}")
                return 128 + signals.received
            except NotFinite as error:
                run.say(f"stopped: {error}; the last good checkpoint is {run.checkpoint}")
                return 3
            except (OSError, MemoryError, tf.errors.ResourceExhaustedError) as error:
                reason = getattr(error, "message", str(error)).partition("\n")[0]
                raise InputError(f"{reason}; the last checkpoint is whole; {on}") from error
    print(json.dumps(result, allow_nan=False))
    return 0


def one_epoch(recipe, data, learner, progress, run, signals, save_seconds):
    """What is left of an epoch: train, validate, keep the best weights and a checkpoint."""
    number, saved = progress.epoch + 1, time.monotonic()
    name = f"epoch {number}/{recipe.epochs}"
    batches = recipe.batches(data, progress.epoch)
    steps, size = len(batches), recipe.predictions(batches)
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
                if time.monotonic() > saved + save_seconds:
                    keep(run, learner, progress)
                    saved = time.monotonic()
        valid_loss = mean_loss(recipe, data, learner, "valid", signals.check)
    except Interrupted:
        keep(run, learner, progress)
        raise

    train_loss = progress.loss / size / steps
    train_score, valid_score = recipe.score(train_loss), recipe.score(valid_loss)
    if not math.isfinite(train_score + valid_score):
        raise NotFinite(f"{name}: {recipe.score_name} {train_score}, on validation {valid_score}")
    measures = recipe.measures(learner.model, data, "valid")
    best = progress.best_loss is None or valid_loss < progress.best_loss
    if best or recipe.reached(measures):
        progress.best_loss, progress.best_epoch = valid_loss, number
    facts = {
        f"train_{recipe.score_name}": train_score,
        f"valid_{recipe.score_name}": valid_score,
        **measures,
        "learning_rate": recipe.rate(progress.epoch, steps - 1, steps),
        recipe.speed_name: size / statistics.median(progress.step_seconds[-steps:]),
        "seconds": time.monotonic() - progress.began,
    }
    progress.history.append({"epoch": number, "train_loss": train_loss, **facts})
    progress.epoch, progress.step, progress.loss = number, 0, 0.0
    run.record(number, facts)
    run.say(
        f"{name}: train {train_score:{DIGITS}}, valid {valid_score:{DIGITS}}, "
        + "".join(f"{measure} {value:.4g}, " for measure, value in measures.items())
        + f"rate {facts['learning_rate']:.4g}, {facts[recipe.speed_name]:,.0f} {recipe.unit}/s, "
        f"{facts['seconds']:,.0f} s"
    )
    keep(run, learner, progress)
    if progress.best_epoch == number:
        keep_best(run, learner, progress)


def mean_loss(recipe, data, learner, split: str, check=lambda: None) -> float:
    """The loss of a prediction, averaged over a whole split; `check` is called now and then."""
    windows = recipe.evaluation(data, split)
    size = recipe.predictions(windows)
    total = predictions = 0
    with bar(split, recipe.unit, len(windows) * size) as shown:
        for loss, number in learner.evaluate(windows):
            total += loss
            predictions += number
            shown.update(size)
            check()
    return total / predictions


def finish(recipe, data, learner, progress, run, signals, settings) -> dict:
    """Test the weights best on validation, and write down all that came of the run."""
    import keras
    import tensorflow as tf

    import tfcells

    if progress.best_epoch != progress.epoch:
        learner.restore_weights(best_weights(run, learner, progress))
    test_loss = mean_loss(recipe, data, learner, "test", signals.check)
    if not math.isfinite(recipe.score(test_loss)):
        raise NotFinite(f"{recipe.score_name} on test is {recipe.score(test_loss)}")
    times = progress.step_seconds[WARM_UP_STEPS:] or progress.step_seconds
    size = recipe.predictions(recipe.batches(data))
    train_loss = progress.history[progress.best_epoch - 1]["train_loss"]
    result = {
        "target": settings["target"],
        "size": settings["size"],
        "corpus": data.name,
        **recipe.results(train_loss, progress.best_loss, test_loss),
        "parameters": learner.parameters(),
        "epochs": progress.epoch,
        recipe.speed_name: size / statistics.median(times),
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
            **recipe.measures(learner.model, data, "test"),
        },
    }
    run.draw(progress.history, recipe.score_name)
    with replacing(run.folder / "model.keras") as path:
        recipe.portable(learner.model, data).save(path)
    shown = recipe.illustrate(learner.model, data, run, settings["seed"])
    run.say(f"test {recipe.score(test_loss):{DIGITS}}; {shown}\nAll of it is in {run.folder}.")
    write_json(run.folder / "result.json", result)
    return result


def strict(run, name: str) -> str:
    """One of the run's files as a line of strict JSON."""
    try:
        return json.dumps(run.read(name), allow_nan=False)
    except ValueError as error:
        raise InputError(f"{run.folder / name}: damaged ({error})") from error


def done(recipe, progress) -> bool:
    """Whether all epochs are done, or the last reached what is wanted, or patience is at its end."""
    if not progress.history:
        return False
    in_vain = progress.epoch - progress.best_epoch
    last = progress.epoch == recipe.epochs or in_vain >= (recipe.patience or math.inf)
    return last or recipe.reached(progress.history[-1])


def evaluate(options) -> dict:
    """The scores of a run's best weights on its own corpus, or another in its vocabulary."""
    run = Run(options.run)
    recipe, settings = recall(run)
    weights, own = best(run), options.corpus is None
    corpus = settings["corpus"] if own else options.corpus
    known = recipe.recall(run.read)
    data = recipe.load(corpus, options.data_dir or settings["data_dir"], known)
    if own and run.about().get("data_sha256") != recipe.fingerprint(data):
        raise InputError(f"{run.folder} was begun with another corpus than {data.name}")
    learner = learnt(recipe, settings, known, *weights, *splits(recipe, data))
    valid, test = (mean_loss(recipe, data, learner, split) for split in ("valid", "test"))
    if not math.isfinite(recipe.score(valid) + recipe.score(test)):
        raise NotFinite(f"{recipe.score_name} {recipe.score(valid)}, on test {recipe.score(test)}")
    scores = recipe.results(0.0, valid, test)
    scores = {name: value for name, value in scores.items() if not name.startswith("train_")}
    scores |= recipe.measures(learner.model, data, "test")
    return {"run": str(run.folder), "corpus": data.name, "epoch": weights[2], **scores}


def generate(options) -> str:
    """Text that a run's best weights make up."""
    run = Run(options.run)
    recipe, settings = recall(run)
    weights, known = best(run), recipe.recall(run.read)
    prompt = recipe.prompt(known, options.prompt)
    learner = learnt(recipe, settings, known, *weights)
    seed = settings["seed"] if options.seed is None else options.seed
    return recipe.sample(learner.model, known, options.words, seed, options.temperature, prompt)


def learnt(recipe, settings, data, path, arrays, epoch, *windows):
    """A learner with the weights that `best` found, to predict such windows."""
    from lab.learner import make_learner

    check_memory(recipe, data, *windows)
    learner = make_learner(recipe, data, settings)
    check_arrays(arrays, learner.weight_arrays() if epoch else learner.arrays(), path)
    (learner.restore_weights if epoch else learner.restore)(arrays)
    return learner


def splits(recipe, data) -> list:
    """The batches of validation and test."""
    return [recipe.evaluation(data, split) for split in ("valid", "test")]


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


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # a corpus may have letters it can't show
    sys.exit(main(sys.argv[1:]))
