"""The corpora: text files, lines of text, and the tokens of a line.

A corpus is three files of lines, one each for training, validation and test. A token is a word or
a character; every line ends in one more, `<eos>`. Rare words are written `<unk>`. This module
imports neither TensorFlow nor TFDS; `data.builder` and the builders in `data/<name>/` do.
"""

import os
import pathlib

EOS = "<eos>"
UNK = "<unk>"
LEVELS = ("word", "char")
#: TFDS's name of a split -> the file that holds it; PTB's own files have "ptb." before the name.
FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}


class CorpusError(ValueError):
    """Text that is missing, empty, damaged or unfit; the message names the file, or the argument."""


def find_files(folder):
    """The three files of a corpus in a folder, under either name.

    They may be in the folder itself or, as in Mikolov's archive, in `simple-examples/data/` or `data/`.
    Returns a dict split -> `pathlib.Path`, in the order of `FILES`, empty if there is no such file.
    Raises CorpusError if the folder does not exist, or holds some of the files only.
    """
    name = os.path.expanduser(folder)  # pathlib's raises for an unknown user
    folder = pathlib.Path(name)
    if not name or not folder.is_dir():
        raise CorpusError(f"{name or repr(name)}: no such folder")
    for place in (folder, folder / "simple-examples" / "data", folder / "data"):
        for prefix in ("ptb.", ""):
            paths = {split: place / (prefix + name) for split, name in FILES.items()}
            missing = [str(path) for path in paths.values() if not path.is_file()]
            if not missing:
                return paths
            if len(missing) < len(paths):
                raise CorpusError(f"missing: {', '.join(missing)}")
    return {}


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
    """The tokens of a line: its words, or all its characters; then `<eos>`.

    >>> split_line(" no it was n't \\n", "word")
    ['no', 'it', 'was', "n't", '<eos>']
    >>> split_line(" a b ", "char")
    [' ', 'a', ' ', 'b', ' ', '<eos>']
    """
    if level == "word":
        return [*line.split(), EOS]
    if level == "char":
        return [*line, EOS]
    raise CorpusError(f"level {level!r}: neither 'word' nor 'char'")
