"""Attention over an external memory, around any cell."""

from typing import Any

import keras
from keras import ops

from tfcells import masks
from tfcells.checks import positive, require
from tfcells.contract.cell import Call, Cell, View
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights
from tfcells.contract.wrapper import Wrapper

NEVER = -6e4  # the score of what the mask hides; float16 has it, too
SCORE = {"score": View(lambda kernel: kernel[:, 0])}


class MemoryReader(Wrapper):
    """A wrapper that reads a memory given to its layer, and gives the cell more input than its own.

    The memory, (batch, rows, memory_features), and its mask, (batch, rows):
    `tfcells.RNN(cell)(sequence, memory=..., memory_mask=...)`. Rows whose mask is False take no part;
    where all are False zeros are read.
    """

    attends = True

    def __init__(self, cell: Cell | dict, attention_units: int, memory_features: int, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        if self.cell.attends:
            raise ValueError("cell: reads a memory itself; there is one memory a layer")
        self.attention_units = positive("attention_units", attention_units)
        self.memory_features = positive("memory_features", memory_features)

    @property
    def fed(self) -> int:
        """How many features the cell's input has besides those of the sequence."""
        return self.memory_features

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build((*input_shape[:-1], input_shape[-1] + self.fed))

    def bind(self, call: Call) -> Weights:
        if call.memory is None:
            raise ValueError(
                f"{type(self).__name__} reads a memory: run it in tfcells.RNN, and give memory= in the call"
            )
        keys = self.keys(call.memory, call.memory_mask)
        return super().bind(call._replace(features=call.features + self.fed)).by_row(**keys)

    def keys(self, memory: Tensor, memory_mask: Tensor | None) -> dict[str, Tensor]:
        """The memory, and what hides its masked rows when it is added to their scores."""
        if memory.shape[-1] != self.memory_features:
            raise ValueError(f"memory must have memory_features={self.memory_features}, got {memory.shape[-1]}")
        memory = masks.visible(ops.cast(memory, self.compute_dtype), memory_mask)
        hidden = ops.zeros(ops.shape(memory)[:-1], memory.dtype)
        if memory_mask is not None:
            hidden = ops.where(ops.cast(memory_mask, "bool"), hidden, NEVER)
        return {"memory": memory, "hidden": hidden}

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return x

    def feed(self, x: Tensor, read: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        """A step of the cell, whose input is [x, read]."""
        x = self.cell.inputs(ops.concatenate([x, read], -1), w.cell)
        return self.cell.advance(x, state, w.cell.updating(w.update))


class Attention(MemoryReader):
    r"""A weighted sum of a memory's rows, which the cell reads beside its input (additive attention).

    With s the cell's first state, before the step, and m_j the rows of the memory:
    e_j = v . tanh(W s + U m_j + b);  a = softmax(e);  the cell's input is [x, sum_j a_j m_j].

    attention_units: the width of v. memory_features: the width of a row of the memory. The memory,
    (batch, rows, memory_features), and its mask, (batch, rows), are given to the layer:
    `tfcells.RNN(cell)(sequence, memory=..., memory_mask=...)`. Rows whose mask is False take no part;
    where all are False zeros are read. States and output are the cell's.
    Source: Bahdanau, Cho & Bengio, 1409.0473, section A.1.2.

    >>> cell = tfcells.Attention(tfcells.GRUCell(8), attention_units=4, memory_features=6)
    >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
    >>> keras.ops.shape(tfcells.RNN(cell)(x, memory=memory))
    (2, 8)
    """

    slots = property(lambda self: self.cell.slots | {"kernel"})  # its query reads the state

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        draw, units = keras.initializers.GlorotUniform, self.attention_units
        shape = (self.state_size[0], units)
        self.declare("query_kernel", shape, draw(), reads=self.states[0])
        self.declare("memory_kernel", (self.memory_features, units), draw(), views={})
        self.declare("score_bias", (units,), "zeros", views={})
        self.declare("score_kernel", (units, 1), draw(), views=SCORE)

    def keys(self, memory: Tensor, memory_mask: Tensor | None) -> dict[str, Tensor]:
        """The part of the attention scores that does not depend on the state."""
        found = super().keys(memory, memory_mask)
        return found | {"keys": ops.matmul(found["memory"], self.tensor("memory_kernel")) + self.score_bias}

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        query = ops.expand_dims(w.query_kernel(state[0]), 1)
        a = w.mark("a", ops.softmax(ops.sum(ops.tanh(query + w["keys"]) * w.score, -1) + w.hidden, axis=-1))
        return self.feed(x, ops.sum(ops.expand_dims(a, -1) * w.memory, 1), state, w)

    def alignment(self, states: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        """The a of the steps that begin in these first states: (batch, steps, units) to (..., rows)."""
        w = self.keys(memory, memory_mask)
        query = ops.expand_dims(ops.matmul(states, self.tensor("query_kernel")), 2)
        scores = ops.squeeze(ops.matmul(ops.tanh(query + w["keys"][:, None]), self.tensor("score_kernel")), -1)
        return ops.softmax(scores + ops.cast(w["hidden"], scores.dtype)[:, None], axis=-1)


class LuongAttention(MemoryReader):
    r"""A weighted sum of a memory's rows, which joins the cell's output (multiplicative attention).

    h = the cell's output for [x, a];  e_j = h . W m_j;  p = softmax(e);  a' = tanh(C [sum_j p_j m_j, h]), which is
    the output and, in the next step, part of the input ("input feeding").

    attention_units: the width of a. memory_features: the width of a row m_j of the memory, which is given as for
    `Attention`. score: "general", the above, or "dot", which has no W; that is e_j = h . m_j, and needs rows as wide
    as h.
    States: the cell's, then attention, the a. Source: Luong, Pham & Manning, 1508.04025, sections 3.1 and 3.3; checked
    against OpenNMT's GlobalAttention, which has no biases either.

    >>> cell = tfcells.LuongAttention(tfcells.GRUCell(8), attention_units=4, memory_features=6)
    >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
    >>> keras.ops.shape(tfcells.RNN(cell)(x, memory=memory))
    (2, 4)
    """

    slots = property(lambda self: self.cell.slots - {"projection"})
    output_size = property(lambda self: self.attention_units)
    fed = property(lambda self: self.attention_units)

    def __init__(
        self,
        cell: Cell | dict,
        attention_units: int,
        memory_features: int,
        score: str = "general",
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, attention_units, memory_features, **kwargs)
        self.score = require("score", score, '"general" or "dot"', score in ("general", "dot"))
        if score == "dot" and self.memory_features != self.cell.output_size:
            raise ValueError(
                f'memory_features must be {self.cell.output_size} with score="dot", as wide as the output of '
                f"{type(self.cell).__name__}, got {self.memory_features}"
            )

    @property
    def own_states(self) -> dict[str, Any]:
        return {"attention": self.attention_units}

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        draw, width = keras.initializers.GlorotUniform, self.cell.output_size
        if self.score == "general":
            self.declare("memory_kernel", (self.memory_features, width), draw(), views={})
        self.declare("attention_kernel", (self.memory_features + width, self.attention_units), draw())

    def keys(self, memory: Tensor, memory_mask: Tensor | None) -> dict[str, Tensor]:
        found = super().keys(memory, memory_mask)
        general = self.score == "general"
        return found | {
            "keys": ops.matmul(found["memory"], self.tensor("memory_kernel")) if general else found["memory"]
        }

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        state, (a,) = self.divided(state)
        h, state = self.feed(x, a, state, w)
        h = self.cell.finish(h, w.cell)
        p = w.mark("p", ops.softmax(ops.sum(ops.expand_dims(h, 1) * w["keys"], -1) + w.hidden, axis=-1))
        read = ops.sum(ops.expand_dims(p, -1) * w.memory, 1)
        a = ops.tanh(w.attention_kernel(ops.concatenate([read, h], -1)))
        return a, (*state, a)

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        return outputs
