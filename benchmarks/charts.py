"""Pictures of reports. A report's module has a `picture`, which draws from the report's JSON alone."""

import argparse
import importlib
import itertools
from collections.abc import Callable

from benchmarks import report, trainings
from benchmarks.rounds import median, quartiles, ratios
from lab import style

COLORS = {
    **dict.fromkeys(("keras", "step by step", "later"), style.MIDDLE),
    **dict.fromkeys(("torch", "scan"), style.LIGHT),
    "limit": style.GRAY,
}
MOST_MARKERS = 20  # of a curve
MARKERS = {style.MIDDLE: "o", style.LIGHT: "s", style.GRAY: "|"}
MODULES = {**dict.fromkeys(trainings.RUNS, "trainings"), "scaling_modes": "scaling"}
"""Of reports whose module has another name."""


def main(arguments: list[str]) -> int:
    """Draw the pictures of reports anew."""
    description = "Draw the pictures of reports anew, from their JSON; nothing is measured."
    parser = argparse.ArgumentParser(prog="python -m benchmarks draw", description=description)
    every = sorted(path.stem for path in report.RESULTS.glob("*.png"))
    parser.add_argument("name", nargs="?", choices=every, help="all by default")
    only = parser.parse_args(arguments).name
    for name in [only] if only else every:
        module = importlib.import_module(f"benchmarks.{MODULES.get(name, name.removesuffix('-partial'))}")
        print(report.draw(name, module.picture))
    return 0


def look(name: str) -> dict:
    """A contender's color, the same in every picture; a variant, as in "keras.RNN, XLA", is hollow and dashed."""
    color = next((color for key, color in COLORS.items() if key in name.lower()), style.DARK)
    inner, dashes = ("white", "--") if "," in name else (color, "-")
    marker = MARKERS.get(color, "o")
    return {"color": color, "markerfacecolor": inner, "linestyle": dashes, "marker": marker, "markersize": 5}


def over_first(times: dict[str, list]) -> dict[str, list[float]]:
    """Of each round, how many times the first contender's time each other's is."""
    first, *others = times
    return {name: ratios(times, name, first) for name in others}


def finding(rows: dict[str, dict[str, list]], first: str) -> str:
    """In a sentence, how fast the first contender is beside the others, variants and the limit left out."""
    found: dict[str, list[float]] = {}
    for name, values in ((name, values) for row in rows.values() for name, values in row.items()):
        if "," not in name and name != "limit":
            found.setdefault(name, []).append(median(values))
    parts = (f"{between(values)} times as fast as {name}" for name, values in found.items())
    return f"{first} is {' and '.join(parts)}"


def between(values) -> str:
    """From the smallest to the largest."""
    low, high = (f"{value:.2g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def compared(groups: dict[str, dict[str, list]]) -> style.Figure:
    """A figure of how fast contenders are: group -> contender -> seconds by round."""
    first, *_ = next(iter(groups.values()))
    rows = {group: over_first(times) for group, times in groups.items()}
    figure = style.figure(finding(rows, first), 7, 1.6 + 0.19 * len(rows))
    dots(style.axes(figure, xscale="log", grid="x"), rows, first)
    return figure


def dots(axes: style.Axes, rows: dict[str, dict[str, list]], first: str, looks: Callable[[str], dict] = look):
    """Rows of ratios to the first contender, with quartiles; the largest on top, below the names of its dots."""
    rows = dict(sorted(rows.items(), key=lambda row: max(map(median, row[1].values()))))
    places = {first: (1, len(rows) - 0.3)}
    for y, row in enumerate(rows.values()):
        middles = [median(values) for values in row.values()]
        axes.plot([min(1, *middles), max(1, *middles)], [y, y], color="0.85", zorder=1)
        for name, values in row.items():
            low, middle, high = quartiles(values)
            axes.plot([low, high], [y, y], color=looks(name)["color"], linewidth=1)
            axes.plot(middle, y, **looks(name) | {"linestyle": ""})
            places[name] = middle, y
    axes.axvline(1, color=style.DARK, linewidth=1.5)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(-0.7, len(rows) - 0.3)
    style.label(axes, list(places), list(places.values()), [looks(name)["color"] for name in places], above=True)
    axes.set_xlabel(f"time / {first}'s time (median and quartiles)")


def panels(title: str, parts: list[tuple[dict, Callable]], columns: int) -> style.Figure:
    """A figure of several axes: (their labels and scales, a function that draws into them); one needs no title more."""
    columns = min(columns, len(parts))
    rows = -(-len(parts) // columns)
    title = title or parts[0][0].pop("title")
    figure = style.figure(title, 3.8 * columns + 1.9, 0.4 + 2.8 * rows)
    for place, (given, draw) in enumerate(parts, 1):
        draw(style.axes(figure, rows, columns, place, **given))
    return figure


def curves(title: str, x: str, y: str, lines: dict[str, dict], scale: str = "log") -> tuple[dict, Callable]:
    """A panel of curves: name -> {x: y}."""

    def draw(axes: style.Axes):
        for name, line in lines.items():
            marker = {"marker": ""} if len(line) > MOST_MARKERS else {}
            axes.plot(line.keys(), line.values(), label=name, **look(name) | marker)
        style.label_ends(axes)

    return {"title": title, "xlabel": x, "ylabel": y, "xscale": scale, "yscale": scale}, draw


def so_far(title: str, kind: str, seconds: dict[str, list[float]]) -> tuple[dict, Callable]:
    """A panel of the time that calls have taken so far: name -> seconds of each call."""
    lines = {name: dict(enumerate(itertools.accumulate(each), 1)) for name, each in seconds.items()}
    return curves(title, "calls", f"{kind} so far, s", lines, scale="linear")
