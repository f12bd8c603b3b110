"""Waves that a network continues alone."""

import dataclasses

import numpy as np
import pytest

from tests.tiny import recipe

pytestmark = pytest.mark.slow


def test_a_wave_goes_on_alone():
    """With a model that adds a constant, what it makes is a line."""
    task = recipe("sine")
    model = lambda given: [given[0] + 0.5]  # noqa: E731
    task_alone = type(task).alone
    found = task_alone(Standing(), model, np.zeros((2, 4, 1), "float32"), 3)
    np.testing.assert_allclose(found[..., 0], [[0.5, 1.0, 1.5]] * 2)


class Standing:
    def initial_state(self, model, batch_size):
        return []


def test_one_step_is_of_the_split_that_is_asked_for():
    task = recipe("sine", units=3, train_examples=40, valid_examples=4, test_examples=4, steps=30)
    data = task.load("auto", None)
    model = task.build(data)
    valid, test = (task.measures(model, data, split) for split in ("valid", "test"))
    assert valid["one_step"] != test["one_step"]
    swapped = dataclasses.replace(data, valid=data.test, test=data.valid)
    assert task.measures(model, swapped, "valid")["one_step"] == test["one_step"]
