"""The two cells of xLSTM: exponential gates, kept finite by a third state m that takes their scale."""

import math
from typing import Any

import keras
from keras import ops

from tfcells.checks import divisor
from tfcells.contract.cell import View
from tfcells.contract.kernels import InputCell, KernelCell
from tfcells.contract.linear import Tensor, by_heads
from tfcells.contract.recurrence import linear, maximum, previous
from tfcells.contract.weights import Weights


class SLSTMCell(KernelCell):
    r"""An LSTM with exponential gates, a normalizer n, and recurrent kernels within heads.

    i, f, z, o = W x + R h + b;  c' = s(f) c + exp(i) tanh(z);  n' = s(f) n + exp(i);  h' = s(o) c' / n'.

    c and n are kept as multiples of exp(m), where m' = max(log s(f) + m, i). heads: the number of blocks of units,
    each of which reads its own h alone; the recurrent kernel has units / heads rows. Kernels stack i, f, z, o. As in
    the authors' code, whose heads are 4 by default, R starts as zeros, and the bias of f, along the units of a head,
    from 5 to -7, as 5 - 12 k^0.3 with k from 0 to 1. The candidate, for recurrent dropout, is tanh(z), in c alone.
    States: h, c, n, m. m starts so low that the first step alone sets the scale. There is no state slot: old and new
    values of c have different scales. Source: Beck et al., 2405.04517, with a sigmoid f, and their code, xlstm.

    >>> keras.ops.shape(tfcells.RNN(tfcells.SLSTMCell(8, heads=2))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c", "n", "m")
    slots = frozenset({"kernel", "update", "projection"})
    gates = 4

    def __init__(self, units: int, heads: int = 1, recurrent_initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(units, recurrent_initializer=recurrent_initializer, **kwargs)
        self.heads = divisor("heads", heads, "units", self.units)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H, heads = self.units, self.heads
        self.add_kernel((input_shape[-1], 4 * H))
        views = {"recurrent_kernel": View(lambda r: by_heads(r, heads, 4), "h", 4)}
        self.add("recurrent", (self.state_size[0] // heads, 4 * H), "recurrent_kernel", drawn=4 * heads, views=views)
        self.add_bias((4 * H,))

    def narrow(self, width: int) -> None:
        divisor("heads", self.heads, "projection_units", width)
        super().narrow(width)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        k = ops.linspace(0.0, 1.0, self.units // self.heads, dtype=drawn.dtype)
        falling = ops.tile(5 - 12 * ops.power(k, 0.3), self.heads)
        return drawn + ops.pad(falling, [[self.units, 2 * self.units]])

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        *others, m = super().get_initial_state(batch_size)
        return [*others, ops.full_like(m, -1e4)]

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c, n, m = state
        i, f, z, o = ops.split(x + w.recurrent_kernel(h), 4, axis=-1)
        f = ops.log_sigmoid(f) + m
        m = ops.maximum(f, i)
        i, f, o = w.mark("i", ops.exp(i - m)), w.mark("f", ops.exp(f - m)), w.mark("o", ops.sigmoid(o))
        c = f * c + i * w.update(self.activation(z))
        n = f * n + i
        h = o * c / n
        return h, (h, c, n, m)


class MLSTMCell(InputCell):
    r"""A matrix as the memory of each head, which keys write to and queries read; linear in time.

    q, k, v, o = W x + b, by heads of d = units / heads;  k <- k / sqrt(d);  i, f: a number each for each head.
    C' = s(f) C + exp(i) v k^T;  n' = s(f) n + exp(i) k;  h = s(o) C' q / max(|n' q|, 1).

    C and n are kept as multiples of exp(m), where m' = max(log s(f) + m, i). The kernel stacks q, k, v, o, and then i
    and f of all heads. As in the authors' code, whose heads are 4 by default, the kernels of i and f start as zeros,
    the bias of i with a standard deviation of 0.1, that of f from 3 to 6 along the heads. heads: the number of
    memories, which share the units. activation: of v, which is the candidate, for recurrent dropout.
    States: h, which wrappers read and the step does not; C, (heads, d, d); n, (heads, d); m, (heads,). There is no
    state slot: old and new values of C have different scales. Source: Beck et al., 2405.04517, with a sigmoid f.
    Their code has the gates read q, k and v instead of x, and normalizes h.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MLSTMCell(8, heads=2))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "C", "n", "m")
    slots = frozenset({"update", "projection"})
    linear = True

    def __init__(self, units: int, activation: Any = None, heads: int = 1, **kwargs: Any) -> None:
        super().__init__(units, activation, **kwargs)
        self.heads = divisor("heads", heads, "units", self.units)

    @property
    def state_size(self) -> list[Any]:
        heads, d = self.heads, self.units // self.heads
        return [self.projected or self.units, (heads, d, d), (heads, d), heads]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        width, gates = 4 * self.units, 2 * self.heads

        def without_gates(kernel: Tensor) -> Tensor:
            return ops.pad(kernel[:, :width], [[0, 0], [0, gates]])

        self.add_kernel((input_shape[-1], width + gates), then=without_gates)
        self.add_bias((width + gates,))

    def initial_bias(self, drawn: Tensor) -> Tensor:
        width, dtype = 4 * self.units, drawn.dtype
        i = keras.initializers.RandomNormal(stddev=0.1)((self.heads,), dtype=dtype)
        f = ops.linspace(3.0, 6.0, self.heads, dtype=dtype)
        return drawn + ops.pad(ops.concatenate([i, f]), [[width, 0]])

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        _, C, n, last = state
        q, k, v, o = ops.split(x[..., : 4 * self.units], 4, axis=-1)
        i, f = ops.split(x[..., 4 * self.units :], 2, axis=-1)
        heads = *ops.shape(x)[:-1], self.heads, self.units // self.heads
        q, k, v = (ops.reshape(part, heads) for part in (q, k / math.sqrt(heads[-1]), w.update(self.activation(v))))
        f = ops.log_sigmoid(f)
        m = maximum(f, i, last)
        i, f = w.mark("i", ops.exp(i - m))[..., None], w.mark("f", ops.exp(f + previous(m, last) - m))[..., None]
        C = linear(f[..., None], (i * v)[..., None] * k[..., None, :], C)
        n = linear(f, i * k, n)
        size = ops.maximum(ops.abs(ops.sum(n * q, axis=-1)), ops.exp(-m))
        h = ops.sum(C * q[..., None, :], axis=-1) / size[..., None]
        h = w.mark("o", ops.sigmoid(o)) * ops.reshape(h, ops.shape(o))
        return h, (h, C, n, m)
