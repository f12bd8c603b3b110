"""The folder of a run: every file appears whole or not at all, and nothing in it is unpickled.

recipe.json              target, size, recipe, seed, corpus: what the run is
vocabulary.json          the words that the model's numbers stand for
checkpoint.npz           all it takes to continue; the one before is checkpoint.previous.npz, and
                         checkpoint.damaged.npz one that could not be read
best.npz                 the weights best on validation
log.txt, tensorboard/    how it went
result.json, learning_curve.png, model.keras, sample.txt
                         the results, result.json last
lock                     held by the process that trains the run; empty
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Self

import filelock
import numpy as np

from lab.fields import InputError, nearest
from lab.streams import complain, say

ROOT = pathlib.Path("runs")
DEMO = pathlib.Path(__file__).with_name("demo")  # a trained run
WINDOWS = os.name == "nt"
FACTS, CHECKSUM = "facts.json", "sha256"
Arrays = dict[str, np.ndarray]
Path = pathlib.Path


class Run:
    """A run's folder, which exists."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkpoint = folder / "checkpoint.npz"
        self.best = folder / "best.npz"
        self.writer: Any = None

    @classmethod
    def create(
        cls,
        folder: Path | None,
        stem: str,
        files: dict[str, Any],
        fill: Callable[[Self], None],
    ) -> Self:
        """A new folder with those JSON files in it; runs/STEM-n with the next n if not named.

        fill: is called with the run before its folder takes its name, to add the first checkpoint.
        """
        parent = folder.parent if folder else ROOT
        try:
            parent.mkdir(parents=True, exist_ok=True)
            place = tempfile.TemporaryDirectory(prefix=".new-", dir=parent)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder or ROOT)) from error
        with place as temporary:
            made = pathlib.Path(temporary) / "run"
            made.mkdir()
            for name, value in files.items():
                write_json(made / name, value)
            fill(cls(made))
            while True:
                target = folder or ROOT / f"{stem}-{1 + max(numbers(stem), default=0)}"
                try:
                    os.rename(made, target)  # all at once, or not at all if there is something
                except OSError:
                    if not target.exists():
                        raise
                    if folder:
                        raise taken(folder) from None
                else:
                    sync(parent)
                    return cls(target)

    @classmethod
    def latest(cls, stem: str) -> Self:
        """The newest of runs/STEM-n."""
        if not (found := numbers(stem)):
            raise InputError(f"--resume: there is no run {ROOT / stem}-1 to continue; --out names another one")
        return cls(ROOT / f"{stem}-{max(found)}")

    def read(self, name: str) -> Any:
        """The content of one of the run's JSON files."""
        path = self.folder / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            if not self.folder.exists():
                known = [str(ROOT / path.name) for path in ROOT.glob("*") if (path / name).exists()]
                near = nearest(str(self.folder), known) if known else ""
                raise InputError(f"{self.folder}: no such folder{near}") from None
            raise InputError(f"{self.folder}: not a run such as {ROOT / 'rhn-small-1'}, it has no {name}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        if name != "recipe.json":
            sums = self.about().get("files_sha256")
            if not isinstance(sums, dict) or sums.get(name, digest(value)) != digest(value):
                raise InputError(f"{path}: damaged (its checksum is not recipe.json's)")
        return value

    def about(self) -> dict[str, Any]:
        """The content of recipe.json."""
        about = self.read("recipe.json")
        if not isinstance(about, dict):
            raise InputError(f"{self.folder / 'recipe.json'}: damaged (not an object)")
        return about

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Within it, no other process can train the run; a process that dies lets go of it."""
        self.probe()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(filelock.FileLock(self.folder / "lock", blocking=False))
            except filelock.Timeout:
                raise InputError(f"{self.folder}: another process is training it") from None
            for left in self.folder.glob(".*.partial.*"):  # of a process that was killed
                left.unlink(missing_ok=True)
            yield

    def probe(self) -> None:
        """Raise an OSError, rather than after an epoch, if nothing can be written."""
        path = self.folder / ".probe.partial.txt"
        try:
            path.write_text("written")
        finally:
            path.unlink(missing_ok=True)

    def say(self, text: str) -> None:
        """A line in the log and on standard output."""
        try:
            with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
                log.write(text + "\n")
        except OSError as error:  # what is said may be that the disk is full
            complain(f"{self.folder / 'log.txt'}: {error.strerror}")
        say(text)

    def record(self, epoch: int, scalars: dict[str, float]) -> None:
        """Points of TensorBoard's curves."""
        import tensorflow as tf

        try:
            folder = str(self.folder / "tensorboard")
            self.writer = self.writer or tf.summary.create_file_writer(folder)
            with self.writer.as_default(step=epoch):
                for name, value in scalars.items():
                    tf.summary.scalar(name, value)
            self.writer.flush()
        except tf.errors.OpError as error:  # a full disk, as a rule: no reason to lose the epoch
            complain(f"{self.folder / 'tensorboard'}: {error.message}")


def taken(folder: Path) -> InputError:
    """What is wrong with a new run's folder where there is something already."""
    if (folder / "recipe.json").exists() or (folder / "study.json").exists():
        return InputError(f"--out {folder}: exists already; --resume would continue it")
    what = "a link to nothing" if not folder.exists() else "no run"
    return InputError(f"--out {folder}: exists already, and is {what}")


def numbers(stem: str) -> list[int]:
    """The n of all runs/STEM-n."""
    pattern = rf"{re.escape(stem)}-([1-9][0-9]*)"
    matches = (re.fullmatch(pattern, path.name) for path in ROOT.glob("*"))
    return [int(match[1]) for match in matches if match]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` once what is there is on the disk."""
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    if WINDOWS and path.is_dir():
        return  # can't be opened there
    descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)  # Windows flushes only what can be written
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def save(path: Path, arrays: Arrays, facts: dict[str, Any]) -> None:
    """Write arrays and facts (what JSON can hold); what was there becomes NAME.previous.npz."""
    text = json.dumps(facts, allow_nan=False).encode()
    arrays = arrays | {FACTS: np.frombuffer(text, np.uint8)}
    with replacing(path) as temporary:
        contents: dict[str, Any] = arrays | {CHECKSUM: checksum(arrays)}
        np.savez(temporary, **contents)
        sync(temporary)
        if path.exists():
            os.replace(path, previous(path))


def load(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and facts of a file that `save` wrote, if it is whole."""
    with open(path, "rb") as file:
        content = io.BytesIO(file.read())
    try:  # from here on what goes wrong is the content's fault, not the disk's
        with np.load(content, allow_pickle=False) as archive:
            arrays = dict(archive)
        if not np.array_equal(arrays.pop(CHECKSUM), checksum(arrays)):
            raise ValueError("its checksum is wrong")
        facts = json.loads(arrays.pop(FACTS).tobytes())
        if not isinstance(facts, dict):
            raise ValueError("its facts are not an object")
        return arrays, facts
    except MemoryError as error:
        raise InputError(f"{path}: damaged, or too large for the memory ({error})") from error
    except Exception as error:  # NumPy and zipfile have a dozen types for a file that is not theirs
        raise InputError(f"{path}: damaged ({error or type(error).__name__})") from error


def load_newest(path: Path, say: Callable[[str], None], set_aside: bool = False) -> tuple[Arrays, dict[str, Any]]:
    """Load a file, or the one before it if that is damaged or missing; `say` is told so.

    set_aside: rename a damaged file, so that the next `save` won't put it in the good one's place.
    """
    try:
        return load(path)
    except (InputError, FileNotFoundError) as error:
        fault = f"{path}: missing" if isinstance(error, FileNotFoundError) else str(error)
    try:
        found = load(previous(path))
    except (InputError, FileNotFoundError) as error:
        if isinstance(error, InputError):
            fault += f"; {error}"
        raise (InputError if path.exists() else FileNotFoundError)(fault) from error
    say(f"{fault}; the one before is taken, {previous(path)}")
    if set_aside and path.exists():
        os.replace(path, path.with_name(f"{path.stem}.damaged{path.suffix}"))
    return found


def check_arrays(arrays: Arrays, expected: Arrays, path: Path) -> None:
    """Refuse arrays, read from a file, that differ from the expected in name, shape or type."""
    for name in sorted(expected.keys() | arrays.keys()):
        one, other = (
            (part[name].shape, part[name].dtype) if name in part else "missing" for part in (arrays, expected)
        )
        if one != other:
            raise InputError(f"{path}: {name!r} is not this network's")
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: {name!r} is not finite")


def digest(value: object) -> str:
    """SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def checksum(arrays: Arrays) -> np.ndarray:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)
