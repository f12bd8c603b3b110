"""Cells with fewer gates than the GRU."""

from typing import Any

import keras
from keras import ops

from tfcells.contract.cell import GatedCell, InputCell, View
from tfcells.contract.linear import Tensor
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
        views = {
            "recurrent_kernel": View(lambda u: u[:, :H], "h"),
            "candidate_kernel": View(lambda u: u[:, H:], "h"),
        }
        self.add_kernel((input_shape[-1], 2 * H))
        self.add_recurrent_kernel((H, 2 * H), views=views)
        self.add_bias((2 * H,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        x_f, x_g = ops.split(x, 2, axis=-1)
        f = self.recurrent_activation(x_f + w.recurrent_kernel(h))
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
        z = ops.sigmoid(z)
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
        f = ops.sigmoid(ops.log_sigmoid(f) - ops.log_sigmoid(i))
        h = linear(f, (1 - f) * w.update(self.activation(g)), h)
        return h, (h,)
