"""How weights start, where a paper or its authors' code gives a distribution. Golden files can't see it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells

FEATURES, MANY = 3, 4000


def built(cell, features=FEATURES):
    cell.build((None, features))
    return {weight.name: np.asarray(weight) for weight in cell.weights}


def is_uniform(values, low, high):
    """Within these bounds, and at no place further from evenly spaced than chance allows (Kolmogorov & Smirnov)."""
    values = np.sort((values - low) / (high - low))
    assert -1e-5 < values[0] and values[-1] < 1 + 1e-5
    away = np.abs(values - (np.arange(len(values)) + 0.5) / len(values)).max()
    assert away < 1.95 / np.sqrt(len(values)), away  # one in a thousand


def test_eigenvalues_of_an_lru_are_uniform_on_a_ring():
    w = built(tfcells.LRUCell(MANY, min_radius=0.4, max_radius=0.9, max_phase=1.5), 1)
    squares = np.exp(-2 * np.exp(w["radius_vector"]))
    is_uniform(squares, 0.4**2, 0.9**2)
    is_uniform(np.exp(w["phase_vector"]), 0, 1.5)
    np.testing.assert_allclose(np.exp(2 * w["scale_vector"]), 1 - squares, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_lru_starts_finite(dtype):
    """Also at the rims of the widest ring."""
    w = built(tfcells.LRUCell(MANY, dtype=dtype), 1)
    assert all(np.isfinite(w[name].astype("float32")).all() for name in w)


def test_decays_of_an_rg_lru():
    """exp(-softplus) squared is uniform between 0.9 and 0.999, squared."""
    decay = built(tfcells.RGLRUCell(MANY), 1)["decay_vector"].astype("float64")
    is_uniform(np.exp(-2 * np.log1p(np.exp(decay))), 0.9**2, 0.999**2)


@pytest.mark.parametrize("units, heads", [(12, 1), (12, 3), (1, 1)])
def test_forget_biases_of_an_slstm_fall(units, heads):
    w, size = built(tfcells.SLSTMCell(units, heads=heads)), units // heads
    wanted = [5 - 12 * (k / max(size - 1, 1)) ** 0.3 for k in range(size)] * heads
    i, f, z, o = np.split(w["bias"], 4)
    np.testing.assert_allclose(f, wanted, atol=1e-5)
    assert not np.any([i, z, o]) and not w["recurrent_kernel"].any()


def test_gates_of_an_mlstm():
    units = heads = 500
    w = built(tfcells.MLSTMCell(units, heads=heads))
    products, i, f = np.split(w["bias"], [4 * units, 4 * units + heads])
    assert not products.any() and not w["kernel"][:, 4 * units :].any() and w["kernel"][:, : 4 * units].all()
    assert abs(i.mean()) < 0.02 and 0.09 < i.std() < 0.11
    np.testing.assert_allclose(f, np.linspace(3, 6, heads), rtol=1e-5)


def test_phases_of_an_hgrn():
    phases = built(tfcells.HGRNCell(6))["phase_vector"]
    np.testing.assert_allclose(phases, [10000 ** (-2 * k / 6) for k in range(6)], rtol=1e-5)


@pytest.mark.parametrize("steps, bound", [(None, 1.0), (1, 2.0), (10, 2**0.1)])
def test_recurrent_weights_of_an_indrnn_fill_its_bound(steps, bound):
    is_uniform(built(tfcells.IndRNNCell(MANY, steps=steps), 1)["recurrent_vector"], 0, bound)


def test_an_indrnn_stays_within_its_bound():
    """After updates that lead far out, and after a constraint of the user's."""
    cell = tfcells.IndRNNCell(4, steps=2, recurrent_constraint=lambda u: u + 0.25)
    model = keras.Sequential([tfcells.RNN(cell, jit_compile=False)])
    model.compile(keras.optimizers.SGD(1e3), "mse")
    x = np.random.default_rng(0).normal(size=(8, 4, FEATURES)).astype("float32")
    model.fit(x, np.ones((8, 4), "float32"), verbose=0)
    u = np.asarray(cell.recurrent_vector)
    assert np.abs(u).max() == np.float32(2**0.5)
    np.testing.assert_allclose(cell.recurrent_vector.constraint(tf.constant([-9.0, 0.5])), [-(2**0.5), 0.75])


def test_a_gradient_of_an_indrnn_within_its_bound_grows_at_most_twofold():
    steps = 20
    cell = tfcells.IndRNNCell(3, steps=steps, recurrent_initializer=keras.initializers.Constant(2 ** (1 / steps)))
    layer, h = tfcells.RNN(cell, jit_compile=False), tf.ones((1, 3))
    with tf.GradientTape() as tape:
        tape.watch(h)
        y = layer(tf.zeros((1, steps, FEATURES)), initial_state=h)
    np.testing.assert_allclose(tape.gradient(y, h), 2 * np.ones((1, 3)), rtol=1e-5)


@pytest.mark.parametrize("name, states", [("ParaGRUCell", 1), ("ParaLSTMCell", 2)])
def test_starts_of_pararnn(name, states):
    units = 1500
    w = built(getattr(tfcells, name)(units))
    first, rest = np.split(w["bias"], [units])
    np.testing.assert_allclose(first, -np.linspace(0, 1, units), atol=1e-6)
    assert not rest.any()
    spread = w["recurrent_vector"].std() * np.sqrt(5 * units) / 2
    assert 0.95 < spread < 1.05 and ("peephole" in w) == (states == 2)


@pytest.mark.parametrize("rescale, alpha", [(True, np.sqrt(1 + 2 * np.exp(-1.5))), (False, 1.0)])
def test_a_shut_sru_passes_its_scaled_input_on(rescale, alpha):
    """And its reset gate starts at highway_bias."""
    cell = tfcells.SRUCell(FEATURES, highway_bias=-1.5, rescale=rescale)
    bias = built(cell)["bias"]
    np.testing.assert_array_equal(bias, np.repeat([0, -1.5], FEATURES))
    cell.bias.assign(np.repeat([0.0, -1e3], FEATURES))
    x = np.random.default_rng(0).normal(size=(2, 4, FEATURES)).astype("float32")
    np.testing.assert_allclose(tfcells.RNN(cell, return_sequences=True, jit_compile=False)(x), alpha * x, rtol=1e-5)


def test_weights_of_an_sru():
    """Uniform; the variance of a product of a white input is 1, of the gates' 1/2, of the passed input alpha^2."""
    units, alpha = 1000, np.sqrt(1 + 2 * np.exp(-1.5))
    w = built(tfcells.SRUCell(units, highway_bias=-1.5))
    for block, scale in zip(np.split(w["kernel"], 4, -1), (1, np.sqrt(0.5), np.sqrt(0.5), alpha), strict=True):
        is_uniform(block.ravel(), -scale * np.sqrt(3 / FEATURES), scale * np.sqrt(3 / FEATURES))
    is_uniform(w["recurrent_vector"], -np.sqrt(1.5), np.sqrt(1.5))
    assert built(tfcells.SRUCell(FEATURES))["kernel"].shape == (FEATURES, 3 * FEATURES)


@pytest.mark.parametrize("units, negatives", [(40, 0.0), (40, 0.5), (7, 0.25), (1, 1.0)])
def test_the_kernel_of_a_scornn_is_orthogonal(units, negatives, randomise):
    cell = tfcells.ScoRNNCell(units, negatives=negatives, dtype="float64")
    built(cell)
    for _ in range(2):  # as it starts, and after any update
        q = np.asarray(cell.bind(tfcells.Call(1, 1, FEATURES)).recurrent_kernel.matrix)
        np.testing.assert_allclose(q.T @ q, np.eye(units), atol=1e-12)
        assert np.sign(np.linalg.det(q)) == (-1) ** round(negatives * units)
        randomise(cell)


def test_rotations_of_a_scornn_have_uniform_angles():
    cell = tfcells.ScoRNNCell(600, negatives=0.0, dtype="float64")
    built(cell, 1)
    q = np.asarray(cell.bind(tfcells.Call(1, 1, 1)).recurrent_kernel.matrix)
    angles = np.angle(np.linalg.eigvals(q))
    is_uniform(angles[angles > 0], 0, np.pi / 2)


@pytest.mark.parametrize("units", [1, 2, 50])
@pytest.mark.parametrize("radius", [0.5, 1.25])
@pytest.mark.slow
def test_an_echo_state_has_its_spectral_radius_and_does_not_train(units, radius):
    cell = tfcells.EchoStateCell(units, spectral_radius=radius)
    before = built(cell)
    assert np.abs(np.linalg.eigvals(before["recurrent_kernel"])).max() == pytest.approx(radius, rel=1e-4)
    model = keras.Sequential([tfcells.RNN(cell, jit_compile=False), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.ones((4, 3, FEATURES), "float32"), np.ones((4, 1), "float32"), verbose=0)
    assert len(model.trainable_weights) == 2
    for name, weight in before.items():
        np.testing.assert_array_equal(getattr(cell, name), weight)


def test_an_echo_state_without_recurrence():
    cell = tfcells.EchoStateCell(4, recurrent_initializer="zeros")
    assert not built(cell)["recurrent_kernel"].any()


def test_fast_weights_start_with_a_slow_identity():
    np.testing.assert_allclose(built(tfcells.FastWeightsCell(5))["recurrent_kernel"], 0.05 * np.eye(5), rtol=1e-6)


# What keeps exponential gates finite.


@pytest.mark.parametrize("name", ["SLSTMCell", "MLSTMCell"])
@pytest.mark.parametrize("level", [-300.0, 300.0])
def test_exponential_gates_stay_finite(name, level):
    """Inputs all as large, or as small, as float32 can't hold their exponentials; gradients too."""
    cell = getattr(tfcells, name)(4)
    layer = tfcells.RNN(cell, return_sequences=True, jit_compile=False)
    layer.build((None, None, FEATURES))
    bias = np.zeros(cell.bias.shape, "float32")
    bias[slice(0, 4) if name == "SLSTMCell" else slice(16, 17)] = level
    cell.bias.assign(bias)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, FEATURES)).astype("float32"))
    with tf.GradientTape() as tape:
        y = layer(x)
    assert np.isfinite(y).all() and np.abs(y).max() < 10
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(y, cell.trainable_weights))
    assert np.abs(y).max() > 1e-3 or name == "MLSTMCell"  # h is c / n whatever their scale


@pytest.mark.parametrize("name", ["SLSTMCell", "MLSTMCell"])
@pytest.mark.parametrize("wrap", [lambda c: tfcells.Zoneout(c, 0.1), lambda c: tfcells.Zoneout(c, {"n": 0.1})])
def test_states_of_another_scale_are_not_zoned(name, wrap):
    with pytest.raises(ValueError, match=f"{name} has no state slot, on which Zoneout acts"):
        wrap(getattr(tfcells, name)(4))


def test_the_root_of_an_rg_lru_has_a_bounded_gradient():
    """Where a gate is shut for good, and 1 - a^2 is 0."""
    cell = tfcells.RGLRUCell(2)
    layer = tfcells.RNN(cell, jit_compile=False)
    layer.build((None, None, 2))
    cell.bias.assign([-200.0, -200.0, 0.0, 0.0])
    x = tf.ones((1, 3, 2))
    with tf.GradientTape() as tape:
        y = layer(x)
    np.testing.assert_array_equal(y, np.zeros((1, 2)))
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(y, cell.trainable_weights))


# What a class refuses besides: tests/cases/values.py has the rest.


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tfcells.LipschitzRNNCell(4, beta=0.4), "beta must be a number from 0.5 to 1, got 0.4"),
        (
            lambda: tfcells.LRUCell(4, min_radius=0.5, max_radius=0.5),
            "max_radius must be a number above min_radius, 0.5",
        ),
        (
            lambda: tfcells.Projection(tfcells.SLSTMCell(4, heads=2), 3),
            "heads must be a divisor of the 3 projection_units, got 2",
        ),
        (lambda: tfcells.MLSTMCell(6, heads=4), "heads must be a divisor of the 6 units, got 4"),
        (lambda: tfcells.ParaGRUCell(6, heads=2).build((None, 3)), "heads must be a divisor of the 3 features, got 2"),
        (lambda: tfcells.RGLRUCell(6, heads=2).build((None, 3)), "heads must be a divisor of the 3 features, got 2"),
    ],
)
def test_values_that_do_not_fit_together(make, message):
    with pytest.raises(ValueError, match=message):
        make()
