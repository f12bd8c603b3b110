"""The states that the stateful layers of a model remember, read and written as one structure."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tfcells.layers.rnn import begin
from tfcells.portable import a_layer


def get_states(model: keras.Layer) -> dict[str, list]:
    """What a model's stateful recurrent layers remember: for each its states, in order, as arrays (batch, ...).

    model: a model or a layer. Its recurrent layers are found at any depth, Keras's own, too, and both halves of a
    `Bidirectional`. The key of a layer is made of the names on the way to it, "encoder/bidirectional/forward_rnn": the
    same in a model and its copy, cloned or loaded. Layers of one key are numbered. A stack has a list for each cell.

    A layer that is not stateful remembers nothing and is left out, as Keras's `reset_state` leaves it alone; a model
    without any has {}. The arrays are copies. Keras saves no states in a `.keras` file.
    Raises ValueError for a stateful layer that has not been built.

    >>> model = keras.Sequential([keras.Input((5, 3), batch_size=2), tfcells.RNN(tfcells.GRUCell(4), stateful=True)])
    >>> [[h.shape for h in states] for states in tfcells.get_states(model).values()]
    [[(2, 4)]]
    """
    return {path: mapped(to_array, remembered(path, layer)) for path, layer in stateful_layers(model).items()}


def set_states(model: keras.Layer, states: dict[str, list]) -> None:
    """Have a model's stateful recurrent layers remember these states, as `get_states` gives them.

    Nothing is set unless all fits. Raises ValueError for other keys than the model's layers, and for states of another
    number, structure, shape or batch size.
    """
    layers = stateful_layers(model)
    if not isinstance(states, dict) or states.keys() != layers.keys():
        got = list(states) if isinstance(states, dict) else type(states).__name__
        raise ValueError(f"states must be a dict with a key for each stateful layer, {list(layers)}, got {got}")
    variables = {path: remembered(path, layer) for path, layer in layers.items()}
    for path, wanted in variables.items():
        expected, found = mapped(shape_of, wanted), mapped(shape_of, states[path])
        if expected != found:
            raise ValueError(f"states[{path!r}] must be tensors of shapes {expected}, got {found}")
    for path, wanted in variables.items():
        for variable, value in zip(keras.tree.flatten(wanted), keras.tree.flatten(states[path]), strict=True):
            variable.assign(value)


def reset_states(model: keras.Layer) -> None:
    """Have a model's stateful recurrent layers begin anew, each with its cell's own initial state.

    That is what `TrainableInitialState` has learned, or what `get_initial_state` of the cell gives, in Keras's layers,
    too, whose own `reset_state` writes zeros. Layers that are not stateful, or not built yet, begin so anyway.
    """
    for layer in stateful_layers(model).values():
        begin(layer)


def stateful_layers(model: keras.Layer) -> dict[str, keras.layers.RNN]:
    """The stateful recurrent layers by the names on the way to them."""
    a_layer(model)
    found: dict[str, keras.layers.RNN] = {}
    seen: set[int] = set()

    def visit(layer: keras.Layer, path: str) -> None:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if not isinstance(layer, keras.layers.RNN):
            for inner in layer._flatten_layers(include_self=False, recursive=False):
                visit(inner, f"{path}/{inner.name}".lstrip("/"))
        elif layer.stateful:
            key, number = path or layer.name, 1
            while key in found:
                number += 1
                key = f"{path} ({number})"
            found[key] = layer

    visit(model, "")
    return found


def remembered(path: str, layer: keras.layers.RNN) -> Any:
    """The variables of a layer's states. Raises ValueError if there are none yet."""
    if layer.states is None:
        raise ValueError(f"model must be built: its layer {path!r} has no states yet; call the model once")
    return layer.states


def mapped(function: Any, states: Any) -> Any:
    """The function of every state, in lists."""
    return [mapped(function, each) for each in states] if isinstance(states, list | tuple) else function(states)


def to_array(state: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(ops.convert_to_tensor(state)))


def shape_of(state: Any) -> tuple:
    """The shape of a tensor, an array or a number; what is none has no shape that fits."""
    return tuple(state.shape if hasattr(state, "shape") else np.shape(state))
