"""The recurrent layers that every task's network has."""

from collections.abc import Callable, Iterable
from typing import Any

from lab.task import Tensor


def wide(x: Tensor) -> Tensor:
    """x in float32, or in its own type if that is wider: what losses are made of."""
    import tensorflow as tf

    return tf.cast(x, "float32") if x.dtype.size < 4 else x


def recurrent(
    x: Tensor, cells: Iterable[Any], drop: Callable[[Tensor], Tensor] = lambda x: x, summed: bool = False
) -> Tensor:
    """Layers of these cells, one after the other: the last one's outputs of all steps, or the sum of all layers'.

    cells: may be a generator, so that each draws its seeds when its turn comes. drop: acts on each
    layer's input.
    """
    import tfcells

    outputs = []
    for number, cell in enumerate(cells, 1):
        x = tfcells.RNN(cell, return_sequences=True, name=f"layer_{number}")(drop(x))
        outputs.append(x)
    return sum(outputs) if summed else x


def carried(
    x: Tensor,
    cells: Iterable[Any],
    drop: Callable[[Tensor], Tensor] = lambda x: x,
    restart: float = 0.0,
    summed: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Layers that take and return their states: the outputs, the states before and after.

    restart: the share of rows whose states are set to zero, in all layers; then all cells are made first. summed: as
    above.
    """
    import keras

    import tfcells

    before: list[Tensor] = []
    after: list[Tensor] = []
    outputs: list[Tensor] = []
    floats = keras.config.dtype_policy().variable_dtype

    def begin(number: int, cell: Any) -> list[Tensor]:
        before.extend(
            keras.Input(size if isinstance(size, tuple) else (size,), name=f"{name}_{number}", dtype=floats)
            for name, size in zip(cell.states, cell.state_size, strict=True)
        )
        return before[-len(cell.states) :]

    starts: list[list[Tensor]] = []
    if restart:
        cells = list(cells)
        starts = [begin(number, cell) for number, cell in enumerate(cells, 1)]
        begun = tfcells.Restart(restart, name="restart_1")(before)  # the same rows in all layers
        starts = keras.tree.pack_sequence_as(starts, begun)
    for number, cell in enumerate(cells, 1):
        start = starts[number - 1] if restart else begin(number, cell)
        layer = tfcells.RNN(cell, return_sequences=True, return_state=True, name=f"layer_{number}")
        x, *end = layer(drop(x), initial_state=start)
        outputs.append(x)
        after += end
    return sum(outputs) if summed else x, before, after
