"""Cells with one state, whose gates are neither an LSTM's nor a GRU's."""

from typing import Any

from keras import ops

from tfcells.cells.gru import BIASES
from tfcells.checks import number
from tfcells.contract.cell import Split
from tfcells.contract.initial import raise_block
from tfcells.contract.kernels import GatedCell, PassingCell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights


class UGRNNCell(GatedCell):
    r"""The update gate alone:  z, g = W x + U h + b;  h' = s(z) h + (1 - s(z)) tanh(g).

    forget_bias: added to the initial bias of z. Kernels stack the gates as z, g, which the paper calls g, c. The
    candidate, for recurrent dropout, is tanh(g). State: h. Source: Collins, Sohl-Dickstein & Sussillo, 1611.09913.

    >>> keras.ops.shape(tfcells.RNN(tfcells.UGRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(drawn, 0, 2, self.forget_bias)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        z, g = ops.split(x + w.recurrent_kernel(h), 2, axis=-1)
        z = w.mark("z", self.recurrent_activation(z))
        h = z * h + (1 - z) * w.update(self.activation(g))
        return h, (h,)


class IntersectionRNNCell(PassingCell):
    r"""The "+RNN", gated along time and along depth:  p, q, d, g = W x + U h + b;

    y = s(p) x + (1 - s(p)) relu(d);  h' = s(q) h + (1 - s(q)) tanh(g). The output is y, which is no state.

    project: put P x + p in place of x, by projection_kernel and projection_bias, as the authors' code does
    everywhere. forget_bias: added to the initial biases of p and q. Kernels stack p, q, d, g. The candidate, for
    recurrent dropout, is tanh(g). State: h. Source: Collins, Sohl-Dickstein & Sussillo, 1611.09913.

    >>> keras.ops.shape(tfcells.RNN(tfcells.IntersectionRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 4

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(drawn, 0, 2, self.forget_bias)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_projection(input_shape[-1], bias=True)

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        return super().inputs(x, w), self.passed(x, w)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), (a, x) = state, x
        p, q, d, g = ops.split(a + w.recurrent_kernel(h), 4, axis=-1)
        p, q = w.mark("p", self.recurrent_activation(p)), w.mark("q", self.recurrent_activation(q))
        y = p * x + (1 - p) * ops.relu(d)
        h = q * h + (1 - q) * w.update(self.activation(g))
        return y, (h,)


class CFNCell(GatedCell):
    r"""A network without chaos:  f = s(W_f x + U_f h + b_f);  i = s(W_i x + U_i h + b_i);  g = W_g x + b_g;

    h' = f tanh(h) + i tanh(g).

    Departs from the paper in nothing but b_g, which starts at 0. forget_bias: added to the initial bias of f and
    taken from that of i. Kernel and bias stack the gates as f, i, g, the recurrent kernel as f, i. The candidate, for
    recurrent dropout, is tanh(g). State: h. Source: Laurent & von Brecht, 1612.06212.

    >>> keras.ops.shape(tfcells.RNN(tfcells.CFNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(raise_block(drawn, 0, 3, self.forget_bias), 1, 3, -self.forget_bias)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 3 * H))
        self.add_recurrent_kernel((H, 2 * H))
        self.add_bias((3 * H,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), H, s = state, self.units, self.recurrent_activation
        f, i = map(s, ops.split(x[:, : 2 * H] + w.recurrent_kernel(h), 2, axis=-1))
        h = w.mark("f", f) * self.activation(h) + w.mark("i", i) * w.update(self.activation(x[:, 2 * H :]))
        return h, (h,)


class RANCell(GatedCell):
    r"""Its memory is a weighted sum of inputs:  i = s(W_i x + U_i h + b_i);  f = s(W_f x + U_f h + b_f);

    c' = i (W_g x) + f c;  h' = tanh(c').

    Kernels stack the gates as i, f, the kernel g after them. The candidate, for recurrent dropout, is W_g x.
    States: h, c. Source: Lee, Levy & Zettlemoyer, 1705.07393.

    >>> keras.ops.shape(tfcells.RNN(tfcells.RANCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    slots = GatedCell.slots | {"projection"}
    gates = 3

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 3 * H), views=Split(1, kernel=(2 * H,), content_kernel=(H,)))
        self.add_recurrent_kernel((H, 2 * H))
        self.add_bias((2 * H,))

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        return super().inputs(x, w), w.content_kernel(x)

    def step(self, x: tuple[Tensor, Tensor], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h, c), (a, g) = state, x
        i, f = map(self.recurrent_activation, ops.split(a + w.recurrent_kernel(h), 2, axis=-1))
        c = w.mark("i", i) * w.update(g) + w.mark("f", f) * c
        h = self.activation(c)
        return h, (h, c)


class ATRCell(GatedCell):
    r"""Gates by addition and subtraction:  p = W x + b;  q = U h + b';  h' = s(p + q) p + s(p - q) h.

    activation: of p where it is no gate, None in the paper. Departs from the paper in nothing but the biases,
    (2, units). The candidate, for recurrent dropout, is that p. State: h. Source: Zhang et al., 1810.12546.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ATRCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units: int, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(units, activation=activation, **kwargs)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.add_kernel((input_shape[-1], self.units))
        self.add_recurrent_kernel((self.units, self.units))
        self.add_bias((2, self.units), views=BIASES)

    def step(self, p: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), s = state, self.recurrent_activation
        q = w.recurrent_kernel(h) + w.recurrent_bias
        h = w.mark("i", s(p + q)) * w.update(self.activation(p)) + w.mark("f", s(p - q)) * h
        return h, (h,)


class BRCCell(GatedCell):
    r"""Units with two stable states:  a = 1 + tanh(W_a x + v_a h + b_a);  c = s(W_c x + v_c h + b_c);

    h' = c h + (1 - c) tanh(W_g x + a h + b_g).

    A unit reads no other: v_a and v_c, side by side in recurrent_vector, are drawn by recurrent_initializer and start
    at 1; state dropout leaves what they read alone. Departs from the authors' code in nothing but b_g. Kernels stack
    a, c, g. The candidate, for recurrent dropout, is the last tanh. State: h.
    Source: Vecoven, Ernst & Drion, PLOS ONE 16(6) e0252676, 2021; 2006.05252.

    >>> keras.ops.shape(tfcells.RNN(tfcells.BRCCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3
    slots = frozenset({"update", "state"})

    def __init__(self, units: int, recurrent_initializer: Any = "ones", **kwargs: Any) -> None:
        super().__init__(units, recurrent_initializer=recurrent_initializer, **kwargs)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 3 * H))
        self.add("recurrent", (2 * H,), "recurrent_vector", views=Split(0, v_a=(H,), v_c=(H,)))
        self.add_bias((3 * H,))

    def read(self, h: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
        """What a and c read of the state."""
        return w.v_a * h, w.v_c * h

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        s, tanh = self.recurrent_activation, self.activation
        (x_a, x_c, x_g), (u_a, u_c) = ops.split(x, 3, axis=-1), self.read(h, w)
        a, c = w.mark("a", 1 + tanh(x_a + u_a)), w.mark("c", s(x_c + u_c))
        h = c * h + (1 - c) * w.update(tanh(x_g + a * h))
        return h, (h,)


class NBRCCell(BRCCell):
    r"""`BRCCell` whose units read one another:  a = 1 + tanh(W_a x + U_a h + b_a);  c = s(W_c x + U_c h + b_c);

    h' = c h + (1 - c) tanh(W_g x + a h + b_g): neuromodulated. The recurrent kernel stacks a, c. The rest is
    `BRCCell`'s. Source: Vecoven, Ernst & Drion, PLOS ONE 16(6) e0252676, 2021; 2006.05252.

    >>> keras.ops.shape(tfcells.RNN(tfcells.NBRCCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    slots = GatedCell.slots

    def __init__(self, units: int, recurrent_initializer: Any = "orthogonal", **kwargs: Any) -> None:
        super().__init__(units, recurrent_initializer=recurrent_initializer, **kwargs)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 3 * H))
        self.add_recurrent_kernel((H, 2 * H), drawn=2)
        self.add_bias((3 * H,))

    def read(self, h: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
        u_a, u_c = ops.split(w.recurrent_kernel(h), 2, axis=-1)
        return u_a, u_c
