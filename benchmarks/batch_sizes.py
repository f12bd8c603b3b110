"""Batch sizes 1 to 64 in any order: the programs that XLA compiles, and the processor time that they take.

Eager calls, `predict` and a served export of a small LSTM, each in a fresh process; beside them as many calls of one
size, and keras.layers.LSTM.
"""

import argparse
import os
import tempfile
import time

import keras
import numpy as np

import tfcells
from benchmarks import charts, rounds
from benchmarks.processes import compiled_programs, have_xla_list_programs, in_a_fresh_process
from benchmarks.sides import numbers

LAYERS = "tfcells", "Keras"
WAYS = "eager", "predict", "served"
UNITS, STEPS, SIZE = 64, 20, 32  # SIZE: that of the calls of one size
MOST_PROGRAMS, MOST_SECONDS = 12, 6.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks batch_sizes", description=__doc__)
    parser.add_argument("--units", type=int, default=UNITS, help=f"{UNITS} by default")
    parser.add_argument("--largest", type=int, default=64, help="batch size; 64 by default")
    options = rounds.read(parser, arguments)
    rows, goals, result = (
        [("way", "layer", "programs", "processor time of all sizes, s", "of one size, s")],
        [rounds.GOALS],
        {},
    )
    for way in WAYS:
        found = {
            name: in_a_fresh_process(calls, way, name, options.units, options.largest) for name in ("tfcells", "Keras")
        }
        result[way] = found
        for name, each in found.items():
            rows.append((way, name, each["programs"], f"{each['many']:.2f}", f"{each['one']:.2f}"))
        mine = found["tfcells"]
        goals.append(rounds.goal(f"programs, {way}", [mine["programs"]], MOST_PROGRAMS, at_most=True))
        more = mine["many"] - mine["one"]
        goals.append(rounds.goal(f"processor time more than of one size, s: {way}", [more], MOST_SECONDS, at_most=True))
    notes = [
        f"An LSTM of {options.units} units, {STEPS} steps; sizes 1 to {options.largest}, shuffled; one size: {SIZE}.",
        "Programs: of the loop over time, forward.",
    ]
    return rounds.publish(
        "batch_sizes", options, result, {"Batch sizes": rows, "Goals": goals}, notes, picture, in_rounds=False
    )


def picture(told: dict):
    """A figure: the processor time of the calls so far, by way."""
    most = max(each["tfcells"]["programs"] for each in told.values())
    calls = len(next(iter(told.values()))["tfcells"]["seconds"])
    title = f"Batches of {calls} sizes: tfcells compiles at most {most} programs"
    parts = [
        charts.so_far(way, "processor time", {name: each["seconds"] for name, each in found.items()})
        for way, found in told.items()
    ]
    return charts.panels(title, parts, columns=3)


def calls(way: str, name: str, units: int, largest: int) -> dict:
    """Programs and processor seconds of calls of all sizes, and of as many of one size; for a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        have_xla_list_programs(folder)
        sizes = np.random.default_rng(0).permutation(largest) + 1
        timed(called(way, name, units + 2), [SIZE])  # what the libraries take once and for all
        one, seconds = timed(called(way, name, units), np.full(largest, SIZE))
        before = compiled_programs(folder)
        many, seconds = timed(called(way, name, units + 1), sizes)  # another width: nothing is compiled yet
        programs = [p for p in compiled_programs(folder) if p not in before and "forward" in p]
    return {"one": one, "many": many, "programs": len(programs), "seconds": seconds}


def timed(call, sizes) -> tuple[float, list[float]]:
    """Processor seconds of the calls, all and each."""
    seconds = []
    for size in sizes:
        x = numbers(int(size), STEPS, 8)
        started = time.process_time()
        call(x)
        seconds.append(time.process_time() - started)
    return sum(seconds), seconds


def called(way: str, name: str, units: int):
    """A function of a batch."""
    recurrent = tfcells.RNN(tfcells.LSTMCell(units)) if name == "tfcells" else keras.layers.LSTM(units)
    if way == "eager":
        return recurrent
    model = keras.Sequential([keras.Input((STEPS, 8)), recurrent])
    if way == "predict":
        return lambda x: model.predict(x, batch_size=len(x), verbose=0)
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "served")
        model.export(path, verbose=False)
        loaded = tf.saved_model.load(path)
    return lambda x: loaded.serve(x)  # its variables live as long as it does
