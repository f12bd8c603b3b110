"""What happens inside a cell along time."""

import collections
from typing import Any

import keras
import numpy as np
from keras import ops

from tfcells.contract.cell import Call, Cell
from tfcells.contract.linear import Tensor, whole
from tfcells.contract.weights import Kernel, Weights
from tfcells.contract.wrapper import Wrapper
from tfcells.layers.rnn import RNN, stacked, unstacked


def trace(layer: RNN, sequences: Any, **arguments: Any) -> dict[str, np.ndarray]:
    """What a layer's cell does along time, by name, as arrays (batch, steps, ...).

    - "output", and "state.NAME" for each state after each step.
    - The product of each kernel, under the kernel's name: "kernel", "recurrent_kernel".
    - "update", the candidate that enters the memory, as wrappers leave it.
    - What the cell marks by `w.mark(name, value)`: gates, generated weights, attention, by the letter of its equations.

    What is made several times a step has one more axis, (batch, steps, times, ...). What is inside a wrapper is named
    as without one, unless the wrapper has that name, too: then "cell.NAME" is the inner one. The second cell of a
    wrapper comes with its name: "slow.f", "hyper.i". In a stack the number of the cell comes first: "0.f", "1.output".

    layer: a `tfcells.RNN`, built or not. arguments: those of its call, such as mask, lengths, initial_state, memory,
    reset, training. The layer computes step by step, eagerly; nothing that it remembers changes, and its random numbers
    are those of its next call. Steps are in the order in which they are run: the last one first with go_backwards. At
    masked steps outputs and states are those of the layer, and the rest is what was computed there for nothing.

    Raises ValueError for any other layer, and for a mark that has no row for each sample.

    >>> layer = tfcells.RNN(tfcells.VariationalDropout(tfcells.LSTMCell(4), state_rate=0.2))
    >>> found = tfcells.trace(layer, np.ones((2, 5, 3), "float32"))
    >>> sorted(found)
    ['f', 'i', 'kernel', 'o', 'output', 'recurrent_kernel', 'state.c', 'state.h', 'update']
    >>> found["f"].shape, found["recurrent_kernel"].shape
    ((2, 5, 4), (2, 5, 16))
    """
    if not (isinstance(layer, RNN) and layer.runs_cells):
        raise ValueError(f"layer must be a tfcells.RNN around tfcells' cells, got {layer!r}")
    sequences = ops.convert_to_tensor(sequences)
    if not layer.built:
        layer.build(tuple(sequences.shape))
    if layer.stateful and arguments.get("initial_state") is None:
        arguments["initial_state"] = keras.tree.map_structure(ops.convert_to_tensor, layer.states)
    stack = stacked(layer.cell)
    cells = [Traced(cell) for cell in unstacked(layer.cell)]
    options = {name: getattr(layer, name) for name in ("go_backwards", "zero_output_for_mask")}
    twin = RNN(cells if stack else cells[0], True, True, unroll=True, dtype=layer.dtype_policy, **options)
    with keras.StatelessScope():  # seeds stay where they are
        _, *states = twin(sequences, **arguments)
    finals = states if stack else [states]
    return {
        f"{number}.{name}" if stack else name: np.swapaxes(array, 0, 1)
        for number, (cell, final) in enumerate(zip(cells, finals, strict=True))
        for name, array in cell.found(final).items()
    }


class Notes:
    """What was noted of a call, by path."""

    def __init__(self) -> None:
        self.sequences: dict[str, list[np.ndarray]] = collections.defaultdict(list)  # (steps, batch, ...)
        self.moments: dict[str, list[np.ndarray]] = collections.defaultdict(list)  # (batch, ...)
        self.steps, self.batch = 0, 0

    def sequence(self, path: str, value: Any) -> Any:
        """Note a value of all steps, and return it."""
        return self.note(self.sequences, path, value, (self.steps, self.batch))

    def moment(self, path: str, value: Any) -> Any:
        """Note a value of one step, and return it."""
        return self.note(self.moments, path, value, (self.batch,))

    def note(self, into: dict, path: str, value: Any, sizes: tuple) -> Any:
        array = ops.convert_to_numpy(whole(value))
        if array.shape[: len(sizes)] != sizes:
            raise ValueError(f"{path}: what is marked must begin with the axes {sizes}, got shape {array.shape}")
        into[path].append(array)
        return value

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, (steps, batch, ...), or (steps, batch, times, ...) of what was made several times a step."""
        found = {}
        for path in [*self.sequences, *(path for path in self.moments if path not in self.sequences)]:
            moments = self.moments.get(path, [])
            times = len(moments) // self.steps
            each = [*self.sequences.get(path, []), *(np.stack(moments[n::times]) for n in range(times))]
            shapes = {array.shape for array in each}
            if len(shapes) > 1 or len(moments) % self.steps:
                raise ValueError(f"{path}: must be marked equally often in each step, with one shape, got {shapes}")
            found[path] = each[0] if len(each) == 1 else np.stack(each, 2)
        return found


def noting(weights: Weights, note: Any, prefix: str = "") -> Weights:
    """The same weights, whose products, updates and marks are noted below their path."""

    def noted(path: str, item: Any) -> Any:
        if isinstance(item, Weights):
            return noting(item, note, f"{path}.")
        return item.using(lambda x: note(path, item(x))) if isinstance(item, Kernel) else item

    return weights.changed(
        items={name: noted(prefix + name, item) for name, item in weights.items.items()},
        update=lambda g: note(f"{prefix}update", g),
        mark=lambda name, value: note(prefix + name, value),
    )


class Traced(Wrapper):
    """A cell that notes what it does."""

    def __init__(self, cell: Cell) -> None:
        Cell.__init__(self)
        self.cell = cell
        self.notes = Notes()

    reset_by_flag = property(lambda self: self.cell.reset_by_flag)

    def bind(self, call: Call) -> Weights:
        self.notes.steps, self.notes.batch = call.steps, call.batch
        return super().bind(call)

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return self.cell.inputs(x, noting(w.cell, self.notes.sequence))

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        for name, before in zip(self.states, state, strict=True):
            self.notes.moment(f"state.{name}", before)
        return self.cell.advance(x, state, noting(w.cell, self.notes.moment))

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        outputs = super().finish(outputs, w)
        self.notes.sequence("output", outputs)
        return outputs

    def found(self, final: list[Tensor]) -> dict[str, np.ndarray]:
        """All that was noted, (steps, batch, ...), by name. final: the states after the last step."""
        arrays = self.notes.arrays()
        for name, last in zip(self.states, final, strict=True):
            before = arrays[f"state.{name}"]
            arrays[f"state.{name}"] = np.concatenate([before[1:], ops.convert_to_numpy(last)[None]])
        bare = {path: ".".join(part for part in path.split(".") if part != "cell") for path in arrays}
        times = collections.Counter(bare.values())
        return {bare[path] if times[bare[path]] == 1 else path: array for path, array in arrays.items()}
