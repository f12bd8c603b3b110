"""The mean loss of a split; the scores of a run's best weights, and the text they generate."""

import argparse
import contextlib
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.checkpoints import Best, NotFinite, find_best
from lab.configuration import configure
from lab.fields import InputError
from lab.memory import check_fits, enough_memory
from lab.methods import Methods, grid_of
from lab.options import Settings, located, place_of, recall
from lab.progress import bar
from lab.recipe import Recipe, Targets
from lab.run import Run, checksum, digest, load, save, write_json
from lab.streams import complain
from lab.task import Batches

if TYPE_CHECKING:
    from lab.learner import AnyLearner


def mean_loss(learner: "AnyLearner", data: Any, split: str, check: Callable[[], None] = lambda: None) -> float:
    """The loss of a prediction, averaged over a split; `check` is called now and then."""
    recipe = learner.recipe
    batches = recipe.evaluation(data, split)
    size = recipe.predictions(batches)
    total, predictions = 0.0, 0
    with bar(split, recipe.unit, len(batches) * size) as shown:
        for loss, number in learner.evaluate(batches):
            total += loss
            predictions += number
            shown.update(size)
            check()
    return total / predictions


def evaluate(options: argparse.Namespace, targets: Targets) -> dict[str, Any]:
    """The scores of a run's best weights on its own corpus, or another in its vocabulary."""
    run = Run(options.run)
    recipe, settings = recall(run, targets)
    best, own = find_best(run), options.corpus is None
    corpus = settings["corpus"] if own else located(options.corpus, recipe)
    known = recipe.recall(run.read)
    data_dir = place_of(run, settings, corpus, options.data_dir)
    data = recipe.load(corpus, data_dir, known)
    if own:
        check_data(run, recipe, data)
    elif data.notice:
        complain(data.notice)
    configure()  # Keras and TensorFlow are imported from here on, where the input is known to be good
    with enough_memory(recipe):
        learner = learned(recipe, settings, known, best, *splits(recipe, data))
        if options.methods or options.tune:
            return read(run, recipe, learner, data, options)
        valid, test = (mean_loss(learner, data, split) for split in ("valid", "test"))
        scores = scored(recipe.describe(data) | results(recipe, valid, test))
        scores |= strictly(recipe.measures(learner.model, data, "test"))
    return {"run": str(run.folder), "corpus": data.name, "epoch": best.epoch, **scores}


def results(recipe: Recipe[Any], valid: float, test: float) -> dict[str, Any]:
    """The results of two losses, if these are finite."""
    if not math.isfinite(recipe.score(valid) + recipe.score(test)):
        raise NotFinite(f"{recipe.score_name} {recipe.score(valid)}, on test {recipe.score(test)}")
    return scored(recipe.results(0.0, valid, test))


def strictly(measures: dict[str, float]) -> dict[str, float | None]:
    """Measures as strict JSON can hold them: None where one is not finite."""
    return {name: value if math.isfinite(value) else None for name, value in measures.items()}


def scored(facts: dict[str, Any]) -> dict[str, Any]:
    """What is not about the training text, which is not read."""
    return {name: value for name, value in facts.items() if not name.startswith("train_")}


def read(
    run: Run, recipe: Recipe[Any], learner: "AnyLearner", data: Any, options: argparse.Namespace
) -> dict[str, Any]:
    """The scores of a language model with the methods that the options name; on its own corpus kept with the run."""
    memory = Memory(
        run.folder / "evaluation",
        {"weights": checksum(learner.weight_arrays()).tobytes().hex(), "data": recipe.fingerprint(data)},
    )
    scorer = recipe.scorer(learner.model, data, memory)
    methods = Methods(**options.methods)
    if methods.mc_dropout and not scorer.reader.noisy:
        raise InputError(f"--mc_dropout {methods.mc_dropout}: must not be given, as {run.folder} has no dropout")
    if options.tune:
        methods = scorer.tuned(methods, Methods.__dataclass_fields__.keys() - options.methods.keys())
    losses = {split: scorer.losses(split, methods, grid_of(methods)).item() for split in ("valid", "test")}
    scores = scored(recipe.describe(data)) | results(recipe, **losses)
    found = {"methods": methods.names, "settings": methods.settings(), **scores}
    if options.corpus is None:
        with unkept():
            write_json(run.folder / "evaluation.json", found)
    return {"run": str(run.folder), "corpus": data.name, **found}


@contextlib.contextmanager
def unkept() -> Iterator[None]:
    """Say what can't be written, and go on: what took long to compute is shown all the same."""
    try:
        yield
    except OSError as error:
        complain(f"not kept: {error}")


class Memory:
    """What took long to compute, in a folder, so that what was stopped goes on where it was.

    facts: what it depends on.
    """

    def __init__(self, folder: pathlib.Path, facts: dict[str, str]) -> None:
        self.folder, self.facts = folder, facts

    def __call__(self, name: str, make: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        facts = self.facts | {"name": name}
        path = self.folder / f"{digest(facts)[:16]}.npz"
        try:
            arrays, known = load(path)
            if known == facts:
                return [arrays[str(n)] for n in range(len(arrays))]
        except (FileNotFoundError, InputError):
            pass  # not made yet, or damaged
        made = make()
        with unkept():
            self.folder.mkdir(exist_ok=True)
            save(path, {str(n): array for n, array in enumerate(made)}, facts)
        return made


def generate(options: argparse.Namespace, targets: Targets) -> str:
    """Text that a run's best weights generate."""
    run = Run(options.run)
    recipe, settings = recall(run, targets)
    best, known = find_best(run), recipe.recall(run.read)
    prompt = recipe.prompt(known, options.prompt)
    seed = settings["seed"] if options.seed is None else options.seed
    with enough_memory(recipe):
        learner = learned(recipe, settings, known, best)
        return recipe.sample(learner.model, known, options.words, seed, options.temperature, prompt)


def learned(recipe: Recipe[Any], settings: Settings, data: Any, best: Best, *batches: Batches) -> "AnyLearner":
    """A learner with a run's best weights, to predict such batches."""
    check_fits(recipe, data, *batches)
    from lab.learner import make_learner

    learner = make_learner(recipe, data, settings)
    best.give(learner)
    return learner


def check_data(run: Run, recipe: Recipe[Any], data: Any, name: str = "") -> None:
    """Refuse data that a run was not begun with."""
    if run.about().get("data_sha256") != recipe.fingerprint(data):
        raise InputError(f"{name}{run.folder} was begun with another corpus than {data.name}")


def splits(recipe: Recipe[Any], data: Any) -> list[Batches]:
    """The batches of validation and test."""
    return [recipe.evaluation(data, split) for split in ("valid", "test")]
