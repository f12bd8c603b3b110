"""The source of text8, in which every byte is a character: a to z and the space."""

import data
from data.source import File, Source, read_checksums

SOURCE = Source(
    name="text8",
    title="text8",
    files={
        "all": File("", 100_000_000, "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7", "text8"),
    },
    find=lambda folder: data.find_file(folder, "text8"),
    texts=data.split_bytes,
    archive=read_checksums(__file__)["text8.zip"],
)
