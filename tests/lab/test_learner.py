"""The learner: gradients, weight decay, shards, penalties, what a checkpoint holds."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from lab.fields import InputError
from lab.learner import decays
from lab.run import load, save
from tests.tiny import TINY, learner, random_corpus

pytestmark = pytest.mark.slow


@pytest.fixture
def corpus():
    return random_corpus()


def test_dropout_acts_when_the_learner_trains(corpus):
    one = learner(dataclasses.replace(TINY, output_dropout=0.5, epochs=1), corpus)
    x, y = next(iter(TINY.batches(corpus)))
    first, second = (one.train(x, y, 1e-30)[0] for _ in range(2))
    assert first != second
    weight = np.ones(y.shape, "float32")
    first, second = (next(one.evaluate([(x, y, weight)]))[0] for _ in range(2))
    assert first == second


RUN_AT_ONCE = """if True:
    from lab.tasks.cross_entropy import forward
    from tests.tiny import TINY, learner, random_corpus
    import keras

    corpus = random_corpus()
    learner(TINY, corpus).train(*next(iter(TINY.batches(corpus))), rate=1.0)
    logits = keras.random.normal((10, 35, 2000))
    labels = keras.ops.zeros((10, 35), "int32")
    print("ynn_fusion" in forward.experimental_get_compiler_ir(labels, logits)(stage="optimized_hlo"))
"""


@pytest.mark.skipif(not tf.test.is_built_with_xla(), reason="TensorFlow has no XLA here")
def test_two_shards_may_run_a_program_for_the_first_time_at_once():
    """XLA has read its flags before the loss is compiled: tfcells/engine/compiler.py."""
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-c", RUN_AT_ONCE]
    assert subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout == "False\n"


def test_gradients_are_clipped_by_their_common_norm(corpus):
    clipped = learner(dataclasses.replace(TINY, clip_norm=1e-3, tied=True), corpus)
    before = [weight.numpy() for weight in clipped.weights]
    _, norm = clipped.train(*next(iter(TINY.batches(corpus))), rate=2.0)
    moved = [weight.numpy() - old for weight, old in zip(clipped.weights, before, strict=True)]
    assert norm > 1e-3
    assert math.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(2e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("decay_all", [False, True])
def test_weight_decay_shrinks_weights_and_is_in_no_score(corpus, optimizer, decay_all):
    """All but biases, unless decay_all, by rate * decay * weight."""
    recipe = dataclasses.replace(TINY, optimizer=optimizer, decay_all=decay_all)
    plain, decaying = (learner(dataclasses.replace(recipe, weight_decay=decay), corpus) for decay in (0.0, 0.25))
    before = [weight.numpy() for weight in plain.weights]
    x, y = next(iter(TINY.batches(corpus)))
    assert plain.train(x, y, 0.5)[0] == decaying.train(x, y, 0.5)[0]
    spared = set()
    for old, one, other in zip(before, plain.weights, decaying.weights, strict=True):
        decayed = decay_all or "bias" not in one.path
        spared |= set() if decayed else {one.path}
        wanted = 0.5 * 0.25 * old if decayed else 0 * old
        np.testing.assert_allclose(one.numpy() - other.numpy(), wanted, atol=1e-6)
    assert len(spared) == (0 if decay_all else 2)  # the cell's and the softmax's


@pytest.mark.parametrize(
    "cell,decaying",
    [
        (tfcells.GRUCell(8), "kernel recurrent_kernel"),  # its bias is a matrix
        (tfcells.PeepholeLSTMCell(8), "kernel recurrent_kernel"),
        (tfcells.LayerNormLSTMCell(8, norm="gate"), "kernel recurrent_kernel"),
        (tfcells.FastGRNNCell(8, kernel_rank=2), "kernel_right kernel_left recurrent_kernel"),
        (tfcells.PhasedLSTMCell(8), "kernel recurrent_kernel"),
        (tfcells.BRCCell(8), "kernel"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_matrices_decay(cell, decaying):
    cell.build((None, 3))
    assert [weight.name for weight in cell.weights if decays(weight)] == decaying.split()


def test_shards_of_a_batch_give_its_gradients(corpus):
    """Loss, gradient norm, state and new weights, also where the batch can't be halved."""
    recipe = dataclasses.replace(TINY, tied=True, batch_size=3)
    x, y = next(iter(recipe.batches(corpus)))
    found = []
    for shards in (1, 2, 3, 5):
        one = learner(dataclasses.replace(recipe, shards=shards), corpus)
        found.append([*one.train(x, y, 1.0), *one.state, *one.weights])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=1e-6)


def test_penalties_are_in_the_objective_and_in_no_score(corpus):
    """AR and TAR of the last layer's outputs, once for the whole batch, at the scale of a mean loss."""
    x, y = next(iter(TINY.batches(corpus)))
    recipe = dataclasses.replace(TINY, layers=2, activation_penalty=200.0, temporal_penalty=300.0)
    one, plain = learner(recipe, corpus), learner(dataclasses.replace(TINY, layers=2), corpus)
    layers = [layer for layer in plain.model.layers if isinstance(layer, tfcells.RNN)]
    outputs = keras.Model(plain.model.inputs, layers[-1].output[0])
    with tf.GradientTape() as tape:
        losses, _ = recipe.losses(plain.model, x, y, plain.state, training=True)
        h = outputs([x, *plain.state])
        penalty = 200 * tf.reduce_mean(h**2) + 300 * tf.reduce_mean((h[:, 1:] - h[:, :-1]) ** 2)
        objective = (tf.reduce_mean(losses) + penalty) * losses.shape[1]
    gradients = tape.gradient(objective, plain.weights)
    wanted = float(tf.linalg.global_norm(list(map(tf.convert_to_tensor, gradients))))
    assert plain.train(x, y, 1.0)[1] != pytest.approx(wanted, rel=1e-3)
    loss, norm = one.train(x, y, 1.0)
    assert loss == pytest.approx(float(tf.reduce_sum(losses)), rel=1e-5)
    assert norm == pytest.approx(wanted, rel=1e-4)


def test_learner_goes_on_where_its_arrays_were_taken(corpus, tmp_path):
    noisy = dataclasses.replace(TINY, optimizer="adam", tied=True, word_dropout=0.3, dropout=0.2, state_dropout=0.3)
    batches = list(noisy.batches(corpus))
    one = learner(noisy, corpus)
    for x, y in batches[:3]:
        one.train(x, y, 0.1)
    save(tmp_path / "it.npz", one.arrays(), {})
    expected = [one.train(x, y, 0.1) for x, y in batches[3:]]
    other = learner(noisy, corpus)
    other.restore(load(tmp_path / "it.npz")[0])
    assert [other.train(x, y, 0.1) for x, y in batches[3:]] == expected
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(other.arrays()[name], array)


def test_a_weight_that_no_loss_depends_on_is_named(corpus):
    one = learner(TINY, corpus)
    one.weights = [*one.weights, keras.Variable([1.0], name="idle")]
    one.optimizer = keras.optimizers.SGD()
    one.optimizer.build(one.weights)
    with pytest.raises(InputError, match="idle: no loss of this task depends on it"):
        one.train(*next(iter(TINY.batches(corpus))), rate=1.0)


def test_what_is_evaluated_and_kept_are_averages_of_the_weights(corpus):
    recipe = dataclasses.replace(TINY, ema=0.75)
    trained, plain = learner(recipe, corpus), learner(TINY, corpus)
    batches = list(recipe.batches(corpus))[:3]
    averages = None
    for x, y in batches:
        assert trained.train(x, y, 0.5) == plain.train(x, y, 0.5)
        now = list(plain.weight_arrays().values())
        averages = [0.75 * a + 0.25 * w for a, w in zip(averages, now, strict=True)] if averages else now
    with trained.averaged():
        for found, average in zip(trained.weights, averages, strict=True):
            np.testing.assert_allclose(found.numpy(), average, atol=1e-6)
    for one, other in zip(trained.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert any(abs(w.numpy() - a).max() > 1e-4 for w, a in zip(trained.weights, averages, strict=True))
    with plain.averaged():
        assert all(np.array_equal(w, a) for w, a in zip(plain.weights, now, strict=True))
