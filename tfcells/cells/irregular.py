"""Cells for inputs that come at irregular times.

With timed=True the first column of the input is the time, and the others are what is read. With timed=False, the
default, one step is one unit of time. A second layer needs the time, too: concatenate it with the first one's output.
"""

import math
from typing import Any

import keras
from keras import ops

from tfcells.cells.lstm import LSTMCell
from tfcells.checks import flag, number, positive, probability, real, require
from tfcells.contract.cell import Call
from tfcells.contract.kernels import GatedCell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights, identity


class TimedCell(GatedCell):
    """A `GatedCell` whose input may have a time in its first column. timed: whether it has."""

    def __init__(self, units: int, timed: bool = False, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.timed = flag("timed", timed)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build((*input_shape[:-1], self.features_of(input_shape)))

    def features_of(self, input_shape: tuple[Any, ...]) -> int:
        """How many columns are features. Raises ValueError if there is none."""
        columns = input_shape[-1]
        if self.timed and columns < 2:
            raise ValueError(f"sequences: with timed=True a time and features are needed, got {columns} columns")
        return columns - int(self.timed)

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        """What the kernel makes of the features, and the time."""
        if self.timed:
            return super().inputs(x[..., 1:], w), x[..., :1]
        return super().inputs(x, w), ops.ones_like(x[..., :1])


class TimeLSTMCell(TimedCell, LSTMCell):
    r"""The time-aware LSTM, which discounts a part of its memory by the time d that has passed since the step before.

    m = tanh(D c + b_D);  c <- c - m + m / log(e + d);  then an LSTM's step.

    timed: d is the first column of the input, which must not be negative, else 1. D is memory_kernel, b_D memory_bias.
    What m reads of c, state dropout acts on. The paper has 1 / d, too, for short times. The rest is `LSTMCell`'s.
    Source: Baytas et al., Patient subtyping via time-aware LSTM networks, KDD 2017 (T-LSTM).

    >>> x = keras.ops.ones((2, 5, 3))  # a time and two features
    >>> keras.ops.shape(tfcells.RNN(tfcells.TimeLSTMCell(8, timed=True))(x))
    (2, 8)
    """

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_recurrent_kernel((self.units, self.units), "memory_kernel", reads="c")
        self.add_bias((self.units,), "memory_bias", then=identity)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h, c), (a, d) = state, x
        m = self.activation(w.memory_kernel(c) + w.memory_bias)
        c = c - m + m / ops.log(math.e + d)
        return self.gated(a + w.recurrent_kernel(h), c, w)


class PhasedLSTMCell(TimedCell, LSTMCell):
    r"""An LSTM each of whose units is open for a part r of its period T, shifted by s, and else keeps its state.

    p = ((t - s) mod T) / T;  k = 2 p / r for p < r/2;  2 - 2 p / r for r/2 <= p < r;  leak p for p >= r;
    h', c' = k LSTM(x, h, c) + (1 - k) (h, c).

    timed: t is the first column of the input, else the number of the step, from 0, which is a state. T, s and r are
    the vectors period, phase_shift and open_ratio. period_range: where T starts, log-uniform; s starts uniform
    in (0, T). open_ratio_start: where r starts. leak: how far closed units let the new in, in training alone. In half
    precision a time in the input is read in that precision. TensorFlow's cell has no gradient of t - s - ((t - s) mod
    T) for T; here it is exact. The paper's peepholes are left out, as there by default. The rest is `LSTMCell`'s.
    States: h, c and, if not timed, time.
    Source: Neil, Pfeiffer & Liu, 1610.09513.

    >>> x = keras.ops.ones((2, 5, 3))  # a time and two features
    >>> keras.ops.shape(tfcells.RNN(tfcells.PhasedLSTMCell(8, timed=True))(x))
    (2, 8)
    """

    states: tuple[str, ...] = ("h", "c", "time")
    slots = frozenset({"kernel", "update", "state"})  # h is carried on, as wide as the units
    clocks = frozenset({"time"})
    live = frozenset({"leak"})

    def __init__(
        self,
        units: int,
        period_range: tuple[float, float] = (1.0, 1000.0),
        open_ratio_start: float = 0.05,
        leak: float = 0.001,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        given = tuple(period_range) if isinstance(period_range, list | tuple) else ()
        fits = len(given) == 2 and all(map(real, given)) and 0 < given[0] < given[1] < math.inf
        self.period_range = require("period_range", given or period_range, "two rising numbers above 0", fits)
        self.open_ratio_start = number("open_ratio_start", open_ratio_start, low=0, high=1)
        self.leak = probability("leak", leak)
        if self.timed:
            self.states = ("h", "c")

    @property
    def state_size(self) -> list[int]:
        return [self.units, self.units, 1][: len(self.states)]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        low, high = map(math.log, self.period_range)
        self.add_vector(
            "period", self.units, lambda shape, dtype: ops.exp(keras.random.uniform(shape, low, high, dtype))
        )
        self.add_vector(
            "phase_shift", self.units, lambda shape, dtype: keras.random.uniform(shape, dtype=dtype) * self.period
        )
        self.add_vector("open_ratio", self.units, keras.initializers.Constant(self.open_ratio_start))

    def bind(self, call: Call) -> Weights:
        return (
            super().bind(call).including(leak=ops.full((1,), self.leak if call.training else 0.0, self.compute_dtype))
        )

    def openness(self, t: Tensor, w: Weights) -> Tensor:
        """k, in the precision of t."""
        T, shift, r, leak = (ops.cast(v, t.dtype) for v in (w.period, w.phase_shift, w.open_ratio, w.leak))
        p = (t - shift) / T
        p = p - ops.floor(p)
        return ops.where(p < r, ops.minimum(2 * p / r, 2 - 2 * p / r), leak * p)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h, c, *clock), (a, t) = state, x
        k = w.mark("k", ops.cast(self.openness(clock[0] if clock else t, w), h.dtype))
        _, (new_h, new_c) = self.gated(a + w.recurrent_kernel(h), c, w)
        h, c = k * new_h + (1 - k) * h, k * new_c + (1 - k) * c
        return h, (h, c, *(time + 1 for time in clock))


@keras.saving.register_keras_serializable("tfcells")
def lecun_tanh(a: Tensor) -> Tensor:
    """1.7159 tanh(0.666 a)."""
    return 1.7159 * ops.tanh(0.666 * a)


class CfCCell(TimedCell):
    r"""The solution in closed form of a liquid network, d being the time that has passed:  b = f(W x + U h + b_0);

    g, k, p, q = V b + b_V;  t = s(p d + q);  h' = (1 - t) tanh(g) + t tanh(k).

    timed: d is the first column of the input, else 1. backbone_units: the size of b. backbone_activation: the
    activation f; "lecun_tanh" is 1.7159 tanh(0.666 a). V is head_kernel and stacks g, k, p, q; b_V is head_bias. The
    paper's backbone may be deeper, and it has forms without a gate. It has no update slot: nothing is added to a
    memory. State: h.
    Source: Hasani et al., 2106.13898, and their code.

    >>> x = keras.ops.ones((2, 5, 3))  # a time and two features
    >>> keras.ops.shape(tfcells.RNN(tfcells.CfCCell(8, backbone_units=16, timed=True))(x))
    (2, 8)
    """

    slots = frozenset({"kernel", "state", "projection"})
    live = frozenset({"backbone_activation"})

    def __init__(
        self, units: int, backbone_units: int = 128, backbone_activation: Any = "lecun_tanh", **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.backbone_units = positive("backbone_units", backbone_units)
        given = lecun_tanh if backbone_activation == "lecun_tanh" else backbone_activation
        self.backbone_activation = keras.activations.get(given)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        B, H = self.backbone_units, self.units
        self.add_kernel((self.features_of(input_shape), B))
        self.add_recurrent_kernel((H, B), blocks=1)
        self.add_bias((B,))
        self.add_kernel((B, 4 * H), "head_kernel")
        self.add_bias((4 * H,), "head_bias")

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), (a, d) = state, x
        b = self.backbone_activation(a + w.recurrent_kernel(h))
        g, k, p, q = ops.split(w.head_kernel(b) + w.head_bias, 4, axis=-1)
        t = w.mark("t", self.recurrent_activation(p * d + q))
        h = (1 - t) * self.activation(g) + t * self.activation(k)
        return h, (h,)
