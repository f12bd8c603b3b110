"""Pictures of measurements: bars and lines that can be told apart in grey, too."""

from matplotlib.figure import Figure

from benchmarks.rounds import quartiles, ratios

HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
GREYS = ("0.35", "0.9", "0.75", "1.0", "0.6", "0.85")
MARKERS = ("o", "s", "^", "D", "v", "x")
STYLES = ("-", "--", ":", "-.")


def bars(groups: dict[str, dict[str, list]]) -> Figure:
    """How many times the first contender's time each one's is: group -> name -> seconds by round."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    count = sum(1 + len(group) for group in groups.values())
    label = f"time / {names[0]}'s time (median and quartiles of the rounds)"
    figure = Figure(figsize=(8, 1.5 + 0.16 * count), layout="constrained")
    axes = figure.add_subplot(xlabel=label)
    ticks, y, shown = [], 0, set()
    for times in groups.values():
        ticks.append(y + (len(times) - 1) / 2)
        for name in times:
            number = names.index(name)
            style = {
                "color": GREYS[number % len(GREYS)],
                "hatch": HATCHES[number % len(HATCHES)],
                "label": None if name in shown else name,
            }
            low, middle, high = quartiles(ratios(times, name, names[0]))
            error = [[middle - low], [high - middle]]
            axes.barh(y, middle, 1, xerr=error, edgecolor="black", linewidth=0.5, **style)
            shown.add(name)
            y += 1
        y += 1
    axes.set_yticks(ticks, list(groups))
    axes.set_ylim(y - 1, -1)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def lines(panels: list[tuple[str, str, str, dict[str, dict]]], columns: int) -> Figure:
    """Panels of curves: (title, label of x, label of y, name -> {x: y}); both axes logarithmic."""
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    for place, (title, x, y, curves) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, place, title=title, xlabel=x, ylabel=y)
        axes.set(xscale="log", yscale="log")
        for number, (name, values) in enumerate(curves.items()):
            style = {
                "marker": MARKERS[number % len(MARKERS)],
                "linestyle": STYLES[number % len(STYLES)],
                "color": str(0.2 * (number % 3)),
            }
            axes.plot(values.keys(), values.values(), label=name, markersize=4, **style)
        axes.grid(which="both", alpha=0.3)
        axes.legend(fontsize="small")
    return figure
