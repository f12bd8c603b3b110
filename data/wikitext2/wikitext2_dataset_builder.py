"""WikiText-2 as a TFDS dataset: `wikitext2/word` and `wikitext2/char`."""

import tensorflow_datasets as tfds

from data import builder
from data.wikitext2 import source


class Builder(builder.LinesBuilder):
    """Reads the folder given as `manual_dir`, else downloads; every file is verified."""

    SOURCE = source.SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The first."}
    HOMEPAGE = "https://arxiv.org/abs/1609.07843"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
        Not needed where there is network. Else put wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens
        (from wikitext-2-v1.zip) into the folder.
    """
