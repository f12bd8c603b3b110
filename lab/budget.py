"""The units for a number of parameters."""

import dataclasses
import functools
from typing import Any

from lab.fields import LARGEST, InputError
from lab.recipe import Recipe


def fitted(recipe: Recipe[Any], data: Any, budget: int) -> Recipe[Any]:
    """The recipe with the most units whose network for these data has at most `budget` parameters."""

    @functools.cache
    def count(units: int) -> int:
        return dataclasses.replace(recipe, units=units).parameters(data)

    if count(1) > budget:
        raise InputError(f"--budget={budget}: must be at least {count(1):,}, the parameters with one unit")
    low, high = 1, 2  # count(low) <= budget < count(high)
    while high <= LARGEST and count(high) <= budget:
        low, high = high, 2 * high
    high = min(high, LARGEST + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) <= budget:
            low = middle
        else:
            high = middle
    return dataclasses.replace(recipe, units=low)
