"""The source of WikiText-2. The address in its paper answers no more; the archive's is its author's."""

import data
from data.source import Source, read_checksums


def texts(contents):
    """Lines as they are."""
    return {split: data.to_lines(text, split) for split, text in contents.items()}


SUMS = read_checksums(__file__)
SOURCE = Source(
    name="wikitext2",
    title="WikiText-2",
    files={split: SUMS[f"wiki.{name.removesuffix('.txt')}.tokens"] for split, name in data.FILES.items()},
    find=lambda folder: data.find_files(folder, ("wiki.{}.tokens", "{}.txt")),
    texts=texts,
    archive=SUMS["wikitext-2-v1.zip"],
    folder="wikitext-2/",
)
