"""The old name of `tfcells.from_scratch`."""

import warnings

from tfcells.from_scratch import *  # noqa: F401, F403
from tfcells.from_scratch import __all__  # noqa: F401

warnings.warn(
    "tfcells.numpy is now tfcells.from_scratch; the old name will be removed in 0.4",
    DeprecationWarning,
    stacklevel=2,
)
