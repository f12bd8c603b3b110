"""One recurrent layer alone, forward and backward, by rows, units and steps: tfcells.RNN, Keras's own layer, PyTorch's.

The grid is measured in the order of its points' work until the budget is spent, so that the largest are left out.
"""

import itertools
import time

import keras

import tfcells
from benchmarks import charts, rounds
from benchmarks.peers import notes, torch
from benchmarks.sides import BUILT_IN, KerasSide, TorchSide, copied, numbers, tfcells_layer, weights_of

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
    panels = [
        (f"{cell}, {steps} steps", "rows", "Keras's time / tfcells's", curves(measured, cell, steps))
        for steps in options.steps
        for cell in options.cells
    ]
    return rounds.publish("layers", options, result, tables, remarks, charts.lines(panels, columns=2))


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


def curves(measured: dict, cell: str, steps: int) -> dict[str, dict]:
    """By units: Keras's time / tfcells's by rows."""
    found = {}
    for point in sorted(measured):
        if (point[0], point[-1]) == (steps, cell):
            ratio = rounds.median(rounds.ratios(measured[point]["seconds"], KERAS, "tfcells"))
            found.setdefault(f"{point[1]} units", {})[point[2]] = ratio
    return found
