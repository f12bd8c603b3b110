"""When the embedded Reber grammar is learned."""

import numpy as np
import pytest

from lab.tasks import reber
from tests.tiny import recipe

pytestmark = pytest.mark.slow


def test_reber_success_is_the_papers():
    """All legal symbols more active than all others, after every symbol of every string."""
    x, y = reber.encode(["BTBTXSETE", "BPBPVVEPE"])
    assert (x.argmax(-1)[0] == [0, 1, 0, 1, 4, 3, 6, 1]).all() and (y[0, :, 0] >= 0).all()
    best = np.where(y[..., 1:] == 1, 1.0, -1.0)
    assert np.nanmin(reber.right(best, y)) == 1
    wrong = best.copy()
    wrong[1, 2, 0] = 1.0  # as active as the legal ones
    assert np.nansum(reber.right(wrong, y) == 0) == 1
    task = recipe("reber")
    data = task.load("auto", None)
    strings = [tuple(map(tuple, row)) for split in (data.train, data.test) for row in split[0]]
    assert len(set(strings)) == task.train_examples + task.test_examples
