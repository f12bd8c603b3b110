"""The simple recurrent network."""

from typing import Any

from keras import ops

from tfcells.checks import number, positive
from tfcells.contract.kernels import KernelCell, NormedCell
from tfcells.contract.linear import Tensor
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights


class ElmanCell(KernelCell):
    r"""h' = tanh(W x + U h + b).

    The candidate, for recurrent dropout, is all of h'. Source: Elman, Finding structure in time, 1990;
    with the output as the context, as in `keras.layers.SimpleRNNCell`, whose weights it shares.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ElmanCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    slots = KernelCell.slots | {"projection"}

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        h = w.update(self.activation(x + w.recurrent_kernel(h)))
        return h, (h,)


class LayerNormElmanCell(NormedCell, ElmanCell):
    r"""h' = tanh(LN(W x + U h) + b);  LN(a) = gain (a - mean) / sqrt(var + epsilon).

    The bias serves as the norm's shift. Source: Ba, Kiros & Hinton, 1607.06450, equation 4.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormElmanCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        a = layer_norm(x + w.recurrent_kernel(h), w.gain, w.bias, self.epsilon)
        h = w.update(self.activation(a))
        return h, (h,)


class SCRNCell(KernelCell):
    r"""An Elman network beside a slow context:  c' = (1 - alpha) B x + alpha c;  h' = s(P c' + A x + R h + b).

    The output is [h', c'], units + context_units wide: the paper's output layer reads both. context_units: the width of
    c. alpha: how much of c stays at each step, in (0, 1). activation: of h'. A is kernel, R recurrent_kernel, B
    context_kernel, P context_recurrent_kernel, which reads c. A bias is no part of the
    paper. The output is no state, so there is no "state" slot; it has no update slot, either. States: h, c.
    Source: Mikolov et al., 1412.7753, equations 3 and 4.

    >>> keras.ops.shape(tfcells.RNN(tfcells.SCRNCell(8, context_units=2))(keras.ops.ones((2, 5, 3))))
    (2, 10)
    """

    states = ("h", "c")
    slots = frozenset({"kernel"})
    live = frozenset({"alpha"})

    def __init__(
        self, units: int, context_units: int = 40, alpha: float = 0.95, activation: Any = "sigmoid", **kwargs: Any
    ) -> None:
        super().__init__(units, activation, **kwargs)
        self.context_units = positive("context_units", context_units)
        self.alpha = number("alpha", alpha, low=0, high=1)

    @property
    def state_size(self) -> list[int]:
        return [self.units, self.context_units]

    @property
    def output_size(self) -> int:
        return self.units + self.context_units

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_kernel((input_shape[-1], self.context_units), "context_kernel")
        self.add_recurrent_kernel((self.context_units, self.units), "context_recurrent_kernel", reads="c")

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        return super().inputs(x, w), w.context_kernel(x)

    def step(self, x: tuple[Tensor, Tensor], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h, c), (a, x_c) = state, x
        c = (1 - self.alpha) * x_c + self.alpha * c
        h = self.activation(a + w.recurrent_kernel(h) + w.context_recurrent_kernel(c))
        return ops.concatenate([h, c], axis=-1), (h, c)
