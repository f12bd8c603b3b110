"""`tfcells.trace`: what it finds is what the layer does, and costs nothing where nobody traces."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import tfcells
from tests.cases.runs import FEATURES, data
from tests.tfcells.test_states import BATCH, EVERY, STEPS, equal, given_to, layer_around

LOOP = {"jit_compile": False}
X = np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
MASK = np.array([[1, 0, 1, 0], [0, 1, 1, 1]], bool)


def built(cell, randomise, **options):
    layer = tfcells.RNN(cell, return_sequences=True, return_state=True, **LOOP | options)
    layer.build((BATCH, STEPS, FEATURES))
    return randomise(layer)


@EVERY
def test_what_is_found_is_what_the_layer_does(case):
    """Outputs, states and, of the slots that the cell has, the product of a kernel and the update."""
    x, given = data(case)[0][:BATCH, :STEPS], given_to(case)
    layer = layer_around(case, lambda cell: cell)
    found, (output, *states) = tfcells.trace(layer, x, mask=MASK, **given), layer(x, mask=MASK, **given)
    equal(found["output"], output, 1e-12)
    for name, state in zip(layer.cell.states, states, strict=True):
        equal(found[f"state.{name}"][:, -1], state, 1e-12)
    assert {array.shape[:2] for array in found.values()} == {(BATCH, STEPS)}
    update = {name for name in found if name.split(".")[-1] == "update"}
    assert bool(update) == ("update" in layer.cell.slots)
    reading = {name for views in layer.cell.views.values() for name, view in views.items() if view.reads}
    assert reading <= found.keys()


WITHOUT = {"NASCell"}  # its many sigmoids are no gates of their own


@EVERY
def test_cells_name_their_gates(case):
    if not (isinstance(case.cell, type) and issubclass(case.cell, tfcells.GatedCell)):
        return  # a wrapper, or a cell without gates
    found = tfcells.trace(layer_around(case, lambda cell: cell), data(case)[0][:BATCH, :STEPS])
    assert any(len(name) == 1 for name in found) != (case.cell.__name__ in WITHOUT)


def test_the_equations_of_an_lstm(randomise):
    """By the letters of its docstring, in wrappers and in a stack too."""
    dropped = tfcells.RecurrentDropout(tfcells.VariationalDropout(tfcells.LSTMCell(4), state_rate=0.5), 0.5)
    layer = built([dropped, tfcells.LSTMCell(3)], randomise)
    found = tfcells.trace(layer, X, training=True)
    for number in "01":
        i, f, o, g, h, c = (found[f"{number}.{name}"] for name in "i f o update state.h state.c".split())
        before = np.concatenate([np.zeros_like(c[:, :1]), c[:, :-1]], 1)
        equal(c, f * before + i * g, 1e-6)
        equal(h, o * np.tanh(c), 1e-6)
        equal(found[f"{number}.output"], h)
    assert (found["0.update"] == 0).any()
    a = found["1.kernel"] + found["1.recurrent_kernel"] + layer.cell.cells[1].bias
    equal(found["1.f"], ops.sigmoid(a[..., 3:6]), 1e-6)


def test_several_times_a_step(randomise):
    found = tfcells.trace(built(tfcells.RHNCell(4, depth=3), randomise), X)
    assert found["t"].shape == found["update"].shape == (BATCH, STEPS, 3, 4)
    s = np.concatenate([np.zeros((BATCH, 1, 4)), found["output"][:, :-1]], 1)
    for level in range(3):
        t, g = found["t"][:, :, level], found["update"][:, :, level]
        s = g * t + s * (1 - t)
    equal(found["output"], s, 1e-6)


def test_a_name_of_wrapper_and_cell(randomise):
    """Both have a gate t: the wrapper's has the name."""
    found = tfcells.trace(built(tfcells.Highway(tfcells.RHNCell(3, depth=2)), randomise), X)
    assert found["t"].shape == (BATCH, STEPS, 3) and found["cell.t"].shape == (BATCH, STEPS, 2, 3)
    assert "recurrent_kernel_0" in found and "update" in found
    found = tfcells.trace(built(tfcells.FastSlow(tfcells.LSTMCell(3), tfcells.GRUCell(2)), randomise), X)
    assert {"f", "fast_2.f", "slow.z", "slow.update", "state.slow_h"} <= found.keys()


def test_attention_is_its_alignment(randomise):
    memory, memory_mask = np.ones((BATCH, 5, 2), "float32") * np.arange(10).reshape(5, 2), np.ones((BATCH, 5), bool)
    memory_mask[0, 3:] = False
    layer = built(tfcells.Attention(tfcells.GRUCell(4), 3, 2), randomise)
    found = tfcells.trace(layer, X, memory=memory, memory_mask=memory_mask)
    before = np.concatenate([np.zeros((BATCH, 1, 4), "float32"), found["state.h"][:, :-1]], 1)
    equal(found["a"], layer.cell.alignment(before, memory, memory_mask), 1e-6)


def test_generated_weights(randomise):
    cell = tfcells.HyperLSTMCell(4, hyper_units=3)
    found = tfcells.trace(built(cell, randomise), X)
    hyper_h = found["state.hyper_h"]
    z = (hyper_h @ cell.embedding_kernel)[..., :32] + cell.embedding_bias
    wanted = np.einsum("btks,ksu->btku", np.reshape(z, (BATCH, STEPS, 8, 4)), cell.scale_kernel[:8])
    equal(np.reshape(found["d"], (BATCH, STEPS, 12, 4))[:, :, :8], wanted, 1e-5)


@pytest.mark.parametrize("zeros", [False, True], ids=["held", "zero"])
def test_masks_flags_and_backwards(zeros, randomise):
    """What the call of the layer takes."""
    cell, reset = tfcells.ResetOnFlag(tfcells.TrainableInitialState(tfcells.LSTMCell(4))), ~MASK
    layer = built(cell, randomise, zero_output_for_mask=zeros, go_backwards=True)
    start = [np.ones((BATCH, 4), "float32"), np.full((BATCH, 4), 2, "float32")]
    given = {"mask": MASK, "reset": reset, "initial_state": start}
    found, (output, h, c) = tfcells.trace(layer, X, **given), layer(X, **given)
    equal(found["output"], output, 1e-6)
    equal([found["state.h"][:, -1], found["state.c"][:, -1]], [h, c], 1e-6)
    for t in np.flatnonzero(~MASK[0, ::-1]):
        equal(found["state.c"][0, t], found["state.c"][0, t - 1] if t else start[1][0])
    equal(
        tfcells.trace(layer, X, lengths=[2, 4], reset=reset)["output"], layer(X, lengths=[2, 4], reset=reset)[0], 1e-6
    )


def test_nothing_changes_that_the_layer_remembers():
    """Neither its state nor its random numbers: they are those of the next call."""
    cell = tfcells.RecurrentDropout(tfcells.GRUCell(4), 0.5, seed=1)
    layer = tfcells.RNN(cell, stateful=True, return_sequences=True, **LOOP)
    for _ in "12":
        found = tfcells.trace(layer, X, training=True)
        equal(found["output"], tfcells.trace(layer, X, training=True)["output"])
        equal(found["output"], layer(X, training=True), 1e-6)
    assert layer.cell is cell and len(layer._flatten_layers()) == 3


class Marked(tfcells.KernelCell):
    slots = frozenset({"kernel"})

    def step(self, x, state, w):
        (h,) = state
        g = ops.sigmoid(self.mark(w, "a", x + w.recurrent_kernel(h)))
        h = self.mark(w, "g", g) * self.mark(w, "h", h)
        return self.mark(w, "y", h), (h,)

    def mark(self, w, name, value):
        return w.mark(name, value)


class Unmarked(Marked):
    def mark(self, w, name, value):
        return value


def test_a_mark_is_no_operation():
    """The compiled loops of both ways have the same operations, and their products are found to be the same."""
    programs = []
    for kind in Marked, Unmarked:
        layer = tfcells.RNN(kind(4), return_sequences=True)
        with tf.GradientTape() as tape:
            y = layer(X)
        tape.gradient(y, layer.trainable_variables)
        (program,) = layer.programs.values()
        loops = program.way.forward_loop, program.way.backward_loop
        graphs = [loop._list_all_concrete_functions()[0].graph.as_graph_def() for loop in loops]
        nodes = [*(n.op for g in graphs for n in g.node)]
        nodes += [n.op for g in graphs for f in g.library.function for n in f.node_def]
        programs.append((sorted(nodes), program.step.sites))
    assert programs[0] == programs[1] and len(programs[0][0]) > 50
    assert programs[0][1][0].slice_joined == 0


class Wrong(tfcells.KernelCell):
    def step(self, x, state, w):
        w.mark("vector", self.wrong(x, w))
        return x, (x,)


@pytest.mark.parametrize(
    "wrong,message",
    [
        (lambda x, w: w.bias, r"vector: what is marked must begin with the axes \(2,\), got shape \(4,\)"),
        (
            lambda x, w: [w.mark("vector", x[:, :2]), x][1],
            "vector: must be marked equally often in each step, with one",
        ),
    ],
)
def test_wrong_marks(wrong, message, monkeypatch):
    monkeypatch.setattr(Wrong, "wrong", lambda self, x, w: wrong(x, w), raising=False)
    with pytest.raises(ValueError, match=message):
        tfcells.trace(tfcells.RNN(Wrong(4)), X)


@pytest.mark.parametrize("layer", [keras.layers.LSTM(2), tfcells.RNN(keras.layers.LSTMCell(2)), tfcells.LSTMCell(2)])
def test_other_layers_are_refused(layer):
    with pytest.raises(ValueError, match="layer must be a tfcells.RNN around tfcells' cells, got"):
        tfcells.trace(layer, X)


def test_no_weight_is_named_mark():
    with pytest.raises(ValueError, match="a weight can't be named 'mark'; w has that"):
        tfcells.LSTMCell(2).declare("mark", (2,), "zeros")
