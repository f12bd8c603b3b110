"""What chooses the trials of a study, and what ends them early, by the names that options have."""

from typing import Any

import numpy as np
import optuna

from lab.study import trained

FACTOR = 3  # of trials, one goes on to three times as many epochs
POPULATION, TOURNAMENT = 20, 5  # of evolution


class Evolution(optuna.samplers.RandomSampler):
    """Regularized evolution (Real et al., 1802.01548): the best of a few recent trials, with one field drawn anew.

    The first trials are random. A trial that was ended early is never a parent, but takes its place among the recent;
    one that was refused does not.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.random = np.random.default_rng(seed)
        self.parent: dict[str, Any] = {}
        self.changed = ""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        states = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
        recent = [each for each in study.get_trials(deepcopy=False, states=states) if trained(each)][-POPULATION:]
        if len(recent) < POPULATION:
            return {}
        drawn = [recent[place] for place in self.random.choice(POPULATION, TOURNAMENT, replace=False)]
        complete = [each for each in drawn if each.state == optuna.trial.TrialState.COMPLETE]
        if not complete:
            return {}
        parent = min(complete, key=lambda each: each.value)
        spaces = {name: each for name, each in parent.distributions.items() if not each.single()}
        self.parent = parent.params
        self.changed = str(self.random.choice(sorted(spaces)))
        return {name: each for name, each in spaces.items() if name != self.changed}

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return {name: self.parent[name] for name in search_space}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        while True:
            value = super().sample_independent(study, trial, param_name, param_distribution)
            if param_name != self.changed or value != self.parent[param_name]:
                return value


class Seeded(optuna.samplers.BaseSampler):
    """A sampler that is made anew for each trial, with a seed of that trial's number.

    So workers draw different trials, and a trial's draws don't depend on who makes them.
    """

    def __init__(self, kind: Any, seed: int) -> None:
        self.kind, self.seed = kind, seed

    def before_trial(self, study: Any, trial: Any) -> None:
        sequence = np.random.SeedSequence([self.seed, trial.number])
        self.own = self.kind(seed=int(sequence.generate_state(1)[0]))
        self.own.before_trial(study, trial)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return self.own.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return self.own.sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return self.own.sample_independent(study, trial, param_name, param_distribution)


SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler, "evolution": Evolution}


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    return Seeded(SAMPLERS[name], seed)


def make_pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    """epochs: the most that a trial may have."""
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=FACTOR)
    return optuna.pruners.NopPruner()
