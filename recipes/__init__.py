"""The targets of ``train.py``, each with its sizes, the default one first."""

from lab.recipe import Targets
from recipes import classics, penn_treebank

TARGETS: Targets = penn_treebank.TARGETS | classics.TARGETS
