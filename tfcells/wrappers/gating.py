"""Wrappers by which input and state gate one another before a cell reads them."""

from typing import Any

import keras
from keras import ops

from tfcells.cells.lstm import LSTMCell
from tfcells.checks import flag, positive
from tfcells.contract.cell import Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Kernel, Weights
from tfcells.contract.wrapper import Inlined, Wrapper, apart


class Mogrifier(Wrapper):
    r"""Input and state scale one another, in turn, before the cell sees them.

    In round i, from 1:  x <- 2 s(Q_i h) x for odd i;  h <- 2 s(R_i x) h for even i. Then the cell's step
    on x and h; h is its first state.

    rounds: how often one scales the other. rank: that of each Q and R as a product of two matrices, or None for whole
    ones. round_biases: a bias inside each s, as the authors' code has and the paper has not. Around a cell whose state
    is carried on, as a GRU's, the scaled one is. Each Q_i reads the state (state dropout acts there). A time in the
    first column of x takes no part.
    Source: Melis, Kočiský & Blunsom, 1909.01792, equations 2 and 3.

    >>> cell = tfcells.Mogrifier(tfcells.GRUCell(8), rounds=4)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    slots = property(lambda self: self.cell.slots | {"kernel"})  # its own kernels read the state

    def __init__(
        self,
        cell: Cell | dict,
        rounds: int = 5,
        rank: int | None = None,
        round_biases: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, **kwargs)
        self.rounds = positive("rounds", rounds)
        self.rank = None if rank is None else positive("rank", rank)
        self.round_biases = flag("round_biases", round_biases)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        widths = self.state_size[0], input_shape[-1] - int(self.timed)
        for i in range(self.rounds):
            source, target = widths if i % 2 == 0 else widths[::-1]
            reads = self.states[0] if i % 2 == 0 else None
            name, draw = f"mogrifier_kernel_{i}", keras.initializers.GlorotUniform
            if self.rank is None:
                self.declare(name, (source, target), draw(), reads)
            else:
                self.declare(f"{name}_right", (source, self.rank), draw(), reads)
                self.declare(f"{name}_left", (self.rank, target), draw())
            if self.round_biases:
                self.declare(f"mogrifier_bias_{i}", (target,), "zeros")

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return x

    def gate(self, i: int, source: Tensor, w: Weights) -> Tensor:
        """The factor of round i, from 0."""
        name = f"mogrifier_kernel_{i}"
        a = w[name](source) if self.rank is None else w[f"{name}_left"](w[f"{name}_right"](source))
        return 2 * ops.sigmoid(a + w[f"mogrifier_bias_{i}"] if self.round_biases else a)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, *rest = state
        first = int(self.timed)
        time, x = x[:, :first], x[:, first:]
        for i in range(self.rounds):
            if i % 2 == 0:
                x = w.mark("x_gate", self.gate(i, h, w)) * x
            else:
                h = w.mark("h_gate", self.gate(i, x, w)) * h
        x = ops.concatenate([time, x], axis=-1) if self.timed else x
        return super().step(self.cell.inputs(x, w.cell), (h, *rest), w)


class Multiplicative(Wrapper):
    r"""What the cell's kernels read of its first state is first multiplied with the input.

    Where the cell has U h, it gets U m:  m = (W_mx x) (W_mh h). What the cell carries on stays h.

    factor_biases: a bias in either factor, as common ports have and the paper has not. The paper's LSTM
    further has h' = tanh(s(o) c'); here the cell is what it is. Source: Krause et al., 1609.07959.

    >>> cell = tfcells.Multiplicative(tfcells.ElmanCell(8))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    needs = frozenset({"kernel"})

    def __init__(self, cell: Cell | dict, factor_biases: bool = False, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.factor_biases = flag("factor_biases", factor_biases)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        width, draw = self.state_size[0], keras.initializers
        self.declare("factor_kernel", (input_shape[-1] - int(self.timed), width), draw.GlorotUniform())
        recurrent = "factor_recurrent_kernel"
        self.declare(recurrent, (width, width), draw.Orthogonal(), self.states[0])
        if self.factor_biases:
            self.declare("factor_bias", (width,), "zeros")
            self.declare("factor_recurrent_bias", (width,), "zeros")

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        factor = w.factor_kernel(x[..., 1:] if self.timed else x)
        factor = factor + w.factor_bias if self.factor_biases else factor
        return {"factor": factor, "cell": super().inputs(x, w)}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        def multiplied(kernel: Kernel) -> Kernel:
            if kernel.reads != self.states[0]:
                return kernel

            def product(h: Tensor) -> Tensor:
                m = w.factor_recurrent_kernel(h)
                m = m + w.factor_recurrent_bias if self.factor_biases else m
                by_gate = len(m.shape) > 2  # (batch, gates, units)
                return kernel((ops.expand_dims(x["factor"], 1) if by_gate else x["factor"]) * m)

            return kernel.using(product)

        return super().step(x["cell"], state, w.including(cell=w.cell.map_kernels(multiplied)))


class MogrifierLSTMCell(Inlined, Mogrifier):
    """`Mogrifier` around an LSTM, under the paper's name. Further arguments: `LSTMCell`'s.

    Source: Melis, Kočiský & Blunsom, 1909.01792.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MogrifierLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    inner = LSTMCell

    def __init__(
        self,
        units: int,
        rounds: int = 5,
        rank: int | None = None,
        round_biases: bool = False,
        **kwargs: Any,
    ) -> None:
        layer, cell = apart(kwargs)
        super().__init__(LSTMCell(units, **cell), rounds, rank, round_biases, **layer)


class MultiplicativeLSTMCell(Inlined, Multiplicative):
    """`Multiplicative` around an LSTM, under the paper's name. Further arguments: `LSTMCell`'s.

    Source: Krause et al., 1609.07959.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MultiplicativeLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    inner = LSTMCell

    def __init__(self, units: int, factor_biases: bool = False, **kwargs: Any) -> None:
        layer, cell = apart(kwargs)
        super().__init__(LSTMCell(units, **cell), factor_biases, **layer)
