"""Where a corpus comes from: a folder, or a download; each file verified by its SHA-256.

This repository holds none of these texts: only sums and addresses, most of them in `checksums.tsv` beside each
builder. Nothing is ever unpacked onto the disk: the members of an archive that are wanted are read from memory, and
only verified files are written.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import queue
import tarfile
import threading
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from typing import NamedTuple

import data

FAULTS = data.CorpusError, OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error


class File(NamedTuple):
    """A line of `checksums.tsv`, TFDS's format: address, bytes, SHA-256, file name. No address: an archive has it."""

    url: str
    size: int
    sha256: str
    name: str

    def verify(self, content, origin, title):
        """`content`, if it is the bytes of this file; else CorpusError with their `origin`."""
        if len(content) != self.size:
            fault = f"{len(content):,} bytes instead of {self.size:,}"
        elif (sha256 := hashlib.sha256(content).hexdigest()) != self.sha256:
            fault = f"SHA-256 {sha256} instead of {self.sha256}"
        else:
            return content
        raise data.CorpusError(f"{origin}: not {title}'s {self.name}: {fault}")


def read_checksums(package):
    """The lines of the `checksums.tsv` beside a module, by file name."""
    rows = pathlib.Path(package).with_name("checksums.tsv").read_text().splitlines()
    files = [File(url, int(size), *rest) for url, size, *rest in (row.split("\t") for row in rows)]
    return {file.name: file for file in files}


class Source:
    """A corpus in files that are known by their sums.

    Attributes:
        name: what `--corpus` calls it.
        title: what people call it.
        files: part -> File. A part is a split, or the whole text.
        find: a function folder -> (part -> path), which is empty where there is none of them, as `data.find_files`.
        texts: a function (part -> bytes) -> (split -> text).
        archive: the File of a tar or zip archive that has all files; without a sum, one of at most so many bytes.
        folder: where in the archive they are, with a slash at its end.
    """

    def __init__(self, name, title, files, find, texts, archive, folder=""):
        self.name, self.title, self.files, self.find, self.texts = name, title, files, find, texts
        self.archive, self.folder = archive, folder

    def read_folder(self, folder):
        """The text, split by split, from a folder that may hold it.

        Returns a dict split -> text; empty if the folder has none of the files. Raises CorpusError if the folder does
        not exist, or a file is missing or not the right one.
        """
        paths = self.find(folder)
        contents = {
            part: self.files[part].verify(data.read_file(path), path, self.title) for part, path in paths.items()
        }
        return self.texts(contents) if contents else {}

    def read_cache(self, folder):
        """Like `read_folder`, but of a folder that `download` alone writes to: damage is absence."""
        try:
            return self.read_folder(folder)
        except data.CorpusError:
            return {}

    def download(self, folder, timeout=5.0):
        """Download the files into a folder: from the archive, else each from its own address.

        All are fetched and verified before the first is written, each under a temporary name first;
        so the folder holds whole and right files or, after a failure, what it held before. The folder is
        made if needed. A server that is silent for `timeout` seconds is given up.

        Raises CorpusError if no address has the right files, and says what each has; OSError if the
        folder can't be written.
        """
        faults, ways = [], [self._fetch_archive]
        if all(file.url for file in self.files.values()):
            ways.append(self._fetch_files)
        for fetch_all in ways:
            try:
                contents = fetch_all(timeout)
                break
            except FAULTS as error:
                faults.append(str(error))
        else:
            raise data.CorpusError("; ".join(faults))
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for part, content in contents.items():
            write(folder / self.files[part].name, content)

    def _fetch_archive(self, timeout):
        url = self.archive.url
        content = fetch(url, timeout, self.archive.size)
        return self.read_archive(self.archive.verify(content, url, self.title) if self.archive.sha256 else content)

    def _fetch_files(self, timeout):
        return {
            part: file.verify(fetch(file.url, timeout, file.size), file.url, self.title)
            for part, file in self.files.items()
        }

    def read_archive(self, archive):
        """The verified files of the archive, as a dict part -> bytes.

        Only regular members with exactly the right name are read, and no more of them than their
        known size, so no archive can write, lead out of its folder, or fill the memory.

        archive: its bytes. Raises CorpusError if a member is missing or not the right file;
        another of FAULTS if the bytes are no whole archive.
        """
        wanted = {f"{self.folder}{file.name}": part for part, file in self.files.items()}
        limits = {name: self.files[part].size + 1 for name, part in wanted.items()}
        contents = {}
        for name, content in members(archive, limits):
            part = wanted[name]
            contents[part] = self.files[part].verify(content, f"{self.archive.url}, {name}", self.title)
        if missing := [name for name, part in wanted.items() if part not in contents]:
            raise data.CorpusError(f"{self.archive.url}: no member {', '.join(missing)}")
        return contents


def members(archive, limits):
    """The regular members of a tar or zip archive that `limits` names, and so many bytes of each at most."""
    if archive[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            for name in limits.keys() & set(zipped.namelist()):
                with zipped.open(name) as member:
                    yield name, member.read(limits[name])
        return
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name in limits and member.isfile():
                yield name, tar.extractfile(member).read(limits[name])


def fetch(url, timeout, limit):
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


def write(path, content):
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # readable as other files are, unlike a tempfile
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
