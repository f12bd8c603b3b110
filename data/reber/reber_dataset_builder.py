"""The embedded Reber grammar as a TFDS dataset; the strings come of the config's seed."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from data.reber import source

COUNTS = {"train": 256, "validation": 256, "test": 256}


@dataclasses.dataclass
class Config(tfds.core.BuilderConfig):
    """For instance Config(name="seed_7", seed=7)."""

    seed: int = 0


class Builder(tfds.core.GeneratorBasedBuilder):
    """256 different strings a split, none in two of them; nothing is downloaded.

    Those of training and validation are what `train.py reber --data_seed SEED` trains and tests with.
    """

    BUILDER_CONFIGS = [Config(name="seed_0")]
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "symbols": tfds.features.Sequence(tfds.features.ClassLabel(names=list(source.SYMBOLS))),
            "legal": tfds.features.Sequence(np.str_),  # after each symbol but the last
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage="https://doi.org/10.1162/neco.1997.9.8.1735",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        rng = np.random.default_rng([self.builder_config.seed])
        strings = source.draw_different(rng, sum(COUNTS.values()))
        return {
            split: self._generate_examples(strings[count * number : count * (number + 1)])
            for number, (split, count) in enumerate(COUNTS.items())
        }

    def _generate_examples(self, strings):
        for number, string in enumerate(strings):
            yield number, {"symbols": list(string), "legal": source.legal(string)}
