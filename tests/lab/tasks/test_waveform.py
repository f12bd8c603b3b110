"""The signal of the waveform, and the state that is carried along it."""

import numpy as np
import pytest
import tensorflow as tf

from lab.tasks import waveform
from tests.tiny import recipe

pytestmark = pytest.mark.slow


def test_the_signal_of_the_waveform():
    f = waveform.signal(320)
    assert abs(f.mean()) < 1e-6
    t = 0.01 * np.arange(320)
    waves = (f(a * t) for a in (2, 17, 25, 45) for f in (np.sin, np.cos))
    basis = np.stack([*waves, np.ones(320)], 1)
    coefficients, *_ = np.linalg.lstsq(basis, f, rcond=None)
    np.testing.assert_allclose(basis @ coefficients, f, atol=1e-5)
    slow, *_ = np.linalg.lstsq(basis[:, [0, 1, 8]], f, rcond=None)
    left = np.mean((basis[:, [0, 1, 8]] @ slow - f) ** 2) / f.var()
    assert 0.015 < left < 0.022


def test_waveform_begins_anew_and_carries_its_state():
    task = recipe("waveform", units=3, samples=40, steps=20, train_examples=2)
    data = task.load("auto", None)
    model = task.build(data)
    (x1, y1), (x2, y2), *_ = [(x, y) for x, y in task.batches(data)]
    noise = [tf.ones_like(s) for s in task.initial_state(model, 1)]
    first, state = task.losses(model, x1, y1, noise)
    second, _ = task.losses(model, x2, y2, state)
    whole, _ = task.losses(model, *map(tf.constant, data.test), task.initial_state(model, 1))
    np.testing.assert_allclose((first + second) / 2, whole, rtol=1e-4)
    fresh, _ = task.losses(model, x2, y2, noise)
    assert abs(float(fresh[0] - second[0])) > 1e-6


def test_noise_acts_in_training_alone(randomise):
    wrapper = {"wrapper": "recurrentdropout", "wrapper.rate": 0.5}
    task = recipe("waveform", units=3, samples=40, steps=20, train_examples=2, **wrapper)
    data = task.load("auto", None)
    model, (x, y) = randomise(task.build(data)), next(iter(task.batches(data)))
    state = task.initial_state(model, 1)
    still, again, noisy = (
        float(task.losses(model, x, y, state, training=training)[0][0]) for training in (False, False, True)
    )
    assert still == again != noisy


def test_the_forget_bias_is_that_of_cells_that_have_one():
    assert recipe("waveform").make_cell().forget_bias == 5
    assert recipe("waveform", forget_bias=2).make_cell().forget_bias == 2
    assert recipe("waveform", cell="hyperlstm", **{"cell.forget_bias": 3}).make_cell().forget_bias == 3
    assert recipe("waveform", cell="gru").make_cell().units == 15
