"""The table of junhyukoh/caffe-lstm, whose idea of one product for all weight gradients we use.

Layers of LSTM, forward and backward, side by side with keras.layers.LSTM and torch.nn.LSTM. Backward is
what forward and backward take together, less what forward takes alone in the same round. Below, the
two layers of the medium language model.
"""

import functools

import tfcells
from benchmarks import charts, rounds
from benchmarks.limits import Limit, products_of
from benchmarks.peers import notes, torch
from benchmarks.sides import KerasSide, TorchSide, keras_lstm, numbers, tfcells_layer, weights_of

SIZES = [  # layers, units, batch, steps
    *((3, 2048, batch, steps) for batch in (20, 4) for steps in (100, 20)),
    (2, 650, 20, 35),
]
PASSES = ("forward", "backward", "total")
LIMIT = "limit"


def main(arguments: list[str]) -> int:
    parser = rounds.parser("caffe_table", __doc__)
    parser.add_argument("--only", type=int, choices=range(1, 1 + len(SIZES)), help="that row")
    parser.add_argument("--units", type=int, help="instead of 2048 and 650")
    options = rounds.read(parser, arguments)
    sizes = SIZES if options.only is None else [SIZES[options.only - 1]]
    head = ("layers x units, batch, steps", "pass", "tfcells, ms", "keras.layers.LSTM, ms")
    rows = [(*head, "torch.nn.LSTM, ms", "Keras / tfcells", "PyTorch / tfcells", "of the limit")]
    goals, result = [rounds.GOALS], {}
    for layers, units, batch, steps in sizes:
        size = layers, options.units or units, batch, steps
        label = "{} x {}, {}, {}".format(*size)
        times, facts = measure(size, options)
        result[label] = {"seconds": times, **facts}
        for which in PASSES:
            rows.append((label, which, *row(times[which])))
        goals += goals_of(label, units, times["total"])
    tables = {"LSTM: forward, backward, total": rows, "Goals": goals, "Rates": rates(result)}
    remarks = [
        *notes(),
        "Times: medians of all rounds (quartiles); ratios: of each round.",
        "The limit is the sum of the matrix products' times, each at the rate of its own shape, "
        "measured in the same rounds; it leaves element-wise work out.",
        "Outputs and all gradients were compared first.",
    ]
    return rounds.publish("caffe_table", options, result, tables, remarks, picture)


def picture(told: dict):
    """A figure: forward and backward together, by size."""
    form = "{} units, batch {}, {} steps".format
    return charts.compared({form(*label.split(", ")): found["seconds"]["total"] for label, found in told.items()})


def measure(size: tuple, options) -> tuple[dict, dict]:
    """Times by pass and contender, and what else is to be known."""
    layers, units, batch, steps = size
    x, d = numbers(batch, steps, units), numbers(batch, steps, units)[::-1].copy()
    cells = [tfcells.LSTMCell(units) for _ in range(layers)]
    layer = tfcells_layer(cells, units)
    sides = {
        "tfcells": KerasSide(layer, x, d),
        "Keras": KerasSide(keras_lstm(layer, units, layers), x, d),
    }
    if torch:
        from benchmarks.peers.layers import BuiltIn

        sides["PyTorch"] = TorchSide(BuiltIn("LSTM", weights_of(layer)), x, d)
    differences = rounds.compare({name: side.arrays() for name, side in sides.items()})
    products = functools.partial(products_of, batch=batch, steps=steps, features=units)
    limits = {
        which: Limit([p for cell in cells for p in products(cell, backward=which == "total")])
        for which in ("forward", "total")
    }
    contenders = {}
    for name, side in sides.items():
        contenders |= {(name, "forward"): side.forward, (name, "total"): side.total}
    contenders |= {(LIMIT, which): limit for which, limit in limits.items()}
    found = rounds.alternate(contenders, options)
    times = {w: {name: v for (name, which), v in found.items() if which == w} for w in PASSES}
    for name, both in times["total"].items():
        pairs = zip(both, times["forward"][name], strict=True)
        times["backward"][name] = [total - forward for total, forward in pairs]
    return times, {"differences": differences, "rates": limits["total"].rates()}


def row(times: dict) -> list[str]:
    """The columns of one pass."""
    shown = [
        rounds.milliseconds(times[name]) if name in times else "absent" for name in ("tfcells", "Keras", "PyTorch")
    ]
    for name in ("Keras", "PyTorch"):
        known = name in times
        shown.append(rounds.spread(rounds.ratios(times, name, "tfcells")) if known else "absent")
    return [*shown, rounds.spread(rounds.ratios(times, LIMIT, "tfcells"))]


def goals_of(label: str, units: int, times: dict) -> list[tuple]:
    fraction = rounds.ratios(times, LIMIT, "tfcells")
    if units != 2048:
        return [rounds.goal(f"fraction of the limit, LSTM {label}", fraction, 0.85, 0.7)]
    against = {"Keras": (2.5, 2.0), "PyTorch": (1.2, 1.0)}
    goals = []
    for name, (aim, floor) in against.items():
        known = name in times
        measured = rounds.ratios(times, name, "tfcells") if known else f"{name} is absent"
        goals.append(rounds.goal(f"LSTM total {label}: {name} / tfcells", measured, aim, floor))
    if "PyTorch" in times:
        goals.append(rounds.bound(times, "PyTorch", label))
    return goals


def rates(result: dict) -> list[tuple]:
    """The rates that limits rest on."""
    rows = [("product", "of", "GFLOP/s, or GB/s for bytes")]
    for label, facts in result.items():
        rows += [(shape, label, f"{rate:.3g}") for shape, rate in facts["rates"].items()]
    return rows
