"""Digits: which there are, how they move, how often they come."""

import itertools
import socket

import keras
import numpy as np
import pytest

from lab.fields import InputError
from lab.tasks import digits
from tests.tiny import recipe, write_mnist

pytestmark = pytest.mark.slow


def test_digits_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (100, 28, 28)), rng.integers(0, 10, 100)
    write_mnist(tmp_path / "m", images, labels)
    task = recipe("mnist", valid_examples=20, batch_size=10)
    data = task.load("mnist", str(tmp_path / "m"))
    assert [len(split[0]) for split in (data.train, data.valid, data.test)] == [70, 20, 10]
    np.testing.assert_allclose(data.test[0] * 255, images[90:], atol=1e-3)
    np.testing.assert_array_equal(data.test[1], labels[90:])
    write_mnist(tmp_path / "m", images[:40], labels[:40], "train")
    data = task.load("mnist", str(tmp_path / "m"))
    assert [len(split[0]) for split in (data.train, data.valid, data.test)] == [20, 20, 100]


def test_digits_by_download(monkeypatch):
    """As Keras gives them; the network is waited for while they come, and not for long."""
    rng, before = np.random.default_rng(0), socket.getdefaulttimeout()
    splits = [(rng.integers(0, 256, (n, 28, 28), "uint8"), rng.integers(0, 10, n, "uint8")) for n in (40, 100)]
    waits = []
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: waits.append(socket.getdefaulttimeout()) or splits)
    for corpus in ("auto", "mnist"):
        name, *found, notice = digits.read(corpus, None)
        assert (name, notice) == ("mnist", "")
        for (x, y), (images, labels) in zip(found, splits, strict=True):
            assert (x.dtype, y.dtype) == ("float32", "int32")
            np.testing.assert_allclose(x, images / 255, rtol=1e-6)
            np.testing.assert_array_equal(y, labels)
    assert waits == [digits.PATIENCE] * 2 and socket.getdefaulttimeout() == before


def test_digits_that_cannot_be_downloaded(monkeypatch):
    """Other digits stand in, with a notice, but not for those that were asked for."""
    before = socket.getdefaulttimeout()

    def fails():
        raise Exception("URL fetch failure\non a host")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fails)
    name, (x, _), _, notice = digits.read("auto", None)
    assert name == "digits" and x.shape[1:] == (8, 8)
    assert notice.startswith("No MNIST: not by download (URL fetch failure on a host).")
    with pytest.raises(InputError, match="--corpus mnist: not by download .URL fetch failure on a host."):
        digits.read("mnist", None)
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize("rows", [[[28], [28]], [9, 9], [28], {}, "28", None, [True, 8]])
def test_sizes_of_digits_that_cannot_be(rows):
    task = recipe("mnist")
    with pytest.raises(InputError, match="rows.json: damaged"):
        task.recall(lambda name: rows)
    assert task.recall(lambda name: [8, 8]).train[0].shape == (1, 8, 8)


def test_digits_stay_in_sight():
    with pytest.raises(InputError, match="shift=101: must be at most 100"):
        recipe("mnist", shift=101)


def test_digits_move_within_their_frame():
    task = recipe("mnist", batch_size=5, valid_examples=5, shift=12, train_examples=10)
    image = np.zeros((10, 8, 8), "float32")
    image[:, 4, 4] = 1
    data = digits.Examples("x", (image, np.arange(10)), None, None)
    moved = np.concatenate([x for x, _ in task.batches(data)])
    where = {tuple(int(n) - 4 for n in np.argwhere(x)[0]) for x in moved}
    assert all(x.sum() == 1 for x in moved)
    assert where <= set(itertools.product((-1, 0, 1), repeat=2)) and len(where) > 3


def test_an_epoch_of_digits_goes_round():
    task = recipe("mnist", batch_size=5, train_examples=25, shift=0)
    data = digits.Examples("x", (np.zeros((10, 8, 8), "float32"), np.arange(10)), None, None)
    drawn = np.concatenate([y for _, y in task.batches(data)])
    assert len(drawn) == 25 and set(np.bincount(drawn, minlength=10)) == {2, 3}
