"""Attention over a memory: its equations around every cell, its mask, the loops it runs in."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells
from tests.cases import CASES, WRAPPED
from tests.cases.row import shape_of
from tests.cases.runs import are_finite_differences, cosines, near

pytestmark = pytest.mark.slow

BATCH, STEPS, FEATURES, ROWS, WIDTH, UNITS = 3, 4, 3, 5, 3, 4
FITTING = [case for case in CASES if case.name != "rglru-heads"]  # which has as many units as features, and no V
LAST = {case.cell: case for case in FITTING}.values()
GRU = next(case for case in CASES if case.name == "gru-after")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]], bool)


def layer_of(case, dtype="float64", wrap=lambda cell: cell, inside=lambda cell: cell, **options):
    """A layer around the case's cell with random weights; `wrap` goes around the attention."""
    cell = tfcells.Attention(inside(case.cell(**case.arguments)), UNITS, WIDTH)
    layer = tfcells.RNN(wrap(cell), return_sequences=True, return_state=True, dtype=dtype, **options)
    layer.build((BATCH, None, FEATURES))
    rng = np.random.default_rng(11)
    for weight in layer.weights:
        if weight.dtype == dtype:  # no seed
            weight.assign(rng.normal(0, 0.8, weight.shape))
    return layer


def data(case):
    rng = np.random.default_rng(12)
    sizes = case.cell(**case.arguments).state_size
    x, memory = rng.normal(size=(BATCH, STEPS, FEATURES)), rng.normal(size=(BATCH, ROWS, WIDTH))
    return x, memory, [rng.normal(size=shape_of(BATCH, size)) for size in sizes]


def oracle(case, weights, x, memory, state, mask=None):
    """The attention's row over that of the case, with weights in the order of the layer's."""
    row = WRAPPED["Attention"].around(case)
    named = dict(zip(row.weights, weights, strict=True))
    return row.roll(x, state, named, memory=memory, memory_mask=mask)


def run(layer, weights, x, memory, state, **more):
    pairs = [(v, tf.cast(w, v.dtype)) for v, w in zip(layer.weights, weights, strict=True)]
    with keras.StatelessScope(pairs):
        return layer(x, initial_state=list(state), memory=memory, **more)


@pytest.mark.parametrize(
    "case, mask",
    [pytest.param(case, MASK, id=case.name) for case in LAST] + [pytest.param(GRU, None, id="without a mask")],
)
def test_equals_the_oracle(case, mask):
    layer, (x, memory, state) = layer_of(case, jit_compile=False), data(case)
    weights = [np.asarray(weight) for weight in layer.weights]
    found = run(layer, weights, x, memory, state, memory_mask=mask)
    near(map(np.asarray, found), oracle(case, weights, x, memory, state, mask))


def test_gradients_of_the_compiled_loop():
    layer, (x, memory, state) = layer_of(GRU), data(GRU)
    weights = [np.asarray(weight) for weight in layer.weights]

    def loss(x, memory, *rest):
        found = oracle(GRU, rest[len(state) :], x, memory, rest[: len(state)], MASK)
        return sum((a * b).sum() for a, b in zip(found, cosines(found), strict=True))

    sources = [x, memory, *state, *weights]
    tensors = [tf.constant(source) for source in sources]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        x, memory, *rest = tensors
        count = len(state)
        found = run(layer, rest[count:], x, memory, rest[:count], memory_mask=MASK)
        total = sum(tf.reduce_sum(a * b) for a, b in zip(found, cosines(found), strict=True))
    gradients = [gradient.numpy() for gradient in tape.gradient(total, tensors)]
    are_finite_differences(gradients, loss, sources)
    assert not gradients[1][~MASK].any()


CLOCKWORK = next(case for case in CASES if case.cell is tfcells.ClockworkRNNCell)


@pytest.mark.parametrize(
    "case, how", [(GRU, "xla"), (CLOCKWORK, "graph"), (CLOCKWORK, "remat")], ids=["xla", "graph", "remat"]
)
def test_the_compiled_loop_is_the_ordinary_one(case, how):
    """With masks of the sequence and of the memory; all gradients."""
    x, memory, state = data(case)
    state = [value * (name not in case.cell.clocks) for name, value in zip(case.cell.states, state)]
    weights = [np.asarray(weight) for weight in layer_of(case).weights]
    tensors = [tf.constant(value) for value in (x, memory, *state, *weights)]
    seen = np.array([[1, 1, 1, 0], [0, 1, 0, 1], [1, 0, 1, 1]], bool)

    def gradients(layer, *tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            x, memory, *rest = tensors
            count = len(state)
            found = run(layer, rest[count:], x, memory, rest[:count], memory_mask=MASK, mask=seen)
            total = sum(tf.reduce_sum(tf.sin(values + 0.1)) for values in found)
        return [total, *tape.gradient(total, tensors, unconnected_gradients="zero")]

    fast = layer_of(case, remat=how == "remat")
    step = functools.partial(gradients, fast)
    if how in ("graph", "xla"):
        step = tf.function(step, jit_compile=how == "xla")
    near(map(np.asarray, step(*tensors)), gradients(layer_of(case, jit_compile=False), *tensors))


def test_hidden_rows_change_no_bit():
    layer, (x, memory, state) = layer_of(GRU, jit_compile=False), data(GRU)
    other = np.where(MASK[..., None], memory, 1e3)
    one, two = (layer(x, initial_state=state, memory=m, memory_mask=MASK) for m in (memory, other))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_mask_of_the_memory_is_found_by_itself():
    tokens, x = keras.Input((ROWS,), dtype="int32"), keras.Input((STEPS, FEATURES))
    memory = keras.layers.Embedding(7, WIDTH, mask_zero=True)(tokens)
    layer = layer_of(GRU, "float32")
    model = keras.Model([tokens, x], layer(x, memory=memory)[0])
    given = np.array([[1, 2, 0, 0, 0]] * BATCH)
    found = model([given, data(GRU)[0]])
    (embedding,) = (each for each in model.layers if isinstance(each, keras.layers.Embedding))
    wanted = layer(data(GRU)[0], memory=np.asarray(embedding(given[:, :2])))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_alignment():
    layer, (x, memory, state) = layer_of(GRU, jit_compile=False), data(GRU)
    outputs = np.asarray(layer(x, initial_state=state, memory=memory, memory_mask=MASK)[0])
    before = np.concatenate([state[0][:, None], outputs[:, :-1]], 1)
    a = np.asarray(layer.cell.alignment(before, memory, MASK))
    assert a.shape == (BATCH, STEPS, ROWS)
    np.testing.assert_allclose(a.sum(-1), 1, rtol=1e-12)
    assert not a[~np.broadcast_to(MASK[:, None], a.shape)].any()
    inner, read = layer.cell.cell, np.einsum("btj,bjd->btd", a, memory)
    again = tfcells.RNN(inner, return_sequences=True, dtype="float64", jit_compile=False)
    wanted = again(np.concatenate([x, read], -1), initial_state=state)
    np.testing.assert_allclose(outputs, wanted, atol=1e-12)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_alignment_in_half_precision(policy):
    layer, (x, memory, state) = layer_of(GRU, policy, jit_compile=False), data(GRU)
    outputs = layer(x, memory=memory, memory_mask=MASK, initial_state=state)[0]
    a = np.asarray(tf.cast(layer.cell.alignment(outputs, memory, MASK), "float32"))
    np.testing.assert_allclose(a.sum(-1), 1, atol=0.05)
    assert not a[~np.broadcast_to(MASK[:, None], a.shape)].any()


WRAPPERS = {
    "variational": lambda cell: tfcells.VariationalDropout(cell, 0.2, 0.3, 0.1, seed=1),
    "recurrent_dropout": lambda cell: tfcells.RecurrentDropout(cell, 0.3, seed=1),
    "zoneout": lambda cell: tfcells.Zoneout(cell, 0.3, seed=1),
    "weight_drop": lambda cell: tfcells.WeightDrop(cell, 0.3, seed=1),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_regularizers_go_around_it(name):
    x, memory, state = data(GRU)
    rest = {"memory": memory, "initial_state": state}
    layer, bare = (layer_of(GRU, wrap=wrap, jit_compile=False) for wrap in (WRAPPERS[name], lambda c: c))
    if name != "zoneout":  # which at inference is the expectation
        near(map(np.asarray, layer(x, **rest)), map(np.asarray, bare(x, **rest)))
    assert np.any(np.asarray(layer(x, training=True, **rest)[0]) != bare(x, **rest)[0])


@pytest.mark.parametrize("name", WRAPPERS)
def test_it_goes_around_regularizers(name):
    x, memory, state = data(GRU)
    bare, noisy = (layer_of(GRU, inside=inside, jit_compile=False) for inside in (lambda c: c, WRAPPERS[name]))
    found, without = (layer(x, memory=memory, initial_state=state, training=True)[0] for layer in (noisy, bare))
    assert np.any(np.asarray(found) != without)


def test_the_noise_inside_is_drawn_before_the_loop():
    """Of all regularizers: the same noise, values and gradients, whoever runs the loop."""
    x, memory, state = data(GRU)
    found = {}
    for compiled in (True, False):
        inside = functools.partial(functools.reduce, lambda cell, wrap: wrap(cell), WRAPPERS.values())
        layer = layer_of(GRU, inside=inside, jit_compile=compiled)
        with tf.GradientTape() as tape:
            outputs = layer(x, memory=memory, initial_state=state, training=True)
            loss = sum(tf.reduce_sum(y * c) for y, c in zip(outputs, cosines(outputs)))
        weights = [w.value for w in layer.trainable_weights]
        found[compiled] = [*map(np.asarray, outputs), *map(np.asarray, tape.gradient(loss, weights))]
    near(found[True], found[False])


def test_the_cell_inside_reads_one_mask_a_sequence():
    cell = tfcells.Attention(tfcells.VariationalDropout(Reads(), input_rate=0.5, seed=3), 2, WIDTH)
    x, memory = np.ones((2, 5, 8 - WIDTH), "float32"), np.ones((2, ROWS, WIDTH), "float32")
    seen = np.asarray(tfcells.RNN(cell, return_sequences=True)(x, memory=memory, training=True))
    assert set(np.unique(np.round(seen, 4))) == {0.0, 2.0}
    assert np.all(seen == seen[:, :1]) and np.any(seen[0] != seen[1])


class Reads(tfcells.Cell):
    """Puts out its input."""

    units = 8

    def build(self, input_shape):
        pass

    def step(self, x, state, w):
        return x, state


def test_variables_made_elsewhere_do_not_matter():
    """Keras makes what waits to be initialized at the end of any StatelessScope: not inside a step."""
    with keras.StatelessScope(initialize_variables=False):
        keras.layers.Dense(2).build((None, 3))
    layer, (x, memory, _) = layer_of(GRU, "float32"), data(GRU)
    tf.function(lambda x, memory: layer(x, memory=memory)[0])(x, memory)


def test_config_and_saving(tmp_path):
    x, memory = keras.Input((None, FEATURES)), keras.Input((None, WIDTH))
    cell = tfcells.Attention(tfcells.LSTMCell(5), 4, WIDTH)
    layer = tfcells.RNN([tfcells.ElmanCell(3), tfcells.VariationalDropout(cell, state_rate=0.2)])
    model = keras.Model([x, memory], layer(x, memory=memory))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    given = [a.astype("float32") for a in data(GRU)[:2]]
    np.testing.assert_array_equal(model(given), again(given))


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: tfcells.Attention(tfcells.Attention(tfcells.GRUCell(3), 2, 2), 2, 2), "memory"),
        (lambda: layer_of(GRU)(data(GRU)[0]), "memory must have"),
        (lambda: layer_of(GRU)(data(GRU)[0], memory=np.ones((3, 2))), "memory must have"),
        (lambda: tfcells.RNN(tfcells.GRUCell(3))(data(GRU)[0], memory=data(GRU)[1]), "memory must be"),
        (lambda: layer_of(GRU)(data(GRU)[0], memory=data(GRU)[1][:1]), "memory must have .* batch size 3, got"),
        (lambda: layer_of(GRU)(data(GRU)[0], memory=[data(GRU)[1]]), "memory must have"),
        (lambda: layer_of(GRU)(data(GRU)[0], memory=data(GRU)[1][..., :1]), "memory must have memory_features="),
        (lambda: layer_of(GRU)(data(GRU)[0], memory=data(GRU)[1], memory_mask=np.ones((3, 1))), "memory_mask must"),
        (lambda: layer_of(GRU)(data(GRU)[0], memory_mask=np.ones((3, 1), bool)), "memory must have"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_memory_of_another_batch_found_out_later(jit_compile):
    """Broadcasting one memory to all samples would answer."""
    x, memory = (a.astype("float32") for a in data(GRU)[:2])
    cell = tfcells.Attention(tfcells.GRUCell(3), 4, WIDTH)
    layer = tfcells.RNN(cell, jit_compile=jit_compile)
    specs = [tf.TensorSpec((None, *a.shape[1:])) for a in (x, memory)]
    function = tf.function(lambda x, memory: layer(x, memory=memory), input_signature=specs)
    np.testing.assert_allclose(function(x, memory), layer(x, memory=memory), atol=1e-6)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        function(x, memory[:1])


def test_a_memory_of_lists():
    x, memory = (a.astype("float32") for a in data(GRU)[:2])
    layer = tfcells.RNN(tfcells.Attention(tfcells.GRUCell(3), 4, WIDTH), jit_compile=False)
    np.testing.assert_array_equal(layer(x, memory=memory.tolist()), layer(x, memory=memory))
