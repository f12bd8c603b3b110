"""Models for runtimes that don't know XLA."""

from typing import Any

import keras


def portable(model: keras.Model) -> keras.Model:
    """A copy of a model whose `tfcells.RNN` layers, at any depth, run the ordinary loop.

    model: a built Keras model. The copy has the same weights and gives the same outputs, and can be
    exported to runtimes that have no XLA. Raises ValueError if the model has not been built.

    >>> model = keras.Sequential([keras.Input((5, 3)), tfcells.RNN(tfcells.LSTMCell(4))])
    >>> tfcells.portable(model).layers[0].jit_compile
    False
    """
    if not model.built:
        raise ValueError("model must be built: call it once, or give it a keras.Input")
    copy = keras.saving.deserialize_keras_object(plain(keras.saving.serialize_keras_object(model)))
    for new, old in zip(copy.weights, model.weights, strict=True):
        new.assign(old)
    return copy


def plain(config: Any) -> Any:
    """A serialized object with the loops in it left as they are written."""
    if isinstance(config, list | tuple):
        return type(config)(map(plain, config))
    if not isinstance(config, dict):
        return config
    config = {name: plain(value) for name, value in config.items()}
    if config.get("registered_name") == "tfcells>RNN":
        config["config"] |= {"jit_compile": False, "parallel": False, "remat": False}
    return config
