"""The adding problem."""

import numpy as np
import pytest

from tests.tiny import recipe

pytestmark = pytest.mark.slow


def test_adding_problem():
    task = recipe("add", steps=20)
    x, y = task.examples(np.random.default_rng(0), 200, "train")
    lengths = x[..., 2].sum(1).astype(int)
    assert lengths.min() >= 10 and lengths.max() == 20
    np.testing.assert_array_equal(x[..., 1].sum(1), 2)
    for row, total, length in zip(x, y, lengths):
        first, second = np.flatnonzero(row[:, 1])
        assert first < length // 2 <= second < length
        assert total == pytest.approx(row[first, 0] + row[second, 0])
    x, y = task.examples(np.random.default_rng(0), 5, "test")
    assert (x[..., 2].sum(1) == 20).all()
