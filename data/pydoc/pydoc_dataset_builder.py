"""The documentation of this Python as a TFDS dataset: `pydoc/word` and `pydoc/char`."""

import sys

import tensorflow_datasets as tfds

from data import builder
from data.pydoc import source


class Builder(builder.LinesBuilder):
    """Prepares the text that this Python ships; nothing is downloaded."""

    VERSION = tfds.core.Version("{}.{}.{}".format(*sys.version_info))  # the text is CPython's
    HOMEPAGE = "https://docs.python.org/3/"

    def _texts(self, dl_manager):
        del dl_manager
        return source.prepare(source.texts())
