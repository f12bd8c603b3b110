"""Corpora as streams of token indices, and the windows that training and evaluation take of them.

Neither TensorFlow nor TFDS is imported before it is needed.
"""

import collections
import dataclasses
import importlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import data
from data import CorpusError
from data.enwik8.source import SOURCE as ENWIK8
from data.ptb.source import SOURCE as PTB
from data.pydoc import source as pydoc
from data.source import Source
from data.text8.source import SOURCE as TEXT8
from data.wikitext2.source import SOURCE as WIKITEXT2
from lab.configuration import tensorflow
from lab.fields import InputError, nearest
from lab.task import Batches
from lab.tasks.batches import in_order

Tokens = dict[str, list[str] | str]
"""By split. Of characters or bytes one string, in which a new line stands for `<eos>`."""

SOURCES: dict[str, Source] = {source.name: source for source in (PTB, WIKITEXT2, TEXT8, ENWIK8)}

NAMES = "auto", *SOURCES, "pydoc"
"""What a corpus may be called that is no folder."""

NOTICE = (
    "The corpus is pydoc, the documentation that comes with Python: its perplexities are not Penn Treebank's. "
    "To have that: --data_dir FOLDER"
)
OF_BYTES = {"text8": ("char", "byte"), "enwik8": ("byte",)}
"""Texts without lines, each with the levels at which it is read."""

NOWHERE = -1  # the index of a token that the vocabulary lacks


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A text as three streams of token indices, each line ended by `<eos>`.

    Attributes:
        name: one of NAMES, but for "auto", or the name of the folder it was read from.
        level: "word", "char" or "byte".
        vocabulary: index -> token; the tokens of the training stream by falling count, then
            alphabetically; `<unk>` at the end if another stream needs it and that lacks it. A byte is written as the
            character of its number.
        train, valid, test: int32 arrays of shape (tokens,).
        folder: the absolute path of that folder.
        notice: what the user should know before training on it.
    """

    name: str
    level: str
    vocabulary: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    folder: str | None = None
    notice: str = ""

    @property
    def eos(self) -> int:
        """The index of `<eos>`."""
        return self.vocabulary.index(data.EOS)

    def tokens(self, prompt: str) -> list[str]:
        """A text's tokens, without an `<eos>` at its end."""
        return [token for line in prompt.split("\n") for token in data.split_line(line, self.level)][:-1]

    def encode(self, prompt: str) -> list[int]:
        """The indices of a text's tokens, without an `<eos>` at its end; `<unk>` for unknown ones.

        Raises CorpusError if a token is not in the vocabulary, and neither is `<unk>`.
        """
        tokens = self.tokens(prompt)
        stream = encode(tokens, self.vocabulary)
        check_known("prompt", "given", tokens, stream)
        return stream.tolist()

    def unknown(self, split: str) -> float:
        """The share of `<unk>` among the tokens of a stream."""
        stream = getattr(self, split)
        if data.UNK not in self.vocabulary or not len(stream):
            return 0.0
        return float(np.mean(stream == self.vocabulary.index(data.UNK)))


def from_vocabulary(vocabulary: Any, level: str) -> Corpus:
    """A corpus without text: training has each token once, the rest is empty.

    Raises CorpusError if it is not a list of different words, or characters, with `<eos>` among them.
    """
    if not (
        isinstance(vocabulary, list)
        and all(isinstance(token, str) and token for token in vocabulary)
        and len(set(vocabulary)) == len(vocabulary)
        and data.EOS in vocabulary
    ):
        raise CorpusError(f"vocabulary: not a list of different tokens with {data.EOS} among them")
    none = np.zeros(0, np.int32)
    train = np.arange(len(vocabulary), dtype=np.int32)
    return Corpus("none", level, tuple(vocabulary), train, none, none)


def load_corpus(
    corpus: str = "auto",
    data_dir: str | None = None,
    level: str = "word",
    vocabulary: tuple[str, ...] | None = None,
) -> Corpus:
    """Find and read a corpus.

    corpus: "ptb", "wikitext2", "text8", "enwik8": from `data_dir`, or from the TFDS cache, else by download into
    that cache; "pydoc": the documentation that comes with Python; "auto": "ptb" if it can be
    had, else "pydoc", whose notice says why; a path: a folder that holds train.txt, valid.txt
    and test.txt, or ptb.train.txt ..., or wiki.train.tokens ...: any text in UTF-8, words between white space. What its
    validation and test have and its training text has not becomes `<unk>`.
    data_dir: a folder that holds the files of one of the first four. They are verified.
    level: "word", "char" or "byte"; of text8 one of the last two, which are the same; of enwik8 the last.
    vocabulary: the tokens by index; those of the training text if not given, of text8 and enwik8 those of the whole
        text. The training text may then have others.

    Raises CorpusError if the corpus can't be had; if a file is missing, empty, damaged or not UTF-8;
    if a token of validation or test is not in the vocabulary given, and neither is `<unk>`; if `data_dir`
    does not hold the corpus's files, or is given with another corpus than those. Nothing has been
    written then.
    """
    if level not in data.LEVELS:
        raise CorpusError(f"level {level!r}: must be {' or '.join(data.LEVELS)}")
    name, tokens, notice = read(corpus, data_dir, level)
    scored = [split for split in tokens if split != "train"]
    if vocabulary is None:
        counts = count(tokens["train"])
        known = {token for split in scored for token in count(tokens[split])}
        if name in OF_BYTES:
            known.add(data.EOS)  # with which reading starts, though text8 has no lines
            counts.update(dict.fromkeys(known, 0))
        elif not counts.keys() >= known:
            counts.setdefault(data.UNK, 0)
        vocabulary = tuple(sorted(counts, key=lambda token: (-counts[token], token)))
    streams = {split: encode(part, vocabulary) for split, part in tokens.items()}
    for split in scored:
        check_known(f"corpus {name}", split, tokens[split], streams[split])
    folder = None if corpus in NAMES else os.path.abspath(os.path.expanduser(corpus))
    train, valid, test = streams.values()
    return Corpus(name, level, vocabulary, train, valid, test, folder, notice)


def read(corpus: str, data_dir: str | None, level: str) -> tuple[str, Tokens, str]:
    """The name of a corpus, a dict split -> tokens, and the notice."""
    notice = f"{NOTICE} with {files_of(PTB)}"
    if corpus == "auto":
        try:
            return PTB.name, read_source(PTB, data_dir, level), ""
        except NotToBeHad as error:
            notice = f"{NOTICE} ({error})"
    if data_dir is not None and corpus not in SOURCES:
        raise CorpusError(f"--data_dir {data_dir}: must be given with --corpus {' or '.join(SOURCES)}, not {corpus}")
    if corpus in ("auto", "pydoc"):
        return "pydoc", split(pydoc.corpus(), level), notice
    if corpus in SOURCES:
        return corpus, read_source(SOURCES[corpus], data_dir, level), ""
    return *read_folder(corpus, level), ""


class NotToBeHad(CorpusError):
    """The corpus is nowhere."""


def read_source(source: Source, data_dir: str | None, level: str) -> Tokens:
    """A corpus of that source. Raises NotToBeHad where it is not."""
    name, levels = source.name, OF_BYTES.get(source.name, data.LEVELS)
    if level not in levels:
        raise CorpusError(f"--corpus {name}: must be read with --level {' or '.join(levels)}, not {level}")
    if data_dir is not None:
        if not os.path.isdir(os.path.expanduser(data_dir)):
            wrong = "not a folder" if data_dir and os.path.exists(data_dir) else "no such folder"
            raise CorpusError(f"--data_dir {data_dir or repr(data_dir)}: {wrong}")
        other = "; --corpus reads any other text"
        try:
            texts = source.read_folder(data_dir)
        except CorpusError as error:
            raise CorpusError(f"{error}{other}") from None
        if texts:
            return split(texts, level)
        raise CorpusError(f"--data_dir {data_dir}: must hold {source.title} ({files_of(source)}){other}")
    reasons = [f"no --data_dir FOLDER with {files_of(source)} is given"]
    cache = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    downloads = cache / "downloads" / name  # where the builder keeps them, too
    if texts := source.read_cache(downloads):
        return split(texts, level)
    if tokens := read_tfds(name, cache, level):
        return tokens
    reasons.append(f"it is not in the TFDS cache {cache}")
    try:
        source.download(downloads)
    except (CorpusError, OSError) as error:
        reasons.append(f"and can't be downloaded ({error})")
    else:
        return split(source.read_folder(downloads), level)
    raise NotToBeHad(" ".join(f"No {source.title}: {', '.join(reasons)}.".split()))


def files_of(source: Source) -> str:
    return ", ".join(file.name for file in source.files.values())


def read_tfds(name: str, cache: pathlib.Path, level: str) -> Tokens:
    """split -> tokens of a corpus as TFDS prepared it, or {} if it is not in its cache."""
    config = "byte" if name in OF_BYTES else level
    if not (cache / name / config).is_dir():
        return {}
    tf = tensorflow()
    from data import builder

    prepared = importlib.import_module(f"data.{name}.{name}_dataset_builder").Builder(config=config, data_dir=cache)
    if not prepared.is_prepared():
        return {}
    try:
        if name in OF_BYTES:
            return split({part: builder.read_bytes(prepared, part) for part in data.FILES}, level)
        return {part: joined(builder.read_tokens(prepared, part), level) for part in data.FILES}
    except tf.errors.OpError as error:
        raise CorpusError(f"{prepared.data_dir}: damaged: {error.message}") from error


def read_folder(folder: str, level: str) -> tuple[str, Tokens]:
    path = pathlib.Path(os.path.expanduser(folder))
    if not folder or not path.is_dir():
        files = f"; give the folder of {', '.join(data.FILES.values())}"
        hint = files if path.is_file() else nearest(path.name, NAMES)
        raise CorpusError(f"--corpus {str(folder)!r}: neither a corpus nor a folder{hint}")
    paths = data.find_files(path)
    if not paths:
        raise CorpusError(
            f"--corpus {folder}: holds neither {', '.join(data.FILES.values())} nor ptb.*.txt, wiki.*.tokens"
        )
    whole = PTB.read_cache(path)  # Penn Treebank's own files are read as Penn Treebank
    texts = whole or {split: data.to_lines(data.read_file(path), path) for split, path in paths.items()}
    name = path.resolve().name
    return (str(path.resolve()) if name in ("", *NAMES) else name), split(texts, level)


def split(texts: dict[str, list[str]] | dict[str, bytes], level: str) -> Tokens:
    """The tokens of texts, which are lines, or bytes."""
    return {
        split: text.decode("latin-1")
        if isinstance(text, bytes)
        else joined([token for line in text for token in data.split_line(line, level)], level)
        for split, text in texts.items()
    }


def joined(tokens: list[str], level: str) -> list[str] | str:
    """Characters or bytes as one string."""
    return tokens if level == "word" else "".join("\n" if token == data.EOS else token for token in tokens)


def codes(text: str) -> np.ndarray:
    """The numbers of the characters."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def symbol(code: int) -> str:
    return data.EOS if code == ord("\n") else chr(code)


def count(tokens: list[str] | str) -> collections.Counter[str]:
    """How often each token occurs."""
    if isinstance(tokens, list):
        return collections.Counter(tokens)
    numbers = np.bincount(codes(tokens))
    return collections.Counter({symbol(int(code)): int(numbers[code]) for code in np.flatnonzero(numbers)})


def encode(tokens: list[str] | str, vocabulary: tuple[str, ...]) -> np.ndarray:
    """The indices of tokens in a vocabulary; of what it lacks that of `<unk>`, or NOWHERE if it lacks that, too."""
    index = {token: number for number, token in enumerate(vocabulary)}
    unknown = index.get(data.UNK, NOWHERE)
    if isinstance(tokens, list):
        return np.fromiter((index.get(token, unknown) for token in tokens), np.int32, len(tokens))
    numbers = codes(tokens)
    table = [index.get(symbol(code), unknown) for code in range(int(numbers.max(initial=0)) + 1)]
    return np.array(table, np.int32)[numbers]


def check_known(origin: str, split: str, tokens: Sequence[str], stream: np.ndarray) -> None:
    """Refuse tokens that have no index."""
    if (stream == NOWHERE).any():
        first = tokens[int(np.argmax(stream == NOWHERE))]
        raise CorpusError(
            f"{origin}: {first!r} of the {split} text is not in the vocabulary, and that has no {data.UNK}"
        )


def windows(tokens: np.ndarray, batch_size: int, steps: int, shuffle: int | None = None) -> Batches:
    """Cut a stream into the windows of truncated backpropagation, as Zaremba et al. do.

    The stream becomes `batch_size` contiguous rows of n = len(tokens) // batch_size tokens, the
    rest dropped. Window k holds the columns from k * steps on as inputs, and each one's successor
    as target. So row r of window k + 1 continues row r of window k, and state can be carried over.
    With `shuffle`, a seed, each row is rotated first, by as many tokens as it draws (Press, 1903.04167).

    Returns a `tf.data.Dataset` of (n - 1) // steps pairs (inputs, targets), int32, each of shape
    (batch_size, steps), in order. `.skip(k)` costs next to nothing. Raises TooShort, a CorpusError, if the
    stream is too short for one window.
    """
    count, row = count_windows(tokens, batch_size, steps), len(tokens) // batch_size
    rows = np.reshape(tokens[: batch_size * row], (batch_size, row))
    if shuffle is not None:
        drawn = np.random.default_rng(shuffle).integers(row, size=batch_size)
        rows = np.stack([np.roll(each, -by) for each, by in zip(rows, drawn, strict=True)])
    return in_order(*(columns(rows[:, k : k + count * steps], steps) for k in (0, 1)))


class TooShort(CorpusError, InputError):
    """A text with too few tokens for a batch: another recipe may do."""


def count_windows(tokens: np.ndarray, batch_size: int, steps: int) -> int:
    """How many `windows` there are; TooShort if the stream is too short for one."""
    check_positive(batch_size=batch_size, steps=steps)
    count = (len(tokens) // batch_size - 1) // steps
    if count < 1:
        raise TooShort(
            f"the training text's {len(tokens):,} tokens are too few for one window of batch_size {batch_size} and "
            f"steps {steps}: that takes {batch_size * (steps + 1):,}"
        )
    return count


def evaluation_windows(tokens: np.ndarray, batch_size: int, steps: int, first: int) -> Batches:
    """Cut a stream into windows that predict each of its tokens exactly once.

    The stream, as targets, becomes `batch_size` contiguous rows, all of the same length but for the
    last ones. The input of a token is its predecessor in the stream, at the start of a row too;
    `first`, `Corpus.eos` as a rule, is that of the stream's first token. The ends of the rows are
    padded, with weight 0, to whole windows; only padding follows padding.

    Returns a `tf.data.Dataset` of triples (inputs, targets, weights), int32, int32 and float32, each of
    shape (batch_size, steps), or with as many columns as there are if that is less. The weights sum to
    len(tokens). Raises CorpusError if the stream is empty.
    """
    check_positive(batch_size=batch_size, steps=steps)
    if not len(tokens):
        raise CorpusError(f"no token for windows of batch_size {batch_size} and steps {steps}")
    row = -(-len(tokens) // batch_size)
    steps = min(steps, row)
    width = -(-row // steps) * steps

    def cut(stream: np.ndarray) -> np.ndarray:
        rows = np.zeros(batch_size * row, stream.dtype)
        rows[: len(stream)] = stream
        return columns(np.pad(rows.reshape(batch_size, row), ((0, 0), (0, width - row))), steps)

    targets = np.asarray(tokens, np.int32)
    inputs = np.concatenate([np.array([first], np.int32), targets[:-1]])
    return in_order(cut(inputs), cut(targets), cut(np.ones(len(targets), np.float32)))


def check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise CorpusError(f"{name} {size}: less than 1")


def columns(rows: np.ndarray, steps: int) -> np.ndarray:
    """(rows, windows * steps) -> (windows, rows, steps)."""
    return rows.reshape(len(rows), -1, steps).swapaxes(0, 1)
