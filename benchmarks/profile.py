"""Where the time of Zaremba's small and medium training steps goes: processor time by kind of operation.

TensorFlow's profiler notes when each operation began and ended, thread by thread; what ran within another
is taken off that one. The steps are those of `language_model`.
"""

import argparse
import collections
import pathlib
import re
import tempfile
import time

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import report
from benchmarks.language_model import STEPS, WORDS, Ours, random_corpus
from lab.memory import keep_memory
from recipes.penn_treebank import TARGETS

SIZES = "medium", "small"
PICOSECOND = 1e-12
KINDS = {  # the first whose pattern an operation's name has; None: a thread that waits
    None: r"KernelAndDeviceFunc|BlockUntilReady|Await",
    "dropout: random numbers and masks": r"dropout",
    "large products, of layers and softmax (oneDNN)": r":_Mkl\w*MatMul",
    "recurrent products (XLA)": r"^(MatMul|dot)$",
    "biases' gradients": r"BiasAddGrad",
    "transpositions: recurrent kernels; batch-major to time-major and back": r"[Tt]ranspose",
    "the norm of the gradient": r"L2Loss",
    "sums of the shards' gradients": r"AddN",
    "the embedding's gradient": r"Segment",
    "in XLA, element-wise work and sums: loops, cross-entropy, optimizer": (
        r"fusion|^copy|^wrapped|^reduce|^ParallelFor|^while"
    ),
    "starting operations (TensorFlow, XLA)": r"Execut|^Eager|^TFE|FunctionRun|training_step",
    "all else": r"",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile", description=__doc__)
    parser.add_argument("--names", action="store_true", help="print the operations' names, too")
    options = parser.parse_args(arguments)
    keep_memory()
    seconds, kinds, result = {}, {}, {}
    for size in SIZES:
        seconds[size], spent = profile(size)
        kinds[size] = collections.Counter()
        for name, own in spent.items():
            kinds[size][kind_of(name)] += own
        del kinds[size][None]
        result[size] = {"seconds": seconds[size], "kinds": kinds[size], "operations": spent}
        for name, own in spent.most_common() if options.names else ():
            print(f"{1e3 * own:9.3f} {name}: {kind_of(name)}")
    rows = [("", *(head for size in SIZES for head in (f"{size}, ms", "share")))]
    for kind in sorted(set().union(*kinds.values()), key=lambda kind: -kinds[SIZES[0]][kind]):
        row = [kind]
        for size in SIZES:
            own = kinds[size][kind]
            row += [f"{1e3 * own:.1f}", f"{own / kinds[size].total():.0%}"]
        rows.append(tuple(row))
    notes = [
        f"The {size} model: {1e3 * seconds[size]:.0f} ms a step without the profiler, "
        f"{1e3 * kinds[size].total():.0f} ms of processor time with it."
        for size in SIZES
    ]
    title = "Where a training step's time goes"
    print(title, report.write("profile", title, result, rows, notes=notes), sep="\n")
    return 0


def kind_of(name: str) -> str | None:
    return next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))


def profile(size: str) -> tuple[float, collections.Counter]:
    """Seconds that a step takes, and each operation's own seconds in it."""
    recipe, steps = TARGETS["lstm"][size].recipe, STEPS[size]
    ours = Ours(recipe, random_corpus(recipe, WORDS, steps))
    for _ in range(2):
        started = time.perf_counter()
        ours.epoch()
        seconds = (time.perf_counter() - started) / steps
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            ours.epoch()
        [path] = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    spent = collections.Counter()
    for plane in space.planes:
        if plane.name == "/host:CPU":
            names = {key: event.name for key, event in plane.event_metadata.items()}
            for line in plane.lines:
                for number, own in own_times(line.events):
                    spent[re.sub(r"[.\d]+$", "", names[number])] += own * PICOSECOND / steps
    return seconds, spent


def own_times(events):
    """The number of each event's name, and its picoseconds less those of the events within it."""
    around = []  # [number, end, own] of the events not yet ended
    for event in sorted(events, key=lambda event: (event.offset_ps, -event.duration_ps)):
        while around and around[-1][1] <= event.offset_ps:
            number, _, own = around.pop()
            yield number, own
        if around:
            around[-1][2] -= event.duration_ps
        end = event.offset_ps + event.duration_ps
        around.append([event.metadata_id, end, event.duration_ps])
    for number, _, own in around:
        yield number, own
