"""Tiny runs killed by `kill -9` at random moments, gone on with, and compared with an unbroken one.

Each is a process of its own, forked from one that has TensorFlow imported but not begun to use it:
that saves most of the time. The texts for validation and test have their letters in the opposite
order, so that the best epoch is neither the first nor the last. A third of the kills wait for nothing,
a third for the first checkpoint that the process writes; in a third the process kills itself in the
midst of a file, which nobody can time from outside.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

import numpy as np

from benchmarks import report
from benchmarks.processes import forkserver
from lab.run import load, load_newest

ROOT = pathlib.Path(__file__).resolve().parents[1]
EPOCHS = 4
RUN = (
    f"lstm --corpus text --units 8 --layers 1 --shards 1 --batch_size 4 --steps 8 --epochs {EPOCHS} "
    "--optimizer adam --steps_per_epoch 10 --learning_rate 0.04 --warm_up 2 --anneal linear "
    "--dropout 0.3 --state_dropout 0.2 --word_dropout 0.1 "
    "--evaluation_batch_size 1 --evaluation_steps 8 --save_seconds 0"
)
TIMES = {"step_seconds", "seconds", "words_per_second"}
CAUSES = "nothing", "checkpoint", "writing"
PATIENCE = 300  # seconds until a process counts as hanging


def main(arguments: list[str]) -> int:
    """Kill, compare, write the report; 1 if a run came out different."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="of kills; 100 by default")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; 0 by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = kill(options.count, pathlib.Path(folder), options.seed)
    kills, runs = len(result["kills"]), len(result["differences"])
    moments = collections.Counter(moment for moment, _ in result["kills"])
    different = sum(map(bool, result["differences"]))
    rows = [("killed", "times"), *moments.most_common(), ("in all", kills)]
    title = f"{kills} kills of {runs} runs; {different} came out different from the unbroken one"
    print(title)
    print(report.write("kills", title, {"command": RUN, "seed": options.seed, **result}, rows))
    return 1 if different else 0


def kill(count: int, folder: pathlib.Path, seed: int) -> dict:
    """Kill so often; what each kill hit, and the differences of each run's end."""
    draw = random.Random(seed)
    write_corpus(folder / "text", draw)
    started = time.monotonic()
    assert follow(start(folder, "unbroken")) == 0, (folder / "unbroken.txt").read_text()
    seconds = time.monotonic() - started
    kills, differences = [], []
    while len(kills) < count:
        name = f"run-{len(differences)}"
        while True:
            before = unfinished(folder / name)
            cause = CAUSES[len(kills) % len(CAUSES)] if len(kills) < count else None
            process = start(folder, name, draw.random() if cause == "writing" else None)
            if cause in ("nothing", "checkpoint"):
                kill_sometime(process, folder / name, cause, draw, seconds)
            code = follow(process)
            if code == 0:
                break
            assert code == -9, (folder / f"{name}.txt").read_text()
            kills.append(what_was_hit(folder / name, before))
        differences.append(compare(folder / name, folder / "unbroken"))
    return {"kills": kills, "differences": differences}


def write_corpus(folder: pathlib.Path, draw: random.Random):
    folder.mkdir()
    for name, lines in {"train": 70, "valid": 12, "test": 12}.items():
        order = "abcd" if name == "train" else "dcba"
        text = (" ".join(line_of(order, draw)) for _ in range(lines))
        (folder / f"{name}.txt").write_text("\n".join(text) + "\n")


def line_of(order: str, draw: random.Random):
    """A few letters in that order, again and again; a tenth of them others."""
    first = draw.randrange(len(order))
    for number in range(first, first + draw.randint(3, 9)):
        yield draw.choice("efgh") if draw.random() < 0.1 else order[number % len(order)]


def start(folder: pathlib.Path, name: str, seed: float | None = None):
    """A process that begins a run, or goes on with it; with a seed it kills itself in the midst of a file."""
    line = f"lstm --resume --save_seconds 0 --out {name}"
    line = line if (folder / name).exists() else f"{RUN} --out {name}"
    process = forkserver().Process(target=work, args=(folder, line.split(), f"{name}.txt", seed), daemon=True)
    with contextlib.chdir(ROOT):  # where the process that is forked finds its modules
        process.start()
    return process


def work(folder: pathlib.Path, arguments: list[str], log: str, seed: float | None):
    """What the process does."""
    import train

    if seed is not None:
        die_writing(random.Random(seed))
    os.chdir(folder)
    with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        sys.exit(train.main(arguments))


def die_writing(draw: random.Random):
    """Let this process kill itself soon after it has made a file of the run, at the latest before it renames that."""
    skip = draw.randrange(20)  # files, so as not to hit the first one always
    opened = 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def die_soon(path: pathlib.Path):
        while not path.exists():
            pass
        time.sleep(draw.uniform(0, 0.005))
        die()

    def hook(event: str, arguments: tuple):
        nonlocal opened
        if event not in ("open", "os.rename") or ".partial" not in str(arguments[0]):
            return
        opened += event == "open"
        if opened > skip:
            killer = threading.Thread(target=die_soon, args=[pathlib.Path(arguments[0])], daemon=True)
            die() if event == "os.rename" else killer.start()

    sys.addaudithook(hook)


def unfinished(folder: pathlib.Path) -> set[tuple[pathlib.Path, int]]:
    """What is being written of a run, or was when a process was killed."""
    paths = [*folder.glob(".*.partial.*"), *folder.parent.glob(".new-*")]
    return {(path, modified(path)) for path in paths}


def kill_sometime(process, folder: pathlib.Path, cause: str, draw: random.Random, seconds: float):
    """Wait for a random moment and kill, unless the process has ended by then."""
    known = folder / "checkpoint.npz", folder / "checkpoint.previous.npz"
    before = [modified(path) for path in known]
    ends = time.monotonic() + PATIENCE
    if cause == "nothing":
        time.sleep(draw.uniform(0, seconds))
    else:
        while [modified(path) for path in known] == before and process.is_alive() and time.monotonic() < ends:
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.3) if draw.random() < 0.5 else draw.uniform(0, seconds / 2))
    process.kill()


def modified(path: pathlib.Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def follow(process) -> int:
    """Wait for the end of a process; its exit code."""
    process.join(PATIENCE)
    assert not process.is_alive(), "a run hangs"
    return process.exitcode


def what_was_hit(folder: pathlib.Path, left: set) -> tuple[str, str]:
    """A kind of moment and, in words, where the run stood; its newest checkpoint has to be whole.

    left: what was unfinished before the process began.
    """
    written = sorted(path for path, _ in unfinished(folder) - left)
    if not folder.exists():
        return ("while the folder was made" if written else "before the run existed"), ""
    _, facts = load_newest(folder / "checkpoint.npz", lambda text: None)
    progress = facts["progress"]
    stood = f"{progress['epoch']} epochs and {progress['step']} steps on"
    if written:
        return f"writing {written[-1].name[1:].replace('.partial', '')}", stood
    if not (folder / "checkpoint.npz").exists():
        return "between two renamings", stood
    return ("training" if progress["epoch"] < EPOCHS else "finishing"), stood


def compare(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """What differs, but for times, between what two runs left."""
    found = []
    for name in ("checkpoint.npz", "best.npz"):
        (arrays, facts), (expected, expected_facts) = load(one / name), load(other / name)
        keys = (arrays.keys() | expected.keys()) - TIMES
        found += [f"{name}: {key}" for key in sorted(keys) if not equal(arrays, expected, key)]
        if timeless(facts) != timeless(expected_facts):
            found.append(f"{name}: {timeless(facts)} is not {timeless(expected_facts)}")
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, other)]
    samples = [(folder / "sample.txt").read_bytes() for folder in (one, other)]
    if timeless(results[0]) != timeless(results[1]):
        found.append(f"result.json: {timeless(results[0])} is not {timeless(results[1])}")
    return found + (["sample.txt"] if samples[0] != samples[1] else [])


def equal(arrays, expected, key) -> bool:
    """Whether both have the same bits under that key."""
    if key not in arrays or key not in expected:
        return False
    one, other = np.asarray(arrays[key]), np.asarray(expected[key])
    return (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())


def timeless(value):
    """A JSON value without the times in it."""
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key not in TIMES}
    return [timeless(part) for part in value] if isinstance(value, list) else value
