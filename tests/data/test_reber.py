"""The strings of the embedded Reber grammar, and their builder."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.reber import reber_dataset_builder
from data.reber import source as reber_source
from tests.tiny import recipe

pytestmark = pytest.mark.slow


def walks(length):
    """All strings of the grammar of that length, from a table of their own."""
    after = {
        "a": [("B", "b")],
        "b": [("T", "c"), ("P", "d")],
        "c": [("S", "c"), ("X", "e")],
        "d": [("T", "d"), ("V", "f")],
        "e": [("X", "d"), ("S", "g")],
        "f": [("P", "e"), ("V", "g")],
        "g": [("E", "")],
    }
    paths = [("", "a")]
    for _ in range(length - 4):
        paths = [(s + symbol, new) for s, node in paths if node for symbol, new in after[node]]
    return {f"B{o}{s}{o}E" for s, node in paths if not node for o in "TP"}


def test_reber_strings_are_the_grammars():
    drawn = set(reber_source.draw_different(np.random.default_rng(0), 300))
    for length in range(9, 13):
        strings = walks(length)
        assert {string for string in drawn if len(string) == length} <= strings
        for string in strings:
            following = [
                {other[n] for other in walks_with(string[:n], length) if len(other) > n} for n in range(1, length)
            ]
            assert [set(legal) for legal in reber_source.legal(string)] == following


def walks_with(start, length):
    return {s for n in range(9, length + 8) for s in walks(n) if s.startswith(start)}


@pytest.mark.parametrize("string", ["", "B", "BTBTSXSEPE", "BTBTSXSETEE", "BTBTXXSETE", "XTBTXSETE"])
def test_other_strings_are_not(string):
    with pytest.raises(ValueError, match="grammar"):
        reber_source.legal(string)


def test_reber_builder(tmp_path):
    config = reber_dataset_builder.Config(name="seed_7", seed=7)
    built = reber_dataset_builder.Builder(config=config, data_dir=tmp_path)
    built.download_and_prepare()
    splits = {split: list(tfds.as_numpy(built.as_dataset(split))) for split in built.info.splits}
    assert {split: len(rows) for split, rows in splits.items()} == reber_dataset_builder.COUNTS
    name = built.info.features["symbols"].feature.int2str
    strings = ["".join(map(name, row["symbols"])) for rows in splits.values() for row in rows]
    assert len(set(strings)) == len(strings)
    data = recipe("reber", data_seed=7).load("auto", None)
    for split, encoded in (("train", data.train), ("validation", data.test)):
        for row, x in zip(splits[split], encoded[0], strict=True):
            assert list(x[x.any(-1)].argmax(-1)) == list(row["symbols"][:-1])
    first = splits["train"][0]
    assert [text.decode() for text in first["legal"]] == reber_source.legal(strings[0])
