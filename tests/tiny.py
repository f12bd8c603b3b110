"""Tiny recipes and data, and train.py in this process."""

import contextlib
import gzip
import hashlib
import io
import json
import pathlib
import random
import signal

import numpy as np

import data
import train
from lab.tasks.corpus import Corpus
from lab.tasks.language_model import LanguageModel
from recipes import TARGETS

RUN = (
    "lstm --corpus text --layers 1 --units 3 --batch_size 2 --steps 4 --epochs 2 --engine eager "
    "--steps_per_epoch 2 --evaluation_batch_size 2 --evaluation_steps 8 --dropout 0.2 --optimizer adam "
    "--learning_rate 0.01"
)
PATIENCE = 120  # seconds
TINY = LanguageModel(units=6, batch_size=2, steps=5, epochs=1, learning_rate=1.0)


def result_of(folder: pathlib.Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def write_corpus(folder: pathlib.Path, letters="abcdefgh", seed=0):
    """A corpus of random letters, in which `<unk>` occurs."""
    draw = random.Random(seed)
    folder.mkdir()
    for name, lines in {"train": 20, "valid": 4, "test": 4}.items():
        text = [" ".join(draw.choices(letters, k=draw.randint(3, 9))) for _ in range(lines)]
        (folder / f"{name}.txt").write_text("\n".join(["<unk>", *text]) + "\n")


def call(line: str | list[str]) -> tuple[int, str, str]:
    """The exit code of a command, what it prints and what it complains of."""
    arguments = line.split() if isinstance(line, str) else line
    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, out_of_patience)
    signal.alarm(PATIENCE)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = train.main(arguments)
    except SystemExit as error:
        code = error.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, out.getvalue(), err.getvalue()


def out_of_patience(*_):
    raise Hangs(f"no end in {PATIENCE} s")


class Hangs(BaseException):
    """What train.py can't take for an error of its user's."""


def dummy_source(source, monkeypatch):
    """Have a source take the dummy data for the right ones."""
    folder = pathlib.Path(data.__file__).parent / source.name / "dummy_data"
    files = {}
    for part, file in source.files.items():
        content = (folder / file.name).read_bytes()
        files[part] = file._replace(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(source, "files", files)
    return folder


def random_corpus():
    """A corpus of seven random words."""
    random = np.random.default_rng(0)
    streams = [random.integers(0, 7, n, dtype=np.int32) for n in (101, 30, 30)]
    return Corpus("random", "word", ("<eos>", *"abcdef"), *streams)


def learner(recipe, corpus):
    from lab.learner import Learner

    return Learner(recipe, corpus, seed=1, engine="graph", precision="float32")


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype("u1").tobytes()


def write_mnist(folder, images, labels, stem="t10k"):
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))


def recipe(target, **values):
    """The recipe of a target's default size, with some fields changed."""
    return next(iter(TARGETS[target].values())).recipe.replace(**{name: str(value) for name, value in values.items()})
