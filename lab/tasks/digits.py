"""Handwritten digits, read row by row."""

import contextlib
import gzip
import pathlib
import socket
import sys
import zlib
from dataclasses import dataclass

import numpy as np

from lab.recipe import Count, InputError, Size, Whole
from lab.tasks.sequences import Examples, Task

FILES = {"train": "train", "test": "t10k"}
PATIENCE = 5  # seconds for the network to answer


@dataclass(frozen=True, kw_only=True)
class Digits(Task):
    """A row of pixels a step; after the last one, which digit it was.

    `--corpus mnist`: the IDX files of `--data_dir`, else what Keras downloads. Where there are only
    the 10,000 digits of MNIST's test, the first 9,000 are trained on, and tested on the others.
    `--corpus digits`: the 8 x 8 digits of scikit-learn, every tenth for the test. `--corpus auto`: the
    first of these that can be had. The last ``valid_examples`` of training are for validation. An epoch
    is ``train_examples`` digits, drawn without putting back until there is none left. Each is moved by
    up to ``shift`` hundredths of its size along both sides.
    """

    shift: Whole = 8
    train_examples: Count = 9000

    name, unit, speed_name, score_name = "mnist", "digits", "digits_per_second", "cross_entropy"

    def __post_init__(self):
        super().__post_init__()
        if self.shift > 100:
            raise InputError(f"shift={self.shift}: must be at most 100")

    def load(self, corpus, data_dir, like=None):
        name, train, test = read(corpus, data_dir)
        cut = len(train[0]) - self.valid_examples
        if cut < self.batch_size:
            raise InputError(
                f"valid_examples={self.valid_examples}: leaves {max(cut, 0)} of {name}'s "
                f"{len(train[0])} digits for training, fewer than batch_size, {self.batch_size}"
            )
        split = [[array[:cut] for array in train], [array[cut:] for array in train]]
        test = tuple(array[: self.test_examples] for array in test)
        return Examples(name, tuple(split[0]), tuple(split[1]), test)

    def files(self, data):
        return {"rows.json": list(data.train[0].shape[1:])}

    def recall(self, read):
        sizes = [8, 8], [28, 28]
        rows = sizes[1] if read is None else read("rows.json")
        if rows not in sizes:
            raise InputError(f"rows.json: damaged ({rows!r})")
        pair = np.zeros((1, *map(int, rows)), "float32"), np.zeros(1, "int32")
        return Examples("none", pair, pair, pair)

    def batches(self, data, epoch=0):
        rng, (x, y) = self.rng(len(data.train), epoch), data.train
        rounds = -(-self.train_examples // len(x))
        chosen = np.concatenate([rng.permutation(len(x)) for _ in range(rounds)])
        x, y = (array[chosen[: self.train_examples]] for array in (x, y))
        shift = round(self.shift / 100 * x.shape[1])
        if shift:
            wide = np.pad(x, [(0, 0), *[(shift, shift)] * 2])
            moves = rng.integers(0, 2 * shift + 1, (2, len(x), 1))
            down, right = (moves[axis] + np.arange(x.shape[1 + axis]) for axis in (0, 1))
            x = wide[np.arange(len(x))[:, None, None], down[:, :, None], right[:, None]]
        return self.shuffled(rng, x, y)

    def network(self, features, targets):
        import keras

        x = keras.Input(tuple(features), name="rows")
        return keras.Model(x, keras.layers.Dense(10, name="output")(self.recurrent(x)))

    def losses(self, model, x, y, state, training=False):
        import tensorflow as tf

        logits = tf.cast(model(x, training=training)[:, -1], "float32")
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits), state

    def measures(self, model, data, split):
        x, y = getattr(data, split)
        return {"accuracy": float(np.mean(self.predict(model, x)[:, -1].argmax(-1) == y))}

    def figure(self, model, data):
        from matplotlib.figure import Figure

        x, y = data.test
        logits = self.predict(model, x).astype("float64")
        confusion = np.zeros((10, 10), int)
        np.add.at(confusion, (y, logits[:, -1].argmax(-1)), 1)
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        grid = figure.add_gridspec(2, 6)
        axes = figure.add_subplot(grid[:, :2], xlabel="taken for", ylabel="digit")
        axes.imshow(np.sqrt(confusion), cmap="Greys")
        for (row, column), count in np.ndenumerate(confusion):
            dark = count > confusion.max() / 4
            axes.text(column, row, count or "", ha="center", va="center", fontsize=7,
                      color="white" if dark else "black")  # fmt: skip
        axes.set_xticks(range(10))
        axes.set_yticks(range(10))
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        kinds = np.unique(y, return_index=True)[1]  # the first of every digit that there is
        for column, n in enumerate(kinds[np.linspace(0, len(kinds) - 1, 4).astype(int)]):
            picture = figure.add_subplot(grid[0, 2 + column])
            picture.imshow(x[n], cmap="Greys")
            picture.set_axis_off()
            belief = figure.add_subplot(grid[1, 2 + column], xlabel="rows read")
            belief.imshow(chances[n].T, cmap="Greys", vmin=0, vmax=1, aspect="auto", origin="lower")
            belief.set_yticks(range(10) if column == 0 else [])
            if column == 0:
                belief.set_ylabel("belief")
        return figure


def read(corpus: str, data_dir: str | None):
    """The corpus's name, and (images, labels) of training and test; images within [0, 1]."""
    if corpus not in ("auto", "mnist", "digits"):
        raise InputError(f"--corpus {corpus}: must be auto, mnist or digits")
    reasons = []
    if corpus != "digits":
        if data_dir is not None:
            if found := read_folder(pathlib.Path(data_dir)):
                return "mnist", *found
            reasons.append(f"not in {data_dir}")
        try:
            return "mnist", *download()
        except Exception as error:  # Keras passes on whatever its downloads raise
            reasons.append(f"not by download ({error})".replace("\n", " "))
        if corpus == "mnist":
            raise InputError(f"--corpus mnist: {', '.join(reasons)}")
        print(
            f"No MNIST: {', '.join(reasons)}. Training on scikit-learn's 8 x 8 digits instead.",
            file=sys.stderr,
        )
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = (x.reshape(-1, 8, 8) / 16).astype("float32"), y.astype("int32")
    test = np.arange(len(x)) % 10 == 9
    return "digits", (x[~test], y[~test]), (x[test], y[test])


def download():
    """MNIST as Keras has it, or keeps it; verified by its checksum."""
    import keras

    with patience():
        splits = keras.datasets.mnist.load_data()
    return [((x / 255).astype("float32"), y.astype("int32")) for x, y in splits]


@contextlib.contextmanager
def patience():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_folder(folder: pathlib.Path):
    """What the IDX files of a folder hold, or None if there are none."""
    if not folder.is_dir():
        raise InputError(f"--data_dir {folder}: no folder")
    splits = {}
    for split, stem in FILES.items():
        paths = [
            find(folder, f"{stem}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ]
        if None not in paths:
            x, y = map(read_idx, paths)
            if (
                x.ndim != 3
                or x.shape[1:] != (28, 28)
                or y.shape != (len(x),)
                or y.max(initial=0) > 9
            ):
                raise InputError(f"{paths[0]}: not MNIST's")
            splits[split] = (x / 255).astype("float32"), y.astype("int32")
    if "test" not in splits:
        return None
    if "train" not in splits:
        x, y = splits["test"]
        cut = len(x) * 9 // 10
        return (x[:cut], y[:cut]), (x[cut:], y[cut:])
    return splits["train"], splits["test"]


def find(folder, name):
    paths = [folder / name, folder / f"{name}.gz"]
    return next((path for path in paths if path.exists()), None)


def read_idx(path: pathlib.Path) -> np.ndarray:
    """The bytes of an IDX file, gzipped or not, in their shape."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        rank = raw[3]
        shape = np.frombuffer(raw, ">u4", rank, 4)
        values = np.frombuffer(raw, "u1", offset=4 + 4 * rank)
        if raw[:3] != b"\0\0\x08":
            raise ValueError("not of bytes")
        return values.reshape(shape)
    except (ValueError, IndexError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error})") from error


TARGETS = {
    "mnist": {
        "rows": Size(
            Digits(
                units=128,
                epochs=30,
                batch_size=50,
                valid_examples=500,
                test_examples=10_000,
                optimizer="adam",
                learning_rate=3e-3,
                anneal="linear",
                clip_norm=1.0,
            ),
            paper="",
            source="roatienza/Deep-Learning-Experiments: 98.9 % with 256 units and Adam",
        )
    }
}
