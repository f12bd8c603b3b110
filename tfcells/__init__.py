"""Recurrent cells for Keras 3: written once each, proven against their papers, and fast."""

from tfcells import cells as _cells
from tfcells.cells import *
from tfcells.embedding import Bias, WordDropout
from tfcells.rnn import RNN
from tfcells.version import __version__
from tfcells.wrappers import RecurrentDropout, Variational, Wrapper

__all__ = [
    *_cells.__all__,
    "Bias",
    "RNN",
    "RecurrentDropout",
    "Variational",
    "WordDropout",
    "Wrapper",
    "__version__",
]
