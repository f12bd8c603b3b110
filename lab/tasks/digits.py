"""Handwritten digits, read row by row."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.mnist import source as mnist
from lab import style
from lab.configuration import configure
from lab.fields import Count, InputError, Whole
from lab.task import Batches, Model, Tensor
from lab.tasks.layers import wide
from lab.tasks.sequences import Arrays, Examples, Figure, SequenceTask

PATIENCE = 5  # seconds for the network to answer


@dataclass(frozen=True, kw_only=True)
class Digits(SequenceTask):
    """A row of pixels a step; after the last one, which digit it was.

    `--corpus mnist`: the IDX files of `--data_dir`, or what Keras downloads. Where there are only
    the 10,000 digits of MNIST's test, the first 9,000 are trained on, and tested on the others.
    `--corpus digits`: the 8 x 8 digits of scikit-learn, every tenth for the test. `--corpus auto`: the
    first of these that is available. The last ``valid_examples`` of training are for validation. An epoch
    is ``train_examples`` digits, drawn without putting back until there is none left.

    shift: how far a digit is moved along both sides in training, in hundredths of its size
    """

    shift: Whole = 8
    train_examples: Count = 9000

    name, unit, score_name = "mnist", "digits", "cross_entropy"
    corpora = "auto", "mnist", "digits"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shift > 100:
            raise InputError(f"shift={self.shift}: must be at most 100")

    def load(self, corpus: str, data_dir: str | None, like: Examples | None = None) -> Examples:
        name, train, test, notice = read(corpus, data_dir)
        cut = len(train[0]) - self.valid_examples
        if cut < self.batch_size:
            raise InputError(
                f"valid_examples={self.valid_examples}: leaves {max(cut, 0)} of {name}'s "
                f"{len(train[0])} digits for training, fewer than batch_size, {self.batch_size}"
            )
        if like is None:
            self.check_steps(self.epoch_steps)
        elif like.train[0].shape[1:] != train[0].shape[1:]:
            raise InputError(
                f"--corpus {corpus}: its images are {train[0].shape[1:]}, the run's {like.train[0].shape[1:]}"
            )
        split = [[array[:cut] for array in train], [array[cut:] for array in train]]
        test = tuple(array[: self.test_examples] for array in test)
        return Examples(name, tuple(split[0]), tuple(split[1]), test, notice)

    def files(self, data: Examples) -> dict[str, object]:
        return {"rows.json": list(data.train[0].shape[1:])}

    def recall(self, read: Callable[[str], Any] | None) -> Examples:
        sizes = [8, 8], [28, 28]
        rows = sizes[1] if read is None else read("rows.json")
        if rows not in sizes:
            raise InputError(f"rows.json: damaged ({rows!r})")
        pair = np.zeros((1, *map(int, rows)), "float32"), np.zeros(1, "int32")
        return Examples("none", pair, pair, pair)

    def batches(self, data: Examples, epoch: int = 0) -> Batches:
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

    def network(self, features: tuple[int, ...], targets: tuple[int, ...]) -> Model:
        import keras

        x = keras.Input(tuple(features), name="rows")
        return keras.Model(x, keras.layers.Dense(10, name="output")(self.recurrent(x)))

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        import tensorflow as tf

        logits = wide(model(x, training=training)[:, -1])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits), state

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        x, y = getattr(data, split)
        return {"accuracy": float(np.mean(self.predict(model, x)[:, -1].argmax(-1) == y))}

    def figure(self, model: Model, data: Examples) -> Figure:
        x, y = data.test
        logits = self.predict(model, x).astype("float64")
        confusion = np.zeros((10, 10), int)
        np.add.at(confusion, (y, logits[:, -1].argmax(-1)), 1)
        title = f"{np.trace(confusion):,} of {len(y):,} digits right; four of them, with the probabilities row by row"
        figure = style.figure(title, 8, 3.6)
        grid = figure.add_gridspec(2, 6)
        axes = style.axes(figure, grid[:, :2], xlabel="taken for", ylabel="digit")
        style.heat(axes, np.sqrt(confusion), np.where(confusion, confusion, ""), high=np.sqrt(confusion.max()))
        axes.set_xticks(range(10))
        axes.set_yticks(range(10))
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        kinds = np.unique(y, return_index=True)[1]  # the first of every digit that there is
        for column, n in enumerate(kinds[np.linspace(0, len(kinds) - 1, 4).astype(int)]):
            picture = figure.add_subplot(grid[0, 2 + column])
            picture.imshow(x[n], cmap=style.color_map())
            picture.set_axis_off()
            belief = style.axes(figure, grid[1, 2 + column], xlabel="rows read", ylabel="" if column else "digit")
            style.heat(belief, chances[n].T)
            belief.set_yticks([] if column else range(10))
            belief.invert_yaxis()
        return figure


def read(corpus: str, data_dir: str | None) -> tuple[str, Arrays, Arrays, str]:
    """The corpus's name, (images, labels) of training and test, and the notice; images within [0, 1]."""
    if corpus not in Digits.corpora:
        raise InputError("--corpus must be auto, mnist or digits")
    notice = ""
    if corpus == "digits" and data_dir is not None:
        raise InputError(f"--data_dir {data_dir}: must be given with --corpus mnist, not digits")
    if corpus != "digits":
        if data_dir is not None:
            if found := mnist.read_folder(data_dir):
                return "mnist", found[0], found[1], notice
            raise InputError(f"--data_dir {data_dir}: must hold MNIST's IDX files")
        try:
            train, test = download()
            return "mnist", train, test, notice
        except Exception as error:  # Keras passes on whatever its downloads raise
            reason = f"not by download ({error})".replace("\n", " ")
        if corpus == "mnist":
            raise InputError(f"--corpus mnist: {reason}")
        notice = (
            f"No MNIST: {reason}. The digits are scikit-learn's, of 8 x 8 pixels. To have MNIST's: --data_dir FOLDER"
        )
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = (x.reshape(-1, 8, 8) / 16).astype("float32"), y.astype("int32")
    test = np.arange(len(x)) % 10 == 9
    return "digits", (x[~test], y[~test]), (x[test], y[test]), notice


def download() -> list[Arrays]:
    """MNIST as Keras has it, or keeps it; verified by its checksum."""
    configure()
    import keras

    with patience():
        splits = keras.datasets.mnist.load_data()
    return [((x / 255).astype("float32"), y.astype("int32")) for x, y in splits]


@contextlib.contextmanager
def patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
