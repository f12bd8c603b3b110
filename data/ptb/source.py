"""Where Penn Treebank comes from: a folder, or a download; each file verified by its SHA-256.

The text is licensed by the LDC, so this repository holds none of it: only sums and addresses, in
`checksums.tsv`. Nothing is ever unpacked onto the disk: the three members of the archive that are
wanted are read from memory, and only verified files are written.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import queue
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
import zlib
from typing import NamedTuple

import data

#: The original. It also holds trained models and other preparations, which are not read.
ARCHIVE = "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz"
ARCHIVE_FOLDER = "simple-examples/data"
ARCHIVE_LIMIT = 100_000_000  # bytes; the archive has about 35 million


class File(NamedTuple):
    """A line of `checksums.tsv`, TFDS's format: the mirror's address, bytes, SHA-256, file name."""

    url: str
    size: int
    sha256: str
    name: str

    def verify(self, content, origin):
        """`content`, if it is the bytes of this file; else CorpusError with their `origin`."""
        if len(content) != self.size:
            fault = f"{len(content):,} bytes instead of {self.size:,}"
        elif (sha256 := hashlib.sha256(content).hexdigest()) != self.sha256:
            fault = f"SHA-256 {sha256} instead of {self.sha256}"
        else:
            return content
        raise data.CorpusError(f"{origin}: not Penn Treebank's {self.name}: {fault}")


def _read_checksums():
    rows = pathlib.Path(__file__).with_name("checksums.tsv").read_text().splitlines()
    files = [File(url, int(size), *rest) for url, size, *rest in (row.split("\t") for row in rows)]
    splits = {f"ptb.{name}": split for split, name in data.FILES.items()}
    return {splits[file.name]: file for file in files}


#: split -> File
FILES = _read_checksums()


def read_folder(folder):
    """The text of Penn Treebank from a folder that may hold it.

    Returns a dict split -> list of lines, without the spaces at their ends that each has; empty if
    `data.find_files` finds none of the files. Raises CorpusError if the folder does not exist, or a file
    is missing or not Penn Treebank's.
    """
    texts = {}
    for split, path in data.find_files(folder).items():
        content = FILES[split].verify(data.read_file(path), path)
        texts[split] = [line.strip() for line in data.to_lines(content, path)]
    return texts


def read_cache(folder):
    """Like `read_folder`, but of a folder that `download` alone writes to: damage is absence."""
    try:
        return read_folder(folder)
    except data.CorpusError:
        return {}


def download(folder, timeout=5.0):
    """Download the three files into a folder: from the original archive, else from the mirror.

    All are fetched and verified before the first is written, each under a temporary name first;
    so the folder holds whole and right files or, after a failure, what it held before. The folder is
    made if needed. A server that is silent for `timeout` seconds is given up.

    Raises CorpusError if neither source has the right files, and says what each has; OSError if the
    folder can't be written.
    """
    faults = []
    for fetch in (_fetch_archive, _fetch_mirror):
        try:
            contents = fetch(timeout)
            break
        except (data.CorpusError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
            faults.append(str(error))
    else:
        raise data.CorpusError("; ".join(faults))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split, content in contents.items():
        _write(folder / FILES[split].name, content)


def _fetch_archive(timeout):
    return read_archive(_fetch(ARCHIVE, timeout, ARCHIVE_LIMIT))


def _fetch_mirror(timeout):
    return {split: file.verify(_fetch(file.url, timeout, file.size), file.url) for split, file in FILES.items()}


def read_archive(archive):
    """The three verified files of `simple-examples.tgz`, as a dict split -> bytes.

    Only regular members with exactly the right name are read, and no more of them than their
    known size, so no archive can write, lead out of its folder, or fill the memory.

    archive: its bytes. Raises CorpusError if a member is missing or not Penn Treebank's;
    tarfile.TarError, zlib.error, EOFError or OSError if the bytes are no whole archive.
    """
    wanted = {f"{ARCHIVE_FOLDER}/{file.name}": split for split, file in FILES.items()}
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            split = wanted.get(member.name.removeprefix("./"))
            if split and member.isfile():
                content = tar.extractfile(member).read(FILES[split].size + 1)
                contents[split] = FILES[split].verify(content, f"{ARCHIVE}, {member.name}")
    if missing := [name for name, split in wanted.items() if split not in contents]:
        raise data.CorpusError(f"{ARCHIVE}: no member {', '.join(missing)}")
    return contents


def _fetch(url, timeout, limit):
    """At most `limit` + 1 bytes of what an address holds.

    A thread reads, so that a name server that keeps silent is given up in time as well: the
    time-out of a socket does not cover it.

    Raises OSError if the server can't be reached, or is silent for `timeout` seconds.
    """
    chunks = queue.SimpleQueue()

    def read():
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                left = limit + 1
                while left > 0 and (chunk := response.read(min(left, 1 << 16))):
                    chunks.put(chunk)
                    left -= len(chunk)
            chunks.put(None)
        except Exception as error:  # noqa: BLE001  handed to the caller, whatever it is
            chunks.put(error)

    threading.Thread(target=read, daemon=True).start()
    content = bytearray()
    while True:
        try:
            chunk = chunks.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"{url}: no answer in {timeout:g} s") from None
        if chunk is None:
            return bytes(content)
        if isinstance(chunk, Exception):
            reason = chunk.reason if type(chunk) is urllib.error.URLError else chunk
            raise OSError(f"{url}: {reason}") from chunk
        content += chunk


def _write(path, content):
    """Write a file whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
