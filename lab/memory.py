"""The machine's memory: how much a network takes, and to keep what it has taken."""

import ctypes
import math
import os
from typing import Any

from lab.fields import InputError
from lab.recipe import Recipe
from lab.task import Batches


def check_fits(recipe: Recipe[Any], data: Any, *batches: Batches) -> None:
    """Refuse a network that this machine can't hold, rather than let it grind to a halt.

    batches: the datasets that it will predict.
    """
    model = recipe.outline(data)
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    predictions = max((each.element_spec[1].shape.num_elements() for each in batches), default=0)
    # At the least: weights, gradients and Adam's two averages; logits, chances and their gradient.
    width = model.outputs[0].shape[-1] or 1
    needed = 4 * (4 * weights + 3 * predictions * width)
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > available:
        raise InputError(
            f"{weights:,} weights and {predictions:,} predictions at once take {needed / 1e9:,.0f} GB, "
            f"but this machine has {available / 1e9:,.0f}: make units, batch_size or steps smaller"
        )


def keep_memory() -> None:
    """Have the C library keep freed memory for the next step, where it can be told to.

    Otherwise it returns large blocks to the system and gets them again, filled with zeros, at every
    step: an eighth of the time of a step of `hypernets`.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # glibc; the numbers are those of its malloc.h
        mmap_threshold, trim_threshold, top_pad = -3, -1, -2
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
