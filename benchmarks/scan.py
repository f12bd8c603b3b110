"""A linear cell, all steps at once or one by one, by steps and batch.

Forward and backward of minGRU: at once, step by step, by keras.ops.associative_scan, which on TensorFlow works in eager
execution alone, and the bound: the same work without any recurrence.
"""

import functools

import keras
from keras import ops

import tfcells
from benchmarks import charts, rounds
from benchmarks.sides import KerasSide, numbers, tfcells_layer
from tfcells.contract import recurrence
from tfcells.layers import rnn

STEPS, BATCHES, UNITS = [20, 100, 1000, 4000, 10000], [1, 2, 20], 32
LONG = 4000  # steps from which the goals count
NAMES = "at once", "step by step", "associative_scan, eager"


class Unrelated(tfcells.MinGRUCell):
    """minGRU whose steps know nothing of each other."""

    linear = True

    def step(self, x, state, w):
        z, g = ops.split(x, 2, axis=-1)
        z = ops.sigmoid(z)
        h = (1 - z) + z * self.activation(g)
        return h, (h,)


class Eager(KerasSide):
    """The layer in eager execution, its recurrence by Keras's own scan."""

    def total(self):
        along, rnn.engine.along = rnn.engine.along, lambda *tensors, **_: recurrence.scan(*tensors)
        try:
            return self.gradients(self.x, self.d)
        finally:
            rnn.engine.along = along


def main(arguments: list[str]) -> int:
    parser = rounds.parser("scan", __doc__)
    parser.add_argument("--units", type=int, default=UNITS, help=f"{UNITS} by default")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="those of the report by default")
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES, help="1, 2 and 20 by default")
    options = rounds.read(parser, arguments)
    result = {
        str(batch): {str(steps): point(batch, steps, options) for steps in options.steps} for batch in options.batch
    }
    rows, goals = [("batch", "steps", "contender", "ms", "step by step / it", "of the limit")], [rounds.GOALS]
    for batch, points in result.items():
        for steps, found in points.items():
            times = found["seconds"]
            rows += [row(batch, steps, name, times) for name in times]
            goals += goals_of(int(batch), int(steps), times)
    tables = {"A linear cell: all steps at once": rows, "Goals": goals}
    remarks = [
        f"minGRU of {options.units} units and features, forward and backward.",
        "The limit is the same work without the recurrence.",
        "On a GPU this was not measured.",
        "Outputs and all gradients were compared at every point first.",
    ]
    return rounds.publish("scan", options, result, tables, remarks, picture)


def picture(told: dict):
    """A figure: time by steps, for each batch size."""
    every = [found["seconds"] for points in told.values() for found in points.values()]
    speeds = [rounds.median(rounds.ratios(times, "step by step", "at once")) for times in every]
    title = f"minGRU with all steps at once is {charts.between(speeds)} times as fast as step by step"
    parts = [
        charts.curves(f"batch {batch}", "steps", "time, s", {name: of(points, name) for name in (*NAMES, "limit")})
        for batch, points in told.items()
    ]
    return charts.panels(title, parts, columns=3)


def point(batch: int, steps: int, options) -> dict:
    """Times of all contenders at one point."""
    units = options.units
    x, d = numbers(batch, steps, units), numbers(batch, steps, units)[::-1].copy()
    side = functools.partial(KerasSide, x=x, d=d)
    sides = {name: side(layer(tfcells.MinGRUCell, units, name != "step by step")) for name in NAMES[:2]}
    sides[NAMES[2]] = Eager(sides["at once"].layer, x, d)
    differences = rounds.compare({name: each.arrays() for name, each in sides.items()})
    sides["limit"] = side(layer(Unrelated, units, True))
    times = rounds.alternate({name: each.total for name, each in sides.items()}, options)
    return {"seconds": times, "differences": differences}


def layer(cell: type, units: int, parallel: bool):
    keras.utils.set_random_seed(1)
    return tfcells_layer([cell(units)], units, parallel=parallel)


def of(points: dict, name: str) -> dict:
    return {int(steps): rounds.median(found["seconds"][name]) for steps, found in points.items()}


def row(batch: str, steps: str, name: str, times: dict) -> tuple:
    over = rounds.spread(rounds.ratios(times, "step by step", name))
    return (
        batch,
        steps,
        name,
        rounds.milliseconds(times[name]),
        over,
        rounds.spread(rounds.ratios(times, "limit", name)),
    )


def goals_of(batch: int, steps: int, times: dict) -> list[tuple]:
    """Twice the loop's speed where there are many steps and few rows; nowhere much slower than it."""
    where, speed = f"batch {batch}, {steps} steps", rounds.ratios(times, "step by step", "at once")
    goals = [rounds.goal(f"{where}: at once / the faster way", [1 / min(1.0, rounds.median(speed))], 1.1, at_most=True)]
    if batch <= 2 and steps >= LONG:
        goals.append(rounds.goal(f"{where}: step by step / at once", speed, 2.0))
    return goals
