"""Penn Treebank's builder and its source, on invented text; no test reaches the network."""

import gzip
import hashlib
import io
import itertools
import pathlib
import socket
import tarfile
import threading
import time
from http import server

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

import data
from data import builder
from data import source as sources
from data.ptb import ptb_dataset_builder
from data.ptb.source import SOURCE
from tests.tiny import dummy_source

pytestmark = pytest.mark.slow

DUMMY = pathlib.Path(ptb_dataset_builder.__file__).with_name("dummy_data")
TEXTS = {split: f"{split} text\n".encode() for split in data.FILES}


def files_of(texts):
    """`SOURCE.files` as if these texts, split -> bytes, were Penn Treebank."""
    return {
        split: SOURCE.files[split]._replace(size=len(text), sha256=hashlib.sha256(text).hexdigest())
        for split, text in texts.items()
    }


@pytest.fixture
def invented(monkeypatch):
    monkeypatch.setattr(SOURCE, "files", files_of(TEXTS))


def archive(members):
    """A compressed tar archive of members, a list of (name, bytes)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def right_members():
    return [(f"./simple-examples/data/ptb.{data.FILES[s]}", t) for s, t in TEXTS.items()]


@pytest.fixture
def dummy(monkeypatch):
    dummy_source(SOURCE, monkeypatch)


@pytest.mark.parametrize("level", data.LEVELS)
def test_builder_on_dummy_data(tmp_path, dummy, level):
    built = tfds.builder(f"ptb/{level}", data_dir=tmp_path)
    assert type(built) is ptb_dataset_builder.Builder
    built.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=DUMMY))
    again = ptb_dataset_builder.Builder(config=level, data_dir=tmp_path)
    assert again.is_prepared()
    counts = {split: info.num_examples for split, info in again.info.splits.items()}
    assert counts == {"train": 4, "validation": 2, "test": 1}
    assert again.info.features["tokens"].dtype == np.str_
    tokens = builder.read_tokens(again, "test")
    line = "the buyer said the company will sell the harbor to a bank"
    assert tokens == [*(line.split() if level == "word" else line), "<eos>"]


def test_metadata():
    metadata = ptb_dataset_builder.Builder.get_metadata()
    assert metadata.tags and set(metadata.tags) <= set(dataset_metadata.valid_tags())
    assert "Penn Treebank" in metadata.description and "Mikolov" in metadata.citation


@pytest.mark.parametrize("level", data.LEVELS)
def test_examples_are_the_tokens_of_the_lines_in_order(tmp_path, monkeypatch, level):
    lines = ["a b", "ç d"] + [f"line {number}" for number in range(50)]
    texts = dict.fromkeys(data.FILES, "".join(f" {line} \n" for line in lines).encode())
    monkeypatch.setattr(SOURCE, "files", files_of(texts))
    manual = tmp_path / "manual"
    manual.mkdir()
    for split, name in data.FILES.items():
        (manual / name).write_bytes(texts[split])
    built = ptb_dataset_builder.Builder(config=level, data_dir=tmp_path / "tfds")
    built.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual))
    read = tfds.as_numpy(built.as_dataset(split="validation"))
    examples = [[token.decode() for token in example["tokens"]] for example in read]
    split = {"word": str.split, "char": list, "byte": lambda line: list(line.replace("ç", "Ã§"))}[level]
    assert examples == [[*split(line), "<eos>"] for line in lines]
    assert builder.read_tokens(built, "train") == [*itertools.chain(*examples)]


def test_the_builder_downloads_once(tmp_path, monkeypatch, invented):
    asked = []

    def fetch(url, timeout, limit):
        asked.append(url)
        return archive(right_members())

    monkeypatch.setattr(sources, "fetch", fetch)
    for level in data.LEVELS:
        built = ptb_dataset_builder.Builder(config=level, data_dir=tmp_path)
        built.download_and_prepare()
        assert builder.read_tokens(built, "test")[-1] == "<eos>"
    assert asked == [SOURCE.archive.url]


def test_checksums_are_those_of_tfds():
    assert list(SOURCE.files) == list(data.FILES)
    registered = ptb_dataset_builder.Builder.url_infos
    for file in SOURCE.files.values():
        assert registered[file.url].checksum == file.sha256
        assert registered[file.url].size == file.size
        assert registered[file.url].filename == file.name


def test_folder_with_a_changed_byte_is_refused(tmp_path, invented):
    for split, name in data.FILES.items():
        (tmp_path / f"ptb.{name}").write_bytes(TEXTS[split])
    assert SOURCE.read_folder(tmp_path)["train"] == ["train text"]
    (tmp_path / "ptb.valid.txt").write_bytes(TEXTS["validation"].replace(b"x", b"y"))
    with pytest.raises(data.CorpusError, match=r"ptb\.valid\.txt: not Penn Treebank's.*SHA-256"):
        SOURCE.read_folder(tmp_path)
    assert SOURCE.read_cache(tmp_path) == {}


def test_truncated_file_is_refused(tmp_path, invented):
    for split, name in data.FILES.items():
        (tmp_path / f"ptb.{name}").write_bytes(TEXTS[split][:9])
    with pytest.raises(data.CorpusError, match=r"ptb\.train\.txt.* 9 bytes instead of 11"):
        SOURCE.read_folder(tmp_path)


def test_archive_is_read(invented):
    other = [("./simple-examples/data/ptb.char.train.txt", b"other"), ("./ptb.train.txt", b"other")]
    assert SOURCE.read_archive(archive(other + right_members())) == TEXTS


@pytest.mark.parametrize(
    "name",
    [
        "../simple-examples/data/ptb.train.txt",
        "/simple-examples/data/ptb.train.txt",
        "./simple-examples/data/../../../ptb.train.txt",
        "././simple-examples/data/ptb.train.txt",
    ],
)
def test_member_outside_its_folder_is_not_read(tmp_path, monkeypatch, invented, name):
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    members = [(name, TEXTS["train"]), *right_members()[1:]]
    with pytest.raises(data.CorpusError, match=r"no member simple-examples/data/ptb\.train\.txt"):
        SOURCE.read_archive(archive(members))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_linked_member_is_not_read(tmp_path, invented):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("./simple-examples/data/ptb.train.txt")
        info.type, info.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(info)
    with pytest.raises(data.CorpusError, match="no member"):
        SOURCE.read_archive(buffer.getvalue())


def test_oversized_member_is_not_read_whole(invented):
    members = [(right_members()[0][0], b"0" * 1_000_000)]
    with pytest.raises(data.CorpusError, match="12 bytes instead of 11"):
        SOURCE.read_archive(archive(members))


DAMAGED = {
    "html": b"<html>moved</html>",
    "empty": b"",
    "cut": archive(right_members())[:-40],
    "not a tar": gzip.compress(b"some text"),
    "flipped": archive(right_members())[:30] + b"\xff\xff\xff" + archive(right_members())[33:],
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_mirror_follows_a_damaged_archive(tmp_path, monkeypatch, invented, fault):
    answers = {file.url: TEXTS[split] for split, file in SOURCE.files.items()}
    answers[SOURCE.archive.url] = DAMAGED[fault]
    monkeypatch.setattr(sources, "fetch", lambda url, timeout, limit: answers[url])
    SOURCE.download(tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["ptb.test.txt", "ptb.train.txt", "ptb.valid.txt"]
    assert SOURCE.read_folder(tmp_path / "new")["test"] == ["test text"]


def test_failed_download_names_both_sources_and_writes_nothing(tmp_path, monkeypatch, invented):
    answers = {file.url: TEXTS[split] for split, file in SOURCE.files.items()}
    answers[SOURCE.archive.url] = archive(right_members()[1:])
    answers[SOURCE.files["test"].url] = b"changed text"
    monkeypatch.setattr(sources, "fetch", lambda url, timeout, limit: answers[url])
    with pytest.raises(data.CorpusError) as caught:
        SOURCE.download(tmp_path / "new")
    assert SOURCE.archive.url in str(caught.value)
    assert SOURCE.files["test"].url in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    def interrupt(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(sources.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sources.write(tmp_path / "file", b"content")
    assert not list(tmp_path.iterdir())


def test_what_is_written_can_be_read_as_other_files_can(tmp_path):
    """By others, too, where a folder of data is shared."""
    sources.write(tmp_path / "file", b"content")
    (tmp_path / "other").touch()
    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.fixture
def address():
    """The address of a server on this machine that answers /text, and 404 elsewhere."""

    class Handler(server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/text" else 404)
            self.end_headers()
            self.wfile.write(b"some text")

        def log_message(self, *args):
            pass

    with server.HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_fetch(address):
    assert sources.fetch(f"{address}/text", 5, 100) == b"some text"
    assert sources.fetch(f"{address}/text", 5, 3) == b"some"
    with pytest.raises(OSError, match=f"{address}/none: .*404"):
        sources.fetch(f"{address}/none", 5, 100)


def test_silent_server_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        start = time.monotonic()
        with pytest.raises(OSError, match=f"{url}: .*(no answer|timed out)"):
            sources.fetch(url, 0.2, 100)
        assert time.monotonic() - start < 2


def test_silent_name_server_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(3))
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer in 0.2 s"):
        sources.fetch("http://example.invalid/", 0.2, 100)
    assert time.monotonic() - start < 2
