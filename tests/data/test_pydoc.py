"""The corpus that comes with Python: its preparation, and its builder on invented topics."""

import json
import pathlib
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

import data
from data import builder
from data.pydoc import pydoc_dataset_builder, source

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(data.__file__).parents[1]
TOPICS = json.loads((ROOT / "data/pydoc/dummy_data/topics.json").read_text())


@pytest.fixture(scope="module")
def topics():
    return source.texts()


@pytest.fixture(scope="module")
def texts(topics):
    return source.prepare(topics)


@pytest.mark.parametrize("level", data.LEVELS)
def test_builder_on_dummy_data(tmp_path, monkeypatch, level):
    monkeypatch.setattr(source, "texts", lambda: TOPICS)
    built = tfds.builder(f"pydoc/{level}", data_dir=tmp_path)
    assert type(built) is pydoc_dataset_builder.Builder
    built.download_and_prepare()
    again = pydoc_dataset_builder.Builder(config=level, data_dir=tmp_path)
    assert again.is_prepared()
    counts = {split: info.num_examples for split, info in again.info.splits.items()}
    assert counts == {"train": 3, "validation": 2, "test": 2}
    line = "the boat of the <unk> is <unk> <unk>"
    tokens = [*(line.split() if level == "word" else line), "<eos>"]
    assert builder.read_tokens(again, "validation")[: len(tokens)] == tokens


def test_metadata():
    metadata = pydoc_dataset_builder.Builder.get_metadata()
    assert metadata.tags and set(metadata.tags) <= set(dataset_metadata.valid_tags())
    assert "language reference" in metadata.description and "Python" in metadata.citation


def test_topics_become_lines():
    assert source.prepare(TOPICS) == {
        "train": [
            "a boat <unk> type is one of N kinds",
            "<unk> is <unk> <unk> to the <unk>",
            "the type of a boat is one of N kinds to the <unk>",
        ],
        # "a boat is never sold" stands in all three topics; objects is the shortest
        "validation": ["the boat of the <unk> is <unk> <unk>", "a boat is <unk> <unk>"],
        "test": ["is the boat of the <unk> a <unk> one", "a <unk> is to <unk> <unk>"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One sentence. Another one! A third?", ["one sentence", "another one", "a third"]),
        ("See e.g. Foo and i.e. Bar.", ["see e.g foo and i.e bar"]),
        ("Title\n*****\n\nText,\nwrapped.", ["text wrapped"]),
        ("Text:\n\n   x = [1]\n\n>>> A.\n\nRule ::= x.", ["text"]),
        (
            "1. First item.\n2. Second\n   item.\n\n[3] A note.",
            ["first item", "second item", "a note"],
        ),
        ("Python 3.11 has 1,000 2-tuples.", ["python N has N N-tuples"]),
        ("Names x1 and utf_8 stay.", ["names x1 and utf_8 stay"]),
        ("It’s what they’d call “a class’s” own.", ["it 's what they 'd call a class 's own"]),
        ("It can't; `object.__new__()` won't.", ["it ca n't object.__new__ wo n't"]),
    ],
)
def test_sentences(text, expected):
    assert source.sentences(text) == expected


def test_this_python_gives_a_corpus(texts):
    words = {split: [w for line in lines for w in line.split()] for split, lines in texts.items()}
    assert list(texts) == ["train", "validation", "test"]
    assert 120_000 < len(words["train"]) < 180_000 and 4000 < len(set(words["train"])) < 6000
    for split in ("validation", "test"):
        assert 0.1 < len(words[split]) / len(words["train"]) < 0.2
        assert set(words[split]) <= set(words["train"])
        assert words[split].count("<unk>") / len(words[split]) < 0.15
    everything = "".join(line for lines in texts.values() for line in lines)
    assert everything.isascii()
    assert set(filter(str.isupper, everything)) == {"N"}
    assert not set(everything) & set(',;:()"`*!?\n')


def test_the_corpus_is_made_once_and_for_nobody_to_change(texts):
    corpus = source.corpus()
    assert corpus is source.corpus() and {split: [*lines] for split, lines in corpus.items()} == texts
    assert {type(lines) for lines in corpus.values()} == {tuple} and not hasattr(corpus, "__setitem__")


def test_no_sentence_stands_in_two_splits(topics, monkeypatch):
    monkeypatch.setattr(source, "MINIMUM_COUNT", 0)  # else <unk> makes sentences equal
    texts = source.prepare(topics)
    lines = [line for lines in texts.values() for line in lines]
    assert len(set(lines) - {"<unk>"}) > 10_000
    parts = [set(lines) for lines in texts.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_order_and_hash_seed_of_the_process_do_not_matter(topics, texts):
    reverse = dict(reversed(topics.items()))
    assert source.prepare(reverse) == texts
    code = "from data.pydoc.source import *; print(prepare(texts()))"
    run = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    ]
    assert run[0] == run[1]


def test_empty_split_is_named():
    with pytest.raises(data.CorpusError, match="pydoc: no sentence for the test split"):
        source.prepare({topic: TOPICS[topic] for topic in ("types", "objects")})


MODULE = '''
"""The module."""
raise ImportError("nobody imports it")

class Boat:
    r"""A boat \\sigma."""

    async def sail(self):
        """Sail."""
        def inner():
            """Within."""
        x = """No docstring."""

def bare():
    pass
'''


def test_docstrings_are_read_and_never_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MODULES", ["boat", "fleet"])
    for name in ("boat.py", "fleet/__init__.py", "fleet/deep/ship.py", "fleet/tests/test_ship.py", "other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(MODULE)
    found = source.docstrings(tmp_path)
    assert list(found) == ["boat.py", "fleet/__init__.py", "fleet/deep/ship.py"]
    assert set(found.values()) == {"The module.\n\nA boat \\sigma.\n\nSail.\n\nWithin."}
    (tmp_path / "boat.py").unlink()
    with pytest.raises(data.CorpusError, match=r"boat\.py: No such file"):
        source.docstrings(tmp_path)


def test_the_modules_are_a_sorted_list_of_the_standard_librarys():
    assert source.MODULES == sorted(set(source.MODULES)) and set(source.MODULES) <= sys.stdlib_module_names


def test_python_without_the_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data", None)
    with pytest.raises(data.CorpusError, match="pydoc: this Python ships without the text"):
        source.topics()
