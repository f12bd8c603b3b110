"""Long short-term memory."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import number, require
from tfcells.contract.cell import GainedCell, GatedCell, View
from tfcells.contract.initial import fresh, raise_block
from tfcells.contract.linear import Tensor
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights


class LSTMCell(GatedCell):
    r"""i, f, g, o = W x + U h + b;  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').

    forget_bias: added to the initial bias of the forget gate (0 in Zaremba et al., 2014).
    Kernels stack the gates as i, f, g, o, like `keras.layers.LSTMCell`, whose weights it shares.
    States: h, c. Source: Hochreiter & Schmidhuber, 1997; the forget gate: Gers et al., 2000.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    gates = 4

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(drawn, 1, 4, self.forget_bias)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        i, f, g, o = ops.split(x + w.recurrent_kernel(h), 4, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        c = s(f) * c + s(i) * w.update(tanh(g))
        h = s(o) * tanh(c)
        return h, (h, c)


class LayerNormLSTMCell(GainedCell, LSTMCell):
    r"""An LSTM whose pre-activations are normalised: LN(a) = gain (a - mean) / sqrt(var + epsilon) + shift.

    norm="product": i, f, g, o = LN(W x) + LN(U h) + b, each over all four gates (Ba et al., 2016).
    norm="gate":    i, f, g, o = LN(W x + U h + b), gate by gate (Ha et al., 2016).
    cell_norm="output": c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(LN(c')), both papers' form.
    cell_norm="carry":  c' = LN(s(f) c + s(i) tanh(g)), as in TensorFlow Addons.
    cell_norm=None:     c is not normalised.

    With "product" the bias serves as the shift. States, gate order and forget_bias are LSTMCell's;
    with "gate", forget_bias raises the shift, since a bias inside the norm would be normalised.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    live = frozenset({"epsilon"})

    def __init__(
        self,
        units: int,
        norm: str = "product",
        cell_norm: str | None = "output",
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.norm = require("norm", norm, '"product" or "gate"', norm in ("product", "gate"))
        allowed = ("output", "carry", None)
        self.cell_norm = require("cell_norm", cell_norm, f"one of {allowed}", cell_norm in allowed)
        self.epsilon = number("epsilon", epsilon, low=0)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return super().initial_bias(drawn) if self.norm == "product" else drawn

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        width = self.gates * self.units
        if self.norm == "product":
            self.add_gain("kernel_gain", width)
            self.add_gain("recurrent_gain", width)
        else:
            self.add_gain("gain", width)
            self.add_vector("shift", width, self.initial_shift)
        if self.cell_norm:
            self.add_gain("cell_gain", self.units)
            self.add_vector("cell_shift", self.units, "zeros")

    def initial_shift(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """Zeros, but forget_bias at the forget gate."""
        return raise_block(ops.zeros(shape, dtype), 1, 4, self.forget_bias)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x) if self.norm == "product" else super().inputs(x, w)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        if self.norm == "product":
            a = layer_norm(x, w.kernel_gain, w.bias, self.epsilon)
            a += layer_norm(w.recurrent_kernel(h), w.recurrent_gain, 0, self.epsilon)
        else:
            a = layer_norm(x + w.recurrent_kernel(h), w.gain, w.shift, self.epsilon, groups=4)
        i, f, g, o = ops.split(a, 4, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        c = s(f) * c + s(i) * w.update(tanh(g))
        normal = layer_norm(c, w.cell_gain, w.cell_shift, self.epsilon) if self.cell_norm else c
        h = s(o) * tanh(normal)
        return h, (h, normal if self.cell_norm == "carry" else c)


class PeepholeLSTMCell(LSTMCell):
    r"""An LSTM whose gates see the memory: i, f, g, o = W x + U h + b, then

    c' = s(f + p_f c) c + s(i + p_i c) tanh(g);  h' = s(o + p_o c') tanh(c').

    peephole_initializer: of the vectors p_i, p_f and p_o, which have the recurrent kernel's regularizer
    and constraint. State dropout leaves what they read alone. States, gate order and forget_bias are
    LSTMCell's. Source: Gers, Schraudolph & Schmidhuber, 2002.

    >>> keras.ops.shape(tfcells.RNN(tfcells.PeepholeLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units: int, peephole_initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.peephole_initializer = keras.initializers.get(peephole_initializer)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        for place, gate in enumerate(("input", "forget", "output")):
            self.add_vector(
                f"{gate}_peephole",
                self.units,
                fresh(self.peephole_initializer, place),
                views={f"p_{gate[0]}": View()},
                regularizer=self.recurrent_regularizer,
                constraint=self.recurrent_constraint,
            )

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        i, f, g, o = ops.split(x + w.recurrent_kernel(h), 4, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        c = s(f + w.p_f * c) * c + s(i + w.p_i * c) * w.update(tanh(g))
        h = s(o + w.p_o * c) * tanh(c)
        return h, (h, c)
