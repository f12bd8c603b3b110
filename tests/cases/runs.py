"""A row at work, on any backend: its data, a layer that runs it, gradients."""

import functools

import keras
import numpy as np
from keras import ops

import tfcells
from tests.cases import CASES, WRAPPED
from tests.cases.highway import rhn
from tests.cases.row import Case, shape_of

BATCH, STEPS, FEATURES = 4, 6, 3
MASK = np.array(  # padded right, padded left, a gap in the middle, nothing but padding
    [[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0]], bool
)
LOOP = {"jit_compile": False, "parallel": False}

BY_NAME = {case.name: case for case in CASES} | {"rhn-coupled-2": Case(*rhn(True, 2))}
INNER = [BY_NAME[name] for name in ("lstm", "gru-after", "rhn-coupled-2", "fast-norm")]
AROUND_CELLS = {
    f"{name}-{inner.name}": row.around(inner)
    for name, row in WRAPPED.items()
    for inner in INNER
    if row.wrapper.needs <= inner.cell.slots
}
"""Each wrapper around a few cells."""


def near(got, wanted, tolerance=1e-12):
    """All arrays equal, relative to the largest entry of each."""
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))


@functools.cache
def data(case):
    """Random inputs, initial states, and weights, biases and gains by the oracle's letters."""
    cell, rng = case.build(FEATURES), np.random.default_rng(7)
    found, named = [weight.name for weight in cell.weights], list(case.weights.values())
    assert found == named, (
        f"{case.name}: the row in tests/cases/ names the weights {named}, `build` made {found}; "
        "that of a wrapper begins with super().build(input_shape)"
    )
    draw = functools.partial(rng.normal, 0.0, 0.8)
    weights = case.draw(cell, lambda shape: draw(shape))
    x, sizes = draw((BATCH, STEPS, FEATURES)), [] if case.start else cell.state_size
    x[..., : int(cell.timed)] = np.abs(x[..., : int(cell.timed)])
    state = [draw(shape_of(BATCH, size)) for size in sizes]
    return x, [*case.valid(*state)] if case.valid else state, weights


@functools.cache
def layer_of(case, policy="float64", layer=tfcells.RNN, more=(), **options):
    """A built layer around the cell; `more`: items of further arguments of the cell."""
    cell = case.cell(dtype=policy, **case.arguments | dict(more))
    built = layer(cell, return_sequences=True, return_state=True, dtype=policy, **options)
    built.build((BATCH, None, FEATURES))
    return built


def pure(layer, x, state, weights, **more):
    """Outputs and final states of a layer (or a cell) as a function of everything it depends on."""
    pairs = [(v, ops.cast(w, v.dtype)) for v, w in zip(layer.weights, weights, strict=True)]
    with keras.StatelessScope(pairs):
        if isinstance(layer, tfcells.Cell):
            return layer(x, state)
        return layer(x, initial_state=list(state) or None, **more)


def run(case, options, policy="float64", mask=None):
    """What the layer gives for the case's data, as arrays."""
    x, state, weights = data(case)
    layer = layer_of(case, policy, **options)
    outputs = pure(layer, x, state, weights.values(), mask=mask, **case.given)
    return [ops.convert_to_numpy(a) for a in outputs]


@functools.cache
def oracle(case):
    return case.roll(*data(case))


def cosines(arrays):
    """Fixed weights of a loss that no symmetry of the cells respects."""
    shapes = (tuple(a.shape) for a in arrays)
    return [np.cos(1 + np.arange(np.prod(shape))).reshape(shape) for shape in shapes]


def are_finite_differences(gradients, function, sources, of_norm=0.0, step=1e-5):
    """Central differences of `function`, along a random direction of one source after the other.

    of_norm: what a gradient in float32 may be off by, of its norm.
    """
    rng = np.random.default_rng(1)
    for i, gradient in enumerate(gradients):
        along = rng.normal(size=sources[i].shape)
        ends = (function(*sources[:i], sources[i] + sign * step * along, *sources[i + 1 :]) for sign in (1, -1))
        wanted = np.subtract(*ends) / (2 * step)
        atol = 1e-7 + of_norm * max(1.0, np.linalg.norm(gradient))
        np.testing.assert_allclose((gradient * along).sum(), wanted, rtol=1e-6, atol=atol)


def loss_of(case, mask=None):
    """The oracle's loss of all outputs and final states, a function of inputs, states and weights."""
    _, state, weights = data(case)
    count = len(state)

    def loss(x, *rest):
        found = case.roll(x, rest[:count], dict(zip(weights, rest[count:], strict=True)), mask)
        return sum((a * b).sum() for a, b in zip(found, cosines(found), strict=True))

    return loss
