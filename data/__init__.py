"""The corpora: text files, lines of text, and the tokens of a line.

A corpus is three files of lines, one each for training, validation and test. A token is a word, a character
or a byte; every line ends in one more, `<eos>`. Rare words are written `<unk>`. This module
imports neither TensorFlow nor TFDS; `data.builder` and the builders in `data/<name>/` do.
"""

import os
import pathlib

EOS = "<eos>"
UNK = "<unk>"
LEVELS = ("word", "char", "byte")
#: TFDS's name of a split -> the file that holds it.
FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
#: What else the files may be called: in Mikolov's archive, in that of WikiText.
NAMES = "ptb.{}.txt", "{}.txt", "wiki.{}.tokens"


class CorpusError(ValueError):
    """Text that is missing, empty, damaged or unfit; the message names the file, or the argument."""


def existing(folder):
    """The path of a folder; CorpusError if there is none."""
    name = os.path.expanduser(folder)  # pathlib's raises for an unknown user
    if not name or not os.path.isdir(name):
        raise CorpusError(f"{name or repr(name)}: no such folder")
    return pathlib.Path(name)


def find_files(folder, names=NAMES):
    """The three files of a corpus in a folder, under one of these names.

    They may be in the folder itself or, as archives have it, in `simple-examples/data/`, `data/` or `wikitext-2/`.
    Returns a dict split -> `pathlib.Path`, in the order of `FILES`, empty if there is no such file.
    Raises CorpusError if the folder does not exist, or holds some of the files only.
    """
    folder = existing(folder)
    for place in (folder, folder / "simple-examples" / "data", folder / "data", folder / "wikitext-2"):
        for name in names:
            paths = {split: place / name.format(file.removesuffix(".txt")) for split, file in FILES.items()}
            missing = [str(path) for path in paths.values() if not path.is_file()]
            if not missing:
                return paths
            if len(missing) < len(paths):
                others = ", ".join(str(path) for path in paths.values() if path.is_file())
                raise CorpusError(f"missing: {', '.join(missing)}, beside {others}")
    return {}


def find_file(folder, name):
    """The one file of a text that has no splits of its own: {"all": its path}, or {}; CorpusError as `find_files`."""
    path = existing(folder) / name
    return {"all": path} if path.is_file() else {}


def split_bytes(contents):
    """The whole text as its splits: the last twentieth for the test, that before it for validation."""
    text = contents["all"]
    part = len(text) // 20
    return {"train": text[: -2 * part], "validation": text[-2 * part : -part], "test": text[-part:]}


def read_file(path):
    """The bytes of a file; CorpusError if it can't be read."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from error


def to_lines(content, origin):
    """The lines of a text without their ends (LF, CR LF or CR), from its bytes; a byte-order mark is left out.

    Raises CorpusError, which names `origin`, if the text is not UTF-8, has a NUL, or is only white space.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise CorpusError(f"{origin}: not UTF-8: byte 0x{byte:02x} at {error.start}") from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise CorpusError(f"{origin}: not UTF-8: it has NULs, as UTF-16 has")
    if not text.strip():
        raise CorpusError(f"{origin}: empty")
    return text.removesuffix("\n").split("\n")


def split_line(line, level):
    """The tokens of a line: its words, all its characters, or all bytes of its UTF-8; then `<eos>`.

    A byte is written as the character of its number.

    >>> split_line(" no it was n't \\n", "word")
    ['no', 'it', 'was', "n't", '<eos>']
    >>> split_line(" a b ", "char")
    [' ', 'a', ' ', 'b', ' ', '<eos>']
    >>> split_line("é", "byte")
    ['Ã', '©', '<eos>']
    """
    if level == "word":
        return [*line.split(), EOS]
    if level == "char":
        return [*line, EOS]
    if level == "byte":
        return [*line.encode().decode("latin-1"), EOS]
    raise CorpusError(f"level {level!r}: neither {', '.join(map(repr, LEVELS[:-1]))} nor {LEVELS[-1]!r}")
