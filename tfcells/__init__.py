"""Recurrent cells for Keras 3: written once each, proven against their papers, and fast."""

import difflib as _difflib
import warnings
from typing import Any

try:
    import keras as _keras
except ImportError as error:  # Keras is there, its backend is not
    raise ImportError(
        f"{error}. tfcells needs Keras and one of its backends: pip install keras tensorflow, "
        "or jax or torch with the environment variable KERAS_BACKEND set to that name"
    ) from error

from tfcells import cells
from tfcells.cells import *
from tfcells.contract import Call, Cell, GatedCell, InputCell, Kernel, KernelCell, Split, View, Weights, Wrapper
from tfcells.convert import from_addons, from_keras, from_torch, load_keras_weights, to_keras, to_torch
from tfcells.decoding import Decoded, Decoder
from tfcells.layers import RNN, Bias, Dense, Restart, WordDropout
from tfcells.masks import part_of_batch, whole_batch
from tfcells.portable import portable
from tfcells.regularizers import ActivationRegularizer, TemporalActivationRegularizer
from tfcells.states import get_states, reset_states, set_states
from tfcells.stepping import step_model
from tfcells.trace import trace
from tfcells.version import __version__

__all__ = [
    *(name for name in cells.__all__ if name != "table"),
    "ActivationRegularizer",
    "Bias",
    "Call",
    "Cell",
    "Decoded",
    "Decoder",
    "Dense",
    "GatedCell",
    "InputCell",
    "Kernel",
    "KernelCell",
    "RNN",
    "Restart",
    "Split",
    "TemporalActivationRegularizer",
    "View",
    "Weights",
    "WordDropout",
    "Wrapper",
    "__version__",
    "cells",
    "from_addons",
    "from_keras",
    "from_torch",
    "get_states",
    "load_keras_weights",
    "part_of_batch",
    "portable",
    "reset_states",
    "set_states",
    "step_model",
    "to_keras",
    "to_torch",
    "trace",
    "whole_batch",
]

RENAMED = {"Variational": "VariationalDropout"}
"""Old names, which go on working until 0.4."""

_keras.saving.get_custom_objects().update({f"tfcells>{old}": getattr(cells, new) for old, new in RENAMED.items()})

KERAS_NAMES = {
    "LSTM": "tfcells.RNN(tfcells.LSTMCell(units))",
    "GRU": "tfcells.RNN(tfcells.GRUCell(units))",
    "SimpleRNN": "tfcells.RNN(tfcells.ElmanCell(units))",
    "CuDNNLSTM": "tfcells.RNN(tfcells.LSTMCell(units))",
    "CuDNNGRU": "tfcells.RNN(tfcells.GRUCell(units))",
    "SimpleRNNCell": "tfcells.ElmanCell",
    "StackedRNNCells": "tfcells.RNN([tfcells.LSTMCell(units), tfcells.LSTMCell(units)])",
    "Bidirectional": "keras.layers.Bidirectional(tfcells.RNN(cell))",
    "Dropout": "tfcells.VariationalDropout(cell, input_rate=...)",
}
"""What a user of Keras may look for, and where it is."""


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        message = f"tfcells.{name} is now tfcells.{RENAMED[name]}; the old name will be removed in 0.4"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(cells, RENAMED[name])
    hint = ""
    if name in KERAS_NAMES:
        hint = f"; use {KERAS_NAMES[name]}"
    elif not name.startswith("_") and hasattr(_keras.layers, name):
        hint = f"; it is keras.layers.{name}"
    elif not name.startswith("_"):
        known = {each.lower(): each for each in __all__}
        hint = "".join(
            f"; did you mean {known[each]}?" for each in _difflib.get_close_matches(name.lower(), known, 1, 0.7)
        )
    raise AttributeError(f"module 'tfcells' has no attribute {name!r}{hint}")
