"""How time and memory grow with steps, batch, units and depth; the first call; lengths; masks; modes.

Forward and backward of an LSTM, of an RHN for the depth, beside keras.layers.LSTM (for the RHN
keras.layers.RNN) and PyTorch. Memory is the peak of a fresh process, less what it had after it was built
and had run two steps; so it has the compiler's in it, too.
"""

import itertools

import keras

import tfcells
from benchmarks import charts, programs, rounds
from benchmarks.limits import Limit, products_of
from benchmarks.peers import notes, torch
from benchmarks.processes import forget_peak, in_a_fresh_process, memory, peak_memory
from benchmarks.sides import (
    KerasSide,
    TorchSide,
    keras_layer,
    keras_lstm,
    numbers,
    tfcells_layer,
    weights_of,
)

AXES = {
    "steps": programs.STEPS,
    "batch": [1, 4, 20, 64, 256],
    "units": [64, 200, 650, 1024, 2048],
    "depth": [1, 2, 5, 10, 20],
}
BASE = {"units": 650, "batch": 20, "steps": 35}
MORE = {
    "first_call": programs.first_calls,
    "lengths": programs.lengths,
    "masked": programs.masked,
    "modes": programs.modes,
}
COMPARED = {*AXES, "masked"}
"""The parts whose contenders take turns; the others are measured once, each in a new process."""

ROUNDS = ("rounds", "seconds")
WITHOUT = {
    **{axis: (axis,) for axis in BASE},
    "first_call": ROUNDS,
    "lengths": (*ROUNDS, "steps"),
    "masked": ("points",),
    "modes": (*ROUNDS, *BASE),
}
"""The options that a part has no use for."""

CONTENDERS = ("tfcells", "tfcells, remat", "Keras", "PyTorch")


def main(arguments: list[str]) -> int:
    parser = rounds.parser("scaling", __doc__)
    parser.add_argument("--only", choices=(*AXES, *MORE), help="that part")
    for name, value in BASE.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{value} by default")
    parser.add_argument("--points", type=int, nargs="+", help="instead of those of each axis")
    options = rounds.read(parser, arguments)
    for each in WITHOUT.get(options.only, ()):
        if getattr(options, each) != parser.get_default(each):
            parser.error(f"--{each} has no effect on --only {options.only}")
    base = {name: getattr(options, name) for name in BASE}
    goals, result = [rounds.GOALS], {}
    rows = [("axis", "value", "contender", "ms", "/ tfcells", "of the limit", "peak, MB")]
    for part in [options.only] if options.only else (*AXES, *MORE):
        if part in AXES:
            points = options.points or AXES[part]
            result[part] = {str(value): point(part, value, base, options) for value in points}
            rows += rows_of(part, result[part])
            goals += goals_of_memory(result[part]) if part == "steps" else []
        else:
            result[part], reached = MORE[part](base, options)
            goals += reached
    tables = {"How time and memory grow": rows, "Goals": goals}
    modes, compared = "modes" in result, [part for part in result if part in COMPARED]
    fixed = ["{units} units, batch {batch}, {steps} steps".format(**base)] * bool(result.keys() - {"modes"})
    fixed += [f"of the modes {programs.MODE_UNITS} units, batch {programs.MODE_BATCH}"] * modes
    remarks = [
        *notes(),
        f"What is not varied: {'; '.join(fixed)}.",
        "Peak memory: of a fresh process, less what it had once built and after two steps. It has "
        "what compiling takes in it.",
    ]
    if compared:
        remarks.append(f"Outputs and all gradients were compared first, and rounds taken, in: {', '.join(compared)}.")
    name = "scaling"
    if options.only:  # a part that is whole has a report of its own
        name += f"_{options.only}"
        options.whole = parser.parse_args(["--only", options.only]) == parser.parse_args(arguments)
    return rounds.publish(name, options, result, tables, remarks, picture, in_rounds=bool(compared))


def picture(told: dict):
    """A figure: panels of each part."""
    drawn = (panels_of(name, found) if name in AXES else programs.PANELS[name](found) for name, found in told.items())
    parts = list(itertools.chain(*drawn))
    over = [charts.over_first(point["seconds"]) for name in AXES for point in told.get(name, {}).values()]
    title = charts.finding(dict(enumerate(over)), "tfcells") if over else ""
    return charts.panels(title, parts, columns=2) if parts else None


def side(contender: str, units: int, batch: int, steps: int, depth: int | None = None):
    """A contender, or None where there is none: an LSTM, or with `depth` an RHN."""
    if contender == "PyTorch" and not torch:
        return None
    keras.utils.set_random_seed(1)
    cell = tfcells.RHNCell(units, depth=depth) if depth else tfcells.LSTMCell(units)
    layer = tfcells_layer([cell], units, remat=contender == "tfcells, remat")
    x, d = numbers(batch, steps, units), numbers(batch, steps, units)[::-1].copy()
    if contender == "Keras":
        return KerasSide(keras_layer(layer) if depth else keras_lstm(layer, units, 1), x, d)
    if contender == "PyTorch":
        from benchmarks.peers.layers import of_cell

        return TorchSide(of_cell(cell, weights_of(layer))[0](), x, d)
    return KerasSide(layer, x, d)


def point(axis: str, value: int, base: dict, options) -> dict:
    """Times and memory of all contenders at one point."""
    size = base | {axis: value}
    sides = {name: side(name, **size) for name in CONTENDERS}
    sides = {name: each for name, each in sides.items() if each}
    differences = rounds.compare({name: each.arrays() for name, each in sides.items()})
    cell = sides["tfcells"].layer.cell
    limit = Limit(products_of(cell, size["batch"], size["steps"], size["units"]))
    contenders = {name: each.total for name, each in sides.items()} | {"limit": limit}
    times = rounds.alternate(contenders, options)
    peaks = {name: in_a_fresh_process(peak_of, name, size) for name in sides}
    return {"seconds": times, "bytes": peaks, "differences": differences, "rates": limit.rates()}


def peak_of(contender: str, size: dict) -> int:
    """Bytes that forward and backward take beyond what is there before; for a fresh process."""
    side(contender, **size | {"steps": 2}).total()  # what the libraries take once and for all
    subject = side(contender, **size)
    before = memory()
    forget_peak()
    for _ in range(2):
        subject.total()
    return peak_memory() - before


def rows_of(axis: str, points: dict) -> list[tuple]:
    rows = []
    for value, found in points.items():
        times = found["seconds"]
        for name, peak in found["bytes"].items():
            over = "" if name == "tfcells" else rounds.spread(rounds.ratios(times, name, "tfcells"))
            fraction = rounds.spread(rounds.ratios(times, "limit", name))
            shown = rounds.milliseconds(times[name])
            rows.append((axis, value, name, shown, over, fraction, f"{peak / 1e6:.1f}"))
    return rows


def panels_of(axis: str, points: dict) -> list[tuple]:
    """Two panels: time and memory."""
    last, parts = max(map(int, points)), []
    for what, unit, of in (("time", "s", seconds_of), ("peak memory", "MB", megabytes_of)):
        names = next(iter(points.values()))["bytes"]
        lines = {name: {int(value): of(found, name) for value, found in points.items()} for name in names}
        over = [f"{name} {line[last] / lines['tfcells'][last]:.2g}" for name, line in lines.items() if "tf" not in name]
        title = f"{'RHN' if axis == 'depth' else 'LSTM'}: {what}\n{axis} {last:,}: {', '.join(over)} times tfcells's"
        parts.append(charts.curves(title, axis, f"{what}, {unit}", lines))
    return parts


def seconds_of(found: dict, name: str) -> float:
    return rounds.median(found["seconds"][name])


def megabytes_of(found: dict, name: str) -> float:
    return max(found["bytes"][name], 1) / 1e6


def goals_of_memory(points: dict) -> list[tuple]:
    """Linear in steps, against PyTorch's, and what `remat` saves; at the largest number of steps."""
    found = {int(value): facts["bytes"] for value, facts in points.items()}
    steps = sorted(found)
    mine = [found[number]["tfcells"] for number in steps]
    growth = [(b - a) / (t - s) for s, t, a, b in zip(steps, steps[1:], mine, mine[1:])]
    slopes = "it takes three points at which it grows"
    if len(growth) > 1 and growth[-2] > 0:
        slopes = [growth[-1] / growth[-2]]
    what = "memory linear in steps: bytes a step between the last two points / between those before"
    goals = [rounds.goal(what, slopes, 1.25, at_most=True)]
    last = found[steps[-1]]
    for over, under, aim in (("tfcells", "PyTorch", 1.25), ("tfcells, remat", "tfcells", 0.5)):
        missing = [name for name in (over, under) if name not in last]
        measured = f"{missing[0]} is absent" if missing else [last[over] / max(1, last[under])]
        what = f"memory at {steps[-1]} steps: {over} / {under}"
        goals.append(rounds.goal(what, measured, aim, at_most=True))
    return goals
