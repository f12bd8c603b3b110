"""Models and weights of other libraries, there and back."""

from tfcells.convert.addons import from_addons
from tfcells.convert.keras_layers import from_keras, load_keras_weights, to_keras
from tfcells.convert.torch_modules import from_torch, to_torch

__all__ = ["from_addons", "from_keras", "from_torch", "load_keras_weights", "to_keras", "to_torch"]
