"""A quantized cell is the cell with rounded kernels: number by number, in every way that it runs, saved and loaded."""

import keras
import numpy as np
import pytest

import tfcells
from tests.tfcells.test_stepping import ROWS, X, drawn
from tfcells.contract.cell import Cell

EVERY = pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)


def cells_in(layer):
    return [each for each in layer._flatten_layers() if isinstance(each, Cell)]


def matrices(cell):
    """The names of the declared weights that are kernels."""
    there = {name: getattr(cell, name) for name in cell.views}
    return [name for name, each in there.items() if each is not None and is_kernel(each) and 0 not in each.shape]


def is_kernel(weight):
    """Biases may be matrices, too: a GRU has two rows."""
    return len(weight.shape) > 1 and "bias" not in weight.name


def rounded(kernel):
    """Each column as whole multiples of a 127th of its largest entry."""
    step = np.abs(kernel).max(-2, keepdims=True) / 127
    return np.round(kernel / step) * step


@pytest.mark.slow
@EVERY
def test_every_row(case):
    model, values = drawn([case], masked=True)
    inputs = list(values.values())
    layer = model.layers[-1]
    floats = {
        (i, name): np.asarray(getattr(cell, name)) for i, cell in enumerate(cells_in(layer)) for name in matrices(cell)
    }
    assert floats
    trained = [w for w in layer.trainable_variables if not is_kernel(w)]
    kept = [np.asarray(w) for w in trained]
    model.quantize("int8")
    for (i, name), before in floats.items():
        cell = cells_in(layer)[i]
        kernel, now = getattr(cell, name), np.asarray(cell.tensor(name))
        assert kernel.dtype == "int8" and not kernel.trainable and now.dtype == before.dtype
        largest = np.abs(before).max(-2, keepdims=True)
        assert (np.abs(now - before) <= largest / 127 / 2 * 1.001 + 1e-7).all()
        np.testing.assert_allclose(now, rounded(before), atol=2e-6)
    left = [w for w in layer.trainable_variables if not is_kernel(w)]
    assert [(w.name, w.dtype) for w in left] == [(w.name, w.dtype) for w in trained]
    assert all(map(np.array_equal, left, kept))
    found = model(inputs)

    again, _ = drawn([case], masked=True)  # with the same numbers in floats
    cells = cells_in(again.layers[-1])
    for i, name in floats:
        getattr(cells[i], name).assign(cells_in(layer)[i].tensor(name))
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(again(inputs)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert keras.models.clone_model(model).count_params() == model.count_params()


def model_of():
    """A stack, wrappers with kernels of their own, both directions, a second cell, weights that are never trained."""
    x = keras.Input((None, 3))
    options = {"return_sequences": True, "jit_compile": False}
    h = tfcells.RNN([tfcells.LSTMCell(4), tfcells.Mogrifier(tfcells.GRUCell(3), rounds=2)], **options)(x)
    h = keras.layers.Bidirectional(tfcells.RNN(tfcells.Zoneout(tfcells.EchoStateCell(3), 0.1), **options))(h)
    h = tfcells.RNN(tfcells.FastSlow(tfcells.LSTMCell(3), tfcells.GRUCell(2), fast_cells=3), **options)(h)
    return keras.Model(x, tfcells.Dense(2)(keras.layers.RNN(tfcells.LSTMCell(3))(h)))


@pytest.mark.filterwarnings("error:.*Cell does not")
@pytest.mark.slow
def test_whole_models(randomise, tmp_path):
    model = randomise(model_of())
    before = np.asarray(model(X))
    size = sum(w.numpy().nbytes for w in model.weights if is_kernel(w))
    model.quantize("int8")
    left = [w for cell in cells_in(model) for w in cell.trainable_variables if is_kernel(w)]
    assert not [w for w in left if 0 not in w.shape]  # FastSlow has some that read nothing
    found = np.asarray(model(X))
    assert 0 < np.abs(found - before).max() < 0.05
    assert 4 * sum(w.numpy().nbytes for w in model.weights if w.dtype == "int8") == size
    model.save(tmp_path / "it.keras")
    for other in keras.models.load_model(tmp_path / "it.keras"), tfcells.portable(model):
        assert [(w.name, w.dtype, w.shape) for w in other.weights] == [
            (w.name, w.dtype, w.shape) for w in model.weights
        ]
        np.testing.assert_array_equal(other(X), found)
    model.save_weights(tmp_path / "it.weights.h5")
    fresh = model_of()
    fresh.quantize("int8")
    fresh.load_weights(tmp_path / "it.weights.h5")
    np.testing.assert_array_equal(fresh(X), found)


@pytest.mark.slow
def test_training_goes_on_with_the_optimizer_as_it_is(randomise):
    cell = tfcells.TrainableInitialState(tfcells.LayerNormLSTMCell(4))
    layers = [tfcells.RNN(cell, jit_compile=False), tfcells.Dense(1)]
    model = randomise(keras.Sequential([keras.Input((None, 3)), *layers]))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(X, X[:, 0, :1], verbose=0)
    known = [w for w in model.trainable_weights if not w.path.endswith("kernel")]
    model.quantize("int8")
    assert [id(w) for w in model.trainable_weights] == [id(w) for w in known]
    before = [np.asarray(w) for w in known]
    model.fit(X, X[:, 0, :1], verbose=0)
    assert all((np.asarray(w) != value).any() for w, value in zip(known, before, strict=True))


@pytest.mark.slow
def test_what_is_left_is_trained_in_the_compiled_loop(randomise):
    models = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        layer = tfcells.RNN(tfcells.VariationalDropout(tfcells.LSTMCell(4), state_rate=0.2), jit_compile=jit_compile)
        model = randomise(keras.Sequential([keras.Input((None, 3)), layer, tfcells.Dense(1)]))
        model.quantize("int8", filters=lambda layer: isinstance(layer, Cell))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        kernel = np.asarray(layer.cell.cell.kernel)
        bias = np.asarray(layer.cell.cell.bias)
        model.fit(X, X[:, 0, :1], epochs=2, verbose=0)
        assert (np.asarray(layer.cell.cell.kernel) == kernel).all() and (np.asarray(layer.cell.cell.bias) != bias).any()
        models.append(model)
    for a, b in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_policies(randomise, policy, tmp_path):
    layer = tfcells.RNN(tfcells.GRUCell(4), dtype=policy, jit_compile=False)
    model = randomise(keras.Sequential([keras.Input((None, 3)), layer]))
    before = np.asarray(model(X), "float64")
    model.quantize("int8")
    found = model(X)
    assert found.dtype == layer.compute_dtype and layer.cell.kernel_scale.dtype == layer.variable_dtype
    np.testing.assert_allclose(np.asarray(found, "float64"), before, atol=0.03)
    model.save(tmp_path / "it.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "it.keras")(X), found)


def test_other_modes_leave_a_cell_as_it_is():
    model = keras.Sequential([keras.Input((None, 3)), tfcells.RNN(tfcells.LSTMCell(4))])
    skipped = "were skipped because they do not support quantization"  # what Keras 3.16 says of any layer's reason
    for mode in ("int4", "float8"):
        reason = f"LSTMCell stays as it is: mode must be \"int8\" for cells, got '{mode}'"
        with pytest.warns(UserWarning, match=f"{reason}|{skipped}"):
            model.quantize(mode)
        with pytest.raises(NotImplementedError, match=reason):
            model.layers[0].cell.quantize(mode)
    config = keras.quantizers.Int8QuantizationConfig(weight_quantizer=keras.quantizers.AbsMaxQuantizer(axis=0))
    reason = "LSTMCell stays as it is: the config's weight_quantizer must be None"
    with pytest.warns(UserWarning, match=f"{reason}|{skipped}"):
        model.quantize(config=config)
    with pytest.raises(NotImplementedError, match=reason):
        model.layers[0].cell.quantize("int8", config=config)
    assert model.layers[0].cell.kernel.dtype == "float32"
    with pytest.raises(ValueError, match="dtype must be a policy of floats or of int8, got float8_from_float32"):
        tfcells.LSTMCell(4, dtype="float8_from_float32").build((None, 3))
    model.quantize("int8")
    before = model.get_weights()
    with pytest.raises(ValueError, match="already quantized"):
        model.layers[0].cell.quantize("int8")
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("cell", [tfcells.LSTMCell, tfcells.GRUCell])
def test_weights_for_others(randomise, cell):
    """PyTorch gets the numbers that are computed with; Keras has no such layer."""
    model = randomise(keras.Sequential([keras.Input((None, 3)), tfcells.RNN(cell(4), return_sequences=True)]))
    model.quantize("int8")
    again = tfcells.from_torch(tfcells.to_torch(model))
    np.testing.assert_allclose(again(X), model(X), atol=1e-6)
    with pytest.raises(ValueError, match=f"{cell.__name__} has no kernels in int8"):
        tfcells.to_keras(model)
