"""The adding problem."""

import keras
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


def test_the_score_at_double_length_is_of_the_same_sequences_however_many_are_read_at_once():
    found = []
    for rows in (10, 250):
        task = recipe(
            "add", steps=5, units=3, batch_size=8, train_examples=32, valid_examples=8, evaluation_batch_size=rows
        )
        data = task.load("auto", None)
        keras.utils.set_random_seed(1)
        found.append(task.measures(task.build(data), data, "test")["at_double"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
