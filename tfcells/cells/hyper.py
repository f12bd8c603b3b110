"""Hypernetworks: an LSTM whose weights a smaller LSTM rescales at every step."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, number, positive
from tfcells.contract.cell import Split, View
from tfcells.contract.initial import raise_block
from tfcells.contract.kernels import GainedCell, GatedCell
from tfcells.contract.linear import Tensor
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights, identity


class HyperLSTMCell(GainedCell, GatedCell):
    r"""A small LSTM reads [x, h] and generates, at every step, row scalings and biases of the main one.

    The hyper LSTM:  ^h', ^c' = LSTM([x, h], ^h, ^c), with `hyper_units` units.
    For each gate y of i, f, g, o and each of k = x, h, b:  z_ky = Z_ky ^h' + e_ky, of
    `embedding_units`;  d_ky = A_ky z_ky  (e_by = 0).
    i, f, g, o = d_x (W x) + d_h (U h) + d_b + b;  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').

    hyper_units: units of the small LSTM. embedding_units: width of each z. forget_bias: of both LSTMs, in the bias, or
    with layer_norm in the shift. layer_norm: both LSTMs normalize each gate. So is c on its way to the output, as in
    `LayerNormLSTMCell(norm="gate")`. epsilon: keeps the norm from dividing by zero.

    States: h, c, hyper_h, hyper_c. Initialized as in the authors' code: the scalings start at 0.1, the
    generated biases at 0, recurrent blocks orthogonal gate by gate, those of the input Glorot uniform. The update slot
    is the main cell's.
    Source: Ha, Dai & Le, 1609.09106 (section 3.2, appendix A.2), and their code, supercell.

    >>> keras.ops.shape(tfcells.RNN(tfcells.HyperLSTMCell(8, hyper_units=4))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c", "hyper_h", "hyper_c")
    slots = GatedCell.slots | {"projection"}
    gates = 4
    live = frozenset({"epsilon"})

    def __init__(
        self,
        units: int,
        hyper_units: int = 128,
        embedding_units: int = 4,
        forget_bias: float = 1.0,
        layer_norm: bool = False,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.hyper_units = positive("hyper_units", hyper_units)
        self.embedding_units = positive("embedding_units", embedding_units)
        self.forget_bias = number("forget_bias", forget_bias)
        self.layer_norm = flag("layer_norm", layer_norm)
        self.epsilon = number("epsilon", epsilon, low=0)

    @property
    def state_size(self) -> list[int]:
        return [self.projected or self.units, self.units, self.hyper_units, self.hyper_units]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        features, H, N, E = input_shape[-1], self.units, self.hyper_units, self.embedding_units
        self.add_kernel((features, 4 * H))
        self.add_recurrent_kernel((H, 4 * H), drawn=4)
        self.add_bias((4 * H,))
        read = self.state_size[0]
        views = Split(0, hyper_input_kernel=(features,), hyper_state_kernel=(read, "h", 4))
        self.add_kernel((features + read, 4 * N), "hyper_kernel", views=views)
        self.add_recurrent_kernel((N, 4 * N), "hyper_recurrent_kernel", reads="hyper_h", blocks=4, drawn=4)
        self.add_bias((4 * N,), "hyper_bias")
        # Z and A stack their blocks as x, h, b, and inside each i, f, g, o.
        self.declare("embedding_kernel", (N, 12 * E), initial_embedding(8 * E), "hyper_h", 12)
        padded = View(lambda e: ops.pad(e, [[0, 4 * E]]))  # the biases have none
        self.add_vector("embedding_bias", 8 * E, "ones", views={"embedding_bias": padded})
        blocks = {"scale_kernel": View(block_diagonal)}
        self.declare("scale_kernel", (12, E, H), initial_scale(8), views=blocks)
        if self.layer_norm:
            for prefix, units in (("", H), ("hyper_", N)):
                self.add_gain(f"{prefix}gain", 4 * units)
                self.add_vector(f"{prefix}shift", 4 * units, self.initial_shift)
                self.add_gain(f"{prefix}cell_gain", units)
                self.add_vector(f"{prefix}cell_shift", units, "zeros")

    def initial_bias(self, drawn: Tensor) -> Tensor:
        """Raised at the forget gate, unless layer norm follows."""
        return drawn if self.layer_norm else raise_block(drawn, 1, 4, self.forget_bias)

    def initial_shift(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """Zeros, but forget_bias at the forget gate."""
        return raise_block(ops.zeros(shape, dtype), 1, 4, self.forget_bias)

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        return {"main": w.kernel(x), "hyper": w.hyper_input_kernel(x) + w.hyper_bias}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c, hyper_h, hyper_c = state
        a = x["hyper"] + w.hyper_state_kernel(h) + w.hyper_recurrent_kernel(hyper_h)
        hyper_h, hyper_c = self.lstm(a, hyper_c, w, "hyper_", identity)
        z = w.embedding_kernel(hyper_h) + w.embedding_bias
        d_x, d_h, d_b = ops.split(w.mark("d", w.scale_kernel(z)), 3, axis=-1)
        a = d_x * x["main"] + d_h * w.recurrent_kernel(h) + d_b + w.bias
        h, c = self.lstm(a, c, w, "", w.update)
        return h, (h, c, hyper_h, hyper_c)

    def lstm(
        self, a: Tensor, c: Tensor, w: Weights, prefix: str, update: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """h' and c' of an LSTM from its pre-activations, with layer norm if the cell has it."""
        s, tanh = self.recurrent_activation, self.activation
        if self.layer_norm:
            a = layer_norm(a, w[f"{prefix}gain"], w[f"{prefix}shift"], self.epsilon, groups=4)
        i, f, g, o = ops.split(a, 4, axis=-1)
        i, f, o = (w.mark(prefix + name, s(gate)) for name, gate in zip("ifo", (i, f, o), strict=True))
        c = f * c + i * update(tanh(g))
        normal = c
        if self.layer_norm:
            gain, shift = w[f"{prefix}cell_gain"], w[f"{prefix}cell_shift"]
            normal = layer_norm(c, gain, shift, self.epsilon)
        return o * tanh(normal), c


def initial_embedding(scalings: int) -> Callable:
    """Draws Z: zero in the columns of the scalings, which start as their bias, N(0, 0.01) for the biases."""

    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        rows, columns = shape
        biases = keras.initializers.RandomNormal(stddev=0.01)((rows, columns - scalings), dtype=dtype)
        return ops.concatenate([ops.zeros((rows, scalings), dtype), biases], axis=-1)

    return initialize


def initial_scale(scalings: int) -> Callable:
    """Makes A: 0.1 / embedding_units in the blocks of the scalings, so that they start at 0.1, zero for the biases."""

    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        blocks, *block = shape
        start = ops.full((scalings, *block), 0.1 / block[0], dtype)
        return ops.concatenate([start, ops.zeros((blocks - scalings, *block), dtype)])

    return initialize


def block_diagonal(blocks: Tensor) -> Tensor:
    """(n, inputs, outputs) as one matrix, (n * inputs, n * outputs): for small blocks the faster product."""
    n, inputs, outputs = blocks.shape
    apart = ops.reshape(ops.eye(n, dtype=blocks.dtype), (n, 1, n, 1))
    return ops.reshape(apart * ops.expand_dims(blocks, 2), (n * inputs, n * outputs))
