"""Where a run stands."""

import dataclasses
import math
import time
from typing import Annotated

from lab.recipe import Allowed, InputError, NonNegative, describe, fields, holds

Natural = Annotated[int, Allowed("a whole number", 0, math.inf)]


@dataclasses.dataclass
class Progress:
    """Where a run stands: all that a checkpoint holds besides what the learner has learnt."""

    epoch: Natural = 0  # epochs done
    step: Natural = 0  # steps done of the next one
    loss: NonNegative = 0.0  # the sum of those steps' losses
    best_loss: NonNegative | None = None  # on validation, a prediction
    best_epoch: Natural = 0
    history: list = dataclasses.field(default_factory=list)  # a dict of numbers for each epoch
    step_seconds: list = dataclasses.field(default_factory=list)
    seconds: NonNegative = 0.0

    def __post_init__(self):
        for name, hint in fields(self).items():
            if not holds(hint, getattr(self, name)):
                raise InputError(f"{name}={getattr(self, name)!r}: must be {describe(hint)}")
        self.began = time.monotonic() - self.seconds

    def check(self, epochs: int, steps: int, keys: set[str]):
        """Refuse what can't be, in a run of so many epochs of so many steps."""
        faults = {
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
                raise InputError(
                    f"{name} is impossible after {self.epoch} epochs and {self.step} steps"
                )


def finite(values) -> bool:
    """Whether all are numbers, not negative."""
    return all(type(value) in (int, float) and 0 <= value < math.inf for value in values)
