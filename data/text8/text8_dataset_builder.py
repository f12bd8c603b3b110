"""text8 as a TFDS dataset: `text8/byte`."""

import tensorflow_datasets as tfds

from data import builder
from data.text8 import source


class Builder(builder.BytesBuilder):
    """Reads the folder given as `manual_dir`, else downloads; every file is verified."""

    SOURCE = source.SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The first."}
    HOMEPAGE = "http://mattmahoney.net/dc/textdata.html"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
        Not needed where there is network. Else put the file text8
        (from text8.zip) into the folder.
    """
