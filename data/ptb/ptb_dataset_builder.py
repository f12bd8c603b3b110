"""Penn Treebank as a TFDS dataset: `ptb/word` and `ptb/char`."""

import os

import tensorflow_datasets as tfds

from data import builder
from data.ptb import source


class Builder(builder.LinesBuilder):
    """Reads the folder given as `manual_dir`, else downloads; every file is verified."""

    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://catalog.ldc.upenn.edu/LDC99T42"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
        Not needed where there is network. Else put ptb.train.txt, ptb.valid.txt and ptb.test.txt
        (from simple-examples.tgz, folder data) into the folder.
    """

    def _split_generators(self, dl_manager):
        try:
            manual = dl_manager.manual_dir
        except AssertionError:  # TFDS's way of saying that the folder is missing or empty
            texts = {}
        else:
            texts = source.read_folder(os.fspath(manual))
        if not texts:
            folder = os.path.join(dl_manager.download_dir, "ptb")
            if not (texts := source.read_cache(folder)):
                source.download(folder)
                texts = source.read_folder(folder)
        return {split: self._generate_examples(lines) for split, lines in texts.items()}
