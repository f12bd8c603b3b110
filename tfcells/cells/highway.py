"""Recurrent highway networks."""

from typing import Any

from keras import ops

from tfcells.checks import flag, number, positive
from tfcells.contract.cell import Split
from tfcells.contract.kernels import GatedCell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights


class RHNCell(GatedCell):
    r"""`depth` highway layers in every time step; the input enters the first.

    For l = 1 .. depth, with s_0 the previous step's state and x only at l = 1:
    g, t = W x + R_l s + b_l;  s <- tanh(g) sigmoid(t) + s (1 - sigmoid(t)).
    coupled=False has a carry gate of its own: g, t, c = ...;  s <- tanh(g) sigmoid(t) + s sigmoid(c).

    depth: highway layers in every step. coupled: carry what the transform gate leaves, 1 - sigmoid(t).
    transform_bias: the initial bias of every transform gate t. The others have that of bias_initializer.
    The candidate, for recurrent dropout, is tanh(g). State: s, which is also the output.
    Weights: kernel (features, 2 units), `depth` recurrent kernels (units, 2 units) and biases (2 units,);
    3 units if not coupled. Source: Zilly et al., 1607.03474.

    >>> keras.ops.shape(tfcells.RNN(tfcells.RHNCell(8, depth=3))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states: tuple[str, ...] = ("s",)

    def __init__(
        self,
        units: int,
        depth: int = 5,
        coupled: bool = True,
        transform_bias: float = -2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.depth = positive("depth", depth)
        self.coupled = flag("coupled", coupled)
        self.transform_bias = number("transform_bias", transform_bias)

    @property
    def gates(self) -> int:  # type: ignore[override]
        return 2 if self.coupled else 3

    def build(self, input_shape: tuple[Any, ...]) -> None:
        width = self.gates * self.units
        self.add_kernel((input_shape[-1], width))
        for level in range(self.depth):
            self.add_recurrent_kernel((self.units, width), f"recurrent_kernel_{level}", reads="s")
        for level in range(self.depth):
            self.add_bias((width,), f"bias_{level}")

    def initial_bias(self, drawn: Tensor) -> Tensor:
        drawn = ops.split(drawn, self.gates)
        drawn[1] = ops.full_like(drawn[1], self.transform_bias)
        return ops.concatenate(drawn)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x) + w.bias_0

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (s,) = state
        gate, tanh = self.recurrent_activation, self.activation
        for level in range(self.depth):
            a = w[f"recurrent_kernel_{level}"](s) + (w[f"bias_{level}"] if level else x)
            g, t, *c = ops.split(a, self.gates, axis=-1)
            t = w.mark("t", gate(t))
            carry = w.mark("c", gate(c[0])) if c else 1 - t
            s = w.update(tanh(g)) * t + s * carry
        return s, (s,)


class HighwayStateGateRHNCell(RHNCell):
    r"""A recurrent highway network whose output passes a gate that remembers the output before.

    s' = RHN(x, s), as `RHNCell`;  g = sigmoid(V h + R s' + b);  h' = g h + (1 - g) s'.

    gate_bias: the initial bias of the state gate, b. V and R are stacked in gate_kernel, (2 units, units). States: h,
    which is the output, and s, from which the highway goes on. Source: Shoham & Permuter, 1805.09238; as there
    is no code of theirs, what goes on in time follows asahi417/LSTMCell.

    >>> keras.ops.shape(tfcells.RNN(tfcells.HighwayStateGateRHNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "s")

    def __init__(self, units: int, gate_bias: float = -2.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.gate_bias = number("gate_bias", gate_bias)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        H = self.units
        views = Split(0, V=(H, "h"), R=(H, "s"))
        self.add_recurrent_kernel((2 * H, H), "gate_kernel", views=views)
        self.add_bias((H,), "gate_shift", then=lambda b: ops.full_like(b, self.gate_bias))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, s = state
        _, (s,) = super().step(x, (s,), w)
        g = w.mark("g", self.recurrent_activation(w.V(h) + w.R(s) + w.gate_shift))
        h = g * h + (1 - g) * s
        return h, (h, s)
