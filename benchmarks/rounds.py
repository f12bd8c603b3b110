"""Contenders side by side: compared, run in turn, and what came of it in words.

A contender is a function without arguments, or has a method `measure` that returns seconds.
"""

import argparse
import time

import numpy as np
from tqdm import trange

from benchmarks import report

PAUSE = 0.02  # seconds: the threads of the contender before go to sleep
BROKEN = "BELOW ITS FLOOR"
GOALS = ("goal", "aim", "never below", "measured: median (quartiles)", "")


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=description)
    parser.add_argument("--rounds", type=int, default=7, help="that count; %(default)s by default")
    help = "a contender's least time in a round; %(default)s by default"
    parser.add_argument("--seconds", type=float, default=0.3, help=help)
    return parser


def read(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """The options; among them `whole`, whether all is measured as is the default."""
    options = parser.parse_args(arguments)
    options.whole = options == parser.parse_args([])
    return options


def alternate(contenders: dict, options) -> dict[str, list[float]]:
    """Seconds that a call of each contender takes, a number a round.

    In a round they run one after the other, each as often as fills `options.seconds`; every round
    begins with another. One round goes before that does not count, and before it two calls of each.
    """
    calls = {name: number_of_calls(each, options.seconds) for name, each in contenders.items()}
    names, found = list(contenders), {name: [] for name in contenders}
    for number in trange(-1, options.rounds, desc="rounds", leave=False):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            seconds = measure(contenders[name], calls[name])
            if number >= 0:
                found[name].append(seconds)
    return found


def number_of_calls(contender, seconds: float) -> int:
    """How many calls fill that time; the first is not typical."""
    measure(contender)
    return max(1, round(seconds / measure(contender)))


def measure(contender, calls: int = 1) -> float:
    """Seconds a call."""
    if hasattr(contender, "measure"):
        return contender.measure()
    started = time.perf_counter()
    for _ in range(calls):
        contender()
    report.wait()
    return (time.perf_counter() - started) / calls


def quartiles(values) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper quartile."""
    return tuple(map(float, np.percentile(values, [25, 50, 75])))


def median(values) -> float:
    return quartiles(values)[1]


def ratios(times: dict[str, list[float]], over: str, under: str) -> list[float]:
    """Of each round, how many times the one contender's time the other's is."""
    return [a / b for a, b in zip(times[over], times[under], strict=True)]


def spread(values, form: str = ".2f") -> str:
    """The median, with the quartiles if there is more than one value."""
    low, middle, high = (format(value, form) for value in quartiles(values))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def milliseconds(seconds) -> str:
    return spread([1e3 * value for value in seconds], ".4g")


def compare(found: dict[str, list], tolerance: float = 1e-4) -> dict[str, float]:
    """How far each contender's arrays are from the first one's, relatively; the worst of them.

    The norm of a difference is divided by that of the array, or a thousandth of the largest array's:
    what is zero but for rounding has no precision of its own. Raises ValueError above `tolerance`.
    """
    (first, expected), *others = found.items()
    norms = [float(np.linalg.norm(array)) for array in expected]
    differences = {}
    for name, arrays in others:
        worst = 0.0
        for number, (array, like) in enumerate(zip(arrays, expected, strict=True)):
            if array.shape != like.shape:
                raise ValueError(f"{name}, array {number}: {array.shape} is not {like.shape}")
            scale = max(norms[number], 1e-3 * max(norms))
            difference = float(np.linalg.norm(np.subtract(array, like, dtype="float64")))
            worst = max(worst, difference / scale if scale else difference)
        if not worst <= tolerance:
            raise ValueError(f"{name} differs from {first} by {worst:.1e}, allowed: {tolerance:g}")
        differences[name] = worst
    return differences


def goal(what: str, measured, aim: float, floor: float | None = None, at_most=False) -> tuple:
    """A row under GOALS. measured: values, a number a round or one; or why there is none.

    at_most: smaller is better, else larger.
    """
    bound, least = (f"at most {aim:g}", floor) if at_most else (f"{aim:g}", floor)
    least = "" if least is None else f"{least:g}"
    if isinstance(measured, str):
        return what, bound, least, measured, "not measured"
    sign = -1 if at_most else 1
    middle = sign * median(measured)
    if middle >= sign * aim:
        verdict = "reached"
    else:
        verdict = "missed" if floor is None else "held" if middle >= sign * floor else BROKEN
    return what, bound, least, spread(measured, ".3g"), verdict


def bound(times: dict[str, list[float]], over: str, of: str) -> tuple:
    """A row under GOALS, below one: what it would be for a contender as fast as the limit."""
    what = f"- at the most, by the limit: {over} / limit, {of}"
    return what, "", "", spread(ratios(times, over, "limit")), ""


def publish(name: str, options, result: dict, tables: dict, notes: list, picture, in_rounds: bool = True) -> int:
    """Write JSON, Markdown and PNG, print the Markdown; 1 if a floor did not hold, else 0.

    What is not whole gets a name of its own. tables: heading -> rows, the first of which is the head;
    the first heading is the title. in_rounds: whether it has times of contenders that take turns.
    """
    (title, rows), *more = tables.items()
    notes = [*notes, f"Rounds that count: {options.rounds}." if in_rounds else "Measured once, each in a new process."]
    name = name if options.whole else f"{name}-partial"
    path = report.write(name, title, result, rows, dict(more), notes, picture)
    print(path.read_text(encoding="utf-8"), path, sep="\n")
    return int(any(BROKEN in row for _, rows in tables.items() for row in rows))
