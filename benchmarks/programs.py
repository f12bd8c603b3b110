"""What `scaling` measures besides: the first call, batches of many lengths, masks, the ways to run a cell.

Each part is called with the sizes {"units", "batch", "steps"} and the options, and returns what it
found and rows of goals; PANELS has what draws it.
"""

import functools
import os
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

import tfcells
from benchmarks import charts, rounds
from benchmarks.processes import (
    compiled_programs,
    forget_peak,
    have_xla_list_programs,
    in_a_fresh_process,
    memory,
    peak_memory,
)
from benchmarks.sides import CELLS, DEEP, KerasSide, for_outputs, keras_layer, keras_lstm, numbers, tfcells_layer
from lab import style

STEPS = [20, 35, 100, 300, 1000]
KERAS, KERAS_TWO = "Keras's LSTM", "two of Keras's LSTMs"
MODES = {  # whose time is compared with whose
    "compiled": KERAS,
    "remat": KERAS,
    "jit_compile=False": KERAS,
    "portable": KERAS,
    "keras.layers.RNN": KERAS,
    "stack, jit_compile=False": KERAS_TWO,
}
MODE_STEPS = [100, 400, 1600]
MODE_UNITS, MODE_BATCH = 128, 8


def first_calls(base: dict, options) -> tuple[dict, list]:
    """Seconds of the first call and of a later one, each in a fresh process: every cell, every length.

    The first call also touches all of its memory for the first time, and longer sequences take more of
    it; which is the system's time, not the user's.
    """
    goals, names = [], ["LSTMCell"] if options.points else [*CELLS]
    cells = {name: in_a_fresh_process(first_call, name, base) for name in names}
    for name, (first, _, _) in cells.items():
        if name != DEEP:
            goals.append(rounds.goal(f"first call, s: {name}", [first], 6.0, at_most=True))
    by_steps = {
        steps: in_a_fresh_process(first_call, "LSTMCell", base | {"steps": steps}) for steps in options.points or STEPS
    }
    short, long = 35 if 35 in by_steps else min(by_steps), max(by_steps)
    what = f"first call less a later one, LSTMCell: {long} steps / {short} steps"
    extra = {steps: first - later for steps, (first, later, _) in by_steps.items()}
    goals.append(rounds.goal(what, [extra[long] / extra[short]], 1.3, at_most=True))
    user = {steps: more for steps, (_, _, more) in by_steps.items()}
    what += ", processor time of the user alone"
    goals.append(rounds.goal(what, [user[long] / user[short]], 1.3, at_most=True))
    return {"cells": cells, "LSTMCell by steps": by_steps}, goals


def first_call(name: str, size: dict) -> tuple[float, float, float]:
    """Seconds of the first call, of the faster of two more, and of processor time in user mode that
    the first takes more than the last.
    """
    units, batch, steps = size["units"], size["batch"], size["steps"]
    layer = tfcells_layer([CELLS[name](units)], units)
    subject = KerasSide(layer, numbers(batch, steps, units), for_outputs(layer, batch, steps))
    seconds, user = [], [os.times().user]
    for _ in range(3):
        seconds.append(rounds.measure(subject.total))
        user.append(os.times().user)
    first, *later = seconds
    return first, min(later), (user[1] - user[0]) - (user[3] - user[2])


def lengths(base: dict, options) -> tuple[dict, list]:
    """50 batches of random lengths in 1..128, then 10 of one shape: how many programs there are."""
    found = in_a_fresh_process(fifty_lengths, base | {"steps": max(options.points or [128])})
    goals = [
        rounds.goal(f"programs for 50 lengths, {way}", [found[way]], 8, at_most=True) for way in ("forward", "backward")
    ] + [
        rounds.goal("traces of the step around it", [found["traces"]], 1, at_most=True),
        rounds.goal("programs more for 10 batches of one shape", [found["more"]], 0, at_most=True),
    ]
    return found, goals


def fifty_lengths(size: dict) -> dict:
    """How many programs XLA compiles for batches of random lengths; for a fresh process."""
    units, batch = size["units"], size["batch"]
    with tempfile.TemporaryDirectory() as folder:
        have_xla_list_programs(folder)
        layer = tfcells_layer([tfcells.LSTMCell(units)], units)
        any_length = tf.TensorSpec((batch, None, units))
        side = KerasSide(layer, numbers(batch, 1, units), numbers(batch, 1, units))
        step = tf.function(side.gradients, input_signature=[any_length, any_length])
        drawn = [int(n) for n in np.random.default_rng(0).integers(1, size["steps"] + 1, 50)]
        seconds = []
        for steps in drawn + 10 * [drawn[-1]]:
            if len(seconds) == len(drawn):
                before = compiled_programs(folder)
            x = tf.constant(numbers(batch, steps, units))
            started = time.perf_counter()
            step(x, x)
            seconds.append(time.perf_counter() - started)
        more = len(compiled_programs(folder)) - len(before)
    found = {way: sum(name.startswith(f"{way}_") for name in before) for way in ("forward", "backward")}
    if not all(found.values()):
        raise RuntimeError(f"XLA did not say what it compiled: {before}")
    traces = step.experimental_get_tracing_count()
    return {**found, "traces": traces, "more": more, "lengths": drawn, "seconds": seconds}


def masked(base: dict, options) -> tuple[dict, list]:
    """With a mask of random lengths, and with none: each one program for all steps."""
    units, batch, steps = base["units"], base["batch"], base["steps"]
    layer = tfcells_layer([tfcells.LSTMCell(units)], units)
    x = numbers(batch, steps, units)
    ends = np.random.default_rng(0).integers(1, steps + 1, (batch, 1))
    mask = tf.constant(np.arange(steps) < ends)

    class Masked(KerasSide):
        def outputs(self, x):
            return self.layer(x, mask=mask, training=True)

    plain = tfcells.RNN(layer.cell, return_sequences=True, jit_compile=False)
    slow = {"masked": Masked(layer, x, x), "ordinary loop, masked": Masked(plain, x, x)}
    differences = rounds.compare({name: side.arrays() for name, side in slow.items()})
    sides = {"unmasked": KerasSide(layer, x, x), "masked": slow["masked"]}
    times = rounds.alternate({name: side.total for name, side in sides.items()}, options)
    measured = rounds.ratios(times, "masked", "unmasked")
    goal = rounds.goal("masked / unmasked", measured, 1.15, 1.4, at_most=True)
    return {"seconds": times, "differences": differences}, [goal]


def modes(base: dict, options) -> tuple[dict, list]:
    """Every way to run an LSTM, beside Keras's own loop: processor time and memory by steps, units and batch small."""
    points = sorted(options.points or MODE_STEPS)
    names = [KERAS, KERAS_TWO, *MODES]
    found = {name: {steps: in_a_fresh_process(mode, name, steps) for steps in points} for name in names}
    goals = []
    for name, keras_own in MODES.items():
        for steps in points:
            ratio = found[name][steps]["seconds"] / found[keras_own][steps]["seconds"]
            what = f"processor time of {steps} steps: {name} / {keras_own}"
            goals.append(rounds.goal(what, [ratio], 1.2, at_most=True))
        if len(points) > 2:
            a, b, c = points[-3:]
            growth = [(found[name][t]["bytes"] - found[name][s]["bytes"]) / (t - s) for s, t in ((a, b), (b, c))]
            what = f"memory linear in steps, {name}: bytes a step from {b} to {c} / from {a} to {b}"
            goals.append(rounds.goal(what, [growth[1] / max(growth[0], 1)], 1.25, at_most=True))
    return found, goals


def mode(name: str, steps: int) -> dict:
    """Processor seconds of a pass forward and backward, and the bytes that it takes; for a fresh process."""
    layer = layer_of_mode(name)
    few, many = (
        KerasSide(layer, numbers(MODE_BATCH, n, MODE_UNITS), numbers(MODE_BATCH, n, MODE_UNITS)) for n in (2, steps)
    )
    few.total()  # what the libraries take once and for all
    before = memory()
    forget_peak()
    many.total()
    taken = []
    for _ in range(max(3, 2000 // steps)):
        started = time.process_time()
        many.total()
        taken.append(time.process_time() - started)
    return {"seconds": min(taken), "bytes": peak_memory() - before}


def layer_of_mode(name: str):
    """An LSTM, or two of them, run that way."""
    count = 2 if name in (KERAS_TWO, "stack, jit_compile=False") else 1
    options = {"remat": name == "remat", "jit_compile": not name.endswith("jit_compile=False")}
    layer = tfcells_layer([tfcells.LSTMCell(MODE_UNITS) for _ in range(count)], MODE_UNITS, **options)
    if name in (KERAS, KERAS_TWO):
        return keras_lstm(layer, MODE_UNITS, count)
    if name == "portable":
        return tfcells.portable(keras.Sequential([keras.Input((None, MODE_UNITS)), layer]))
    return keras_layer(layer) if name == "keras.layers.RNN" else layer


def panels_of_first_calls(found: dict) -> list[tuple]:
    by_steps = {int(steps): each for steps, each in found["LSTMCell by steps"].items()}
    lines = {name: {steps: each[n] for steps, each in by_steps.items()} for n, name in enumerate(("first", "later"))}
    longest = max((first, cell) for cell, (first, _, _) in found["cells"].items())
    title = "Calls of an LSTM\nLongest first call of all cells: {:.1f} s, {}".format(*longest)
    return [charts.curves(title, "steps", "time, s", lines)]


def panels_of_lengths(found: dict) -> list[tuple]:
    forward, backward, count = found["forward"], found["backward"], len(found["lengths"])
    title = f"{count} batches of random lengths compile\n{forward} programs forward, {backward} backward"
    return [charts.so_far(title, "time", {"tfcells": found["seconds"]})]


def panels_of_modes(found: dict) -> list[tuple]:
    steps = sorted(map(int, found[KERAS]))
    names = [*map(str, steps[:-1]), f"{steps[-1]:,} steps"]
    rows = {
        mode: {name: [found[mode][str(t)]["seconds"] / found[one][str(t)]["seconds"]] for name, t in zip(names, steps)}
        for mode, one in MODES.items()
    }
    speeds = {mode: [1 / ratio for [ratio] in row.values()] for mode, row in rows.items()}
    first = max(speeds, key=lambda mode: min(speeds[mode]))
    title = f"Processor time of ways to run an LSTM\n{first}: {charts.between(speeds[first])} times as fast as Keras's"
    colors = style.color_map()(np.linspace(0.4, 1, len(names)))
    looks = {name: {"color": color, "marker": "o"} for name, color in zip(("Keras", *names), (style.DARK, *colors))}
    draw = functools.partial(charts.dots, rows=rows, first="Keras", looks=looks.__getitem__)
    return [({"title": title, "xscale": "log", "grid": "x"}, draw)]


PANELS = {
    "first_call": panels_of_first_calls,
    "lengths": panels_of_lengths,
    "masked": lambda found: [],
    "modes": panels_of_modes,
}
