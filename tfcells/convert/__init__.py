"""Models and weights of other libraries, there and back."""

from tfcells.convert.keras_layers import from_keras, load_keras_weights, to_keras

__all__ = ["from_keras", "load_keras_weights", "to_keras"]
