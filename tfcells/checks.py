"""Arguments: bad ones raise a ValueError that names them and what they may be."""

import math
import numbers
from typing import Any


def require(name: str, value: Any, allowed: str, holds: bool) -> Any:
    """The value, if `holds`."""
    if not holds:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return value


def positive(name: str, value: Any) -> int:
    """The value, if it is a whole number above zero."""
    return int(require(name, value, "a whole number above 0", whole(value) and value > 0))


def divisor(name: str, value: Any, of: str, number: int) -> int:
    """The value, if it divides that number, which is called `of`."""
    return int(require(name, value, f"a divisor of the {number} {of}", number % positive(name, value) == 0))


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """The value, if it is a finite number within these bounds, themselves excluded."""
    bounds = f" above {low}" * (low > -math.inf) + f" below {high}" * (high < math.inf)
    allowed = "a finite number" + bounds.replace("0 below", "0 and below")
    return float(require(name, value, allowed, real(value) and low < value < high))


def probability(name: str, value: Any) -> float:
    """The value, if it is a probability below one."""
    return float(require(name, value, "a number in [0, 1)", real(value) and 0 <= value < 1))


def flag(name: str, value: Any) -> bool:
    """The value, if it is a truth value."""
    return require(name, value, "True or False", isinstance(value, bool))


def whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
