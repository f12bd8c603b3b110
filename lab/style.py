"""How every picture looks: three colors that stay apart in gray and for the color-blind, names beside their things."""

import itertools
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.run import replacing

COLORS = DARK, MIDDLE, LIGHT = "#12355b", "#c8501a", "#8dbbdc"
GRAY = "0.6"  # what is only an aid: a limit, the truth beneath an answer
SMALL = 9  # points
Figure = Any  # of matplotlib, which is imported where something is drawn
Axes = Any


def figure(title: str, width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, under a title that says what to see."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    text = "\n".join(textwrap.fill(line, int(13.3 * width)) for line in title.splitlines())
    made.suptitle(text, x=0.01, ha="left", fontsize=10.5, color=DARK)
    return made


def axes(figure: Figure, *place: Any, grid: str = "both", **given: Any) -> Axes:
    """Axes with a pale grid along x, y or both instead of a box; plain numbers where a scale is logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    class Plain(LogLocator):
        """Powers of ten, and as many between them as it takes to have three."""

        def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
            for between in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
                self.set_params(subs=between)
                found = super().tick_values(vmin, vmax)
                if sum(vmin <= each <= vmax for each in found) > 2:
                    return found
            return MaxNLocator(5).tick_values(vmin, vmax)

    made = figure.add_subplot(*place, **given)
    for text in (made.title, made.xaxis.label, made.yaxis.label):
        text.set_fontsize(SMALL + 1)
    made.spines[["top", "right"]].set_visible(False)
    made.tick_params(labelsize=SMALL)
    made.set_axisbelow(True)
    made.grid(axis=grid, color="0.9")
    for name, axis in (("x", made.xaxis), ("y", made.yaxis)):
        if given.get(f"{name}scale") == "log":
            axis.set_major_locator(Plain())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
            axis.set_minor_locator(NullLocator())
    return made


def looks(count: int) -> list[dict[str, Any]]:
    """How to draw so many curves: by color, then by dashes, then by marker."""
    every = itertools.product("osD^vPX*<>p", ("-", "--", ":"), COLORS)
    chosen = itertools.islice(every, count)
    return [{"marker": marker, "linestyle": line, "color": color, "markersize": 3} for marker, line, color in chosen]


def color_map() -> Any:
    """From white, which is nothing, to dark."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("tfcells", ["white", LIGHT, DARK])


def heat(axes: Axes, values: Any, texts: Any = (), low: float = 0.0, high: float = 1.0) -> Any:
    """A table of numbers as shades, each with its text; matplotlib's image of it."""
    image = axes.imshow(values, cmap=color_map(), vmin=low, vmax=high, aspect="auto")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (row, column), text in np.ndenumerate(np.array(texts, object)):
        dark = image.norm(values[row][column]) > 0.7
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return image


def label(
    axes: Axes, names: Sequence[str], points: Sequence[tuple], colors: Sequence[str], above: bool = False
) -> None:
    """Write names right of the axes, or above them, as near to their points as leaves each room; do it last."""
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # which are found only now
    if above:
        axes.set_title(axes.get_title(), pad=22, fontsize=SMALL + 1)
    axes.figure.get_layout_engine().execute(axes.figure)  # so that the size of the axes is known
    along, box = (0, float(axes.bbox.width)) if above else (1, float(axes.bbox.height))
    room = [SMALL * (0.6 * len(name) + 1.8 if above else 1.35) for name in names]
    share = min(axes.figure.dpi / 72 / box, 1 / sum(room))  # of the axes, by points
    within = axes.transScale + axes.transLimits
    ends = [float(within.transform(point)[along]) for point in points]
    moved = apart(ends, [share * each for each in room])
    edge = (0.5, 0) if above else (0, 0.5)  # of a name, where its line begins, which so crosses no name
    how = {"ha": "center", "va": "bottom"} if above else {"ha": "left", "va": "center"}
    for name, point, color, place in zip(names, points, colors, moved, strict=True):
        at = (place, 1.02) if above else (1.05, place)
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 2, "relpos": edge}
        axes.annotate(name, point, at, "data", "axes fraction", line, color=ink(color), fontsize=SMALL, **how)


def ink(color: Any) -> Any:
    """A color for text, which is thinner than what it names: dark enough to be read."""
    from matplotlib.colors import to_rgb

    rgb = np.array(to_rgb(color))
    return rgb * min(1.0, 0.45 / float(rgb @ (0.3, 0.59, 0.11) + 1e-6))


def label_ends(axes: Axes) -> None:
    """Write the label of each curve beside its last point."""
    curves = [line for line in axes.lines if not line.get_label().startswith("_")]
    points = [tuple(values[-1] for values in line.get_data()) for line in curves]
    label(axes, [line.get_label() for line in curves], points, [line.get_color() for line in curves])


def apart(places: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Places within [0, 1] of things that have sizes, moved until none overlaps the next; their order stays."""
    order = sorted(range(len(places)), key=lambda n: places[n])
    moved = list(places)
    for _ in range(300):
        for a, b in itertools.pairwise(order):
            lack = (sizes[a] + sizes[b]) / 2 - (moved[b] - moved[a])
            if lack > 0:
                moved[a], moved[b] = moved[a] - lack / 2, moved[b] + lack / 2
        moved = [min(max(place, size / 2), 1 - size / 2) for place, size in zip(moved, sizes, strict=True)]
    return moved


def save(figure: Figure, path: pathlib.Path) -> None:
    """Write a figure, whole or not at all: of the kind that the file's name says, or PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight", format=kind_of(path))


def kind_of(path: pathlib.Path) -> str:
    return path.suffix.lstrip(".").lower() or "png"
