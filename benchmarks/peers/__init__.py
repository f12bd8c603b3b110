"""What tfcells is measured against. `torch` is PyTorch with a thread a core, or None."""

import sys

from benchmarks.report import cores

# PyTorch's compiler for GPUs crashes where TensorFlow is loaded, and a CPU does without it.
sys.modules.setdefault("triton", None)

try:
    import torch
except ImportError:
    torch = None
else:
    torch.set_num_threads(cores())

MISSING = "PyTorch is not installed (`pip install -e '.[bench]'`), and so takes no part."


def notes() -> list[str]:
    """What a report says of the peers."""
    return ["PyTorch: weights copied, a thread a core, sequences time-major." if torch else MISSING]
