"""Penn Treebank as a TFDS dataset: `ptb/word` and `ptb/char`."""

import tensorflow_datasets as tfds

from data import builder
from data.ptb import source


class Builder(builder.LinesBuilder):
    """Reads the folder given as `manual_dir`, else downloads; every file is verified."""

    SOURCE = source.SOURCE
    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://catalog.ldc.upenn.edu/LDC99T42"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
        Not needed where there is network. Else put ptb.train.txt, ptb.valid.txt and ptb.test.txt
        (from simple-examples.tgz, folder data) into the folder.
    """
