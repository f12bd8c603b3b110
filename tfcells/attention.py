"""Attention over an external memory, around any cell."""

import keras
from keras import ops, tree

from tfcells.cells.base import Kernel, Weights
from tfcells.checks import positive
from tfcells.wrappers import Wrapper

NEVER = -6e4  # the score of what the mask hides; float16 has it, too


class Attention(Wrapper):
    r"""A cell that reads, beside its input, what a memory says to its state (additive attention).

    With s the cell's first state, before the step, and m_j the rows of the memory:
    e_j = v . tanh(W s + U m_j + b);  a = softmax(e);  the cell's input is [x, sum_j a_j m_j].

    attention_units: the width of v. memory_features: the width of a row of the memory. The memory,
    (batch, rows, memory_features), and its mask, (batch, rows), are given to the layer:
    `tfcells.RNN(cell)(sequence, memory=..., memory_mask=...)`. Rows whose mask is False take no part;
    where all are False the memory's mean is read. States, output and slots are the cell's. Regularisers
    go around the attention, as in Variational(Attention(cell, ...)).
    Source: Bahdanau, Cho & Bengio, 1409.0473, section A.1.2.

    >>> cell = tfcells.Attention(tfcells.GRUCell(8), attention_units=4, memory_features=6)
    >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
    >>> keras.ops.shape(tfcells.RNN(cell)(x, memory=memory))
    (2, 8)
    """

    attends = True

    def __init__(self, cell, attention_units, memory_features, **kwargs):
        super().__init__(cell, **kwargs)
        if isinstance(self.cell, Wrapper):
            raise ValueError(
                f"cell: must be a bare cell; put the {type(self.cell).__name__} around the attention"
            )
        self.attention_units = positive("attention_units", attention_units)
        self.memory_features = positive("memory_features", memory_features)

    def build(self, input_shape):
        super().build((*input_shape[:-1], input_shape[-1] + self.memory_features))
        draw = keras.initializers.GlorotUniform
        features = self.state_size[0]
        self.query_kernel = self.add_weight(
            (features, self.attention_units), draw(), name="query_kernel"
        )
        self.memory_kernel = self.add_weight(
            (self.memory_features, self.attention_units), draw(), name="memory_kernel"
        )
        self.score_bias = self.add_weight((self.attention_units,), "zeros", name="score_bias")
        self.score_kernel = self.add_weight((self.attention_units, 1), draw(), name="score_kernel")

    def prepare(self, sequence, training=False, memory=None, memory_mask=None):
        tensor = ops.convert_to_tensor
        read = ops.zeros((*ops.shape(sequence)[:-1], self.memory_features), sequence.dtype)
        _, inner = self.cell.prepare(ops.concatenate([sequence, read], -1), training=training)
        kernel = Kernel(tensor(self.query_kernel), reads=self.states[0])
        own = [tensor(weight) for weight in self.cell.weights]
        return {"x": sequence}, Weights(
            cell=inner,
            own=Weights(enumerate(own)),
            query_kernel=kernel,
            **self.keys(memory, memory_mask),
        )

    def keys(self, memory, memory_mask):
        """What of the scores does not depend on the state."""
        memory = ops.cast(memory, self.compute_dtype)
        keys = ops.matmul(memory, self.memory_kernel) + self.score_bias
        hidden = ops.zeros(ops.shape(memory)[:-1], memory.dtype)
        if memory_mask is not None:
            hidden = ops.where(ops.cast(memory_mask, "bool"), hidden, NEVER)
        score = ops.convert_to_tensor(self.score_kernel)[:, 0]
        return {"memory": memory, "keys": keys, "hidden": hidden, "score": score}

    def step(self, x, state, w):
        query = ops.expand_dims(w.query_kernel(state[0]), 1)
        a = ops.softmax(ops.sum(ops.tanh(query + w["keys"]) * w.score, -1) + w.hidden, axis=-1)
        read = ops.sum(ops.expand_dims(a, -1) * w.memory, 1)
        moment = ops.expand_dims(ops.concatenate([x["x"], read], -1), 0)
        own = zip(self.cell.weights, w.own.items.values(), strict=True)
        with keras.StatelessScope(own, initialize_variables=False):  # of this cell or any other
            slices, _ = self.cell.prepare(moment)
        now = tree.map_structure(lambda s: s[0], slices)
        return self.cell.step(now, state, w.cell.updating(w.update))

    def alignment(self, states, memory, memory_mask=None):
        """The a of the steps that begin in these first states: (batch, steps, units) to (..., rows)."""
        w = self.keys(memory, memory_mask)
        query = ops.expand_dims(ops.matmul(states, self.query_kernel), 2)
        scores = ops.sum(ops.tanh(query + w["keys"][:, None]) * w["score"], -1)
        return ops.softmax(scores + w["hidden"][:, None], axis=-1)
