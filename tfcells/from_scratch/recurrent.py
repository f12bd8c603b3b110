"""Recurrent layers: backpropagation through time, worked out by hand.

The letters are the papers': x inputs, h outputs, c memory, a what a squashing function is applied
to; W, U and b the weights of x, of h, and the bias. Before a letter, d stands for the gradient of
the loss: da is dL/da. A ' marks the value after a step; time is the first axis inside a layer.
"""

import numpy as np

from tfcells.checks import number, positive
from tfcells.from_scratch.checks import Array, floating, shaped
from tfcells.from_scratch.layers import Affine, Layer, Seed, glorot, orthogonal, rows, with_ones

States = tuple[Array, ...]


class Recurrent(Layer):
    r"""h_t is a function of a_t = x_t W + h_(t-1) U + b, and maybe of other states.

    x W + b is one product for all steps before the loop. The loop back finds da of every step, and
    after it come the weights' gradients, each as one product over all steps:

        dW = the sum over t of x_tᵀ da_t;  dU = of h_(t-1)ᵀ da_t;  db = of da_t;  dx_t = da_t Wᵀ.

    x: (batch, steps, inputs); outputs: (batch, steps, units), those of every step. Weights: W,
    (inputs, gates * units), drawn as Glorot & Bengio (2010) do; U, (units, gates * units),
    orthogonal; b, (gates * units,). seed: a number, or a generator of NumPy's to draw from; dtype:
    "float32" or "float64".

    `state` is carried from call to call: reading a sequence in two halves is reading it whole. No
    gradient passes from one call back to the one before it; the gradient for the state that the
    last `forward` began with is `state_gradient`, after `backward`.

    Raises a ValueError for another shape, also if the batch is not of the state's size.
    """

    gates, states = 1, 1
    state = None

    def __init__(self, inputs: int, units: int, seed: Seed = None, dtype: str = "float32") -> None:
        random = np.random.default_rng(seed)
        self.inputs, self.units = positive("inputs", inputs), positive("units", units)
        self.dtype = floating("dtype", dtype)
        width = self.gates * units
        self.kernel = Affine(glorot(random, inputs, width), self.initial_bias(), self.dtype)
        self.recurrent_kernel = orthogonal(random, units, width).astype(self.dtype)
        self.recurrent_gradient = np.zeros_like(self.recurrent_kernel)
        (W, b), (dW, db) = self.kernel.weights, self.kernel.gradients
        self.weights = [W, self.recurrent_kernel, b]
        self.gradients = [dW, self.recurrent_gradient, db]

    def initial_bias(self) -> Array:
        """b, (gates * units,)."""
        return np.zeros(self.gates * self.units)

    def run(self, a: Array, h: Array, *others: Array) -> None:
        """The loop: a, (steps, batch, gates * units), is x W + b, and may be overwritten.

        States: (steps + 1, batch, units) each; the first are given, the others to be filled in.
        """
        raise NotImplementedError

    def run_back(self, dh: Array, a: Array, h: Array, *others: Array) -> tuple[Array, States]:
        """The loop back: da of all steps from dh of all steps, and the gradients of the first state.

        The rest is what `run` was given, as it left it.
        """
        raise NotImplementedError

    def zero_state(self, batch: int) -> States:
        return tuple(np.zeros((batch, self.units), self.dtype) for _ in range(self.states))

    def reset(self) -> None:
        self.state = None

    def forward(self, x: Array) -> Array:
        x = shaped("x", x, (None, None, self.inputs), self.dtype)
        x = with_ones(x.swapaxes(0, 1))
        steps, batch, _ = x.shape
        state = self.zero_state(batch) if self.state is None else self.state
        states = [np.empty((steps + 1, batch, self.units), self.dtype) for _ in state]
        for all_steps, first in zip(states, state, strict=True):
            all_steps[0] = shaped("state", first, (batch, self.units), self.dtype)
        a = self.kernel.product(x)
        self.run(a, *states)
        self.state = tuple(all_steps[-1].copy() for all_steps in states)
        self.record = x, a, states
        return states[0][1:].swapaxes(0, 1)

    def backward(self, dy: Array) -> Array:
        x, a, states = self.recall()
        steps, batch, _ = x.shape
        dh = shaped("dy", dy, (batch, steps, self.units), self.dtype).swapaxes(0, 1)
        da, self.state_gradient = self.run_back(dh, a, *states)
        h_before = states[0][:-1]
        np.matmul(rows(h_before).T, rows(da), out=self.recurrent_gradient)
        return self.kernel.product_gradient(x, da).swapaxes(0, 1)


class Elman(Recurrent):
    r"""h' = tanh(a), a = x W + h U + b.

    With tanh' = 1 - tanh², and h' read by the next step and by whoever reads the outputs:

        da = (1 - h'²) dh';  dh = da Uᵀ.

    All else, the arguments too, is as `Recurrent` says. Weights: W, U, b, those of
    `tfcells.ElmanCell`. Source: Elman, Finding structure in time, 1990.

    >>> tfcells.from_scratch.Elman(3, 8).forward(np.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def run(self, a: Array, h: Array) -> None:  # type: ignore[override]
        U, product = self.recurrent_kernel, np.empty_like(a[0])
        for t in range(len(a)):
            np.matmul(h[t], U, out=product)
            product += a[t]
            np.tanh(product, out=h[t + 1])

    def run_back(  # type: ignore[override]
        self, dy: Array, a: Array, h: Array
    ) -> tuple[Array, States]:
        da = 1 - h[1:] ** 2
        U_transposed = np.ascontiguousarray(self.recurrent_kernel.T)
        dh = np.zeros_like(h[0])
        for t in reversed(range(len(a))):
            dh += dy[t]
            da[t] *= dh
            np.matmul(da[t], U_transposed, out=dh)
        return da, (dh,)


class LSTM(Recurrent):
    r"""i, f, g, o = a, a = x W + h U + b;  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').

    Below, i, f, g and o stand for the gates once squashed. With s' = s (1 - s) and tanh' = 1 - tanh²:

        dc' grows by o (1 - tanh²(c')) dh'      as h' reads c', and so does the next step
        da_i = g i (1 - i) dc'
        da_f = c f (1 - f) dc'
        da_g = i (1 - g²) dc'
        da_o = tanh(c') o (1 - o) dh'
        dc = f dc';  dh = da Uᵀ

    The factors of dc' and dh' don't depend on the gradient: they are had for all steps at once.

    forget_bias: the forget gate's initial bias. All else, the other arguments too, is as `Recurrent`
    says. Weights: W, U, b, those of `tfcells.LSTMCell`; the gates are stacked as i, f, g, o. States:
    h, c. Source: Hochreiter & Schmidhuber, 1997; the forget gate: Gers et al., 2000.

    >>> tfcells.from_scratch.LSTM(3, 8).forward(np.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    gates, states = 4, 2

    def __init__(
        self,
        inputs: int,
        units: int,
        forget_bias: float = 1.0,
        seed: Seed = None,
        dtype: str = "float32",
    ) -> None:
        self.forget_bias = number("forget_bias", forget_bias)
        super().__init__(inputs, units, seed, dtype)
        # s(a) = 1/2 + 1/2 tanh(a/2): so one tanh squashes all gates, g with 1 and 0 in place of 1/2.
        self.half = np.repeat([0.5, 0.5, 1.0, 0.5], units).astype(self.dtype)

    def initial_bias(self) -> Array:
        return np.repeat([0.0, self.forget_bias, 0.0, 0.0], self.units)

    def split(self, a: Array) -> list[Array]:
        """The gates i, f, g, o as views of all of them."""
        return np.split(a, 4, axis=-1)

    def run(self, a: Array, h: Array, c: Array) -> None:  # type: ignore[override]
        U, product, new = self.recurrent_kernel, np.empty_like(a[0]), np.empty_like(c[0])
        half, rest = self.half, 1 - self.half
        i, f, g, o = self.split(a)
        for t in range(len(a)):
            gates = a[t]
            np.matmul(h[t], U, out=product)
            gates += product
            gates *= half
            np.tanh(gates, out=gates)
            gates *= half
            gates += rest  # from here on, i, f, g and o are squashed
            np.multiply(f[t], c[t], out=c[t + 1])
            np.multiply(i[t], g[t], out=new)
            c[t + 1] += new
            np.tanh(c[t + 1], out=new)
            np.multiply(o[t], new, out=h[t + 1])

    def run_back(  # type: ignore[override]
        self, dy: Array, a: Array, h: Array, c: Array
    ) -> tuple[Array, States]:
        i, f, g, o = self.split(a)
        tanh_c = np.tanh(c[1:])
        read = o * (1 - tanh_c**2)
        factors = g * i * (1 - i), c[:-1] * f * (1 - f), i * (1 - g**2), tanh_c * o * (1 - o)
        gates = np.stack(factors, axis=2)  # (steps, batch, 4, units)
        da = gates.reshape(a.shape)
        U_transposed = np.ascontiguousarray(self.recurrent_kernel.T)
        dh, dc, from_h = (np.zeros_like(h[0]) for _ in range(3))
        for t in reversed(range(len(a))):
            dh += dy[t]
            np.multiply(read[t], dh, out=from_h)
            dc += from_h
            gates[t, :, :3] *= dc[:, None]  # i, f and g
            gates[t, :, 3] *= dh  # o
            dc *= f[t]
            np.matmul(da[t], U_transposed, out=dh)
        return da, (dh, dc)
