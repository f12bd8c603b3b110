"""What the first call costs: processor time of one tiny model's first `fit`, with validation.

Every figure is from a process of its own, of all its threads, user and system. Importing is not in it, nor is anything
in a cache. The model is an embedding, a recurrent layer and a dense layer; keras.layers.LSTM is the measure.
"""

import argparse
import functools
import itertools
import os
import resource
import tempfile

import keras
import numpy as np

import tfcells
from benchmarks import report, rounds
from benchmarks.processes import compiled_programs, have_xla_list_programs, in_a_fresh_process

UNITS, BATCH, STEPS, WORDS, BATCHES = 16, 8, 10, 20, 2
KERAS = "keras.layers.LSTM"
CELLS = {
    "LSTM": tfcells.LSTMCell,
    "Zoneout, layer-norm LSTM": lambda units: tfcells.Zoneout(tfcells.LayerNormLSTMCell(units), 0.1),
    "RHN, depth 5": tfcells.RHNCell,
    "HyperLSTM": tfcells.HyperLSTMCell,
}
AIMS = {"LSTM": 0.36, "Zoneout, layer-norm LSTM": 0.95, "RHN, depth 5": 0.88, "HyperLSTM": 1.88}
"""How many times Keras's time more than Keras's: half of what it was before this was measured."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks first_call", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="that count; 3 by default")
    parser.add_argument("--only", choices=CELLS, help="that cell, and Keras's layer")
    options = rounds.read(parser, arguments)
    os.environ.pop("TF_XLA_FLAGS", None)  # which can name a cache
    names = [KERAS, *([options.only] if options.only else CELLS)]
    in_a_fresh_process(seconds, KERAS)  # what the system reads from the disk once
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(options.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times[name].append(in_a_fresh_process(seconds, name))
    made = {name: in_a_fresh_process(counts, name) for name in names}
    rows = [("layer", "s", "more than Keras's, s", "programs", "traces of the step")]
    goals = [rounds.GOALS]
    for name in names:
        more = [mine - theirs for mine, theirs in zip(times[name], times[KERAS], strict=True)]
        shown = ("", *made[name]) if name == KERAS else (rounds.spread(more), *made[name])
        rows.append((name, rounds.spread(times[name]), *shown))
        if name != KERAS:
            part = [extra / theirs for extra, theirs in zip(more, times[KERAS], strict=True)]
            goals.append(rounds.goal(f"{name}: more than Keras's / Keras's", part, AIMS[name], at_most=True))
    notes = [
        f"{UNITS} units, batch {BATCH}, {STEPS} steps, {BATCHES} batches of training, as many of validation.",
        "Processor time, user and system, of a fresh process, after it has imported everything; nothing in a cache.",
        "Programs: what XLA compiles. Traces: how often Python runs the cell's step.",
        f"Median (quartiles) of {options.rounds}, the layers in turn.",
    ]
    title = "Processor time of the first fit, with validation"
    found = {"seconds": times, "programs and traces": made}
    name = "first_call" if options.whole else "first_call-partial"
    path = report.write(name, title, found, rows, {"Goals": goals}, notes)
    print(path.read_text(encoding="utf-8"), path, sep="\n")
    return 0


def fit(name: str) -> None:
    """Make the model and fit it."""
    layer = keras.layers.LSTM(UNITS) if name == KERAS else tfcells.RNN(CELLS[name](UNITS))
    model = keras.Sequential([keras.layers.Embedding(WORDS, UNITS), layer, keras.layers.Dense(WORDS)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).integers(0, WORDS, (BATCHES * BATCH, STEPS))
    model.fit(x, x[:, 0], batch_size=BATCH, verbose=0, validation_data=(x, x[:, 0]))


def seconds(name: str) -> float:
    """Processor time of `fit`; for a fresh process."""
    before = processor_time()
    fit(name)
    return processor_time() - before


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def counts(name: str) -> tuple[int, int]:
    """How many programs XLA compiles in `fit`, and how often the step is traced; for a fresh process."""
    owner, method = (keras.layers.LSTMCell, "call") if name == KERAS else (type(CELLS[name](UNITS)), "step")
    traces, step = itertools.count(), getattr(owner, method)

    @functools.wraps(step)
    def counted(*args, **kwargs):
        next(traces)
        return step(*args, **kwargs)

    setattr(owner, method, counted)
    with tempfile.TemporaryDirectory() as folder:
        have_xla_list_programs(folder)
        fit(name)
        return len(compiled_programs(folder)), next(traces)
