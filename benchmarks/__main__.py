"""python -m benchmarks NAME [options]"""

import functools
import importlib
import os
import sys

from benchmarks import engines, half, kills, published, trainings
from lab.configuration import tensorflow


def imported(name: str):
    """The `main` of a module that is imported, with TensorFlow, when it is called."""

    def main(arguments: list[str]) -> int:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        tensorflow()
        return importlib.import_module(f"benchmarks.{name}").main(arguments)

    return main


NAMES = {
    "caffe_table": ("LSTM layers, forward and backward", imported("caffe_table")),
    "language_model": ("whole training steps, words/s", imported("language_model")),
    "cells": ("cells, forward and backward", imported("cells")),
    "league": ("every cell as a language model: perplexity beside words/s", imported("league")),
    "abilities": ("what each cell learns to do", imported("abilities")),
    "layers": ("one layer by rows, units and steps", imported("layers")),
    "scaling": ("time, memory, first call by size", imported("scaling")),
    "first_call": ("a tiny model's first fit, processor time", imported("first_call")),
    "batch_sizes": ("programs and time for batches of all sizes", imported("batch_sizes")),
    "scan": ("a linear cell, all steps at once or one by one", imported("scan")),
    "generate": ("text word by word", imported("generate")),
    "serving": ("an exported layer: a request's latency", imported("serving")),
    "examples": ("the example programs beside their baselines", imported("examples")),
    "engines": ("the engines side by side: agreement and speed", engines.main),
    "profile": ("where a training step's time goes", imported("profile")),
    "half": ("mixed_bfloat16 beside float32: loss and speed", half.main),
    "workers": ("one process beside several: losses and speed", imported("workers")),
    "published": ("curves beside published ones", published.main),
    "draw": ("the pictures of reports anew, from their JSON", imported("charts")),
    "kills": ("runs killed at random moments and resumed", kills.main),
    **{
        name: (f"whole trainings: {title}", functools.partial(trainings.main, name))
        for name, title in trainings.TITLES.items()
    },
}


def main(arguments: list[str]) -> int:
    """Hand the options on to the `main` of that name; the exit code."""
    name = next(iter(arguments), "--help")
    if name not in NAMES:
        asked = name in ("-h", "--help")
        print(__doc__, *(f"    {name}: {what}" for name, (what, _) in NAMES.items()), sep="\n")
        if not asked:
            print(f"benchmarks: error: there is no benchmark {name!r}", file=sys.stderr)
        return 0 if asked else 2
    return NAMES[name][1](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
