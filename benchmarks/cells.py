"""Every registered cell, forward and backward: in tfcells.RNN, in keras.layers.RNN, in PyTorch.

keras.layers.RNN runs a copy of the same cell, in a graph and under XLA. PyTorch takes part where it has
the cell, or else where a step loop was written for it (benchmarks/peers/layers.py), eager and with
torch.compile; the faster counts. Keras's own layer takes part where it has the cell; on a GPU that is
cuDNN. There neither PyTorch nor the limit, which is a CPU's, takes part.
"""

import keras

from benchmarks import charts, rounds
from benchmarks.limits import Limit, products_of
from benchmarks.peers import notes, torch
from benchmarks.report import gpu
from benchmarks.sides import (
    BUILT_IN,
    CELLS,
    DEEP,
    KerasSide,
    TorchSide,
    copied,
    for_outputs,
    keras_layer,
    numbers,
    tfcells_layer,
    weights_of,
)

SETTINGS = {  # units, batch, steps
    "650 units": (650, 20, 35),
    "200 units": (200, 20, 20),
    "batch 1": (200, 1, 20),
    "1 step": (200, 20, 1),
}
PLAIN, XLA, OWN = "keras.RNN", "keras.RNN, XLA", "Keras's layer"
EAGER, COMPILED = "PyTorch", "PyTorch, compiled"
PEERS = (PLAIN, XLA, OWN, EAGER, COMPILED)
HEAD = ("cell", "units, batch, steps", "tfcells, ms", *(f"{peer} / tfcells" for peer in PEERS))
TOLERANCES = {"float32": 1e-4, "mixed_float16": 2e-2, "mixed_bfloat16": 1e-1}
TENSOR_FLOAT = 1e-2  # a GPU multiplies float32 with the digits of TensorFloat-32
LOOPS = ("LayerNormLSTMCell", "RHNCell", DEEP, "HyperLSTMCell")


def main(arguments: list[str]) -> int:
    parser = rounds.parser("cells", __doc__)
    parser.add_argument("--only", choices=CELLS, help="that cell")
    parser.add_argument("--setting", choices=SETTINGS, help="just that")
    parser.add_argument("--units", type=int, help="instead of 650 and 200")
    help = "one step by default; with all steps it takes minutes before the first round"
    parser.add_argument("--compile", choices=("step", "forward"), default="step", help=help)
    parser.add_argument("--policy", choices=TOLERANCES, default="float32", help="dtype policy")
    options = rounds.read(parser, arguments)
    keras.config.set_dtype_policy(options.policy)
    head = (*HEAD, "of the limit")
    rows, goals, result, failed = [head], [rounds.GOALS], {}, []
    settings = [options.setting] if options.setting else list(SETTINGS)
    for setting in settings:
        units, batch, steps = SETTINGS[setting]
        size = options.units or units, batch, steps
        for name in [options.only] if options.only else CELLS:
            times, facts = measure(CELLS[name], size, options, failed)
            result[f"{name}, {setting}"] = {"seconds": times, **facts}
            rows.append((name, "{}, {}, {}".format(*size), *row(times)))
            goals += goals_of(name, setting, times) if is_default(options) else []
    tables = {"Cells: forward and backward": rows}
    tables |= {"Goals": goals} if is_default(options) else {}
    remarks = [
        *notes(),
        f"torch.compile: of {options.compile}; the loops are best of eager and compiled.",
        *failed,
        "keras.RNN is keras.layers.RNN with a copy of the same cell: in a graph, as Keras runs it on "
        "a CPU by default, or all of it under XLA.",
        "The limit is the sum of the matrix products' times, each at the rate of its own shape; "
        "HyperLSTM's block-diagonal and Clockwork's masked kernels count as full ones.",
        f"Dtype policy: {options.policy}.",
        "Outputs and all gradients were compared first.",
        f"The picture shows {settings[0]}, each contender in its faster way.",
    ]
    name = "cells" + "_gpu" * gpu() + f"_{options.policy}" * (options.policy != "float32")
    return rounds.publish(name, options, result, tables, remarks, picture)


PICTURED = {
    "tfcells": ["tfcells"],
    "keras.layers.RNN": [PLAIN, XLA],
    "Keras, own layer": [OWN],
    EAGER: [EAGER, COMPILED],
    "limit, matrix products": ["limit"],
}


def picture(told: dict):
    """A figure: every cell in the first setting, each contender in its faster way."""
    setting = next(iter(told)).rpartition(", ")[2]
    groups = {}
    for key, found in told.items():
        cell, _, of = key.rpartition(", ")
        if of == setting:
            times = found["seconds"]
            ways = {name: [times[way] for way in ways if way in times] for name, ways in PICTURED.items()}
            groups[cell.replace("Cell", "")] = {n: min(each, key=rounds.median) for n, each in ways.items() if each}
    return charts.compared(groups)


def measure(make, size: tuple, options, failed: list) -> tuple[dict, dict]:
    """Times by contender, and what else is to be known; `failed` gets what would not run."""
    units, batch, steps = size
    cell = make(units)
    layer = tfcells_layer([cell], units)
    x, d = numbers(batch, steps, units), for_outputs(layer, batch, steps)
    copy = keras_layer(layer)
    sides = {"tfcells": KerasSide(layer, x, d), PLAIN: KerasSide(copy, x, d)}
    sides[XLA] = KerasSide(copy, x, d, xla=True)
    if type(cell) in BUILT_IN:
        sides[OWN] = KerasSide(copied(BUILT_IN[type(cell)](units, return_sequences=True), layer), x, d)
    arrays = {name: side.arrays() for name, side in sides.items()}
    for name, module in peers_of(cell, layer, options).items():
        side = TorchSide(module, x, d)
        try:
            arrays[name] = side.arrays()
            sides[name] = side
        except Exception as error:  # of torch.compile, which needs a compiler of C++
            if name != COMPILED:
                raise
            failed.append(f"{COMPILED}: {type(cell).__name__} failed: {str(error).splitlines()[0]}")
    differences = rounds.compare(arrays, max(TOLERANCES[options.policy], gpu() * TENSOR_FLOAT))
    contenders = {name: side.total for name, side in sides.items()}
    if not is_default(options):
        return rounds.alternate(contenders, options), {"differences": differences}
    contenders["limit"] = limit = Limit(products_of(cell, batch, steps, units))
    times = rounds.alternate(contenders, options)
    return times, {"differences": differences, "rates": limit.rates()}


def is_default(options) -> bool:
    """Whether this is a CPU and float32, for which the goals stand and the limit is known."""
    return options.policy == "float32" and not gpu()


def peers_of(cell, layer, options) -> dict:
    """PyTorch's modules for that cell."""
    if not torch or not is_default(options):
        return {}
    from benchmarks.peers import layers

    made = layers.of_cell(cell, weights_of(layer))
    if made is None:
        return {}
    make, is_loop = made
    if not is_loop:
        return {EAGER: make()}
    torch.compiler.reset()  # what was compiled for other sizes counts against a limit
    return {EAGER: make(), COMPILED: layers.compiled(make(), options.compile)}


def row(times: dict) -> list[str]:
    shown = [rounds.milliseconds(times["tfcells"])]
    for name in (*PEERS, "limit"):
        known = name in times
        shown.append(rounds.spread(rounds.ratios(times, name, "tfcells")) if known else "absent")
    return shown


def goals_of(name: str, setting: str, times: dict) -> list[tuple]:
    against = rounds.ratios(times, PLAIN, "tfcells")
    what = f"{name}, {setting}: {PLAIN} / tfcells"
    if setting != "650 units":
        return [rounds.goal(what, against, 1.2, 0.95)]
    goals = [rounds.goal(what, against, 1.8 if name == DEEP else 2.0, 1.5)]
    goals.append(rounds.bound(times, PLAIN, name))
    if name in LOOPS:
        peers = [peer for peer in (EAGER, COMPILED) if peer in times]
        best = min(peers, key=lambda peer: rounds.median(times[peer]), default=None)
        measured = rounds.ratios(times, best, "tfcells") if best else "PyTorch is absent"
        what = f"{name}, {setting}: {best or EAGER} / tfcells"
        goals.append(rounds.goal(what, measured, 2.5, 1.5))
        goals += [rounds.bound(times, best, name)] if best else []
    return goals
