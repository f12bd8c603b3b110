"""The targets of ``train.py``, each with its sizes, the default one first."""

from lab.recipe import Targets
from recipes import classics, penn_treebank, wikipedia

TARGETS: Targets = {
    target: sizes | wikipedia.SIZES.get(target, {}) for target, sizes in penn_treebank.TARGETS.items()
} | classics.TARGETS
