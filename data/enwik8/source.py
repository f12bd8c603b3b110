"""The source of enwik8."""

import data
from data.source import File, Source, read_checksums

SOURCE = Source(
    name="enwik8",
    title="enwik8",
    files={
        "all": File("", 100_000_000, "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8", "enwik8"),
    },
    find=lambda folder: data.find_file(folder, "enwik8"),
    texts=data.split_bytes,
    archive=read_checksums(__file__)["enwik8.zip"],
)
