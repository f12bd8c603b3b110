"""Memory: how much a network takes and how much there is, what to do when it runs out, how to keep what was taken."""

import contextlib
import ctypes
import errno
import math
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import psutil

from lab.fields import InputError
from lab.recipe import Recipe, fields
from lab.task import Batches

PROC, CGROUPS = pathlib.Path("/proc/self/cgroup"), pathlib.Path("/sys/fs/cgroup")


class OutOfMemory(InputError):
    """Memory ran out; the message names the fields that take less."""


def check_fits(recipe: Recipe[Any], data: Any, *batches: Batches) -> None:
    """Refuse a network that this machine can't hold, rather than let it grind to a halt.

    batches: the datasets that it will predict.
    """
    model = recipe.outline(data)
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    predictions = max((each.element_spec[1].shape.num_elements() for each in batches), default=0)
    # At the least: weights, gradients and Adam's two averages; logits, chances and their gradient.
    width = model.outputs[0].shape[-1] or 1
    needed, there = 4 * (4 * weights + 3 * predictions * width), available()
    if needed > there:
        raise InputError(
            f"{weights:,} weights and {predictions:,} predictions at once take {needed / 1e9:,.1f} GB, "
            f"but this machine, or container, has {there / 1e9:,.1f}: {remedy(recipe)}"
        )


def available() -> int:
    """The bytes that this process may use: the machine's, or its container's limit."""
    limits = [psutil.virtual_memory().total]
    with contextlib.suppress(OSError):  # not Linux
        for line in PROC.read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                root, name = CGROUPS, "memory.max"
            elif "memory" in controllers.split(","):
                root, name = CGROUPS / "memory", "memory.limit_in_bytes"
            else:
                continue
            folder = root / group.strip("/")  # within a container, often the path outside it
            for each in (folder, *folder.parents):
                if each.is_relative_to(root):
                    with contextlib.suppress(OSError, ValueError):  # none here; "max"
                        limits.append(int((each / name).read_text()))
    return min(limits)


@contextlib.contextmanager
def enough_memory(recipe: Recipe[Any]) -> Iterator[None]:
    """Within it, whatever NumPy, TensorFlow, XLA or the system raise for want of memory is an OutOfMemory."""
    try:
        yield
    except Exception as error:
        if (reason := shortage(error)) is None:
            raise
        raise OutOfMemory(f"memory ran out{reason and f' ({reason})'}: {remedy(recipe)}") from error


SHORTAGE = re.compile(".*(out of memory|OOM when|(failed|unable) to allocate|RESOURCE_EXHAUSTED).*", re.IGNORECASE)


def shortage(error: Exception) -> str | None:
    """The line in which an error says that memory ran out; None if it is another error."""
    found = SHORTAGE.search(str(error))
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return found[0].strip() if found else ""
    raised_by_tensorflow = type(error).__module__.partition(".")[0] == "tensorflow"
    return found[0].strip() if found and raised_by_tensorflow else None


def remedy(recipe: Recipe[Any]) -> str:
    """What takes less memory if it is smaller."""
    own = fields(recipe)
    training = [name for name in ("units", "batch_size", "steps") if name in own]
    evaluation = [name for name in own if name.startswith("evaluation_")]
    return f"make {listed(training)} smaller, or, for evaluation, {listed(evaluation)}"


def listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def keep_memory() -> None:
    """Have the C library keep freed memory for the next step, where it can be told to: on Linux with glibc.

    Otherwise it returns large blocks to the system and gets them again, filled with zeros, at every
    step: an eighth of the time of a step of `hypernets`.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:  # the numbers are those of its malloc.h
        mmap_threshold, trim_threshold, top_pad = -3, -1, -2
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
