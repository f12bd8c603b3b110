"""What the TFDS builders of this folder share: text in; sequences of tokens, or pieces of bytes, out."""

import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import data

PIECE = 100_000  # bytes


class TextBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A text in the order in which it is read. A subclass gives `VERSION`, `HOMEPAGE`, and `SOURCE` or `_texts`."""

    def _info(self):
        return self.dataset_info_from_configs(
            homepage=self.HOMEPAGE,
            features=tfds.features.FeaturesDict(self.FEATURES),
            disable_shuffling=True,  # a corpus is a stream: its order is data
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(text) for split, text in self._texts(dl_manager).items()}

    def _texts(self, dl_manager):
        """A dict split -> text: from the folder `manual_dir`, else as downloaded before, else by download."""
        try:
            manual = dl_manager.manual_dir
        except AssertionError:  # TFDS's way of saying that the folder is missing or empty
            texts = {}
        else:
            texts = self.SOURCE.read_folder(os.fspath(manual))
        if not texts:
            folder = os.path.join(dl_manager.download_dir, self.SOURCE.name)
            if not (texts := self.SOURCE.read_cache(folder)):
                self.SOURCE.download(folder)
                texts = self.SOURCE.read_folder(folder)
        return texts


class LinesBuilder(TextBuilder, skip_registration=True):
    """A text in lines, each one an example.

    The one feature, `tokens`, is a sequence of strings of any length: the words of the line
    (config `word`), its characters (config `char`) or the bytes of its UTF-8 (config `byte`, each written as the
    character of its number), then `<eos>`.
    """

    FEATURES = {"tokens": tfds.features.Sequence(np.str_)}
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(name="word", description="Tokens are words."),
        tfds.core.BuilderConfig(name="char", description="Tokens are characters."),
        tfds.core.BuilderConfig(name="byte", description="Tokens are bytes."),
    )

    def _generate_examples(self, lines):
        for number, line in enumerate(lines):
            yield number, {"tokens": data.split_line(line, self.builder_config.name)}


class BytesBuilder(TextBuilder, skip_registration=True):
    """A text of bytes, of which each example is the next 100,000, or what is left of the split.

    The one feature, `text`, is a string of bytes, not always one of whole characters.
    """

    FEATURES = {"text": tfds.features.Text()}
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="byte", description="Pieces of bytes."),)

    def _generate_examples(self, text):
        for number, start in enumerate(range(0, len(text), PIECE)):
            yield number, {"text": text[start : start + PIECE]}


def read_tokens(builder, split):
    """All tokens of one split of a prepared `LinesBuilder`, as one list of strings, in order.

    It parses all examples at once, which takes a hundredth of the time of `as_dataset`: a second
    for the 5 million characters of Penn Treebank.

    Raises tf.errors.OpError if the files are missing or damaged.
    """
    tokens = read_feature(builder, split, "tokens")
    return b"\n".join(tokens).decode("utf-8").split("\n")  # one decoding, not one a token


def read_bytes(builder, split):
    """All bytes of one split of a prepared `BytesBuilder`; tf.errors.OpError as `read_tokens`."""
    return b"".join(read_feature(builder, split, "text"))


def read_feature(builder, split, name):
    info = builder.info.splits[split]
    examples = next(iter(tf.data.TFRecordDataset(info.filepaths).batch(info.num_examples)))
    return tf.io.parse_example(examples, {name: tf.io.RaggedFeature(tf.string)})[name].flat_values.numpy()
