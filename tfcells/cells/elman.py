"""The simple recurrent network."""

from typing import Any

from tfcells.checks import number
from tfcells.contract.cell import GainedCell, KernelCell
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

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        h = w.update(self.activation(x + w.recurrent_kernel(h)))
        return h, (h,)


class LayerNormElmanCell(GainedCell, ElmanCell):
    r"""h' = tanh(LN(W x + U h) + b);  LN(a) = gain (a - mean) / sqrt(var + epsilon).

    The bias serves as the norm's shift. Source: Ba, Kiros & Hinton, 1607.06450, equation 4.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormElmanCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    live = frozenset({"epsilon"})

    def __init__(self, units: int, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.epsilon = number("epsilon", epsilon, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_gain("gain", self.units)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        a = layer_norm(x + w.recurrent_kernel(h), w.gain, w.bias, self.epsilon)
        h = w.update(self.activation(a))
        return h, (h,)
