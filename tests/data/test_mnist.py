"""MNIST's IDX files, whole and damaged."""

import contextlib
import gzip

import numpy as np
import pytest

from data import CorpusError
from data.mnist import source as mnist_source
from tests.tiny import write_mnist


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03\0\0", b"\0\0\x0d\1" + b"\0" * 9, b"x" * 99])
def test_a_damaged_idx_file_is_named(tmp_path, content):
    write_mnist(tmp_path / "m", np.zeros((20, 28, 28)), np.zeros(20))
    path = tmp_path / "m" / "t10k-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=path.name):
        mnist_source.read_folder(tmp_path / "m")


@pytest.mark.parametrize("stem, kind", [("train", "labels-idx1"), ("train", "images-idx3"), ("t10k", "labels-idx1")])
def test_half_a_pair_is_no_split(tmp_path, stem, kind):
    """Else the test digits would be trained on, without a word."""
    for each in ("train", "t10k"):
        write_mnist(tmp_path / "m", np.zeros((20, 28, 28)), np.zeros(20), each)
    for path in (tmp_path / "m").glob(f"{stem}-{kind}*"):
        path.unlink()
    with pytest.raises(CorpusError, match=f"m: missing: {stem}-{kind}-ubyte, beside"):
        mnist_source.read_folder(tmp_path / "m")


def test_training_digits_alone_are_not_enough(tmp_path):
    write_mnist(tmp_path / "m", np.zeros((20, 28, 28)), np.zeros(20), "train")
    with pytest.raises(CorpusError, match="m: missing: t10k-images-idx3-ubyte and its labels"):
        mnist_source.read_folder(tmp_path / "m")


def test_a_damaged_gzip_file_is_named(tmp_path):
    write_mnist(tmp_path / "m", np.zeros((20, 28, 28)), np.zeros(20))
    path = tmp_path / "m" / "t10k-labels-idx1-ubyte"
    whole = gzip.compress(path.read_bytes())
    path.unlink()
    path = path.with_name(f"{path.name}.gz")
    assert mnist_source.read_idx(written(path, whole)).shape == (20,)
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
        with contextlib.suppress(CorpusError):  # the flags of a header may not matter
            assert mnist_source.read_idx(written(path, damaged)).shape == (20,)
    with pytest.raises(CorpusError, match=path.name):
        mnist_source.read_idx(written(path, whole[:14]))


def written(path, content):
    path.write_bytes(content)
    return path
