"""What an RNN is called with, checked and made tensors; and what a symbolic call gives."""

from typing import Any

import keras
from keras import ops, tree

from tfcells.contract.cell import fits
from tfcells.contract.linear import Tensor


def given_shapes(inputs: Any) -> Any:
    """The shape of a tensor, or those of several, as Keras gives them to `compute_output_shape`."""
    return tree.map_structure(lambda x: tuple(x.shape), inputs)


def ranks_of(shapes: Any) -> list[int | None]:
    """The rank of each shape in a list of shapes; None where there is none, as in the shape of a single tensor."""
    whole = [isinstance(each, list | tuple) and all(n is None or isinstance(n, int) for n in each) for each in shapes]
    return [len(each) if shape else None for each, shape in zip(shapes, whole, strict=True)]


def in_own_precision(found: Any, cells: list) -> Any:
    """Symbolic outputs and states of a layer, each state in the dtype that its cell gives it."""
    dtypes = [cell.state_dtype(name) for cell in cells for name in cell.states]
    output, *states = tree.flatten(found)
    states = [keras.KerasTensor(state.shape, dtype) for state, dtype in zip(states, dtypes, strict=True)]
    return tree.pack_sequence_as(found, [output, *states])


def checked_memory(cells: list, sequences: Tensor, memory: Any, mask: Any) -> tuple:
    """The memory and its mask as tensors. It must be given to the cells that read one, and to no others."""
    reads = any(getattr(cell, "attends", False) for cell in cells)
    if memory is None and mask is None and not reads:
        return None, None
    if not reads:
        raise ValueError("memory must be None, and so must memory_mask, as no cell of this layer reads one")
    given = (None if all(part is None for part in tree.flatten(x)) else x for x in (memory, mask))
    memory, mask = (None if x is None else ops.convert_to_tensor(x) for x in given)
    mask = None if mask is None else truths("memory_mask", mask)
    batch = sequences.shape[0]
    if memory is None or not fits(tuple(memory.shape), (batch, None, None)):
        shape = None if memory is None else tuple(memory.shape)
        raise ValueError(f"memory must have shape (batch, rows, features) with the batch size {batch}, got {shape}")
    if mask is not None and not fits(tuple(mask.shape), tuple(memory.shape[:2])):
        wanted = tuple(memory.shape[:2])
        raise ValueError(f"memory_mask must have shape (batch, rows) = {wanted}, got {tuple(mask.shape)}")
    return memory, mask


def checked_reset(cells: list, sequences: Tensor, reset: Any) -> Tensor | None:
    """The flags as (batch, steps) booleans: there must be some for the cells that read them, and for no others."""
    reads = any(getattr(cell, "reset_by_flag", False) for cell in cells)
    if reads != (reset is not None):
        wanted = "have shape (batch, steps) for cells in" if reads else "be None without a cell in"
        raise ValueError(f"reset must {wanted} ResetOnFlag, got {getattr(reset, 'shape', reset)}")
    return checked_mask("reset", sequences, reset)


def checked_mask(name: str, sequences: Tensor, mask: Any) -> Tensor | None:
    """A mask as (batch, steps) booleans, or None. name: of the argument."""
    mask = one_mask(mask)
    if mask is None:
        return None
    mask = truths(name, mask)
    if len(mask.shape) == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if not fits(tuple(mask.shape), tuple(sequences.shape[:2])):
        raise ValueError(f"{name} must have shape (batch, steps) = {tuple(sequences.shape[:2])}, got {mask.shape}")
    return mask


def one_mask(mask: Any) -> Any:
    """Of a list of masks, as Keras gives it, the first; lists of numbers as a tensor."""
    first = None if mask is None else tree.flatten(mask)[0]
    return first if first is None or len(getattr(first, "shape", ())) else ops.convert_to_tensor(mask)


def mask_of(sequences: Tensor, lengths: Any, mask: Tensor | None) -> Tensor:
    """The mask of the steps before each length, (batch, steps). mask: another one, which must be None."""
    if mask is not None:
        raise ValueError("lengths must be None where there is a mask, given or passed on by the layer before")
    lengths, (batch, steps) = ops.convert_to_tensor(lengths), sequences.shape[:2]
    dtype, shape = keras.backend.standardize_dtype(lengths.dtype), tuple(lengths.shape)
    if "int" not in dtype or not fits(shape, (batch,)):
        raise ValueError(f"lengths must be whole numbers of shape (batch,) = ({batch},), got {dtype} of shape {shape}")
    values = value_of(lengths)
    if values is not None and any(not 0 <= length <= (steps or length) for length in values):
        raise ValueError(f"lengths must be from 0 to {steps}, the steps of sequences, got {values}")
    return ops.arange(ops.shape(sequences)[1], dtype="int32") < ops.cast(lengths, "int32")[:, None]


def truths(name: str, given: Any) -> Tensor:
    """Booleans; of whole numbers all but 0 are True. Raises ValueError for others, which may be meant as weights."""
    given = ops.convert_to_tensor(given)
    dtype = keras.backend.standardize_dtype(given.dtype)
    if dtype != "bool" and "int" not in dtype:
        raise ValueError(f"{name} must be booleans, or whole numbers of which 0 is False, got {dtype}")
    return ops.cast(given, "bool")


def value_of(tensor: Tensor) -> list | None:
    """The numbers in a tensor, if they are known by now."""
    try:
        return ops.convert_to_numpy(tensor).tolist()
    except (NotImplementedError, TypeError):  # TensorFlow's and JAX's, of a tensor in a graph
        return None
