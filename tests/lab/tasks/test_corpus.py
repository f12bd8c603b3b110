"""Corpora of every origin, what is refused, and the windows. No test reaches the network."""

import importlib
import math
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

import data
from data import source as sources
from data.ptb.ptb_dataset_builder import Builder
from data.ptb.source import SOURCE
from lab.tasks.corpus import SOURCES, CorpusError, evaluation_windows, load_corpus, windows
from tests.tiny import dummy_source

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(data.__file__).parents[1]
DUMMY = ROOT / "data" / "ptb" / "dummy_data"
PTB = pathlib.Path(os.environ.get("TFCELLS_PTB", ROOT.parent / "shared" / "ptb"))
needs_ptb = pytest.mark.skipif(
    not (PTB / "ptb.train.txt").is_file(),
    reason=f"Penn Treebank, which may not be distributed, is not in {PTB} (set TFCELLS_PTB)",
)

TEXT = {"train": b"a b <unk>\nb c b\n", "valid": b"c a d\n", "test": b" b \n"}


def write(folder, prefix="", **texts):
    folder.mkdir(parents=True, exist_ok=True)
    for split, text in (TEXT | texts).items():
        if text is not None:
            (folder / f"{prefix}{split}.txt").write_bytes(text)
    return folder


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty TFDS cache, and no network."""

    def fetch(url, timeout, limit):
        raise OSError(f"{url}: no\nnetwork")

    monkeypatch.setattr(sources, "fetch", fetch)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def dummy(monkeypatch):
    """The dummy data counts as Penn Treebank."""
    dummy_source(SOURCE, monkeypatch)


def same(one, other):
    return one.vocabulary == other.vocabulary and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("train", "valid", "test")
    )


# ------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("form", ["{}.txt", "ptb.{}.txt", "wiki.{}.tokens"])
def test_folder_by_words(tmp_path, form):
    folder = write(tmp_path / "mine")
    for name in TEXT:
        (folder / f"{name}.txt").rename(folder / form.format(name))
    corpus = load_corpus(folder)
    assert (corpus.name, corpus.level) == ("mine", "word")
    assert corpus.vocabulary == ("b", "<eos>", "<unk>", "a", "c")  # by count, then alphabet
    assert corpus.eos == 1
    assert corpus.train.tolist() == [3, 0, 2, 1, 0, 4, 0, 1]
    assert corpus.valid.tolist() == [4, 3, 2, 1]  # d is unknown
    assert corpus.test.tolist() == [0, 1]
    assert {stream.dtype for stream in (corpus.train, corpus.valid, corpus.test)} == {np.dtype(np.int32)}


def test_folder_by_characters(tmp_path):
    folder = write(tmp_path, train="  é a\r\n\n a é".encode(), valid=b"a", test="é \n".encode())
    corpus = load_corpus(str(folder), level="char")
    assert corpus.vocabulary == (" ", "<eos>", "a", "é")
    assert corpus.train.tolist() == [0, 0, 3, 0, 2, 1, 1, 0, 2, 0, 3, 1]  # an empty line is an <eos>
    assert corpus.valid.tolist() == [2, 1]
    assert corpus.test.tolist() == [3, 0, 1]


@pytest.mark.parametrize("level, unknown", [("word", 2 / 4), ("char", 7 / 12)])
@pytest.mark.parametrize("split", ["valid", "test"])
def test_what_train_has_not_becomes_unk(tmp_path, level, unknown, split):
    """At the end of the vocabulary, and nowhere in training; where it is not needed it is not there."""
    folder = write(tmp_path / "mine", train=b"a b\n", valid=b"a b\n", test=b"a b\n")
    plain = load_corpus(folder, level=level)
    assert "<unk>" not in plain.vocabulary
    (folder / f"{split}.txt").write_bytes(b"a what ever\n")
    corpus = load_corpus(folder, level=level)
    assert corpus.vocabulary == (*plain.vocabulary, "<unk>")
    np.testing.assert_array_equal(corpus.train, plain.train)
    assert {name: corpus.unknown(name) for name in TEXT} == {name: unknown * (name == split) for name in TEXT}
    assert {name: plain.unknown(name) for name in TEXT} == dict.fromkeys(TEXT, 0.0)


def test_share_of_unk_counts_what_the_text_has_of_it(tmp_path):
    corpus = load_corpus(write(tmp_path / "mine"))
    assert [corpus.unknown(name) for name in TEXT] == [1 / 8, 1 / 4, 0]


@pytest.mark.parametrize("level", data.LEVELS)
def test_a_vocabulary_given_is_all_that_is_scored(tmp_path, level):
    """Training may have other tokens, validation and test may not."""
    folder = write(tmp_path / "mine", train=b"x z\n", valid=b"a b\n", test=b"b a\n")
    known = "<eos>", " ", "a", "b"
    corpus = load_corpus(folder, level=level, vocabulary=known)
    assert corpus.vocabulary == known and set(corpus.valid) | set(corpus.test) <= {0, 1, 2, 3}
    (folder / "test.txt").write_bytes(b"a x\n")
    with pytest.raises(CorpusError, match="corpus mine: 'x' of the test text"):
        load_corpus(folder, level=level, vocabulary=known)


CODE = ["def f():", "\treturn 1  ", "", "  x\x0c = 2", "\u2028y\x85 "]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_text_is_kept_as_it_is(tmp_path, mark, end, last):
    """But for a mark at its start and how its lines end: spaces, tabs and rarer separators are characters."""
    text = (mark + end.join(CODE) + end * last).encode()
    folder = write(tmp_path, train=text, valid=text, test=text)
    corpus = load_corpus(folder, level="char")
    expected = [token for line in CODE for token in [*line, "<eos>"]]
    for name in TEXT:
        assert [corpus.vocabulary[n] for n in getattr(corpus, name)] == expected
    words = load_corpus(folder)
    expected = [token for line in CODE for token in [*line.split(), "<eos>"]]
    assert [words.vocabulary[n] for n in words.train] == expected


def test_a_prompt_keeps_its_spaces(tmp_path):
    corpus = load_corpus(write(tmp_path, train=b"ret a\n\tb\n", valid=b"a\n", test=b"a\n"), level="char")
    for text in ("ret ", " ret", "\tret\n ", "\n\n"):
        found = [corpus.vocabulary[n].replace("<eos>", "\n") for n in corpus.encode(text)]
        assert "".join(found) == text


@pytest.mark.parametrize("name", ["ptb", "pydoc", "auto"])
def test_a_folder_is_never_taken_for_a_corpus_of_that_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name)
    corpus = load_corpus(f"./{name}")
    assert corpus.name == corpus.folder == str(tmp_path / name)
    assert load_corpus(write(tmp_path / "mine")).folder == str(tmp_path / "mine")
    assert load_corpus("pydoc").folder is None


def test_penn_treebank_in_a_folder_of_ones_own_is_read_as_it(tmp_path, dummy):
    """With the spaces at the ends of its lines that Mikolov put there."""
    texts = {name: (DUMMY / f"ptb.{name}.txt").read_bytes() for name in TEXT}
    folder = write(tmp_path / "mine", **texts)
    for level in data.LEVELS:
        assert same(load_corpus(folder, level=level), load_corpus("ptb", data_dir=DUMMY, level=level))
    corpus = load_corpus("ptb", data_dir=DUMMY, level="char")
    ends = np.flatnonzero(corpus.train == corpus.eos)
    assert corpus.vocabulary.index(" ") not in {*corpus.train[ends - 1], *corpus.train[ends[:-1] + 1]}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"valid": None}, r"missing: \S*valid\.txt, beside \S*train\.txt, \S*test\.txt$"),
        ({"train": None, "test": None}, r"missing: \S*train\.txt, \S*test\.txt, beside \S*valid\.txt$"),
        ({"train": None, "valid": None, "test": None}, "holds neither train.txt, valid.txt, test"),
        ({"test": b""}, r"test\.txt: empty"),
        ({"valid": b" \n\n"}, r"valid\.txt: empty"),
        ({"train": b"ab\xff"}, r"train\.txt: not UTF-8: byte 0xff at 2"),
        ({"train": "ü".encode("utf-16")}, r"train\.txt: not UTF-8"),
        ({"train": "abc".encode("utf-16-le")}, r"train\.txt: not UTF-8: it has NULs"),
        ({"test": b"a\0b"}, r"test\.txt: not UTF-8: it has NULs"),
        ({"valid": b"\xef\xbb\xbf"}, r"valid\.txt: empty"),
        ({"valid": b"\xef\xbb\xbfab\xff"}, r"valid\.txt: not UTF-8: byte 0xff at 5"),
    ],
)
def test_bad_folder(tmp_path, texts, message):
    folder = write(tmp_path / "mine", **texts)
    before = contents(tmp_path)
    with pytest.raises(CorpusError, match=message):
        load_corpus(folder)
    assert contents(tmp_path) == before


# ------------------------------------------------------------------- WikiText-2, text8, enwik8

LEVELS = [("wikitext2", level) for level in data.LEVELS] + [("text8", "char"), ("text8", "byte"), ("enwik8", "byte")]


def text_of(corpus, split="train"):
    return ["\n" if index == corpus.eos else corpus.vocabulary[index] for index in getattr(corpus, split)]


@pytest.mark.parametrize("name, level", LEVELS)
def test_a_corpus_of_a_name_is_found_in_three_places(cache, monkeypatch, name, level):
    """The folder, the TFDS cache, the download, which is kept."""
    source = SOURCES[name]
    folder = dummy_source(source, monkeypatch)
    names = ", ".join(file.name for file in source.files.values())
    missing = f"No {source.title}: no --data_dir FOLDER with {names} is given, it is not in the TFDS cache"
    with pytest.raises(CorpusError, match=f"{missing} .*{source.archive.url}: no network"):
        load_corpus(name, level=level)
    corpus = load_corpus(name, data_dir=folder, level=level)
    assert (corpus.name, corpus.level, corpus.folder) == (name, level, None)
    config = level if name == "wikitext2" else "byte"
    builder = importlib.import_module(f"data.{name}.{name}_dataset_builder").Builder(config=config, data_dir=cache)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    assert same(corpus, load_corpus(name, level=level))
    shutil.rmtree(cache)
    monkeypatch.setattr(source, "download", lambda to: shutil.copytree(folder, to))
    assert same(corpus, load_corpus(name, level=level))
    monkeypatch.delattr(source, "download")
    assert same(corpus, load_corpus(name, level=level))


def test_wikitext2(monkeypatch):
    corpus = load_corpus("wikitext2", data_dir=dummy_source(SOURCES["wikitext2"], monkeypatch))
    lines = [[], "= A Boat =".split(), [], "The boat , built in 1900 , was sold twice .".split()]
    assert text_of(corpus) == [token for line in lines for token in [*line, "\n"]]  # empty lines, too
    assert corpus.vocabulary[-1] == "<unk>" and corpus.unknown("test") > 0


def test_text8(monkeypatch):
    """Its tokens are its characters, none is for an end; `<eos>` is last in the vocabulary of 28 of the real text."""
    folder = dummy_source(SOURCES["text8"], monkeypatch)
    text = (folder / "text8").read_text()
    corpus = load_corpus("text8", data_dir=folder, level="char")
    found = {split: "".join(text_of(corpus, split)) for split in TEXT}
    assert found == {"train": text[:180], "valid": text[180:190], "test": text[190:]}
    assert sorted(corpus.vocabulary) == sorted({*text, "<eos>"}) and corpus.vocabulary[-1] == "<eos>"
    batches = list(evaluation_windows(corpus.test, 1, 100, corpus.eos).as_numpy_iterator())
    assert sum(weights.sum() for *_, weights in batches) == len(corpus.test)  # so many characters are scored


def test_enwik8(monkeypatch):
    """Its tokens are its bytes, `<eos>` that which ends a line; those that training lacks are in the vocabulary."""
    folder = dummy_source(SOURCES["enwik8"], monkeypatch)
    text = (folder / "enwik8").read_bytes()
    corpus = load_corpus("enwik8", data_dir=folder, level="byte")
    found = {split: "".join(text_of(corpus, split)).encode("latin-1") for split in TEXT}
    assert found == {"train": text[:180], "valid": text[180:190], "test": text[190:]}
    assert len(corpus.vocabulary) == len(set(text)) and "<unk>" not in corpus.vocabulary
    assert corpus.vocabulary[-2:] == ("Q", "~") and not {"Q", "~"} & set(found["train"])
    assert [corpus.vocabulary[index] for index in corpus.encode("Zoë")] == ["Z", "o", "Ã", "«"]


@pytest.mark.parametrize("name, level", [("text8", "word"), ("enwik8", "word"), ("enwik8", "char")])
def test_a_text_of_bytes_at_a_level_that_it_has_not(name, level):
    with pytest.raises(CorpusError, match=f"--corpus {name}: must be read with --level .*byte, not {level}"):
        load_corpus(name, level=level)


def test_bytes_of_any_text(tmp_path):
    folder = write(tmp_path, train="é a\n\nü".encode(), valid=b"a\n", test="é\n".encode())
    corpus = load_corpus(str(folder), level="byte")
    assert "".join(text_of(corpus)).encode("latin-1") == "é a\n\nü\n".encode()
    assert load_corpus("pydoc", level="byte").level == "byte"


def test_bad_arguments(tmp_path):
    with pytest.raises(CorpusError, match="--corpus 'pbt': neither a corpus nor a folder; did you mean ptb?"):
        load_corpus("pbt")
    with pytest.raises(CorpusError, match="level 'letter'"):
        load_corpus("pydoc", level="letter")
    for corpus in ("auto", "ptb"):
        with pytest.raises(CorpusError, match="--data_dir .*nowhere: no such folder"):
            load_corpus(corpus, data_dir=tmp_path / "nowhere")


# -------------------------------------------------------------------- Penn Treebank and auto


@needs_ptb
@pytest.mark.parametrize(
    ("level", "tokens", "vocabulary"),
    [("word", [929_589, 73_760, 82_430], 10_000), ("char", [5_017_482, 393_042, 442_423], 50)],
)
def test_penn_treebank(level, tokens, vocabulary):
    corpus = load_corpus("ptb", data_dir=PTB, level=level)
    assert corpus.name == "ptb"
    assert [len(corpus.train), len(corpus.valid), len(corpus.test)] == tokens
    assert len(corpus.vocabulary) == vocabulary
    counts = np.bincount(corpus.train)
    assert len(counts) == vocabulary and np.all(np.diff(counts) <= 0)
    assert counts[corpus.eos] == 42_068
    separator = " " if level == "word" else ""
    text = separator.join(corpus.vocabulary[token] for token in corpus.train[:9])
    assert text.startswith("aer bankn")


@needs_ptb
def test_tampered_penn_treebank_is_refused(tmp_path, capsys):
    for split in TEXT:
        content = (PTB / f"ptb.{split}.txt").read_bytes()
        content = content.replace(b"pierre", b"pietro") if split == "train" else content
        (tmp_path / f"ptb.{split}.txt").write_bytes(content)
    for corpus in ("auto", "ptb"):
        with pytest.raises(CorpusError, match=r"ptb\.train\.txt: not Penn Treebank's.*SHA-256"):
            load_corpus(corpus, data_dir=tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", ["", "simple-examples/data"])
@pytest.mark.parametrize("prefix", ["ptb.", ""])
def test_data_dir(tmp_path, dummy, capsys, place, prefix):
    texts = {name: (DUMMY / f"ptb.{name}.txt").read_bytes() for name in TEXT}
    write(tmp_path / "data" / place, prefix, **texts)
    corpus = load_corpus("auto", data_dir=tmp_path / "data")
    assert corpus.name == "ptb"
    assert corpus.vocabulary[:3] == ("<eos>", "the", "boats")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("level", data.LEVELS)
def test_tfds_cache(cache, dummy, level):
    config = tfds.download.DownloadConfig(manual_dir=DUMMY)
    Builder(config=level, data_dir=cache).download_and_prepare(download_config=config)
    corpus = load_corpus("auto", level=level)
    assert corpus.name == "ptb"
    assert same(corpus, load_corpus("ptb", data_dir=DUMMY, level=level))


def test_damaged_tfds_cache(cache, dummy):
    config = tfds.download.DownloadConfig(manual_dir=DUMMY)
    Builder(config="word", data_dir=cache).download_and_prepare(download_config=config)
    (record,) = cache.glob("ptb/word/*/ptb-train.tfrecord*")
    record.write_bytes(record.read_bytes()[:-3])
    with pytest.raises(CorpusError, match="ptb/word/1.0.0: damaged"):
        load_corpus("ptb")


def test_wrong_download_is_not_used(cache, dummy, monkeypatch):
    """By default it is like none, and the notice says what was wrong."""
    served = {f.url: (DUMMY / f.name).read_bytes().upper() for f in SOURCE.files.values()}
    monkeypatch.setattr(sources, "fetch", lambda url, timeout, limit: served.get(url, b""))
    with pytest.raises(CorpusError, match="can't be downloaded.*ptb.train.txt.*SHA-256"):
        load_corpus("ptb")
    corpus = load_corpus("auto")
    assert corpus.name == "pydoc" and "SHA-256" in corpus.notice and "The corpus is pydoc" in corpus.notice
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_download_is_kept(cache, dummy, monkeypatch):
    served = {file.url: (DUMMY / file.name).read_bytes() for file in SOURCE.files.values()}
    asked = []

    def fetch(url, timeout, limit):
        asked.append(url)
        return served.get(url, b"not found")

    monkeypatch.setattr(sources, "fetch", fetch)
    for level in ("word", "char", "word"):
        corpus = load_corpus("auto", level=level)
        assert same(corpus, load_corpus("ptb", data_dir=DUMMY, level=level))
    assert asked == [SOURCE.archive.url, *served]
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [
        "ptb.test.txt",
        "ptb.train.txt",
        "ptb.valid.txt",
    ]
    next(cache.rglob("ptb.test.txt")).write_bytes(b"damage")
    assert same(load_corpus("ptb"), load_corpus("ptb", data_dir=DUMMY))
    assert len(asked) == 8


def test_auto_notes_in_one_line_why_it_takes_pydoc(tmp_path, cache, capsys):
    corpus = load_corpus("auto")
    assert corpus.name == "pydoc"
    assert same(corpus, load_corpus("pydoc"))
    assert capsys.readouterr() == ("", "") and "\n" not in corpus.notice
    for part in (
        "ptb.valid.txt, ptb.test.txt is given",
        str(cache),
        SOURCE.archive.url,
        "no network",
        "pydoc",
        "not Penn",
    ):
        assert part in corpus.notice
    plain = load_corpus("pydoc").notice
    wanted, _, files = plain.rpartition(" with ")
    assert wanted.endswith("--data_dir FOLDER") and corpus.notice.startswith(f"{wanted} (No Penn Treebank: ")
    assert files == "ptb.train.txt, ptb.valid.txt, ptb.test.txt"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("corpus", ["auto", *SOURCES])
def test_a_data_dir_without_the_corpus_is_refused(tmp_path, cache, corpus):
    title = SOURCES["ptb" if corpus == "auto" else corpus].title
    with pytest.raises(CorpusError, match=f"--data_dir {tmp_path}: must hold {title} [(].*; --corpus reads any other"):
        load_corpus(corpus, data_dir=tmp_path, level="byte")


@pytest.mark.parametrize("corpus", ["pydoc", str(DUMMY)])
def test_a_data_dir_that_nobody_reads_is_refused(corpus):
    with pytest.raises(CorpusError, match=f"--data_dir {DUMMY}: must be given with --corpus ptb or .*, not {corpus}"):
        load_corpus(corpus, data_dir=DUMMY)


def test_ptb_fails_where_auto_would_take_pydoc(tmp_path, cache, capsys):
    with pytest.raises(
        CorpusError, match=f"No Penn Treebank: no --data_dir FOLDER with .* is given, .*{cache}.*{SOURCE.archive.url}"
    ):
        load_corpus("ptb")
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", data.LEVELS)
def test_pydoc(level):
    corpus = load_corpus("pydoc", level=level)
    assert (corpus.name, corpus.level) == ("pydoc", level)
    assert ("<unk>" in corpus.vocabulary) == (level == "word")
    assert len(corpus.train) > 5 * len(corpus.test)
    for stream in (corpus.train, corpus.valid, corpus.test):
        assert stream.min() >= 0 and stream.max() < len(corpus.vocabulary)
        assert stream[-1] == corpus.eos


def test_import_is_light():
    code = "import sys, lab.tasks.corpus; print(any('tensorflow' in name for name in sys.modules))"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("False\n", "")


# ------------------------------------------------------------------------------- windows

SIZES = [(2, 1, 1), (20, 2, 3), (23, 2, 3), (101, 5, 4), (101, 1, 100), (14, 2, 6), (1000, 7, 13)]


@pytest.mark.parametrize(("length", "batch_size", "steps"), SIZES)
def test_windows_are_contiguous(length, batch_size, steps):
    tokens = np.arange(length, dtype=np.int32)
    dataset = windows(tokens, batch_size, steps)
    row = length // batch_size
    assert dataset.cardinality() == (row - 1) // steps
    for spec in dataset.element_spec:
        assert spec.shape == (batch_size, steps) and spec.dtype == "int32"
    inputs, targets = (np.concatenate(part, 1) for part in zip(*dataset.as_numpy_iterator()))
    used = (row - 1) // steps * steps
    expected = np.arange(batch_size)[:, None] * row + np.arange(used)
    np.testing.assert_array_equal(inputs, expected)
    np.testing.assert_array_equal(targets, expected + 1)


def test_windows_can_be_skipped():
    dataset = windows(np.arange(1000, dtype=np.int32), 4, 7)
    whole, rest = (list(part.as_numpy_iterator()) for part in (dataset, dataset.skip(30)))
    assert len(rest) == len(whole) - 30
    np.testing.assert_array_equal(rest[0], whole[30])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("steps", [1, 3, 35])
@pytest.mark.parametrize("length", [1, 2, 19, 20, 21, 140, 1009])
def test_evaluation_predicts_each_token_once(length, batch_size, steps):
    tokens = np.arange(10, 10 + length, dtype=np.int32)
    dataset = evaluation_windows(tokens, batch_size, steps, first=3)
    for spec, dtype in zip(dataset.element_spec, ("int32", "int32", "float32"), strict=True):
        width = min(steps, math.ceil(length / batch_size))
        assert spec.shape == (batch_size, width) and spec.dtype == dtype
    parts = list(dataset.as_numpy_iterator())
    assert len(parts) == dataset.cardinality() == math.ceil(math.ceil(length / batch_size) / steps)
    inputs, targets, weights = (np.concatenate(part, 1) for part in zip(*parts))
    real = weights == 1
    assert np.all(real | (weights == 0)) and weights.sum() == length
    # rows one after another are the stream, each token under its predecessor
    np.testing.assert_array_equal(targets[real], tokens)
    np.testing.assert_array_equal(inputs[real], np.concatenate([[3], tokens[:-1]]))
    # nothing real follows padding, where a carried state would be spoilt
    assert np.all(np.diff(weights, axis=1) <= 0)


@pytest.mark.parametrize(("length", "batch_size", "steps"), [(7, 2, 3), (0, 1, 1), (19, 20, 1)])
def test_too_short_stream(length, batch_size, steps):
    tokens = np.zeros(length, np.int32)
    with pytest.raises(CorpusError, match=f"batch_size {batch_size} and steps {steps}"):
        windows(tokens, batch_size, steps)
    windows(np.zeros(batch_size * (steps + 1), np.int32), batch_size, steps)  # just long enough


def test_bad_sizes():
    for cut in (windows, lambda *args: evaluation_windows(*args, first=0)):
        with pytest.raises(CorpusError, match="steps 0: less than 1"):
            cut(np.zeros(9, np.int32), 1, 0)
        with pytest.raises(CorpusError, match="batch_size -1: less than 1"):
            cut(np.zeros(9, np.int32), -1, 1)
    with pytest.raises(CorpusError, match="no token for windows of batch_size 2 and steps 3"):
        evaluation_windows(np.zeros(0, np.int32), 2, 3, first=0)
