"""The folder of a run: every file appears whole or not at all, and nothing in it is unpickled.

recipe.json              target, size, recipe, seed, corpus: what the run is
vocabulary.json          the words that the model's numbers stand for
checkpoint.npz           all it takes to go on; the one before is checkpoint.previous.npz
best.npz                 the weights best on validation
log.txt, tensorboard/    how it went
result.json, learning_curve.png, model.keras, sample.txt
                         what came of it, the result last
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import tempfile
import zipfile

import numpy as np
from tqdm import tqdm

from recipes.recipe import InputError

ROOT = pathlib.Path("runs")
FACTS, CHECKSUM = "facts.json", "sha256"


class Run:
    """A run's folder, which exists."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.checkpoint = folder / "checkpoint.npz"
        self.best = folder / "best.npz"
        self.writer = None

    @classmethod
    def create(cls, folder: pathlib.Path | None, stem: str, files: dict[str, object]) -> "Run":
        """A new folder with those JSON files in it; runs/STEM-n with the next n if not named."""
        parent = folder.parent if folder else ROOT
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=parent) as temporary:
            made = pathlib.Path(temporary) / "run"
            made.mkdir()
            for name, value in files.items():
                write_json(made / name, value)
            while True:
                target = folder or ROOT / f"{stem}-{1 + max(numbers(stem), default=0)}"
                try:
                    os.rename(made, target)  # all at once, or not at all if there is something
                    return cls(target)
                except OSError:
                    if not target.exists():
                        raise
                    if folder:
                        raise InputError(f"--out {folder}: exists already") from None

    @classmethod
    def latest(cls, stem: str) -> "Run":
        """The newest of runs/STEM-n."""
        if not (found := numbers(stem)):
            raise InputError(f"--resume: there is no run {ROOT / stem}-n to go on with")
        return cls(ROOT / f"{stem}-{max(found)}")

    def about(self) -> dict:
        """What recipe.json says."""
        path = self.folder / "recipe.json"
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{self.folder}: not a run, it has no recipe.json") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        if not isinstance(about, dict):
            raise InputError(f"{path}: damaged (not an object)")
        return about

    def say(self, text: str):
        """A line on standard output and in the log."""
        tqdm.write(text)
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            log.write(text + "\n")

    def record(self, epoch: int, scalars: dict[str, float]):
        """Points of TensorBoard's curves."""
        import tensorflow as tf

        self.writer = self.writer or tf.summary.create_file_writer(str(self.folder / "tensorboard"))
        with self.writer.as_default(step=epoch):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def draw(self, history: list[dict], score: str):
        """The learning curve, as a picture."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel=score, yscale="log")
        for split in ("train", "valid"):
            values = [epoch[f"{split}_{score}"] for epoch in history]
            axes.plot(range(1, len(values) + 1), values, marker=".", label=split)
        axes.legend()
        axes.grid(which="both", alpha=0.3)
        with replacing(self.folder / "learning_curve.png") as path:
            figure.savefig(path)


def numbers(stem: str) -> list[int]:
    """The n of all runs/STEM-n."""
    matches = (re.fullmatch(rf"{re.escape(stem)}-(\d+)", path.name) for path in ROOT.glob("*"))
    return [int(match[1]) for match in matches if match]


@contextlib.contextmanager
def replacing(path: pathlib.Path):
    """A temporary path that takes the place of `path` once what is there is on the disk."""
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: pathlib.Path):
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: pathlib.Path, text: str):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: pathlib.Path, value):
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def save(path: pathlib.Path, arrays: dict[str, np.ndarray], facts: dict):
    """Write arrays and facts (what JSON can hold); what was there becomes NAME.previous.npz."""
    text = json.dumps(facts, allow_nan=False).encode()
    arrays = arrays | {FACTS: np.frombuffer(text, np.uint8)}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays, **{CHECKSUM: checksum(arrays)})
        sync(temporary)
        if path.exists():
            os.replace(path, previous(path))


def load(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and facts of a file that `save` wrote, if it is whole."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        if not np.array_equal(arrays.pop(CHECKSUM), checksum(arrays)):
            raise ValueError("its checksum is wrong")
        return arrays, json.loads(arrays.pop(FACTS).tobytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged ({error})") from error


def load_newest(path: pathlib.Path, say) -> tuple[dict[str, np.ndarray], dict]:
    """What `load` gives, or the one before if that is damaged or missing; `say` is told so."""
    try:
        return load(path)
    except (InputError, FileNotFoundError) as error:
        if not previous(path).exists():
            raise
        say(f"{error}; going on from the one before, {previous(path)}")
        return load(previous(path))


def previous(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def checksum(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)
