"""Sequence to sequence: the answers, the beam, what the decoder sees."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from lab.tasks import transduction
from tests.tiny import recipe

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind, answer", [("copy", [3, 1, 2, 1]), ("reverse", [1, 2, 1, 3]), ("sort", [1, 1, 2, 3])])
def test_answers_of_the_transductions(kind, answer):
    assert list(transduction.GOALS[kind](np.array([3, 1, 2, 1]))) == answer
    task = recipe(kind, symbols=4, shortest=2, longest=5)
    x, y = task.examples(np.random.default_rng(0), 50, "train")
    lengths = (x != 0).sum(1)
    assert set(lengths) == {2, 3, 4, 5}
    for source, target, length in zip(x, y, lengths):
        assert not source[length:].any() and not target[length + 1 :].any()
        assert target[length] == 5
        assert list(target[:length]) == list(transduction.GOALS[kind](source[:length]))


def test_a_wide_beam_finds_the_likeliest_answer(tmp_path):
    """And leaves the model as it was: it can be saved."""
    task = recipe("copy", units=4, symbols=2, shortest=1, longest=2, beam=64, embedding_units=3)
    model = task.network((2,), (3,))
    rng = np.random.default_rng(4)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 1.5, weight.shape))
    x = np.array([[1, 2], [2, 0]], "int32")
    found = task.answers(model, x, 3)
    alignment = task.alignment(model, x, found)
    model.save(tmp_path / "model.keras")
    assert alignment.shape == (2, 3, 2) and not alignment[1, :, 1].any()
    np.testing.assert_allclose(alignment.sum(-1), 1, rtol=1e-5)
    for row, answer in zip(x, found):
        scores = {}
        for y in itertools.product(range(4), repeat=3):
            end = y.index(3) if 3 in y else 3
            if any(y[end + 1 :]):
                continue  # after the end nothing follows
            so_far = np.array([[0, *y[:2]]], "int32")
            chances = tf.nn.log_softmax(model([row[None], so_far]))[0].numpy()
            scores[y] = sum(chances[t, y[t]] for t in range(min(end + 1, 3)))
        assert tuple(answer) == max(scores, key=scores.get)


@pytest.mark.parametrize("cell", ["LSTMCell", "BRCCell"])
@pytest.mark.parametrize("wrapper", [{}, {"wrapper": "Zoneout", "wrapper.rate": 0.1}], ids=["bare", "wrapped"])
def test_the_alignment_is_that_of_the_attention(cell, wrapper):
    """A BRC's gates have the same letter."""
    task = recipe("copy", cell=cell, units=4, embedding_units=3, **wrapper)
    x, y = task.examples(np.random.default_rng(0), 3, "train")
    alignment = task.alignment(task.network(x.shape[1:], y.shape[1:]), x, y)
    assert alignment.shape == (*y.shape, x.shape[1]) and (x == 0).any()
    np.testing.assert_allclose(alignment.sum(-1), 1, rtol=1e-5)
    assert not np.swapaxes(alignment, 1, 2)[x == 0].any()


def test_the_answer_so_far_is_all_that_the_decoder_sees():
    task = recipe("copy", units=4, embedding_units=3)
    x, y = task.examples(np.random.default_rng(0), 3, "train")
    model = task.network(x.shape[1:], y.shape[1:])
    changed = y.copy()
    changed[:, -1] = 1
    losses = [task.losses(model, tf.constant(x), tf.constant(t), [])[0] for t in (y, changed)]
    so_far = [np.pad(t[:, :-1], [(0, 0), (1, 0)]) for t in (y, changed)]
    one, two = (model([x, given]) for given in so_far)
    np.testing.assert_array_equal(one, two)  # the last symbol is only predicted
    assert all(np.isfinite(loss).all() for loss in losses)
