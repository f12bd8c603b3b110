"""The units for a number of parameters."""

import dataclasses
import functools
from typing import Any

from lab.fields import LARGEST, InputError
from lab.recipe import Recipe

TRIED = 64  # numbers of units, of which one is to be the fewest that a cell can have


def fitted(recipe: Recipe[Any], data: Any, budget: int) -> Recipe[Any]:
    """The recipe with the most units whose network for these data has at most `budget` parameters."""

    @functools.cache
    def parameters(units: int) -> int:
        return dataclasses.replace(recipe, units=units).parameters(data)

    def fits(units: int) -> bool:
        """Whether a cell can have so many: some need a multiple of their heads, chunks or parts."""
        try:
            return parameters(units) > 0
        except InputError:
            return False

    least = next(filter(fits, range(1, TRIED + 1)), 1)
    part = next((n for n in range(1, TRIED + 1) if fits(least + n)), 1)  # from one number that fits to the next

    def count(parts: int) -> int:
        return parameters(least + (parts - 1) * part)

    if count(1) > budget:
        name = "one unit" if least == 1 else f"{least} units"
        raise InputError(f"--budget={budget}: must be at least {count(1):,}, the parameters with {name}")
    low, high = 1, 2  # count(low) <= budget < count(high)
    while high * part <= LARGEST and count(high) <= budget:
        low, high = high, 2 * high
    high = min(high, LARGEST // part + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) <= budget:
            low = middle
        else:
            high = middle
    return dataclasses.replace(recipe, units=least + (low - 1) * part)
