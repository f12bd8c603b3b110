"""MNIST's IDX files, from a folder."""

import gzip
import pathlib
import zlib

import numpy as np

import data

FILES = {"train": "train", "test": "t10k"}


def read_folder(folder):
    """The training and test digits of a folder's IDX files, or None if there are none.

    Returns (images, labels) of either; images within [0, 1]. A folder with test digits alone is split:
    nine tenths are for training. Raises CorpusError if a file is damaged, not MNIST's, or lacks its pair.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise data.CorpusError(f"--data_dir {folder}: no folder")
    splits = {}
    for split, stem in FILES.items():
        names = [f"{stem}-{kind}" for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        paths = [find(folder, name) for name in names]
        if paths.count(None) == 1:
            raise data.CorpusError(f"{folder}: missing: {names[paths.index(None)]}, beside the other file of its pair")
        if None not in paths:
            x, y = map(read_idx, paths)
            if x.ndim != 3 or x.shape[1:] != (28, 28) or y.shape != (len(x),) or y.max(initial=0) > 9:
                raise data.CorpusError(f"{paths[0]}: not MNIST's")
            splits[split] = (x / 255).astype("float32"), y.astype("int32")
    if "test" not in splits:
        if splits:
            raise data.CorpusError(f"{folder}: missing: {FILES['test']}-images-idx3-ubyte and its labels, for the test")
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
        raise data.CorpusError(f"{path}: damaged ({error})") from error
