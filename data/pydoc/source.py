"""Prepare the documentation that CPython ships the way Mikolov prepared PTB.

It has two parts: `pydoc_data.topics`, the texts of `help("TOPIC")`, and the docstrings of `MODULES`. So this corpus
needs neither network nor license. It is small, and differs a little from one version of Python to the next:
perplexities compare only within a version.

- Prose only: a paragraph, or an item of a list, that begins with a capital letter and ends with a
  full stop, colon, question or exclamation mark. Code, grammars, tables, headings and signatures
  are left out.
- One sentence a line, lower case, numbers written N, punctuation and operators dropped; "'s" and
  "n't" are words of their own; names keep their dots and underscores (`object.__new__`).
- The docstrings of a file are a topic, too, named by its path: `email/header.py`. They are read from the source, as
  are nested ones; nothing is imported.
- A topic belongs to one split, by a hash of its name: the same in every version of Python.
- Topics overlap: `compound` quotes all of `if`, `with`, and others. A sentence that stands in
  several topics is kept once, in the shortest of them, so that no split repeats another.
- The vocabulary is the words that occur at least twice in the training split; any other word, in
  any split, is written `<unk>`.
"""

import ast
import collections
import functools
import hashlib
import pathlib
import re
import sysconfig
import types

import data

#: The modules and packages whose docstrings are read: those with prose that Python 3.11 to 3.13 have.
MODULES = """
    __future__ _collections_abc _pydecimal _pyio abc argparse ast asyncio base64 bdb bisect bz2 cProfile calendar
    cmd code codecs codeop collections compileall concurrent configparser contextlib copy copyreg csv ctypes
    dataclasses datetime dbm difflib dis doctest email enum filecmp fileinput fnmatch fractions ftplib functools
    getopt getpass gettext glob graphlib gzip heapq hmac html http imaplib importlib inspect io ipaddress json
    linecache locale logging lzma mailbox mimetypes modulefinder multiprocessing netrc numbers operator optparse os
    pathlib pdb pickle pickletools pkgutil platform plistlib poplib pprint profile pstats py_compile pyclbr queue
    quopri random re rlcompleter runpy sched secrets selectors shelve shlex shutil site smtplib socket socketserver
    sqlite3 ssl statistics string subprocess symtable sysconfig tabnanny tarfile tempfile textwrap threading timeit
    tokenize trace traceback tracemalloc types typing unittest urllib uuid warnings wave weakref webbrowser wsgiref
    xml xmlrpc zipapp zipfile zipimport zoneinfo
""".split()

MINIMUM_COUNT = 2

_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": " ", "–": "-", "…": " "})
_BULLET = r"(?:[*-]|\d+\.|\[\d+\])\s"
_BLOCK_END = re.compile(rf"\n\s*\n|\n(?=\s*{_BULLET})")
_PROSE = re.compile(r"[\"'`(*]*[A-Z].*[.:?!][\"'`)*]*")
_NO_PROSE = re.compile(r"::=|>>>")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e)\.")
_SENTENCE_END = re.compile(r"(?<=[.:?!])[\"'`)*]*\s+(?=[\"'`(*]*[A-Z])")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?!\w)")
_NOT = re.compile(r"n't\b")
_CLITIC = r"'(?:s|re|ve|ll|d|m)\b"
_STATEMENTS = ast.stmt, ast.ExceptHandler, ast.match_case
_WORD = re.compile(rf"n't|{_CLITIC}|\w+(?:[./-]\w+)*|[$%&]", re.ASCII)


@functools.cache
def corpus():
    """The corpus of all texts, as `prepare` gives it but with tuples: made once in a process, for nobody to change.

    Raises CorpusError as `texts` and `prepare` do.
    """
    return types.MappingProxyType({split: (*lines,) for split, lines in prepare(texts()).items()})


def texts():
    """All texts, as a dict topic -> str.

    Raises CorpusError if this Python ships without a part of them.
    """
    return topics() | docstrings()


def docstrings(folder=None):
    """The docstrings of each file of `MODULES`, tests aside, as a dict path -> str.

    folder: that of the standard library, if not this Python's.
    """
    folder, found = pathlib.Path(folder or sysconfig.get_path("stdlib")), {}
    for module in MODULES:
        files = sorted((folder / module).rglob("*.py")) or [folder / f"{module}.py"]
        for path in files:
            name = path.relative_to(folder)
            if not {"test", "tests"} & set(name.parts):
                found[name.as_posix()] = "\n\n".join(_docstrings(data.read_file(path)))
    return found


def _docstrings(content):
    nodes = collections.deque([ast.parse(content)])
    while nodes:
        node = nodes.popleft()
        # As ast.walk, but past the expressions, which are most of a file.
        nodes.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, _STATEMENTS))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                yield text


def topics():
    """The texts of `help("TOPIC")`, as a dict topic -> str.

    Raises CorpusError if this Python ships without them.
    """
    try:
        from pydoc_data import topics as module
    except ImportError as error:
        raise data.CorpusError(f"pydoc: this Python ships without the text: {error}") from error
    return module.topics


def split_of(topic):
    """The split a topic belongs to: of ten hash values, one is test, one validation, eight train.

    >>> split_of("types"), split_of("objects"), split_of("dict")
    ('train', 'validation', 'test')
    """
    value = int(hashlib.sha256(topic.encode("utf-8")).hexdigest(), 16) % 10
    return {0: "test", 1: "validation"}.get(value, "train")


def sentences(text):
    """The sentences of a topic's prose, each a string of words with spaces between.

    >>> sentences("It isn't 3.5% of *x*.  See `foo()`:\\n\\n   x = foo()\\n\\n* The class's name.")
    ["it is n't N % of x", 'see foo', "the class 's name"]
    """
    found = []
    for block in _BLOCK_END.split(text.translate(_TYPOGRAPHY)):
        block = re.sub(rf"^{_BULLET}", "", " ".join(block.split()))
        if _PROSE.fullmatch(block) and not _NO_PROSE.search(block):
            block = _ABBREVIATION.sub(r"\1", block)
            found += map(_words, _SENTENCE_END.split(block))
    return [sentence for sentence in found if sentence]


def _words(sentence):
    sentence = _NUMBER.sub("N", sentence.lower())
    return " ".join(_WORD.findall(_NOT.sub(" n't", sentence)))


def prepare(texts):
    """The corpus of some topics.

    texts: a dict topic -> str, such as `texts()`. Returns a dict split -> list of lines, the topics of
    a split in alphabetical order. Raises CorpusError if a split is empty.
    """
    kept, seen = {}, set()
    for topic in sorted(texts, key=lambda topic: (len(texts[topic]), topic)):
        new = dict.fromkeys(sentences(texts[topic]))  # a set that keeps the order
        kept[topic] = [sentence for sentence in new if sentence not in seen]
        seen.update(new)
    lines = {split: [] for split in data.FILES}
    for topic in sorted(kept):
        lines[split_of(topic)] += kept[topic]
    for split, part in lines.items():
        if not part:
            raise data.CorpusError(f"pydoc: no sentence for the {split} split")
    counts = collections.Counter(word for line in lines["train"] for word in line.split())
    known = {word for word, count in counts.items() if count >= MINIMUM_COUNT}
    return {
        split: [" ".join(w if w in known else data.UNK for w in line.split()) for line in part]
        for split, part in lines.items()
    }
