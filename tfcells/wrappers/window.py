"""Attention over a window of what the network itself put out."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, positive, require
from tfcells.contract.cell import Cell, Split
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights
from tfcells.contract.wrapper import OutputWrapper
from tfcells.wrappers.attention import NEVER, SCORE

PARTS = {"k": 1, "kv": 2, "kvp": 3}
"""Into how many parts the output is divided."""


def pushed(window: Tensor, row: Tensor) -> Tensor:
    """The window, (batch, rows, features), without its first row and with another as the last."""
    return ops.concatenate([window[:, 1:], ops.expand_dims(row, 1)], 1)


def scores(keys: Tensor, query: Tensor, score: Tensor) -> Tensor:
    """score . tanh(key + query) for each row of the keys."""
    return ops.sum(ops.tanh(keys + ops.expand_dims(query, 1)) * score, -1)


def average(weights: Tensor, rows: Tensor) -> Tensor:
    """The sum of the rows, (batch, rows, features), each times its weight, (batch, rows)."""
    return ops.sum(ops.expand_dims(weights, -1) * rows, 1)


class KVPAttention(OutputWrapper):
    r"""A cell whose output is key, value and prediction, for attention over the last `window` outputs.

    h = [k, v, p] is the cell's output;  e_i = w . tanh(Y k_i + H k) for the outputs i of the window;  a = softmax(e);
    r = sum_i a_i v_i;  y = tanh(R r + X p), a third as wide as h. The cell itself never reads what the window says.
    mode="kv": h = [k, v], and p is v. mode="k": k, v and p are all h.

    window: outputs that are read. mode: "kvp", "kv" or "k", the parts of an output.
    include_current: whether the output at this step is the last of the window; the paper's window ends before it.
    partial_window: fewer outputs than `window` make a shorter one. r is 0 where there are none. False is for the
    numbers of asahi417/LSTMCell, whose y is the first part of h until the window is full.

    States: the cell's; keys, the Y k_i, and values, of the window; filled, the number of its outputs.
    Source: Daniluk et al., 1702.04521, equations 2 to 13; what is read before the window is full is not said there.

    >>> cell = tfcells.KVPAttention(tfcells.LSTMCell(12), window=5)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 7, 3))))
    (2, 4)
    """

    clocks = property(lambda self: self.cell.clocks | {"filled"})
    records = property(lambda self: self.cell.records | {"keys", "values"})

    def __init__(
        self,
        cell: Cell | dict,
        window: int = 5,
        mode: str = "kvp",
        include_current: bool = False,
        partial_window: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, **kwargs)
        self.window = positive("window", window)
        self.mode = require("mode", mode, f"one of {', '.join(PARTS)}", mode in PARTS)
        self.include_current = flag("include_current", include_current)
        self.partial_window = flag("partial_window", partial_window)
        if self.cell.output_size % PARTS[mode]:
            raise ValueError(
                f"mode={mode!r} divides the cell's output into {PARTS[mode]} parts: its {self.cell.output_size} units "
                f"must be a multiple of {PARTS[mode]}"
            )

    @property
    def output_size(self) -> int:
        return self.cell.output_size // PARTS[self.mode]

    @property
    def own_states(self) -> dict[str, Any]:
        shape = (self.window, self.output_size)
        return {"keys": shape, "values": shape, "filled": 1}

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        width, draw = self.output_size, keras.initializers.GlorotUniform
        for name in ("key", "query", "read", "predict"):
            self.declare(f"{name}_kernel", (width, width), draw())
        self.declare("score_kernel", (width, 1), draw(), views=SCORE)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        state, (keys, values, filled) = self.divided(state)
        h, state = self.finished(x, state, w)
        parts = ops.split(h, PARTS[self.mode], axis=-1)
        key, value, predict = parts[0], parts[:2][-1], parts[-1]
        new_keys, new_values = pushed(keys, w.key_kernel(key)), pushed(values, value)
        new_filled = ops.minimum(filled + 1, self.window)
        if self.include_current:
            keys, values, filled = new_keys, new_values, new_filled
        there = ops.arange(self.window, 0, -1, dtype=filled.dtype) <= filled  # the latest are the last
        e = scores(keys, w.query_kernel(key), w.score)
        a = ops.softmax(ops.where(there, e, ops.cast(NEVER, e.dtype)), axis=-1)
        r = average(w.mark("a", ops.where(there, a, ops.zeros_like(a))), values)
        y = ops.tanh(w.read_kernel(r) + w.predict_kernel(predict))
        if not self.partial_window:
            y = ops.where(filled >= self.window, y, key)
        return y, (*state, new_keys, new_values, new_filled)


class WindowAttention(OutputWrapper):
    r"""A weighted sum of the last `window` outputs, which the cell reads beside its input.

    x' = W [x, a] + b, as wide as x;  h, s' = the cell's step on x' and s;
    e_i = v . tanh(K y_i + Q s' + c) for the y_i of the window;  p = softmax(e);  a' = sum_i p_i y_i;
    y = O [h, a'] + d, as wide as h, which comes last into the window. s': the new states side by side.

    window: outputs that are read. attention_units: the width of v, None for that of the output. The window starts with
    zeros, which are read like other outputs. A time that the cell reads stays as it is. s' leaves out matrices,
    counters of steps and windows of a cell inside.
    States: the cell's; attention, the a; keys, the K y_i, and values, the y_i, of the window.
    Source: TensorFlow 1's `AttentionCellWrapper`, after Cheng, Dong & Lapata, 1601.06733, whose attention over the
    states of an LSTM is another. There s' is c, h of an LSTM, here h, c.

    >>> cell = tfcells.WindowAttention(tfcells.LSTMCell(8), window=5)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 7, 3))))
    (2, 8)
    """

    slots = property(lambda self: self.cell.slots - {"state", "projection"} | {"kernel"})  # W reads a
    records = property(lambda self: self.cell.records | {"keys", "values"})

    def __init__(self, cell: Cell | dict, window: int, attention_units: int | None = None, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.window = positive("window", window)
        self.attention_units = None if attention_units is None else positive("attention_units", attention_units)

    @property
    def own_states(self) -> dict[str, Any]:
        width = self.output_size
        keys, values = (self.window, self.attention_units or width), (self.window, width)
        return {"attention": width, "keys": keys, "values": values}

    def query(self) -> list[int]:
        """The places of the states that are asked about."""
        sizes = zip(self.cell.states, self.cell.state_size, strict=True)
        return [
            place for place, (name, size) in enumerate(sizes) if name in self.cell.carried and isinstance(size, int)
        ]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        features, width = input_shape[-1] - int(self.timed), self.output_size
        draw = keras.initializers.GlorotUniform
        units, asked = self.attention_units or width, sum(self.cell.state_size[place] for place in self.query())
        views = Split(0, W_x=(features,), W_a=(width, "attention"))
        self.declare("input_kernel", (features + width, features), draw(), views=views)
        self.declare("input_shift", (features,), "zeros")
        self.declare("key_kernel", (width, units), draw())
        self.declare("query_kernel", (asked, units), draw())
        self.declare("query_shift", (units,), "zeros")
        self.declare("score_kernel", (units, 1), draw(), views=SCORE)
        self.declare("output_kernel", (2 * width, width), draw())
        self.declare("output_shift", (width,), "zeros")

    def inputs(self, x: Tensor, w: Weights) -> tuple[Tensor, ...]:
        """The time, if the cell reads one, and what W makes of the features."""
        if self.timed:
            return x[..., :1], w.W_x(x[..., 1:]) + w.input_shift
        return (w.W_x(x) + w.input_shift,)

    def step(self, x: tuple[Tensor, ...], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        state, (a, keys, values) = self.divided(state)
        *time, x = x
        x = ops.concatenate([*time, x + w.W_a(a)], -1)
        h, state = self.finished(self.cell.inputs(x, w.cell), state, w)
        asked = ops.concatenate([state[place] for place in self.query()], -1)
        e = scores(keys, w.query_kernel(asked) + w.query_shift, w.score)
        a = average(w.mark("p", ops.softmax(e, axis=-1)), values)
        y = w.output_kernel(ops.concatenate([h, a], -1)) + w.output_shift
        return y, (*state, a, pushed(keys, w.key_kernel(y)), pushed(values, y))
