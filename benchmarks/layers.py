"""One recurrent layer alone, forward and backward, by rows, units and steps: tfcells.RNN, Keras's own layer, PyTorch's.

The grid is measured in the order of its points' work until the budget is spent, so that the largest are left out.
"""

import itertools
import time

import keras
import numpy as np

import tfcells
from benchmarks import charts, rounds
from benchmarks.peers import notes, torch
from benchmarks.sides import BUILT_IN, KerasSide, TorchSide, copied, numbers, tfcells_layer, weights_of
from lab import style

CELLS = {"LSTM": tfcells.LSTMCell, "GRU": tfcells.GRUCell}
UNITS = [8, 16, 32, 128, 200, 650, 1024]
ROWS = [1, 20, 64, 128, 256, 512, 1664]
STEPS = [35, 120]
KERAS, TORCH = "Keras", "PyTorch"
MOST = 1.2e11  # operations of a point, a second of two cores or less
ROUNDS, SECONDS = 5, 0.05
BUDGET = 560.0  # seconds


def main(arguments: list[str]) -> int:
    parser = rounds.parser("layers", __doc__)
    parser.set_defaults(rounds=ROUNDS, seconds=SECONDS)
    parser.add_argument("--cells", choices=CELLS, nargs="+", default=[*CELLS], help="both by default")
    for name, values in (("units", UNITS), ("rows", ROWS), ("steps", STEPS)):
        shown = ", ".join(map(str, values))
        parser.add_argument(f"--{name}", type=int, nargs="+", default=values, help=f"{shown} by default")
    parser.add_argument("--budget", type=float, default=BUDGET, help=f"seconds in all; {BUDGET:g} by default")
    options = rounds.read(parser, arguments)
    if not options.budget > 0:
        parser.error(f"--budget must be above 0, got {options.budget:g}")
    started = time.perf_counter()
    grid = sorted(itertools.product(options.steps, options.units, options.rows, options.cells), key=work)
    measured = {}
    for point in grid:
        if work(point) <= MOST and time.perf_counter() - started < options.budget:
            measured[point] = measure(*point, options)
    result = {" ".join(map(str, point)): found for point, found in sorted(measured.items())}
    head = ("layer", "steps", "units", "rows", "tfcells, ms", *(f"{peer} / tfcells" for peer in peers()))
    tables = {
        "One layer alone: forward and backward": [head, *itertools.starmap(row, sorted(measured.items()))],
        "Goals": [rounds.GOALS, *goals_of(measured)],
    }
    remarks = [
        *notes(),
        "Rows: the batch size. As many features as units.",
        "Outputs and all gradients were compared at every point first.",
        f"{len(measured)} of {len(grid)} points fit into {options.budget:g} s and {MOST:g} operations each.",
    ]
    return rounds.publish("layers", options, result, tables, remarks, picture)


def peers() -> list[str]:
    return [KERAS, TORCH] if torch else [KERAS]


def work(point: tuple) -> float:
    """Operations of the products, forward and backward."""
    steps, units, rows, cell = point
    gates = {"LSTM": 4, "GRU": 3}[cell]
    return 3 * 2 * 2 * steps * rows * gates * units**2


def measure(steps: int, units: int, rows: int, name: str, options) -> dict:
    """Times of all contenders at one point."""
    x, d = numbers(rows, steps, units), numbers(rows, steps, units)[::-1].copy()
    keras.utils.set_random_seed(1)
    cell = CELLS[name](units)
    layer = tfcells_layer([cell], units)
    theirs = copied(BUILT_IN[type(cell)](units, return_sequences=True), layer)
    sides = {"tfcells": KerasSide(layer, x, d), KERAS: KerasSide(theirs, x, d)}
    if torch:
        from benchmarks.peers.layers import of_cell

        sides[TORCH] = TorchSide(of_cell(cell, weights_of(layer))[0](), x, d)
    differences = rounds.compare({name: side.arrays() for name, side in sides.items()})
    times = rounds.alternate({name: side.total for name, side in sides.items()}, options)
    return {"seconds": times, "differences": differences}


def row(point: tuple, found: dict) -> tuple:
    steps, units, rows, cell = point
    times = found["seconds"]
    ratios = (rounds.spread(rounds.ratios(times, peer, "tfcells")) for peer in peers())
    return cell, steps, units, rows, rounds.milliseconds(times["tfcells"]), *ratios


def goals_of(measured: dict) -> list[tuple]:
    """Never slower than Keras's layer; as fast as PyTorch's where the products count."""
    goals = []
    for peer in peers():
        speeds = {point: rounds.ratios(found["seconds"], peer, "tfcells") for point, found in measured.items()}
        for name in dict.fromkeys(cell for *_, cell in speeds):
            slowest = min((point for point in speeds if point[-1] == name), key=lambda p: rounds.median(speeds[p]))
            where = "{} steps, {} units, {} rows".format(*slowest)
            goals.append(rounds.goal(f"{name}, where it is least, {where}: {peer} / tfcells", speeds[slowest], 1.0))
    return goals


def picture(told: dict):
    """A figure: Keras's time / tfcells's by units and rows, for each layer and number of steps."""
    speeds = {}
    for key, found in told.items():
        steps, units, rows, cell = key.split()
        speed = rounds.median(rounds.ratios(found["seconds"], KERAS, "tfcells"))
        speeds.setdefault((int(steps), cell), {})[int(units), int(rows)] = speed
    every = {(*where, *size): speed for where, found in speeds.items() for size, speed in found.items()}
    steps, cell, units, rows = max(every, key=every.get)
    title = f"A layer alone is {charts.between(every.values())} times as fast as Keras's own"
    title += f"; most: {cell} of {units} units, {rows} row{'s' * (rows > 1)}, {steps} steps"
    high = np.log(max(1.1, *every.values()))  # at least a shade, where all are slower
    parts = [panel(f"{cell}, {steps} steps", speeds[steps, cell], high) for steps, cell in sorted(speeds)]
    return charts.panels(title, parts, columns=2)


def panel(title: str, speeds: dict, high: float) -> tuple:
    units, rows = (sorted(set(values)) for values in zip(*speeds))

    def draw(axes):
        table = [[speeds.get((unit, row), np.nan) for row in rows] for unit in units]
        texts = [["" if np.isnan(value) else f"{value:.2g}" for value in line] for line in table]
        style.heat(axes, np.log(table), texts, high=high)
        axes.set_xticks(range(len(rows)), rows)
        axes.set_yticks(range(len(units)), units)

    return {"title": f"{title}: Keras's time / tfcells's", "xlabel": "rows", "ylabel": "units"}, draw
