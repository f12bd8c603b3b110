"""Cells with fewer gates than the GRU."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, number
from tfcells.contract.cell import Split
from tfcells.contract.initial import log_uniform, raise_block
from tfcells.contract.kernels import GatedCell, InputCell
from tfcells.contract.linear import Tensor, whole
from tfcells.contract.recurrence import linear
from tfcells.contract.weights import Weights


class MGUCell(GatedCell):
    r"""The minimal gated unit, whose one gate forgets and resets.

    f = s(W_f x + U_f h + b_f);  g = tanh(W_g x + U_g (f h) + b_g);  h' = (1 - f) h + f g.

    Kernels stack the gates as f, g. A high f forgets. The candidate, for recurrent dropout, is g.
    State: h. Source: Zhou et al., 1603.09420.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MGUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        views = Split(1, recurrent_kernel=(H, "h"), candidate_kernel=(H, "h"))
        self.add_kernel((input_shape[-1], 2 * H))
        self.add_recurrent_kernel((H, 2 * H), views=views)
        self.add_bias((2 * H,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        x_f, x_g = ops.split(x, 2, axis=-1)
        f = w.mark("f", self.recurrent_activation(x_f + w.recurrent_kernel(h)))
        g = self.activation(x_g + w.candidate_kernel(f * h))
        h = (1 - f) * h + f * w.update(g)
        return h, (h,)


@keras.saving.register_keras_serializable("tfcells")
def positive(a: Tensor) -> Tensor:
    """a + 1/2 where a >= 0, else s(a): never negative, and continuous (2410.01201, appendix B)."""
    return ops.where(a >= 0, a + 0.5, ops.sigmoid(a))


class MinGRUCell(InputCell):
    r"""A GRU without recurrent kernels: linear in its state, so that all steps can be taken at once.

    z = s(W_z x + b_z);  g = W_g x + b_g;  h' = (1 - z) h + z activation(g).

    activation: None is the paper's first form. The form of its appendix B has "positive":
    g + 1/2 where g >= 0, else s(g). The kernel stacks z, g; a high z forgets. The candidate, for recurrent
    dropout, is activation(g). State: h. Source: Feng et al., 2410.01201.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MinGRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2
    linear = True

    def __init__(self, units: int, activation: Any = None, **kwargs: Any) -> None:
        given = positive if activation == "positive" else activation
        super().__init__(units, given, **kwargs)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        z, g = ops.split(x, 2, axis=-1)
        z = w.mark("z", ops.sigmoid(z))
        h = linear(1 - z, z * w.update(self.activation(g)), h)
        return h, (h,)


class MinLSTMCell(MinGRUCell):
    r"""An LSTM without recurrent kernels, whose gates sum to one: linear in its state, as `MinGRUCell`.

    i = s(W_i x + b_i);  f = s(W_f x + b_f);  h' = f / (f + i) h + i / (f + i) activation(W_g x + b_g).

    Kernels stack the gates as i, f, g. activation and the candidate are MinGRUCell's. State: h.
    Source: Feng et al., 2410.01201.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MinLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3
    linear = True

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        i, f, g = ops.split(x, 3, axis=-1)
        # f / (f + i) as a sigmoid of log f - log i: no 0 / 0 where both gates are shut.
        f = w.mark("f", ops.sigmoid(ops.log_sigmoid(f) - ops.log_sigmoid(i)))
        h = linear(f, (1 - f) * w.update(self.activation(g)), h)
        return h, (h,)


class JANETCell(GatedCell):
    r"""An LSTM whose one gate forgets:  f, g = W x + U h + b;  c' = s(f) c + (1 - s(f - beta)) tanh(g);  h' = c'.

    beta: raises the gate of the new. train_beta: train it, as the weight `gate_offset`, from there. longest: the
    longest dependency that is expected, in steps; the bias of f then starts as log(u), u uniform in (1, longest)
    (chrono initialization), else at 1. Kernels stack the gates as f, g. The candidate, for recurrent dropout, is
    tanh(g).
    States: h and c, equal after each step unless `Projection` narrows h. Source: van der Westhuizen & Lasenby,
    1804.04849, and their code, janet, whose beta is 1.

    >>> keras.ops.shape(tfcells.RNN(tfcells.JANETCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    slots = GatedCell.slots | {"projection"}
    gates = 2

    def __init__(
        self, units: int, beta: float = 1.0, train_beta: bool = False, longest: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.beta = number("beta", beta)
        self.train_beta = flag("train_beta", train_beta)
        self.longest = longest if longest is None else number("longest", longest, low=1)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        if self.train_beta:
            self.add_vector("gate_offset", 1, keras.initializers.Constant(self.beta))

    def initial_bias(self, drawn: Tensor) -> Tensor:
        amount = 1.0 if self.longest is None else log_uniform(drawn, 1, self.longest)
        return raise_block(drawn, 0, 2, amount)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        s, beta = self.recurrent_activation, w.gate_offset if self.train_beta else self.beta
        f, g = ops.split(x + w.recurrent_kernel(h), 2, axis=-1)
        c = w.mark("f", s(f)) * c + w.mark("i", 1 - s(f - beta)) * w.update(self.activation(g))
        return c, (c, c)


class MinimalRNNCell(GatedCell):
    r"""A gated average of inputs:  z = tanh(W x + b_z);  u = s(U h + V z + b_u);  h' = u h + (1 - u) z.

    V is latent_kernel, b_z input_bias. z and V z are made before the loop. The candidate, for recurrent dropout, is z
    in (1 - u) z alone. State: h. Source: Chen, 1711.06788.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MinimalRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_kernel((self.units, self.units), "latent_kernel")
        self.add_bias((self.units,), "input_bias")

    def inputs(self, x: Tensor, w: Weights) -> tuple[Tensor, Any]:
        z = self.activation(whole(w.kernel(x) + w.input_bias))
        return z, w.latent_kernel(z) + w.bias

    def step(self, x: tuple[Tensor, Tensor], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), (z, v) = state, x
        u = w.mark("u", self.recurrent_activation(v + w.recurrent_kernel(h)))
        h = u * h + (1 - u) * w.update(z)
        return h, (h,)


class LiGRUCell(GatedCell):
    r"""A GRU with rectified units and no reset gate:  z, g = W x + U h + b;  h' = s(z) h + (1 - s(z)) relu(g).

    The paper normalizes W x over the batch; here it is not, and there are biases. Kernels stack the gates as z, g.
    The candidate, for recurrent dropout, is relu(g). State: h. Source: Ravanelli et al., 1803.10225.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LiGRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2

    def __init__(self, units: int, activation: Any = "relu", **kwargs: Any) -> None:
        super().__init__(units, activation=activation, **kwargs)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        z, g = ops.split(x + w.recurrent_kernel(h), 2, axis=-1)
        z = w.mark("z", self.recurrent_activation(z))
        h = z * h + (1 - z) * w.update(self.activation(g))
        return h, (h,)


class LightRUCell(GatedCell):
    r"""A gate alone reads the state:  f = s(W_f x + U h + b_f);  h' = (1 - f) h + f tanh(W_g x + b_g).

    Kernel and bias stack the gates as f, g; a high f forgets. The candidate, for recurrent dropout, is the tanh.
    State: h. Source: Ye et al., Electronics 13(16) 3204, 2024, as torchrecurrent 0.2.5 and RecurrentLayers.jl have it;
    in the latter there is no b_g.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LightRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.add_kernel((input_shape[-1], 2 * self.units))
        self.add_recurrent_kernel((self.units, self.units))
        self.add_bias((2 * self.units,))

    def gate_and_candidate(self, x: Tensor, h: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
        """How much the candidate replaces of h, and the candidate."""
        f, g = ops.split(x, 2, axis=-1)
        return self.recurrent_activation(f + w.recurrent_kernel(h)), w.update(self.activation(g))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        f, g = self.gate_and_candidate(x, h, w)
        f = w.mark("f", f)
        h = (1 - f) * h + f * g
        return h, (h,)


class STARCell(LightRUCell):
    r"""For deep stacks:  k = s(W_k x + U h + b_k);  z = tanh(W_z x + b_z);  h' = tanh((1 - k) h + k z).

    longest: the longest dependency that is expected, in steps; b_k then starts as -log(u), u uniform in (1, longest)
    (chrono initialization), else at -1. The authors' TensorFlow code weighs z by 1 - s(-1 - a) where k = s(a); the
    paper by k. Kernel and bias stack the gates as k, z. The candidate, for recurrent dropout, is z. State: h.
    Source: Turkoglu et al., 1911.11033.

    >>> keras.ops.shape(tfcells.RNN(tfcells.STARCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units: int, longest: int | None = None, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.longest = longest if longest is None else number("longest", longest, low=1)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        amount = 1.0 if self.longest is None else log_uniform(drawn, 1, self.longest)
        return raise_block(drawn, 0, 2, -amount)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        k, z = self.gate_and_candidate(x, h, w)
        k = w.mark("k", k)
        h = self.activation((1 - k) * h + k * z)
        return h, (h,)
