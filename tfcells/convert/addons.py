"""The weights of the cells of TensorFlow Addons, which is no longer developed, as cells."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfcells.cells import CLASSES
from tfcells.contract.cell import Cell
from tfcells.wrappers.structure import Projection

COUNTS = {9: "LayerNormLSTMCell", 8: "LayerNormLSTMCell", 6: "PeepholeLSTMCell", 5: "PeepholeLSTMCell"}
"""By the number of arrays, with a bias and without. Fewer are a NASCell's."""


def from_addons(weights: Sequence[Any], **arguments: Any) -> Cell:
    """A built cell with the weights of TensorFlow Addons' `LayerNormLSTMCell`, `PeepholeLSTMCell` or `NASCell`.

    weights: what `get_weights()` of its cell, or of the `tf.keras.layers.RNN` around it, gives; kind, sizes, bias and
    projection are read from numbers and shapes. arguments: of our cell, where the model has others than the defaults of
    Addons: activation, recurrent_activation, epsilon (its norm_epsilon), dtype.

    Its layer norm adds three biases, of which ours has the sum. The states of its NASCell are c, h, ours are h, c; with
    a projection it is a `Projection` here.

    Raises ValueError for other numbers or shapes of weights.

    >>> weights = [np.ones((2, 16)), np.ones((3, 16)), np.ones(16)]
    >>> tfcells.from_addons(weights).units
    2
    """
    if not isinstance(weights, Iterable):
        raise ValueError(f"weights must be the list that get_weights() returns, got {weights!r}")
    arrays = [np.asarray(weight) for weight in weights]
    name = COUNTS.get(len(arrays), "NASCell")
    shapes, projections = [array.shape for array in arrays], []
    try:
        if name == "NASCell":
            recurrent, kernel, *rest = arrays
            bias = [array for array in rest if array.ndim == 1]
            projections = [array for array in rest if array.ndim == 2]
            arguments["use_bias"] = bool(bias)
            units, ours = kernel.shape[1] // 8, [*projections, kernel, recurrent, *bias]
        else:
            kernel, recurrent, *rest = arrays
            units, ours = recurrent.shape[0], arrays
        if name == "LayerNormLSTMCell":
            gain, shift, recurrent_gain, recurrent_shift, *of_cell = rest[-6:]
            ours = [kernel, recurrent, sum(rest[:-6], shift + recurrent_shift), gain, recurrent_gain, *of_cell]
            arguments |= {"norm": "product", "cell_norm": "carry"}
        if name == "PeepholeLSTMCell":
            arguments |= {"use_bias": len(arrays) == 6}
        cell = CLASSES[name](units, **arguments)
        if projections:
            cell = Projection(cell, projections[0].shape[1], dtype=arguments.get("dtype"))
        cell.build((None, kernel.shape[0]))
        cell.built = True
        cell.set_weights(ours)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"weights must be those of one cell, in the order of get_weights(); as a {name}, shapes {shapes}: {error}"
        ) from error
    return cell
