"""The weights of torch.nn.LSTM, GRU and RNN as a model, and back. PyTorch itself is not needed."""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcells.cells import CLASSES
from tfcells.contract.cell import Cell
from tfcells.layers.rnn import RNN, unstacked
from tfcells.portable import a_layer

NAME = re.compile(r"(?:weight_(?:ih|hh|hr)|bias_(?:ih|hh))_l(\d+)(_reverse)?")
KINDS = {4: CLASSES["LSTMCell"], 3: CLASSES["GRUCell"], 1: CLASSES["ElmanCell"]}
"""The cells, by their number of gates."""


def from_torch(state_dict: Mapping[str, Any], nonlinearity: str = "tanh") -> keras.Sequential:
    """A model with the weights of a `torch.nn.LSTM`, `GRU` or `RNN`: from (batch, steps, features) to all its outputs.

    state_dict: the module's, of tensors or arrays; it says kind, layers, directions, biases and projection.
    nonlinearity: the module's, "tanh" or "relu"; only an RNN has one. Dropout between layers is not in a state_dict, so
    the model has none. The two biases of an LSTM or RNN are added up. The model has double precision if the weights do,
    else single.

    Raises ValueError for other names or shapes.

    >>> state = {"weight_ih_l0": np.ones((6, 3)), "weight_hh_l0": np.ones((6, 2))}
    >>> tfcells.from_torch(state).layers[0].cell.units, type(tfcells.from_torch(state).layers[0].cell).__name__
    (2, 'GRUCell')
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"state_dict must be a module.state_dict(), got {type(state_dict).__name__}")
    arrays = {name: array(value) for name, value in state_dict.items()}
    found = [NAME.fullmatch(name) for name in arrays]
    if not found or not all(found):
        raise ValueError(
            "state_dict must be that of a torch.nn.LSTM, GRU or RNN, with names as weight_ih_l0, "
            f"got {', '.join(arrays) or 'none'}: give module.state_dict() of that module alone"
        )
    layers = 1 + max(int(match[1]) for match in found if match)
    suffixes = ["", "_reverse"] if "weight_ih_l0_reverse" in arrays else [""]
    kinds = {re.sub(r"_l\d+(_reverse)?", "", name) for name in arrays} | {"weight_ih", "weight_hh"}
    kinds |= {f"bias_{side}" for side in ("ih", "hh") for name in kinds if name.startswith("bias")}
    wanted = {f"{kind}_l{layer}{suffix}" for kind in kinds for layer in range(layers) for suffix in suffixes}
    if wanted != arrays.keys():
        parts = {"lacks": wanted - arrays.keys(), "has no use for": arrays.keys() - wanted}
        told = "; it ".join(f"{what} {', '.join(sorted(names))}" for what, names in parts.items() if names)
        raise ValueError(f"state_dict must have all weights of all layers and directions, and no others; it {told}")
    columns, units = arrays["weight_ih_l0"].shape[0], arrays["weight_hh_l0"].shape[1]
    projection = units if "weight_hr" in kinds else None
    units = arrays["weight_hr_l0"].shape[1] if projection else units
    gates = columns // units
    if gates not in KINDS or columns % units or (projection and gates != 4):
        raise ValueError(f"state_dict: weight_ih_l0 must have 4, 3 or 1 rows for each of {units} units, got {columns}")
    if nonlinearity not in ("tanh", "relu")[: 2 if gates == 1 else 1]:
        kind = {4: "an LSTM", 3: "a GRU", 1: "an RNN"}[gates]
        allowed = '"tanh" or "relu"' if gates == 1 else '"tanh"'
        raise ValueError(f"nonlinearity must be {allowed} for the state_dict of {kind}, got {nonlinearity!r}")

    dtype = str(arrays["weight_ih_l0"].dtype)

    def layer(suffix: str) -> RNN:
        cell = KINDS[gates](units, activation=nonlinearity, use_bias="bias_ih" in kinds)
        cell = CLASSES["Projection"](cell, projection) if projection else cell
        return RNN(cell, return_sequences=True, go_backwards=bool(suffix), dtype=dtype)

    model = keras.Sequential([keras.Input((None, arrays["weight_ih_l0"].shape[1]), dtype=dtype)])
    for _ in range(layers):
        both = [layer(suffix) for suffix in suffixes]
        model.add(
            both[0] if len(both) == 1 else keras.layers.Bidirectional(both[0], backward_layer=both[1], dtype=dtype)
        )
    for number, cells in enumerate(cells_of(model)):
        for cell, suffix in zip(cells, suffixes, strict=True):
            given = {kind: arrays[f"{kind}_l{number}{suffix}"] for kind in kinds}
            for kind, now in unloaded(cell).items():
                if given[kind].shape != now.shape:
                    name, shape = f"{kind}_l{number}{suffix}", given[kind].shape
                    raise ValueError(f"state_dict: {name} must have the shape {now.shape}, got {shape}")
            load(cell, given)
    return model


def to_torch(model: keras.Model) -> dict[str, np.ndarray]:
    """The state_dict, of NumPy arrays, of a `torch.nn.LSTM`, `GRU` or `RNN` with the weights of a model.

    model: a built `keras.Sequential` of `tfcells.RNN` layers, or of `keras.layers.Bidirectional` around them, or one
    such layer; of one cell that PyTorch has, `LSTMCell`, also in `Projection`, `GRUCell` or `ElmanCell`, everywhere. A
    bias becomes bias_ih where PyTorch adds a second one, which is zero. PyTorch loads it by

        module.load_state_dict({name: torch.tensor(value) for name, value in tfcells.to_torch(model).items()})

    Raises ValueError for any other model, with the reason.

    >>> layer = tfcells.RNN(tfcells.LSTMCell(4))
    >>> layer.build((None, 5, 3))
    >>> {name: value.shape for name, value in tfcells.to_torch(layer).items()}["weight_ih_l0"]
    (16, 3)
    """
    a_layer(model)
    if not model.built:
        raise ValueError("model must be built: call it once, or give it a keras.Input")
    rows = cells_of(model)
    forms = [form(cell) for row in rows for cell in row]
    if len(set(forms)) > 1 or len(set(map(len, rows))) > 1:
        raise ValueError(f"model must have the same cell in all layers and directions, as PyTorch has, got {forms}")
    return {
        f"{kind}_l{number}{suffix}": value
        for number, cells in enumerate(rows)
        for cell, suffix in zip(cells, ("", "_reverse"), strict=False)
        for kind, value in unloaded(cell).items()
    }


def cells_of(model: keras.Layer) -> list[list[Cell]]:
    """The cells of each layer, that of the other direction behind. Raises ValueError for what PyTorch has not."""
    rows: list[list[Cell]] = []
    for layer in model.layers if isinstance(model, keras.Sequential) else [model]:
        both = [layer]
        if isinstance(layer, keras.layers.Bidirectional) and layer.merge_mode == "concat":
            both = [layer.forward_layer, layer.backward_layer]
        ways = [isinstance(each, RNN) and (each.go_backwards, len(unstacked(each.cell))) for each in both]
        if ways != [(False, 1), (True, 1)] and not (len(both) == 1 and ways[0] and not ways[0][0]):
            allowed = "a forward tfcells.RNN, or a keras.layers.Bidirectional that concatenates two of one cell each"
            raise ValueError(f"model: layer {layer.name!r} must be {allowed}; it is a {type(layer).__name__}")
        cells = [unstacked(each.cell) for each in both]
        rows += map(list, zip(*cells, strict=True))
    return rows


def form(cell: Cell) -> tuple:
    """What cells of one module have in common. Raises ValueError for a cell that PyTorch has not."""
    inner: Any = cell.cell if type(cell) is CLASSES["Projection"] and type(cell.cell) is KINDS[4] else cell
    if type(inner) not in KINDS.values():
        raise ValueError(f"model: PyTorch has no {type(inner).__name__}")
    own = [getattr(inner, name) for name in ("activation", "recurrent_activation") if hasattr(inner, name)]
    tanh, relu, sigmoid = keras.activations.tanh, keras.activations.relu, keras.activations.sigmoid
    if own not in ([[tanh], [relu]] if type(inner) is KINDS[1] else [[tanh, sigmoid]]):
        raise ValueError(
            f"model: PyTorch's {type(inner).__name__} has no activations {[each.__name__ for each in own]}"
        )
    if getattr(inner, "input_gate", "free") != "free" or not getattr(inner, "reset_after", True):
        raise ValueError("model: PyTorch has LSTMs with input_gate='free' only, and GRUs with reset_after=True")
    return type(inner).__name__, inner.units, cell.output_size, own[0].__name__, inner.use_bias


def load(cell: Any, given: dict[str, np.ndarray]) -> None:
    """Give a cell the weights of one layer and direction."""
    inner = getattr(cell, "innermost", cell)
    inner.kernel.assign(swapped(inner, given["weight_ih"].T))
    inner.recurrent_kernel.assign(swapped(inner, given["weight_hh"].T))
    if "weight_hr" in given:
        cell.projection_kernel.assign(given["weight_hr"].T)
    if "bias_ih" in given:
        biases = np.stack([swapped(inner, given["bias_ih"]), swapped(inner, given["bias_hh"])])
        inner.bias.assign(biases if len(inner.bias.shape) == 2 else biases.sum(axis=0))


def unloaded(cell: Any) -> dict[str, np.ndarray]:
    """The weights of one layer and direction, of a cell."""
    inner = getattr(cell, "innermost", cell)
    matrices = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel"}
    given = {kind: swapped(inner, ops.convert_to_numpy(inner.tensor(name))).T for kind, name in matrices.items()}
    if inner.use_bias:
        bias = swapped(inner, ops.convert_to_numpy(inner.tensor("bias")))
        given["bias_ih"], given["bias_hh"] = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    if inner is not cell:
        given["weight_hr"] = ops.convert_to_numpy(cell.tensor("projection_kernel")).T
    return given


def swapped(cell: Cell, columns: np.ndarray) -> np.ndarray:
    """A GRU's gates in the other order: PyTorch stacks r, z, n, and we z, r, g. Other cells have one order in both."""
    if type(cell) is not KINDS[3]:
        return columns
    first, second, last = np.split(columns, 3, axis=-1)
    return np.concatenate([second, first, last], axis=-1)


def array(value: Any) -> np.ndarray:
    """An array, or a tensor of PyTorch's on any device, as an array of NumPy in double or single precision."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value if "float64" in str(value.dtype) else value.float()
    found = np.asarray(value)
    return found if found.dtype == "float64" else found.astype("float32")
