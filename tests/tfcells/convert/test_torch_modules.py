"""Models with the weights of torch.nn's modules give their outputs: PyTorch's own, and its equations' in NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

import tfcells

STEPS, FEATURES, UNITS = 4, 5, 3
X = np.random.default_rng(0).normal(size=(2, STEPS, FEATURES)).astype("float32")
ROWS = {"LSTM": 4, "GRU": 3, "RNN": 1}
OPTIONS = {
    "plain": {},
    "layers": {"num_layers": 3},
    "directions": {"bidirectional": True},
    "layers and directions": {"num_layers": 2, "bidirectional": True},
    "no bias": {"bias": False, "num_layers": 2},
}
CASES = [
    *((kind, name, options) for kind in ROWS for name, options in OPTIONS.items()),
    ("RNN", "relu", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", "projection", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
]
IDS = [f"{kind} {name}" for kind, name, _ in CASES]


def state_of(kind, num_layers=1, bidirectional=False, bias=True, proj_size=0, nonlinearity=None, seed=1):
    """A state_dict as the module has it, with random values."""
    rng, state = np.random.default_rng(seed), {}
    output, rows = proj_size or UNITS, ROWS[kind] * UNITS
    for layer in range(num_layers):
        width = (output * (1 + bidirectional)) if layer else FEATURES
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            shapes = {"weight_ih": (rows, width), "weight_hh": (rows, output)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            shapes |= {"weight_hr": (proj_size, UNITS)} if proj_size else {}
            for name, shape in shapes.items():
                state[f"{name}_l{layer}{suffix}"] = rng.normal(scale=0.5, size=shape).astype("float32")
    return state


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def oracle(kind, state, x, num_layers=1, bidirectional=False, nonlinearity="tanh", **_):
    """The equations of PyTorch's documentation."""

    def one_way(x, suffix):
        W, U, b, d, P = (
            np.float64(state.get(f"{name}{suffix}", 0))
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        h, c, outputs = np.zeros((len(x), U.shape[1])), np.zeros((len(x), UNITS)), []
        for now in np.swapaxes(x, 0, 1):
            a, u = now @ W.T + b, h @ U.T + d
            if kind == "RNN":
                h = np.tanh(a + u) if nonlinearity == "tanh" else np.maximum(a + u, 0)
            elif kind == "GRU":
                (a_r, a_z, a_n), (u_r, u_z, u_n) = np.split(a, 3, -1), np.split(u, 3, -1)
                z = sigmoid(a_z + u_z)
                h = (1 - z) * np.tanh(a_n + sigmoid(a_r + u_r) * u_n) + z * h
            else:
                i, f, g, o = np.split(a + u, 4, -1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                h = h @ P.T if P.ndim else h
            outputs.append(h)
        return np.stack(outputs, 1)

    for layer in range(num_layers):
        ways = [one_way(x, f"_l{layer}")]
        if bidirectional:
            ways.append(one_way(x[:, ::-1], f"_l{layer}_reverse")[:, ::-1])
        x = np.concatenate(ways, -1)
    return x


def plain(model):
    """Without compiled loops."""
    for layer in model._flatten_layers():
        if isinstance(layer, tfcells.RNN):
            layer.jit_compile = False
    return model


def activation(options):
    return {name: options[name] for name in ("nonlinearity",) if name in options}


@pytest.mark.parametrize(("kind", "name", "options"), CASES, ids=IDS)
def test_equations(kind, name, options):
    state = state_of(kind, **options)
    model = plain(tfcells.from_torch(state, **activation(options)))
    wanted = oracle(kind, state, X, **options)
    np.testing.assert_allclose(model(X), wanted, atol=1e-6, rtol=0)
    np.testing.assert_allclose(model(X[:1, :2]), oracle(kind, state, X[:1, :2], **options), atol=1e-6, rtol=0)
    back = tfcells.to_torch(model)
    assert {name: value.shape for name, value in back.items()} == {name: value.shape for name, value in state.items()}
    np.testing.assert_allclose(oracle(kind, back, X, **options), wanted, atol=1e-6, rtol=0)


@pytest.mark.export
@pytest.mark.parametrize(("kind", "name", "options"), CASES, ids=IDS)
def test_pytorch(kind, name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tfcells[bench]'")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(FEATURES, UNITS, batch_first=True, **options)
    model = plain(tfcells.from_torch(module.state_dict(), **activation(options)))
    wanted = module(torch.tensor(X))[0].detach().numpy()
    np.testing.assert_allclose(model(X), wanted, atol=1e-6, rtol=0)
    state = {name: torch.tensor(value) for name, value in tfcells.to_torch(model).items()}
    again = getattr(torch.nn, kind)(FEATURES, UNITS, batch_first=True, **options)
    again.load_state_dict(state)
    np.testing.assert_allclose(again(torch.tensor(X))[0].detach().numpy(), wanted, atol=1e-6, rtol=0)


def test_double_precision():
    state = {name: value.astype("float64") + 1e-12 for name, value in state_of("GRU", bidirectional=True).items()}
    model, x = plain(tfcells.from_torch(state)), X.astype("float64") + 1e-9
    np.testing.assert_allclose(model(x), oracle("GRU", state, x, bidirectional=True), atol=1e-14, rtol=0)
    for name, value in tfcells.to_torch(model).items():
        np.testing.assert_array_equal(value, state[name])


@pytest.mark.export
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_precision_of_pytorch(dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tfcells[bench]'")
    module = torch.nn.GRU(FEATURES, UNITS, dtype=getattr(torch, dtype))
    found = tfcells.to_torch(tfcells.from_torch(module.state_dict()))["weight_hh_l0"]
    assert found.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(found, module.weight_hh_l0.detach().double())


def test_stacks_and_single_layers():
    state = state_of("GRU", num_layers=2)
    model = tfcells.from_torch(state)
    stack = tfcells.RNN([tfcells.GRUCell(UNITS), tfcells.GRUCell(UNITS)])
    stack.build(X.shape)
    stack.set_weights(model.get_weights())
    found = tfcells.to_torch(stack)
    assert found.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value)
    half = tfcells.to_torch(tfcells.from_torch(state_of("LSTM", bidirectional=True)).layers[0])
    assert "weight_hh_l0_reverse" in half


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.clear(), "names as weight_ih_l0, got none"),
        (lambda s: s.update({"head.weight": np.ones(3)}), "head.weight"),
        (lambda s: s.pop("bias_hh_l0"), "lacks bias_hh_l0"),
        (
            lambda s: [s.update({f"{name}_reverse": s.pop(name)}) for name in [*s]],
            "lacks .*weight_ih_l0, weight_ih_l1$",
        ),
        (lambda s: s.pop("weight_ih_l1"), "lacks weight_ih_l1"),
        (lambda s: s.update(bias_hh_l1_reverse=np.ones(12)), "it has no use for bias_hh_l1_reverse"),
        (lambda s: s.update(weight_ih_l0=np.ones((7, FEATURES))), "4, 3 or 1 rows for each of 3 units, got 7"),
        (lambda s: s.update(weight_hh_l1=np.ones((12, 4))), r"weight_hh_l1 .* shape \(12, 3\), got \(12, 4\)"),
    ],
)
def test_wrong_states(change, message):
    state = state_of("LSTM", num_layers=2)
    change(state)
    with pytest.raises(ValueError, match=f"state_dict.*{message}"):
        tfcells.from_torch(state)


def test_no_state():
    with pytest.raises(ValueError, match=r"state_dict must be a module.state_dict\(\), got int"):
        tfcells.from_torch(3)


@pytest.mark.parametrize(("kind", "nonlinearity"), [("LSTM", "relu"), ("GRU", "relu"), ("RNN", "selu")])
def test_wrong_nonlinearities(kind, nonlinearity):
    with pytest.raises(ValueError, match=f'nonlinearity must be "tanh".* for the state_dict of an? {kind}, got'):
        tfcells.from_torch(state_of(kind), nonlinearity=nonlinearity)


def lstm(**options):
    return tfcells.RNN(tfcells.LSTMCell(3, **options), return_sequences=True)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (lambda: [lstm(), layers.Dense(3, name="it")], "layer 'it' must be a forward tfcells.RNN"),
        (lambda: [layers.LSTM(3, name="it")], "layer 'it' must be a forward tfcells.RNN"),
        (lambda: [layers.Bidirectional(lstm(), merge_mode="sum", name="it")], "layer 'it' must be"),
        (lambda: [tfcells.RNN(tfcells.LSTMCell(3), go_backwards=True, name="it")], "layer 'it' must be"),
        (lambda: [lstm(), tfcells.RNN(tfcells.GRUCell(3))], "the same cell in all layers"),
        (lambda: [lstm(), layers.Bidirectional(lstm())], "the same cell in all layers"),
        (lambda: [lstm(activation="relu")], "no activations"),
        (lambda: [lstm(input_gate="capped")], "input_gate='free' only"),
        (lambda: [tfcells.RNN(tfcells.GRUCell(3, reset_after=False))], "reset_after=True"),
        (lambda: [tfcells.RNN(tfcells.Zoneout(tfcells.LSTMCell(3), 0.1))], "PyTorch has no Zoneout"),
    ],
)
def test_models_that_pytorch_has_not(inner, message):
    with pytest.raises(ValueError, match=f"model.*{message}"):
        tfcells.to_torch(keras.Sequential([keras.Input((STEPS, FEATURES)), *inner()]))


def test_unbuilt():
    with pytest.raises(ValueError, match="model must be built"):
        tfcells.to_torch(lstm())
