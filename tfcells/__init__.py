"""Recurrent cells for Keras 3: written once each, proven against their papers, and fast."""

from tfcells import cells as _cells
from tfcells.attention import Attention
from tfcells.cells import *
from tfcells.embedding import Bias, Dense, WordDropout
from tfcells.portable import portable
from tfcells.regularizers import ActivationRegularizer, TemporalActivationRegularizer
from tfcells.restart import Restart
from tfcells.rnn import RNN
from tfcells.version import __version__
from tfcells.wrappers import RecurrentDropout, Variational, WeightDrop, Wrapper, Zoneout

__all__ = [
    *_cells.__all__,
    "ActivationRegularizer",
    "Attention",
    "Bias",
    "Dense",
    "RNN",
    "RecurrentDropout",
    "Restart",
    "TemporalActivationRegularizer",
    "Variational",
    "WeightDrop",
    "WordDropout",
    "Wrapper",
    "Zoneout",
    "__version__",
    "portable",
]
