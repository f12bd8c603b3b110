"""Every row of the table on the backend that KERAS_BACKEND names: the same numbers within 1e-5.

`.ci/backends NAME` runs these tests where no other backend is installed.
"""

import keras
import numpy as np
import pytest
from keras import ops

import tfcells
from tests.cases import CASES
from tests.cases.runs import (
    AROUND_CELLS,
    BATCH,
    FEATURES,
    LOOP,
    MASK,
    STEPS,
    are_finite_differences,
    cosines,
    data,
    layer_of,
    loss_of,
    near,
    oracle,
    pure,
)

pytestmark = pytest.mark.slow

BACKEND = keras.backend.backend()
AROUND_LSTM = {name: case for name, case in AROUND_CELLS.items() if name.endswith("-lstm")}
ROWS = {case.name: case for case in CASES} | AROUND_LSTM
if BACKEND == "tensorflow":  # on which all other tests run, every row among them
    few = "lstm clockwork lru fast-norm mgu mingru-positive Zoneout-lstm Attention-lstm"
    ROWS = {name: ROWS[name] for name in few.split()}
EVERY = pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
ELSEWHERE = pytest.mark.skipif(BACKEND == "tensorflow", reason="on TensorFlow other tests say so")
X = np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")


def differentiated(function, arrays):
    """What a function of arrays gives besides its loss, and the loss's gradients; zeros of what it doesn't read."""
    arrays = [array.astype("float32") for array in arrays]
    if BACKEND == "jax":
        import jax

        gradients, others = jax.jit(jax.grad(function, range(len(arrays)), has_aux=True))(*arrays)
    elif BACKEND == "torch":
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        loss, others = function(*tensors)
        gradients = torch.autograd.grad(loss, tensors, materialize_grads=True)
    else:
        import tensorflow as tf

        tensors = list(map(tf.constant, arrays))
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss, others = function(*tensors)
        gradients = tape.gradient(loss, tensors, unconnected_gradients="zero")
    return keras.tree.map_structure(ops.convert_to_numpy, (others, list(gradients)))


def run(case, options, steps=STEPS):
    """Outputs and final states without a mask, the same with one, and all gradients of a loss of the latter."""
    x, state, weights = data(case)
    layer, count = layer_of(case, "float32", **options), len(state)

    def function(x, *rest):
        whole, masked = (
            list(pure(layer, x, rest[:count], rest[count:], mask=mask, **case.given))
            for mask in (None, MASK[:, :steps])
        )
        pairs = zip(masked, cosines(masked), strict=True)
        return sum(ops.sum(a * ops.convert_to_tensor(b, "float32")) for a, b in pairs), (whole, masked)

    (whole, masked), gradients = differentiated(function, [x[:, :steps], *state, *weights.values()])
    return whole, masked, gradients


@EVERY
@pytest.mark.usefixtures("known_masks")
def test_equals_the_oracle(case):
    """Values, with and without a mask, and all gradients; step by step, and all steps at once where that can be."""
    x, state, weights = data(case)
    linear = case.cell(**case.arguments).takes_all_steps
    for options in [LOOP, {"parallel": True}] if linear else [LOOP]:
        whole, masked, gradients = run(case, options)
        near(whole, oracle(case), 1e-5)
        near(masked, case.roll(x, state, weights, MASK), 1e-5)
        are_finite_differences(gradients, loss_of(case, MASK), [x, *state, *weights.values()], 5e-5)


@ELSEWHERE
@pytest.mark.parametrize("name", ["lstm", "clockwork", "lru", "hyper", "Zoneout-lstm", "Attention-lstm"])
@pytest.mark.parametrize("steps", [STEPS, STEPS - 1])
def test_rematerialized(name, steps, known_masks):
    """In strides of two, with one step left over or none: the same values and gradients."""
    found, wanted = (run(ROWS[name], options, steps) for options in ({"remat": True}, LOOP))
    near(keras.tree.flatten(found), keras.tree.flatten(wanted), 1e-6)


def remembered(layer, x):
    """How many bytes are kept from the way forward to the way back."""
    if BACKEND == "jax":
        import jax

        gradient = jax.jit(jax.grad(lambda x: ops.sum(layer(x))))
        return gradient.lower(x).compile().memory_analysis().temp_size_in_bytes
    import torch

    kept = {}
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: [kept.setdefault(tensor.data_ptr(), tensor), tensor][1], lambda tensor: tensor
    )
    with hooks:
        ops.sum(layer(torch.tensor(x, requires_grad=True)))
    return sum(tensor.nbytes for tensor in kept.values())


@ELSEWHERE
def test_rematerialized_takes_a_fraction_of_the_memory():
    x = np.ones((4, 144, 16), "float32")
    whole, strides = (
        remembered(tfcells.RNN(tfcells.LSTMCell(32), return_sequences=True, remat=remat), x) for remat in (False, True)
    )
    assert strides < 0.35 * whole


def every_row():
    """A model of every cell and every wrapper, with random weights, and what it is given."""
    rows = {case.cell: case for name, case in ROWS.items() if name not in AROUND_LSTM}
    rows = [*rows.values(), *(case for name, case in ROWS.items() if name in AROUND_LSTM)]
    given = {name: value for case in rows for name, value in case.given.items() if name != "training"}
    inputs = {"x": keras.Input((None, FEATURES), name="x")}
    inputs |= {name: keras.Input(value.shape[1:], dtype=value.dtype.name, name=name) for name, value in given.items()}
    outputs = {}
    for case in rows:
        more = {name: inputs[name] for name in case.given if name != "training"}
        outputs[case.name] = tfcells.RNN(case.cell(**case.arguments), **LOOP)(inputs["x"], **more)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model, {"x": X} | given


@ELSEWHERE
def test_keras_files(tmp_path):
    model, given = every_row()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found, wanted = (each.predict(given, verbose=0) for each in (again, model))
    assert found.keys() == wanted.keys() and len(wanted) > 70
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


NOISE = {
    "VariationalDropout": {"input_rate": 0.2, "state_rate": 0.3, "output_rate": 0.1},
    "RecurrentDropout": {"rate": 0.3},
    "Zoneout": {"rate": 0.3},
    "WeightDrop": {"rate": 0.3},
}


@ELSEWHERE
@pytest.mark.parametrize("name", NOISE)
def test_noise_is_drawn_anew_in_each_step_of_training_alone(name):
    """In Keras's own compiled step, of a model whose weights stay as they are; the same seed, the same noise."""
    losses = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        cell = tfcells.WRAPPERS[name](tfcells.LSTMCell(5), **NOISE[name], seed=3)
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), tfcells.RNN(cell)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        losses.append([model.train_on_batch(X, X[:, 0, :1]) for _ in range(3)])
        assert model.evaluate(X, X[:, 0, :1], verbose=0) == model.evaluate(X, X[:, 0, :1], verbose=0)
    assert len(set(map(float, losses[0]))) == 3
    np.testing.assert_array_equal(*losses)


@ELSEWHERE
def test_fit_learns_through_masks_stacks_and_both_directions():
    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(10, 4, mask_zero=True),
            keras.layers.Bidirectional(tfcells.RNN(tfcells.LSTMCell(4), return_sequences=True)),
            tfcells.RNN([tfcells.MinGRUCell(8), tfcells.Zoneout(tfcells.GRUCell(8), 0.1)], remat=True),
            tfcells.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    words = np.random.default_rng(0).integers(0, 10, (16, 12))
    before = model.get_weights()
    losses = model.fit(words, words[:, :1] / 10, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["lstm", "fast-norm", "mgu"])
def test_half_precision(name, policy):
    x, state, weights = data(ROWS[name])
    found = pure(layer_of(ROWS[name], policy, **LOOP), x, state, weights.values())
    for a, b in zip(found, oracle(ROWS[name]), strict=True):
        assert keras.backend.standardize_dtype(a.dtype) == policy.removeprefix("mixed_")
        near([ops.convert_to_numpy(ops.cast(a, "float32"))], [b], 0.1)


@ELSEWHERE
def test_states_traces_and_single_steps():
    options = {"return_sequences": True, "stateful": True}
    cells = [tfcells.LSTMCell(4), tfcells.Residual(tfcells.GRUCell(4))]
    model = keras.Sequential([keras.Input((STEPS // 2, FEATURES), BATCH), tfcells.RNN(cells, **options)])
    whole = tfcells.RNN(cells, return_sequences=True)
    wanted = ops.convert_to_numpy(whole(X))
    halves = [ops.convert_to_numpy(model(part)) for part in np.split(X, 2, 1)]
    near([np.concatenate(halves, 1)], [wanted], 1e-6)
    states = tfcells.get_states(model)
    tfcells.reset_states(model)
    near([ops.convert_to_numpy(model(X[:, : STEPS // 2]))], halves[:1], 1e-6)
    tfcells.set_states(model, states)
    near(keras.tree.flatten(tfcells.get_states(model)), keras.tree.flatten(states), 0)
    near([tfcells.trace(whole, X)["1.output"]], [wanted], 1e-6)
    step = tfcells.step_model(keras.Sequential([keras.Input((None, FEATURES)), whole]))
    now, outputs = step.get_initial_state(BATCH), []
    for t in range(STEPS):
        output, *now = step([ops.convert_to_tensor(X[:, t : t + 1]), *now])
        outputs.append(ops.convert_to_numpy(output))
    near([np.concatenate(outputs, 1)], [wanted], 1e-6)


@ELSEWHERE
def test_weights_of_others():
    """Of Keras's layers, and of PyTorch's by the way of arrays, there and back."""
    inputs = [keras.Input((STEPS, FEATURES)), keras.layers.LSTM(4, return_sequences=True), keras.layers.GRU(3)]
    model = keras.Sequential(inputs)
    ours = tfcells.from_keras(model)
    theirs = tfcells.from_torch({name: np.asarray(value) for name, value in tfcells.to_torch(ours.layers[0]).items()})
    wanted = ops.convert_to_numpy(model(X))
    for each in (ours, tfcells.to_keras(ours), tfcells.portable(ours)):
        near([ops.convert_to_numpy(each(X))], [wanted], 1e-6)
    near([ops.convert_to_numpy(theirs(X))], [ops.convert_to_numpy(ours.layers[0](X))], 1e-6)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="which has float64")
def test_what_keras_does_not_compute_in_is_refused():
    with pytest.raises(ValueError, match=f"dtype must be .* got float64: Keras makes float32 of float64 on {BACKEND}"):
        tfcells.RNN(tfcells.LSTMCell(4), dtype="float64")
