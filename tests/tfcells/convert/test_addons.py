"""Cells with the weights of TensorFlow Addons give its outputs (tests/golden)."""

import pathlib

import numpy as np
import pytest

import tfcells

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"
NAMES = [
    *("lstm_layernorm_tfa", "lstm_peephole_tfa"),
    *("nas_tfa", "nas_tfa_nobias", "nas_tfa_proj", "nas_tfa_proj_nobias"),
]


def golden(name):
    path = GOLDEN / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    file = np.load(path)
    return file, [file[each] for each in file.files if each.startswith("weight/")]  # in the order of get_weights()


def outputs(file, cell):
    layer = tfcells.RNN(cell, return_sequences=True, jit_compile=False, dtype="float64")
    states = [file["input/state/0"], file["input/state/1"]]
    return layer(
        file["input/x"],
        initial_state=states[::-1] if isinstance(getattr(cell, "cell", cell), tfcells.NASCell) else states,
    )


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    file, weights = golden(name)
    cell = tfcells.from_addons(weights, dtype="float64")
    np.testing.assert_allclose(outputs(file, cell), file["output/y"], atol=1e-12)


@pytest.mark.parametrize("name", NAMES[:2])
def test_without_bias(name):
    """As with a bias of zeros."""
    file, weights = golden(name)
    zero = [w if number != 2 else w * 0 for number, w in enumerate(weights)]
    found, wanted = (tfcells.from_addons(w, dtype="float64") for w in (weights[:2] + weights[3:], zero))
    np.testing.assert_array_equal(outputs(file, found), outputs(file, wanted))


def test_arguments():
    cell = tfcells.from_addons(golden("lstm_layernorm_tfa")[1], epsilon=1e-2, recurrent_activation="hard_sigmoid")
    assert (cell.epsilon, cell.recurrent_activation.__name__, cell.cell_norm) == (1e-2, "hard_sigmoid", "carry")


@pytest.mark.parametrize(
    "change", [lambda w: w[:1], lambda w: w[:3], lambda w: w[:3] + w[4:] + w[3:4], lambda w: [*w, *w]]
)
def test_wrong_weights(change):
    with pytest.raises(ValueError, match=r"weights must be those of one cell, .* shapes \[\("):
        tfcells.from_addons(change(golden("lstm_layernorm_tfa")[1]))


def test_no_weights():
    with pytest.raises(ValueError, match=r"weights must be the list that get_weights\(\) returns, got None"):
        tfcells.from_addons(None)
