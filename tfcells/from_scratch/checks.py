"""Arrays as arguments: bad ones raise a ValueError that names them and what they may be."""

import numpy as np
from numpy.typing import ArrayLike

from tfcells.checks import require

Array = np.ndarray


def floating(name: str, value: str) -> np.dtype:
    """The type of that name, if it is float32 or float64."""
    names = "float32", "float64"
    return np.dtype(require(name, value, "float32 or float64", value in names))


def shaped(name: str, value: ArrayLike, shape: tuple, dtype: np.dtype | None = None) -> Array:
    """The value as an array of that type, if it has that shape; None stands for any size above 0."""
    value = np.asarray(value)
    fits = value.ndim == len(shape) and all(
        size > 0 and wanted in (None, size) for size, wanted in zip(value.shape, shape, strict=True)
    )
    words = ", ".join("any" if size is None else str(size) for size in shape)
    require(f"{name}'s shape", value.shape, f"({words})", fits)
    require(f"{name}'s type", str(value.dtype), "of real numbers", value.dtype.kind in "biuf")
    return value if dtype is None else value.astype(dtype, copy=False)


def indices(name: str, value: ArrayLike, size: int) -> Array:
    """The value as an array of whole numbers from 0 to size - 1, (batch, steps)."""
    value = shaped(name, value, (None, None))
    kind = value.dtype.kind in "iu"
    require(f"{name}'s type", str(value.dtype), "of whole numbers", kind)
    for extreme in (value.min(), value.max()):
        require(name, int(extreme), f"from 0 to {size - 1}", 0 <= extreme < size)
    return value
