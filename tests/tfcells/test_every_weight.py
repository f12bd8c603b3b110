"""Every weight of every cell and wrapper comes back, however a model is kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcells
from tests.cases import CASES, WRAPPED

pytestmark = pytest.mark.slow

STEPS, FEATURES = 3, 3
X = np.random.default_rng(0).normal(size=(2, STEPS, FEATURES)).astype("float32")
MEMORY = np.random.default_rng(1).normal(size=(2, 2, 2)).astype("float32")


def cells():
    """Of variants with the same weights the last."""
    cases = {(case.cell, *case.weights.values()): case for case in CASES}.values()
    yield from (case.cell(**case.arguments) for case in cases)
    yield from (row.make(tfcells.LSTMCell(FEATURES)) for row in WRAPPED.values())
    yield [tfcells.LSTMCell(4), layers.StackedRNNCells([tfcells.RHNCell(3, depth=2), tfcells.Zoneout(noisy(), 0.1)])]


def noisy():
    return tfcells.RecurrentDropout(tfcells.MogrifierLSTMCell(4), 0.1)


@keras.saving.register_keras_serializable()
class Flags(layers.Layer):
    def call(self, x):
        return x[:, :, 0] > 0


FEW = tfcells.LSTMCell, tfcells.ScoRNNCell, tfcells.Hyper, tfcells.FastSlow, tfcells.TrainableInitialState, list
"""Unlike in how their weights, states and cells are kept."""


def model_of(kinds=object):
    """One model of all cells of these kinds, by default the whole table, and of the layers around."""
    x, memory = keras.Input((STEPS, FEATURES)), keras.Input((2, 2))
    outputs = []
    for cell in (each for each in cells() if isinstance(each, kinds)):
        given = {"memory": memory} if getattr(cell, "attends", False) else {}
        given |= {"reset": Flags()(x)} if getattr(cell, "reset_by_flag", False) else {}
        outputs.append(tfcells.RNN(cell, jit_compile=False)(x, **given))
    both = tfcells.RNN([noisy(), tfcells.GRUCell(2)], jit_compile=False)
    outputs.append(tfcells.Bias()(tfcells.Dense(2)(layers.Bidirectional(both)(x))))
    outputs.append(tfcells.Restart(0.5)([outputs[0]])[0])
    return keras.Model([x, memory], outputs)


def small(rate=0.3):
    """A stack with noise, cheap enough to train."""
    stack = [tfcells.RHNCell(4, depth=2), tfcells.Zoneout(tfcells.GRUCell(2), rate)]
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), tfcells.RNN(stack, jit_compile=False)])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def model():
    return drawn(model_of(), 2)


@pytest.fixture(scope="module")
def few():
    return drawn(model_of(FEW), 2)


@pytest.fixture(scope="module")
def twin():
    return model_of()


@pytest.fixture
def other(twin):
    """An equal model with other weights."""
    return drawn(twin, 3)


def stack_of(model):
    return next(layer for layer in model.layers if hasattr(getattr(layer, "cell", None), "cells"))


def drawn(model, seed):
    """A model with random weights and states of random numbers."""
    random = np.random.default_rng(seed)
    for weight in model.variables:
        if "seed" in weight.path:
            weight.assign(random.integers(0, 1000, weight.shape))
        else:
            weight.assign(random.normal(size=weight.shape))
    return model


def equal(model, other, seeds=True, least=250):
    """seeds: whether the states of random numbers are, too. Keras's own files have none."""
    assert len(model.variables) == len(other.variables) > least
    for a, b in zip(model.variables, other.variables, strict=True):
        if seeds or "seed" not in a.path:
            np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_what_checkpoints_see_is_no_weight():
    """States of random numbers are not among the weights, and a stack's cells stand once among the layers."""
    layer = tfcells.RNN([tfcells.Zoneout(tfcells.LSTMCell(2), 0.1), tfcells.GRUCell(3)])
    layer.build(X.shape)
    assert len(layer.weights) == 6 and len(layer.variables) == 7
    assert len(list(layer._flatten_layers())) == 5
    assert not tfcells.WordDropout(9, 0.1).weights


def test_checkpoint(model, other, tmp_path):
    path = tf.train.Checkpoint(model=model).save(tmp_path / "it")
    tf.train.Checkpoint(model=other).restore(path).assert_consumed()
    equal(model, other)


def test_checkpoint_of_layers_that_are_built_later(model, tmp_path):
    stack = stack_of(model)
    path = tf.train.Checkpoint(layer=stack).write(tmp_path / "it")
    late = tfcells.RNN.from_config(stack.get_config())
    status = tf.train.Checkpoint(layer=late).read(path)
    late.build(X.shape)
    status.assert_consumed()
    for a, b in zip(stack.variables, late.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_manager_with_an_optimizer(tmp_path):
    first, second = small(), small()
    first.fit(X, np.ones((2, 2)), verbose=0)
    tf.train.CheckpointManager(tf.train.Checkpoint(model=first), tmp_path, 2).save()
    second.optimizer.build(second.trainable_variables)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(model=second), tmp_path, 2)
    tf.train.Checkpoint(model=second).restore(manager.latest_checkpoint).assert_existing_objects_matched()
    for kept, again in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(kept, again)
    for each in (first, second):  # and so the training, noise and all
        each.fit(X, np.ones((2, 2)), verbose=0, shuffle=False)
    for kept, again in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(kept, again)


def test_backup_and_restore(tmp_path):
    """Without noise: its state is in no file of Keras's, nor is that of Keras's own Dropout."""

    class Stops(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    keras.utils.set_random_seed(1)
    whole, cut = small(rate=0), small(rate=0)
    cut.set_weights(whole.get_weights())
    for a, b in zip(cut.variables, whole.variables, strict=True):
        a.assign(b)
    options = {"verbose": 0, "shuffle": False}
    whole.fit(X, np.ones((2, 2)), epochs=4, **options)
    with pytest.raises(KeyboardInterrupt):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
        cut.fit(X, np.ones((2, 2)), epochs=4, callbacks=[backup, Stops()], **options)
    again = small(rate=0)
    again.fit(X, np.ones((2, 2)), epochs=4, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "b")], **options)
    for a, b in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_saved_model(few, tmp_path):
    """Of the module that tf.saved_model.save writes; the outputs of a stack, too."""
    module, stack, other = tf.Module(), stack_of(few), drawn(model_of(FEW), 3)
    module.model = few
    module.serve = tf.function(stack, input_signature=[tf.TensorSpec(X.shape)])
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.serve(X), stack(X), atol=1e-5)
    tf.train.Checkpoint(model=other).read(str(tmp_path / "variables" / "variables")).assert_existing_objects_matched()
    equal(few, other, least=40)


@pytest.mark.parametrize("kind, name, least", [("model", "it.keras", 250), ("few", "it.h5", 40)])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_files_of_models(kind, name, least, request, tmp_path):
    """Weights, and outputs. Both kinds of files hold a model's configuration and its weights."""
    model = request.getfixturevalue(kind)
    model.save(tmp_path / name)
    again = keras.models.load_model(tmp_path / name)
    equal(model, again, seeds=False, least=least)
    for a, b in zip(again([X, MEMORY]), model([X, MEMORY]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_of_weights(model, other, tmp_path):
    model.save_weights(tmp_path / "it.weights.h5")
    other.load_weights(tmp_path / "it.weights.h5")
    equal(model, other, seeds=False)
