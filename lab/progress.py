"""Where a run stands, and a bar that shows it."""

import dataclasses
import math
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from lab.fields import InputError, Natural, NonNegative, describe, holds
from lab.recipe import Recipe, fields
from lab.streams import ERR


@dataclasses.dataclass
class Progress:
    """Where a run stands: all that a checkpoint holds besides the learner's arrays."""

    epoch: Natural = 0  # epochs done
    step: Natural = 0  # steps done of the next one
    loss: NonNegative = 0.0  # the sum of those steps' losses
    best_loss: NonNegative | None = None  # on validation, a prediction
    best_epoch: Natural = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # a dict of numbers for each epoch
    step_seconds: list[float] = dataclasses.field(default_factory=list)
    seconds: NonNegative = 0.0
    epochs: Natural = 0  # what to train to, if that is more than the recipe's

    def __post_init__(self) -> None:
        for name, hint in fields(type(self)).items():
            if not holds(hint, getattr(self, name)):
                raise InputError(f"{name}={getattr(self, name)!r}: must be {describe(hint)}")
        self.began = time.monotonic() - self.seconds

    def end(self, recipe: Recipe[Any]) -> str:
        """Why training has come to its end: the goal is reached, patience lost, or all is done; "" if it has not."""
        if self.history and recipe.reached(self.history[-1]):
            return "the goal is reached"
        if self.epoch - self.best_epoch >= (recipe.patience or math.inf):
            return f"no epoch since {self.best_epoch} was better on validation (patience={recipe.patience})"
        return "all epochs are done" if self.epoch == recipe.epochs else ""

    def check(self, epochs: int, steps: int, keys: set[str]) -> None:
        """Refuse what can't be, in a run of a recipe with so many epochs of so many steps."""
        planned, epochs = epochs, self.epochs or epochs
        faults = {
            "epochs": epochs < planned,
            "epoch": self.epoch > epochs,
            "step": self.step > (steps if self.epoch < epochs else 0),
            "best_epoch": not min(self.epoch, 1) <= self.best_epoch <= self.epoch,
            "best_loss": (self.best_loss is None) != (self.epoch == 0),
            "history": len(self.history) != self.epoch
            or not all(isinstance(facts, dict) and keys <= facts.keys() for facts in self.history)
            or not all(finite(facts.values()) for facts in self.history),
            "step_seconds": len(self.step_seconds) != self.epoch * steps + self.step
            or not finite(self.step_seconds)
            or 0 in self.step_seconds,
        }
        for name, wrong in faults.items():
            if wrong:
                raise InputError(f"{name} is impossible after {self.epoch} epochs and {self.step} steps")


def finite(values: Iterable[Any]) -> bool:
    """Whether all are numbers, not negative."""
    return all(type(value) in (int, float) and 0 <= value < math.inf for value in values)


def bar(name: str, unit: str, total: int, done: int = 0, shown: bool = True) -> tqdm:
    """A progress bar; now and then a line where standard error is a file."""
    terminal = ERR.isatty()
    return tqdm(
        file=ERR,
        disable=not shown,
        dynamic_ncols=terminal,
        desc=name,
        unit=f" {unit}",
        total=total,
        initial=done,
        unit_scale=True,
        leave=not terminal,
        mininterval=0.2 if terminal else 30,
    )
