"""The source of Penn Treebank, whose text is licensed by the LDC."""

import data
from data.source import File, Source, read_checksums


def texts(contents):
    """Lines without the spaces at their ends that each has."""
    return {split: [line.strip() for line in data.to_lines(text, split)] for split, text in contents.items()}


#: The archive, the original, has about 35 million bytes; it also holds trained models and other preparations, which are
#: not read. The other addresses are a mirror's.
SOURCE = Source(
    name="ptb",
    title="Penn Treebank",
    files={split: read_checksums(__file__)[f"ptb.{name}"] for split, name in data.FILES.items()},
    find=lambda folder: data.find_files(folder, ("ptb.{}.txt", "{}.txt")),
    texts=texts,
    archive=File("http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz", 100_000_000, "", "simple-examples.tgz"),
    folder="simple-examples/data/",
)
