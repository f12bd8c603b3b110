"""What a request takes: an LSTM along a sequence, exported and loaded again, beside keras.layers.LSTM.

As a SavedModel with the compiled loop, with the ordinary one, and in ONNX Runtime; ours has Keras's weights. `generate`
measures one step at a time. And what kernels in int8 change: bytes and outputs.
"""

import importlib.util
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

import tfcells
from benchmarks import charts, rounds
from benchmarks.sides import numbers

BATCHES = (1, 32)
UNITS, STEPS = 128, 50
ONNX = "onnx", "onnxruntime", "tf2onnx"
QUANTIZED = "ElmanCell", "LSTMCell", "LayerNormLSTMCell", "GRUCell", "MinGRUCell", "RHNCell", "HyperLSTMCell"


def main(arguments: list[str]) -> int:
    parser = rounds.parser("serving", __doc__)
    parser.add_argument("--units", type=int, default=UNITS, help=f"{UNITS} by default")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"{STEPS} by default")
    options = rounds.read(parser, arguments)
    theirs = keras.Sequential([keras.Input((None, options.units)), keras.layers.LSTM(options.units)])
    mine = tfcells.from_keras(theirs)
    ways = {
        "SavedModel": (saved, mine, theirs),
        "SavedModel, portable": (saved, tfcells.portable(mine), theirs),
        "ONNX Runtime": (onnx, tfcells.portable(mine, "onnx"), theirs),
    }
    if not all(map(importlib.util.find_spec, ONNX)):
        del ways["ONNX Runtime"]
    rows, result = [("runtime", "batch", "tfcells, ms", "Keras / tfcells", "first call, s", "Keras's, s")], {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (way, (load, *models)) in enumerate(ways.items()):
            both = [load(model, pathlib.Path(folder) / f"{number}{side}") for side, model in enumerate(models)]
            for batch in BATCHES:
                found = measure(dict(zip(("tfcells", "Keras"), both, strict=True)), batch, options)
                times, first = found["seconds"], found["first"]
                result[f"{way}, batch {batch}"] = found
                ratio = rounds.spread(rounds.ratios(times, "Keras", "tfcells"))
                both_first = (f"{first[name]:.2f}" for name in ("tfcells", "Keras"))
                rows.append((way, batch, rounds.milliseconds(times["tfcells"]), ratio, *both_first))
    remarks = [
        f"An LSTM of {options.units} units and features, {options.steps} steps; the last output.",
        "First call: of the batch size, in a file that is loaded already; compiling is in it.",
        "The outputs were compared first.",
        "In int8: new weights, all outputs of a batch of 32; the norm of the difference by that of the outputs.",
        *([] if len(ways) > 2 else ["ONNX Runtime is not installed: pip install -e '.[bench]'."]),
    ]
    tables = {"Serving": rows, "Kernels in int8": [("cell", "bytes, float32", "int8", "difference, relative")]}
    for name in QUANTIZED:
        result[name] = found = quantized(tfcells.CELLS[name], options)
        tables["Kernels in int8"].append((name, *found["bytes"], f"{found['difference']:.4f}"))
    return rounds.publish("serving", options, result, tables, remarks, picture)


def picture(told: dict):
    """A figure: the time of a request."""
    return charts.compared({way: found["seconds"] for way, found in told.items() if "seconds" in found})


def measure(contenders: dict, batch: int, options) -> dict:
    """Seconds a call, and of the first one."""
    x, outputs, first = numbers(batch, options.steps, options.units), {}, {}
    for name, call in contenders.items():
        started = time.perf_counter()
        outputs[name] = [call(x)]
        first[name] = time.perf_counter() - started
    differences = rounds.compare(outputs)
    calls = {name: lambda call=call: call(x) for name, call in contenders.items()}
    return {"seconds": rounds.alternate(calls, options), "first": first, "differences": differences}


def quantized(cell: type, options) -> dict:
    """Bytes of the weights before and after `quantize`, and how far the outputs move: the norm of that by theirs."""
    keras.utils.set_random_seed(0)
    layer = tfcells.RNN(cell(options.units), return_sequences=True, jit_compile=False)
    model = keras.Sequential([keras.Input((None, options.units)), layer])
    x = numbers(BATCHES[1], options.steps, options.units)
    outputs, sizes = [model.predict(x, verbose=0)], [size_of(model)]
    model.quantize("int8", filters=lambda each: isinstance(each, tfcells.Cell))
    outputs, sizes = [*outputs, model.predict(x, verbose=0)], [*sizes, size_of(model)]
    difference = np.linalg.norm(outputs[1] - outputs[0]) / np.linalg.norm(outputs[0])
    return {"bytes": sizes, "difference": float(difference)}


def size_of(model: keras.Model) -> int:
    return sum(weight.numpy().nbytes for weight in model.weights)


def saved(model: keras.Model, path: pathlib.Path):
    """A function of an array, by TensorFlow."""
    model.export(path, verbose=False)
    loaded = tf.saved_model.load(path)
    return lambda x: loaded.serve(tf.constant(x)).numpy()  # its variables live as long as it does


def onnx(model: keras.Model, path: pathlib.Path):
    """A function of an array, by ONNX Runtime."""
    import onnxruntime

    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (name,) = (each.name for each in session.get_inputs())
    return lambda x: session.run(None, {name: x})[0]
