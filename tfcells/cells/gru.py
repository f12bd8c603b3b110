"""The gated recurrent unit, in both published forms."""

from typing import Any

from keras import ops

from tfcells.checks import flag, number
from tfcells.contract.cell import Split, View
from tfcells.contract.kernels import GainedCell, GatedCell
from tfcells.contract.linear import Tensor
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights

BIASES = {"bias": View(lambda b: b[0]), "recurrent_bias": View(lambda b: b[1])}
"""A stacked bias, (2, columns), as a step reads it."""


class GRUCell(GatedCell):
    r"""z = s(W_z x + U_z h + b_z);  r = s(W_r x + U_r h + b_r);  h' = z h + (1 - z) g, where

    reset_after=True:  g = tanh(W_g x + b_g + r (U_g h + b'_g))   (1406.1078v1; cuDNN)
    reset_after=False: g = tanh(W_g x + b_g + U_g (r h))          (1406.1078v3)

    reset_after: multiply with r after the product with U_g, not before.
    Kernels stack the gates as z, r, g, like `keras.layers.GRUCell`, whose weights it shares: with
    reset_after the bias is (2, 3 units), the input's and the recurrent one. Departs from the papers in
    nothing but the bias. Source: Cho et al., 2014.

    >>> keras.ops.shape(tfcells.RNN(tfcells.GRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3

    def __init__(self, units: int, reset_after: bool = True, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.reset_after = flag("reset_after", reset_after)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H, width = self.units, 3 * self.units
        self.add_kernel((input_shape[-1], width))
        if self.reset_after:
            self.add_recurrent_kernel((H, width))
            self.add_bias((2, width), views=BIASES)
        else:
            views = Split(1, recurrent_kernel=(2 * H, "h", 2), candidate_kernel=(H, "h"))
            self.add_recurrent_kernel((H, width), views=views)
            self.add_bias((width,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        s, tanh = self.recurrent_activation, self.activation
        if self.reset_after:
            u_z, u_r, u_g = ops.split(w.recurrent_kernel(h) + w.recurrent_bias, 3, axis=-1)
            x_z, x_r, x_g = ops.split(x, 3, axis=-1)
            z, r = w.mark("z", s(x_z + u_z)), w.mark("r", s(x_r + u_r))
            g = tanh(x_g + r * u_g)
        else:
            x_zr, x_g = x[:, : 2 * self.units], x[:, 2 * self.units :]
            a_z, a_r = ops.split(x_zr + w.recurrent_kernel(h), 2, axis=-1)
            z, r = w.mark("z", s(a_z)), w.mark("r", s(a_r))
            g = tanh(x_g + w.candidate_kernel(r * h))
        h = z * h + (1 - z) * w.update(g)
        return h, (h,)


class LayerNormGRUCell(GainedCell, GatedCell):
    r"""z_x, r_x, g_x = LN(W x) + b;  z_h, r_h, g_h = LN(U h) + b';  then

    z = s(z_x + z_h);  r = s(r_x + r_h);  g = tanh(g_x + r g_h);  h' = z h + (1 - z) g.

    LN(a) = gain (a - mean) / sqrt(var + epsilon), over z and r together and over g by itself.
    joint: normalize z, r and g together, as haste does; the authors don't. epsilon: keeps LN from dividing by zero.
    The biases, (2, 3 units), serve as shifts. Gate order and biases are GRUCell's, with reset_after; the authors' z is
    our 1 - z.
    Source: Ba, Kiros & Hinton, 1607.06450, appendix.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormGRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3
    live = frozenset({"joint", "epsilon"})

    def __init__(self, units: int, joint: bool = False, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.joint = flag("joint", joint)
        self.epsilon = number("epsilon", epsilon, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        width = 3 * self.units
        self.add_kernel((input_shape[-1], width))
        self.add_recurrent_kernel((self.units, width))
        self.add_bias((2, width), views=BIASES)
        self.add_gain("kernel_gain", width)
        self.add_gain("recurrent_gain", width)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x)

    def norm(self, a: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """LN(a) + shift, of (..., 3 units); shift may be 0."""
        if self.joint:
            return layer_norm(a, gain, shift, self.epsilon)
        parts = []
        for part in slice(2 * self.units), slice(2 * self.units, None):
            own = shift if isinstance(shift, int) else shift[part]
            parts.append(layer_norm(a[..., part], gain[part], own, self.epsilon))
        return ops.concatenate(parts, axis=-1)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        s, tanh = self.recurrent_activation, self.activation
        x = self.norm(x, w.kernel_gain, w.bias)
        u = self.norm(w.recurrent_kernel(h), w.recurrent_gain, w.recurrent_bias)
        z_x, r_x, g_x = ops.split(x, 3, axis=-1)
        z_h, r_h, g_h = ops.split(u, 3, axis=-1)
        z, r = w.mark("z", s(z_x + z_h)), w.mark("r", s(r_x + r_h))
        h = z * h + (1 - z) * w.update(tanh(g_x + r * g_h))
        return h, (h,)
