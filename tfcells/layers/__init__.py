"""The layers."""

from tfcells.layers.bias import Bias
from tfcells.layers.dense import Dense
from tfcells.layers.restart import Restart
from tfcells.layers.rnn import RNN
from tfcells.layers.word_dropout import WordDropout

__all__ = ["RNN", "Bias", "Dense", "Restart", "WordDropout"]
