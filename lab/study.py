"""A study: what a search is to find, and its trials, which Optuna remembers. Its folder:

study.json               target, size, corpus, seed, the fields' texts: what the study is
study.db                 the trials, unless --storage names another place for them
trial-N/                 the run of a trial
worker-N.log             what a worker said
lock                     held by the worker that begins a trial; empty
trials.md, *.png         the results
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import warnings
from typing import Any, Self

from lab.engines import check_numpy
from lab.fields import InputError
from lab.options import Settings, check_unchanged, located, named_recipe, new_settings, shortened
from lab.recipe import Recipe, Targets
from lab.run import Run, taken
from lab.search_options import given
from lab.space import Choice, Fixed, Space
from lab.streams import complain

NAME, DATABASE = "study.json", "study.db"
RETRIES = 3  # of a trial whose worker was killed
RELIEVED = 5  # the exit code of a worker in whose place another is to begin
BEGUN = "begun"  # of a study: how many trials it had when it was last begun or resumed
STOPS = "stops"  # of a trial: how often it was stopped, which no attempt is lost by

Frozen = Any  # optuna.trial.FrozenTrial


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a study is, as it was begun.

    fields: the texts of those that differ from the target's recipe.
    """

    settings: Settings
    fields: dict[str, str]
    budget: int | None
    trials: int
    sampler: str
    pruner: str
    data_sha256: str

    @classmethod
    def make(cls, options: argparse.Namespace, texts: dict[str, str], targets: Targets) -> Self:
        """A new one, of the options and fields of a command line."""
        recipe, size = named_recipe(options, targets)
        settings = new_settings(options, recipe, size, targets)
        if options.out and os.path.lexists(options.out):
            raise taken(options.out)
        texts = shortened(texts, settings)
        space = Space(recipe, texts)
        if options.budget and isinstance(space.domains.get("units"), Fixed):
            raise InputError("--budget: must not be given with one value of --units, which it chooses")
        first, last = space.ends()
        if settings["engine"] == "numpy":
            check_numpy(first, settings["precision"])
        data = first.load(settings["corpus"], settings["data_dir"])
        if settings["corpus"] == "auto":
            settings["corpus"] = data.name  # from now on
        if data.notice:
            complain(data.notice)
        found = first.fingerprint(data)
        if last != first and fingerprint_of(last, settings) not in (None, found):
            raise InputError(f"search: {', '.join(space.drawn)}: one of these changes the data; give it one value")
        own = {name: given(options, name) for name in ("trials", "sampler", "pruner")}
        return cls(settings, texts, options.budget, data_sha256=found, **own)

    @classmethod
    def read(cls, folder: pathlib.Path) -> Self:
        """That of a study that was begun."""
        path = folder / NAME
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"{folder}: not a study, it has no {NAME}") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: damaged ({error})") from error

    def changed(self, options: argparse.Namespace, texts: dict[str, str]) -> list[str]:
        """What the options and fields of a command line would change."""
        was = {**self.settings, "budget": self.budget, "sampler": self.sampler, "pruner": self.pruner} | self.fields
        names = "target", "size", "seed", "engine", "precision", "budget", "sampler", "pruner"
        found = {name: getattr(options, name) for name in names if getattr(options, name) is not None} | texts
        return [f"{name}={value!r} (was {was.get(name)!r})" for name, value in found.items() if value != was.get(name)]


def fingerprint_of(recipe: Recipe[Any], settings: Settings) -> str | None:
    """That of a recipe's data; None where they are refused, as they will be when they are drawn."""
    try:
        return recipe.fingerprint(recipe.load(settings["corpus"], settings["data_dir"]))
    except InputError:
        return None


@dataclasses.dataclass(frozen=True)
class Study:
    """A study in its folder. storage: what the option says, if it is given; wait: the option."""

    folder: pathlib.Path
    plan: Plan
    targets: Targets
    storage: str | None
    wait: int

    @classmethod
    def opened(cls, options: argparse.Namespace, texts: dict[str, str], targets: Targets) -> Self:
        """The study that a command line begins or goes on with."""
        plan = None
        if not options.resume:
            plan = Plan.make(options, texts, targets)
            stem = f"{plan.settings['target']}-{plan.settings['size']}-search"
            folder = Run.create(options.out, stem, {NAME: dataclasses.asdict(plan)}, lambda run: None).folder
        elif options.out:
            folder = options.out
        else:
            _, size = named_recipe(options, targets)
            folder = Run.latest(f"{options.target}-{size}-search").folder
        if plan is None:
            plan = Plan.read(folder)
            if not (options.storage or (folder / DATABASE).exists()) and any(folder.glob("trial-*")):
                raise InputError(f"--storage: must be as it was when the study began, as {folder} has no {DATABASE}")
            check_unchanged(Run(folder), plan.changed(options, texts))
            plain = targets[plan.settings["target"]][plan.settings["size"]].recipe
            moved: Any = {"data_dir": options.data_dir} if options.data_dir else {}
            moved |= {"corpus": located(options.corpus, plain)} if options.corpus else {}
            plan = dataclasses.replace(plan, settings=plan.settings | moved)
        study = cls(folder, plan, targets, options.storage, given(options, "wait"))
        if options.resume:
            first, _ = study.space.ends()
            study.check_data(first, first.load(plan.settings["corpus"], plan.settings["data_dir"]))
        return study

    def check_data(self, recipe: Recipe[Any], data: Any) -> None:
        """Raise an InputError where the data are not those that it was begun with."""
        if recipe.fingerprint(data) != self.plan.data_sha256:
            raise InputError(f"{data.name}: not the data that {self.folder} was begun with")

    @property
    def plain(self) -> Recipe[Any]:
        """The target's recipe, before any field is drawn."""
        return self.targets[self.plan.settings["target"]][self.plan.settings["size"]].recipe

    @functools.cached_property
    def space(self) -> Space:
        return Space(self.plain, self.plan.fields)

    @functools.cached_property
    def longest(self) -> int:
        """The most epochs that a trial may have."""
        drawn = self.space.domains.get("epochs")
        several = [int(value) for value in drawn.values] if isinstance(drawn, Choice) else []
        return max([end.epochs for end in self.space.ends()] + several)

    @functools.cached_property
    def record(self) -> Any:
        """Optuna's study, made if need be."""
        import optuna
        import sqlalchemy

        from lab.samplers import make_pruner, make_sampler

        try:
            study = optuna.create_study(
                storage=self.open_storage(),
                study_name=self.folder.name,
                sampler=make_sampler(self.plan.sampler, self.plan.settings["seed"]),
                pruner=make_pruner(self.plan.pruner, self.longest),
                load_if_exists=True,
            )
        except (ImportError, ValueError, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            raise InputError(f"--storage: {str(error).splitlines()[0]}") from error
        what = dataclasses.asdict(self.plan)
        for name in ("corpus", "data_dir"):  # where the data are, which their checksum stands for
            del what["settings"][name]
        del what["trials"]
        if study.user_attrs.setdefault("plan", what) != what:
            raise InputError(f"--storage: has another study of the name {self.folder.name}: choose another for --out")
        study.set_user_attr("plan", what)
        return study

    def open_storage(self) -> Any:
        """Where the trials are kept. Of a database, workers show there now and then that they are alive."""
        import optuna
        from optuna.storages.journal import JournalFileBackend

        if self.silent:
            return optuna.storages.JournalStorage(JournalFileBackend(str(self.storage)))
        url = self.storage or f"sqlite:///{self.folder.absolute() / DATABASE}"
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": self.wait}} if url.startswith("sqlite") else None,
            heartbeat_interval=max(1, self.wait // 6),
            grace_period=self.wait,
            heartbeat_stale_trial_callback=retry,
        )

    @property
    def silent(self) -> bool:
        """Whether nobody would notice that a worker was killed, as with a journal."""
        return bool(self.storage) and "://" not in str(self.storage)

    def run_of(self, trial: Frozen) -> pathlib.Path:
        """The folder of a trial's run, that of the first attempt if it is tried again."""
        import optuna

        first = optuna.storages.RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
        return self.folder / f"trial-{trial.number if first is None else first}"


def retry(study: Any, trial: Frozen) -> None:
    """Have a trial that was stopped, or whose worker was killed, tried again; of killed workers so many times."""
    import optuna

    most = RETRIES + trial.user_attrs.get(STOPS, 0)
    optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=most)(study, trial)


def find_optuna() -> None:
    """Import Optuna, and have it say no more than what goes wrong."""
    try:
        import optuna
    except ImportError as error:
        raise InputError("search: needs Optuna, of the extra search: pip install -e '.[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def trained(trial: Frozen) -> bool:
    """Whether a trial counts: one that came to its end, be it early, but not one that was refused."""
    return trial.state.name == "COMPLETE" or (trial.state.name == "PRUNED" and "refused" not in trial.user_attrs)
