"""WikiText-2, text8 and enwik8: builders and sources, on invented text; no test reaches the network."""

import hashlib
import io
import pathlib
import zipfile

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

import data
from data import builder
from data import source as sources
from data.enwik8 import enwik8_dataset_builder
from data.text8 import text8_dataset_builder
from data.wikitext2 import wikitext2_dataset_builder
from tests.tiny import dummy_source

pytestmark = pytest.mark.slow

BUILDERS = {
    module.source.SOURCE.name: module.Builder
    for module in (wikitext2_dataset_builder, text8_dataset_builder, enwik8_dataset_builder)
}
NAMES = list(BUILDERS)
ROOT = pathlib.Path(data.__file__).parent
MANUAL = {name: tfds.download.DownloadConfig(manual_dir=ROOT / name / "dummy_data") for name in NAMES}


@pytest.fixture(params=NAMES)
def name(request, monkeypatch):
    """A corpus whose dummy data count as the right ones."""
    dummy_source(BUILDERS[request.param].SOURCE, monkeypatch)
    return request.param


def archive(name, **other):
    """The dummy data as a zip archive, some of them others."""
    source, buffer = BUILDERS[name].SOURCE, io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(source.folder + "other", b"other")
        for part, file in source.files.items():
            zipped.writestr(source.folder + file.name, other.get(part, contents(name)[part]))
    return buffer.getvalue()


def contents(name):
    files = BUILDERS[name].SOURCE.files
    return {part: (ROOT / name / "dummy_data" / file.name).read_bytes() for part, file in files.items()}


def serve(monkeypatch, name, answer, mirror=None):
    """Have the archive's address answer so, the others as `mirror` has it; returns a list of those that are asked."""
    source, asked = BUILDERS[name].SOURCE, []
    sha256 = hashlib.sha256(answer).hexdigest()
    monkeypatch.setattr(source, "archive", source.archive._replace(size=len(answer), sha256=sha256))

    def fetch(url, timeout, limit):
        asked.append(url)
        return answer if url == source.archive.url else (mirror or {}).get(url, b"not found")

    monkeypatch.setattr(sources, "fetch", fetch)
    return asked


@pytest.mark.parametrize("name", NAMES)
def test_checksums_are_those_of_tfds(name):
    """And of what is in the archive: text8 and enwik8 have 100,000,000 bytes."""
    source, registered = BUILDERS[name].SOURCE, BUILDERS[name].url_infos
    known = [source.archive, *(file for file in source.files.values() if file.url)]
    assert {file.url: (file.size, file.sha256, file.name) for file in known} == {
        url: (info.size, info.checksum, info.filename) for url, info in registered.items()
    }
    for file in (source.archive, *source.files.values()):
        assert len(file.sha256) == 64 and int(file.sha256, 16)
    if name != "wikitext2":
        (file,) = source.files.values()
        assert (file.name, file.size) == (name, 100_000_000)


@pytest.mark.parametrize("name", NAMES)
def test_metadata(name):
    metadata = BUILDERS[name].get_metadata()
    assert metadata.tags and set(metadata.tags) <= set(dataset_metadata.valid_tags())
    assert "Wikipedia" in metadata.description and "http" in metadata.citation


@pytest.mark.parametrize("level", ["word", "char"])
def test_wikitext2(tmp_path, monkeypatch, level):
    dummy_source(BUILDERS["wikitext2"].SOURCE, monkeypatch)
    built = tfds.builder(f"wikitext2/{level}", data_dir=tmp_path)
    assert type(built) is wikitext2_dataset_builder.Builder
    built.download_and_prepare(download_config=MANUAL["wikitext2"])
    again = BUILDERS["wikitext2"](config=level, data_dir=tmp_path)
    assert {split: info.num_examples for split, info in again.info.splits.items()} == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    line = " The <unk> was sold @-@ twice . "
    expected = {"word": ["<eos>", *line.split()], "char": [" ", "<eos>", *line]}[level]
    assert builder.read_tokens(again, "test") == [*expected, "<eos>"]


@pytest.mark.parametrize("name", ["text8", "enwik8"], indirect=True)
def test_bytes_in_pieces(name, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "PIECE", 7)
    (text,) = contents(name).values()
    assert name == "text8" or len(text) > len(text.decode())
    built = tfds.builder(f"{name}/byte", data_dir=tmp_path)
    assert type(built) is BUILDERS[name]
    built.download_and_prepare(download_config=MANUAL[name])
    again = BUILDERS[name](config="byte", data_dir=tmp_path)
    assert again.info.splits["train"].num_examples == 26  # 180 bytes
    found = {split: builder.read_bytes(again, split) for split in data.FILES}
    assert found == {"train": text[:180], "validation": text[180:190], "test": text[190:]}
    pieces = [row["text"] for row in tfds.as_numpy(again.as_dataset(split="validation"))]
    assert pieces == [text[180:187], text[187:190]]


def test_enwik8_is_cut_where_a_character_is_not_done(monkeypatch):
    """In the dummy data, as it may be in the text."""
    dummy_source(BUILDERS["enwik8"].SOURCE, monkeypatch)
    train, valid, test = BUILDERS["enwik8"].SOURCE.read_folder(ROOT / "enwik8" / "dummy_data").values()
    with pytest.raises(UnicodeDecodeError):
        valid.decode()
    (train + valid + test).decode()


def test_the_builder_downloads_once(name, tmp_path, monkeypatch):
    asked = serve(monkeypatch, name, archive(name))
    for config in BUILDERS[name].builder_configs:
        BUILDERS[name](config=config, data_dir=tmp_path).download_and_prepare()
    assert asked == [BUILDERS[name].SOURCE.archive.url]


def test_archive_is_kept_unpacked(name, tmp_path, monkeypatch):
    source = BUILDERS[name].SOURCE
    serve(monkeypatch, name, archive(name))
    source.download(tmp_path / "new")
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {
        file.name: contents(name)[part] for part, file in source.files.items()
    }
    assert source.read_folder(tmp_path / "new") == source.read_folder(ROOT / name / "dummy_data")


@pytest.mark.parametrize("fault", ["html", "empty", "cut", "changed text", "no such member"])
def test_damaged_archive(name, tmp_path, monkeypatch, fault):
    """The mirror follows where there is one. Neither has a sum that lies: the archive's own is that of the damage."""
    source, right = BUILDERS[name].SOURCE, archive(name)
    part = list(source.files)[-1]
    damaged = {
        "html": b"<html>moved</html>",
        "empty": b"",
        "cut": right[:-60],
        "changed text": archive(name, **{part: contents(name)[part].replace(b"b", b"c").replace(b"T", b"S")}),
        "no such member": right.replace(source.files[part].name.encode(), source.files[part].name.upper().encode()),
    }[fault]
    mirror = {file.url: contents(name)[each] for each, file in source.files.items() if file.url}
    serve(monkeypatch, name, damaged, mirror)
    if mirror:
        source.download(tmp_path / "new")
        assert source.read_folder(tmp_path / "new")
    else:
        with pytest.raises(data.CorpusError):
            source.download(tmp_path / "new")
        assert not list(tmp_path.iterdir())


def test_wrong_sum_of_the_archive(name, tmp_path, monkeypatch):
    source = BUILDERS[name].SOURCE
    serve(monkeypatch, name, archive(name))
    monkeypatch.setattr(source, "archive", source.archive._replace(sha256="0" * 64))
    with pytest.raises(data.CorpusError, match=f"{source.archive.url}: not {source.title}'s .*SHA-256") as caught:
        source.download(tmp_path / "new")
    assert not str(caught.value).endswith("; ")
    assert not list(tmp_path.iterdir())
