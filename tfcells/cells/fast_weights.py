"""Fast weights: a matrix in the state that attends to the recent past."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, number, positive, probability
from tfcells.contract.kernels import GainedCell
from tfcells.contract.linear import Tensor
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights


class FastWeightsCell(GainedCell):
    r"""An Elman network with a second, quickly changing recurrent matrix A of its own for each sample.

    a = W x + U h + b;  h_0 = f(a);  h_{s+1} = f(LN(a + A h_s)) for s < inner_steps;
    h' = h_S;  A' = decay A + eta h' h'^T.

    decay: how much of A stays at each step, the paper's lambda. eta: how much of h' h'^T is added to A.
    inner_steps: how often A is read in each step. epsilon: keeps LN from dividing by zero. layer_norm: whether the
    inner steps normalize, LN(v) = gain (v - mean) / sqrt(var + epsilon) + shift; without it an unbounded activation
    makes h grow without bound. recurrent_initializer: None starts U as 0.05 I, as the paper does. States: h, and A of
    shape (units, units). It has no update slot.
    Source: Ba et al., 1610.06258, equations 1, 2 and 5.

    >>> keras.ops.shape(tfcells.RNN(tfcells.FastWeightsCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "A")
    slots = frozenset({"kernel", "state", "projection"})
    live = frozenset({"decay", "eta", "inner_steps", "epsilon"})

    def __init__(
        self,
        units: int,
        activation: Any = "relu",
        decay: float = 0.95,
        eta: float = 0.5,
        inner_steps: int = 1,
        layer_norm: bool = True,
        epsilon: float = 1e-3,
        recurrent_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        start = keras.initializers.Identity(0.05) if recurrent_initializer is None else recurrent_initializer
        super().__init__(units, activation, recurrent_initializer=start, **kwargs)
        self.decay = probability("decay", decay)
        self.eta = number("eta", eta)
        self.inner_steps = positive("inner_steps", inner_steps)
        self.layer_norm = flag("layer_norm", layer_norm)
        self.epsilon = number("epsilon", epsilon, low=0)

    @property
    def state_size(self) -> list[Any]:
        return [self.projected or self.units, (self.units, self.units)]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        if self.layer_norm:
            self.add_gain("gain", self.units)
            self.add_vector("shift", self.units, "zeros")

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, A = state
        slow = x + w.recurrent_kernel(h)
        h = self.activation(slow)
        for _ in range(self.inner_steps):
            a = slow + ops.einsum("bij,bj->bi", A, h)
            h = self.activation(layer_norm(a, w.gain, w.shift, self.epsilon) if self.layer_norm else a)
        A = self.decay * A + self.eta * ops.expand_dims(h, 2) * ops.expand_dims(h, 1)
        return h, (h, A)
