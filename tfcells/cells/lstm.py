"""Long short-term memory."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, number, positive, require
from tfcells.contract.cell import Split, View
from tfcells.contract.initial import fresh, raise_block
from tfcells.contract.kernels import GainedCell, GatedCell, PassingCell
from tfcells.contract.linear import Tensor
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights


class LSTMCell(GatedCell):
    r"""i, f, g, o = W x + U h + b;  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').

    forget_bias: added to the initial bias of the forget gate (0 in Zaremba et al., 2014).
    input_gate: how the input gate is made, "free", "coupled" or "capped". Coupled: 1 - s(f) in place of s(i), so that
    there are three gates, f, g, o (CIFG, Greff et al., 1503.04069, who keep i and have f = 1 - i). Capped:
    min(1 - s(f), s(i)) in its place (Melis et al.'s code, lamb). Kernels stack the gates as i, f, g, o, like
    `keras.layers.LSTMCell`, whose weights it shares.
    States: h, c. Source: Hochreiter & Schmidhuber, 1997; the forget gate: Gers et al., 2000.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states: tuple[str, ...] = ("h", "c")
    slots = GatedCell.slots | {"projection"}

    def __init__(self, units: int, forget_bias: float = 1.0, input_gate: str = "free", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)
        allowed = ("free", "coupled", "capped")
        self.input_gate = require("input_gate", input_gate, f"one of {allowed}", input_gate in allowed)

    @property
    def gates(self) -> int:  # type: ignore[override]
        return 3 if self.input_gate == "coupled" else 4

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(drawn, self.gates - 3, self.gates, self.forget_bias)

    def remembered(self, c: Tensor, f: Tensor, g: Tensor, i: Tensor | None, w: Weights) -> Tensor:
        """c', from the gates before they are squashed; i is None if it is coupled to f."""
        s = self.recurrent_activation
        f = w.mark("f", s(f))
        if i is None:
            i = 1 - f
        else:
            i = ops.minimum(1 - f, s(i)) if self.input_gate == "capped" else s(i)
        return f * c + w.mark("i", i) * w.update(self.activation(g))

    def gated(self, a: Tensor, c: Tensor, w: Weights) -> tuple[Tensor, tuple]:
        """Output and states, from the gates before they are squashed, side by side, and c."""
        *i, f, g, o = ops.split(a, self.gates, axis=-1)
        c = self.remembered(c, f, g, i[0] if i else None, w)
        h = w.mark("o", self.recurrent_activation(o)) * self.activation(c)
        return h, (h, c)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        return self.gated(x + w.recurrent_kernel(h), c, w)


class LayerNormLSTMCell(GainedCell, LSTMCell):
    r"""An LSTM whose pre-activations are normalized: LN(a) = gain (a - mean) / sqrt(var + epsilon) + shift.

    norm: what is normalized, "product" or "gate". cell_norm: where c is normalized, "output", "carry" or None.
    epsilon: keeps LN from dividing by zero.

    norm="product": i, f, g, o = LN(W x) + LN(U h) + b, each over all four gates (Ba et al., 2016).
    norm="gate":    i, f, g, o = LN(W x + U h + b), gate by gate (Ha et al., 2016).
    cell_norm="output": c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(LN(c')), both papers' form.
    cell_norm="carry":  c' = LN(s(f) c + s(i) tanh(g)), as in TensorFlow Addons.
    cell_norm=None:     c is not normalized.

    With "product" the bias serves as the shift. States, gate order, forget_bias and input_gate are LSTMCell's;
    with "gate", forget_bias raises the shift, since a bias inside the norm would be normalized. Source: Ba, Kiros &
    Hinton, 1607.06450; Ha, Dai & Le, 1609.09106.

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
        return raise_block(ops.zeros(shape, dtype), self.gates - 3, self.gates, self.forget_bias)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x) if self.norm == "product" else super().inputs(x, w)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        if self.norm == "product":
            a = layer_norm(x, w.kernel_gain, w.bias, self.epsilon)
            a += layer_norm(w.recurrent_kernel(h), w.recurrent_gain, 0, self.epsilon)
        else:
            a = layer_norm(x + w.recurrent_kernel(h), w.gain, w.shift, self.epsilon, groups=self.gates)
        *i, f, g, o = ops.split(a, self.gates, axis=-1)
        c = self.remembered(c, f, g, i[0] if i else None, w)
        normal = layer_norm(c, w.cell_gain, w.cell_shift, self.epsilon) if self.cell_norm else c
        h = w.mark("o", self.recurrent_activation(o)) * self.activation(normal)
        return h, (h, normal if self.cell_norm == "carry" else c)


class PeepholeLSTMCell(LSTMCell):
    r"""An LSTM whose gates see the memory: i, f, g, o = W x + U h + b, then

    c' = s(f + p_f c) c + s(i + p_i c) tanh(g);  h' = s(o + p_o c') tanh(c').

    peephole_initializer: of the vectors p_i, p_f and p_o. These have the recurrent kernel's regularizer
    and constraint. State dropout leaves what they read alone. States, gate order, forget_bias and input_gate
    are LSTMCell's; a coupled input gate has no p_i. Source: Gers, Schraudolph & Schmidhuber, 2002.

    >>> keras.ops.shape(tfcells.RNN(tfcells.PeepholeLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units: int, peephole_initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.peephole_initializer = keras.initializers.get(peephole_initializer)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        for place, gate in enumerate(("input", "forget", "output")[4 - self.gates :]):
            self.add_vector(
                f"{gate}_peephole",
                self.units,
                fresh(self.peephole_initializer, place),
                views={f"p_{gate[0]}": View()},
                regularizer=self.recurrent_regularizer,
                constraint=self.recurrent_constraint,
            )

    def output_and_memory(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, Tensor]:
        """The output gate, squashed, and c'."""
        h, c = state
        *i, f, g, o = ops.split(x + w.recurrent_kernel(h), self.gates, axis=-1)
        new = self.remembered(c, f + w.p_f * c, g, i[0] + w.p_i * c if i else None, w)
        return w.mark("o", self.recurrent_activation(o + w.p_o * new)), new

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        o, c = self.output_and_memory(x, state, w)
        h = o * self.activation(c)
        return h, (h, c)


class ResidualLSTMCell(PassingCell, PeepholeLSTMCell):
    r"""An LSTM with peepholes, whose output gate lets the input pass, too:  h' = s(o) (P tanh(c') + x).

    i, f, g, o and c' are `PeepholeLSTMCell`'s. project: put V x in place of x, as the paper does where the widths
    differ; V is projection_kernel. P is output_kernel, (units, units). What o lets pass makes it cheap to train deep
    stacks. The output is as wide as the memory, where the paper has a narrower one: `Projection` makes it so. Public
    ports, against which this was checked, leave P out. States, gate order, forget_bias and input_gate are LSTMCell's.
    Source: Kim, El-Khamy & Lee, 1701.03360.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ResidualLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_kernel((self.units, self.units), "output_kernel")
        self.add_projection(input_shape[-1])

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        return super().inputs(x, w), self.passed(x, w)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        a, x = x
        o, c = self.output_and_memory(a, state, w)
        h = o * (w.output_kernel(self.activation(c)) + x)
        return h, (h, c)


class MultiplicativeIntegrationLSTMCell(LSTMCell):
    r"""An LSTM that multiplies what its gates read:  i, f, g, o = alpha (W x) (U h) + beta_1 (U h) + beta_2 (W x) + b.

    product_initializer: of the vector alpha, product_gain. gain_initializer: of the vectors beta_1 and beta_2,
    recurrent_gain and kernel_gain. The paper chooses their starts task by task; here they are ones, as in public ports.
    The rest is `LSTMCell`'s. Source: Wu et al., 1606.06630, equation 4.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MultiplicativeIntegrationLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(
        self, units: int, product_initializer: Any = "ones", gain_initializer: Any = "ones", **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.product_initializer = keras.initializers.get(product_initializer)
        self.gain_initializer = keras.initializers.get(gain_initializer)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        width = self.gates * self.units
        self.add_vector("product_gain", width, self.product_initializer)
        self.add_vector("recurrent_gain", width, fresh(self.gain_initializer, 0))
        self.add_vector("kernel_gain", width, fresh(self.gain_initializer, 1))

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        u = w.recurrent_kernel(h)
        return self.gated(w.product_gain * x * u + w.recurrent_gain * u + w.kernel_gain * x + w.bias, c, w)


class OriginalLSTMCell(GatedCell):
    r"""The LSTM before it learned to forget:  i, g, o = W x + U h + b;  c' = c + s(i) g(g);  h' = s(o) h(c').

    doubled: take g(a) = 2 tanh(a/2) and h(a) = tanh(a/2), as in the paper, where these are 4 s(a) - 2 and 2 s(a) - 1;
    else both are tanh(a), as in later texts.

    activation stands for each tanh. A memory block has one cell. Kernels stack the gates as i, g, o. The candidate,
    for recurrent dropout, is g(g). States: h, c. Source: Hochreiter & Schmidhuber, Neural Computation 9(8), 1997.

    >>> keras.ops.shape(tfcells.RNN(tfcells.OriginalLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    slots = GatedCell.slots | {"projection"}
    gates = 3

    def __init__(self, units: int, doubled: bool = True, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.doubled = flag("doubled", doubled)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        i, g, o = ops.split(x + w.recurrent_kernel(h), 3, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        g = 2 * tanh(g / 2) if self.doubled else tanh(g)
        c = c + w.mark("i", s(i)) * w.update(g)
        h = w.mark("o", s(o)) * tanh(c / 2 if self.doubled else c)
        return h, (h, c)


class OrderedNeuronsLSTMCell(GatedCell):
    r"""An LSTM whose units are ordered: to forget a unit is to forget all before it.

    i, f, g, o, F, I = W x + U h + b;  F = cumax(F), I = 1 - cumax(I);  w = F I;
    f = s(f) w + F - w;  i = s(i) w + I - w;  c' = f c + i tanh(g);  h' = s(o) tanh(c').

    cumax(a) is the cumulative sum of softmax(a). chunk_size: how many neighboring units share an entry of F and I, a
    divisor of units; 10 in the paper's language models. Kernels stack i, f, g, o, then F and I, each
    units / chunk_size wide; the authors' code has I, F, o, g, i, f. The candidate, for recurrent dropout, is tanh(g).
    States: h, c. Source: Shen et al., 1810.09536.

    >>> keras.ops.shape(tfcells.RNN(tfcells.OrderedNeuronsLSTMCell(8, chunk_size=2))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    slots = GatedCell.slots | {"projection"}

    def __init__(self, units: int, chunk_size: int = 1, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        size = positive("chunk_size", chunk_size)
        self.chunk_size = require("chunk_size", size, f"a divisor of {units} units", units % size == 0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        own, master = 4 * self.units, 2 * (self.units // self.chunk_size)
        width = own + master
        self.add_kernel((input_shape[-1], width))
        views = Split(1, recurrent_kernel=(own, "h", 4), master_kernel=(master, "h", 2))
        self.add_recurrent_kernel((self.units, width), views=views)
        self.add_bias((width,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        own, s, tanh = 4 * self.units, self.recurrent_activation, self.activation
        i, f, g, o = ops.split(x[:, :own] + w.recurrent_kernel(h), 4, axis=-1)
        F, I = map(cumax, ops.split(x[:, own:] + w.master_kernel(h), 2, axis=-1))
        F, I = (ops.repeat(a, self.chunk_size, axis=-1) for a in (F, 1 - I))
        both = F * I
        f, i = w.mark("f", s(f) * both + F - both), w.mark("i", s(i) * both + I - both)
        c = f * c + i * w.update(tanh(g))
        h = w.mark("o", s(o)) * tanh(c)
        return h, (h, c)


def cumax(a: Tensor) -> Tensor:
    """The cumulative sum of the softmax along the last axis: rises from 0 to 1."""
    return ops.cumsum(ops.softmax(a, axis=-1), axis=-1)
