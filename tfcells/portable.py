"""Models for runtimes that don't know XLA."""

import collections
import copy
import types
import warnings
from collections.abc import Iterator
from typing import Any

import keras

from tfcells.layers.rnn import RNN


def portable(model: keras.Model) -> keras.Model:
    """A copy of a model whose `tfcells.RNN` layers, at any depth, run the ordinary loop.

    model: a built Keras model. The copy has the same weights, shares what the model shares and gives the same outputs,
    and can be exported to runtimes that have no XLA. Raises ValueError if the model has not been built.

    >>> model = keras.Sequential([keras.Input((5, 3)), tfcells.RNN(tfcells.LSTMCell(4))])
    >>> tfcells.portable(model).layers[0].jit_compile
    False
    """
    if not model.built:
        raise ValueError("model must be built: call it once, or give it a keras.Input")
    olds = list({id(part): part for part in parts(model)}.values())
    every = [layer for old in olds for layer in old._flatten_layers()]
    uses = collections.Counter(map(id, every))
    shared = [old for old in olds if any(uses[id(layer)] > 1 for layer in old._flatten_layers())]
    classes = {type(layer).__name__: type(layer) for layer in every} | {"Bag": Bag}
    with keras.saving.custom_object_scope(classes), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")  # unsafe from a file
        copies = {id(old): alone(old) for old in olds if old not in shared}
        # Keras shares within one object; but then it also ties the halves of a Bidirectional, where a layer makes one.
        copies |= zip(map(id, shared), copy.deepcopy(Bag(shared)).parts, strict=True)
    for old in olds:
        for layer, new in zip(old._flatten_layers(), copies[id(old)]._flatten_layers(), strict=True):
            for name, value in vars(layer).items():
                if isinstance(value, types.FunctionType) and value.__name__ == "<lambda>":
                    vars(new)[name] = value  # read from a configuration it would have lost its globals
            if isinstance(new, RNN):
                new.remat = new.jit_compile = new.parallel = False

    def copy_of(part: Any) -> Any:
        return copies[id(part)] if id(part) in copies else type(part).from_config(part.get_config())

    return (
        keras.models.clone_model(model, clone_function=copy_of, recursive=True) if is_graph(model) else copy_of(model)
    )


def alone(layer: keras.Layer) -> keras.Layer:
    """A copy of a layer."""
    config = keras.saving.serialize_keras_object(layer)
    copied = keras.saving.deserialize_keras_object(config, safe_mode=False)
    for new, old in zip(copied.variables, layer.variables, strict=True):
        new.assign(old)
    return copied


def is_graph(layer: keras.Layer) -> bool:
    """Whether Keras knows the graph of layers."""
    return isinstance(layer, keras.Sequential) or hasattr(layer, "operations") and isinstance(layer, keras.Model)


def parts(layer: keras.Layer) -> Iterator[keras.Layer]:
    """The layers of a model, and of models in it, as far as Keras knows their graphs."""
    if is_graph(layer):
        for inner in layer.layers:
            yield from parts(inner)
    else:
        yield layer


class Bag(keras.layers.Layer):
    """Layers that are copied together."""

    def __init__(self, parts: list, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = parts

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"parts": [keras.saving.serialize_keras_object(part) for part in self.parts]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Bag":
        return cls(list(map(keras.saving.deserialize_keras_object, config["parts"])))
