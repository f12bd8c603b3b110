"""A hypernetwork over any gated cell."""

from typing import Any

from keras import ops

from tfcells.cells.hyper import block_diagonal, initial_embedding, initial_scale
from tfcells.cells.lstm import LSTMCell
from tfcells.checks import positive
from tfcells.contract.cell import Call, Cell, View
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Kernel, Weights
from tfcells.contract.wrapper import Pair


class Hyper(Pair):
    r"""A small cell reads [x, h] and generates, at every step, scalings of the cell's kernels and biases.

    ^h = the hyper cell's output for [x, h]. For each kernel and each of its gates y: z = Z_y ^h + e_y, of
    `embedding_units`; d_y = A_y z. Where the cell has W x and U h, it has d * (W x) and d * (U h) + d_b, with d_b
    generated in the same way from an e of 0. h is the cell's first state; each kernel that reads a state has a d_b.

    hyper: the small cell, None for `LSTMCell(128)`. embedding_units: the width of each z. The cell's kernels must be
    stacks of gates of `units` columns ("kernel" slot). Initialized as the authors do: scalings start at 0.1, generated
    biases at 0. States: the cell's, and the hyper cell's as hyper_NAME. The update slot is the cell's. The products of
    the input are made step by step; state dropout around Hyper leaves h alone where the hyper cell reads it.
    Source: Ha, Dai & Le, 1609.09106, section 3.2. An LSTM with an LSTM gives the numbers of `HyperLSTMCell` but for
    the order of sums; that cell makes the products of the input before the loop, and is faster.

    >>> cell = tfcells.Hyper(tfcells.GRUCell(8), tfcells.LSTMCell(4))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    second = "hyper"
    needs = frozenset({"kernel"})

    def __init__(
        self, cell: Cell | dict, hyper: Cell | dict | None = None, embedding_units: int = 4, **kwargs: Any
    ) -> None:
        super().__init__(cell, **kwargs)
        self.pair(LSTMCell(128) if hyper is None else hyper)
        for each in (self.cell, self.hyper):
            if each.attends:
                raise ValueError(f"cell: {type(each).__name__} reads a memory; put Attention around Hyper")
        self.embedding_units = positive("embedding_units", embedding_units)

    def second_features(self, features: int) -> int:
        return features + self.cell.state_size[0]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        bound = self.cell.bind(Call(1, 1, input_shape[-1]))
        kernels = [leaf for leaf in bound.leaves() if isinstance(leaf, Kernel)]
        widths = [kernel.matrix.shape[-1] for kernel in kernels]
        if any(width % self.units for width in widths):
            raise ValueError(
                f"cell: the kernels of {type(self.cell).__name__} must have gates of {self.units} columns, got {widths}"
            )
        self.scaled = widths
        self.shifted = [width if kernel.reads else 0 for kernel, width in zip(kernels, widths, strict=True)]
        scalings, shifts = sum(self.scaled) // self.units, sum(self.shifted) // self.units
        blocks, E = scalings + shifts, self.embedding_units
        reads = f"hyper_{self.hyper.states[0]}" if "state" in self.hyper.slots else None
        shape = (self.hyper.output_size, blocks * E)
        self.declare("embedding_kernel", shape, initial_embedding(scalings * E), reads, blocks)
        padded = View(lambda e: ops.pad(e, [[0, shifts * E]]))  # the biases have none
        self.declare("embedding_bias", (scalings * E,), "ones", views={"embedding_bias": padded})
        views = {"scale_kernel": View(block_diagonal)}
        self.declare("scale_kernel", (blocks, E, self.units), initial_scale(scalings), views=views)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return x

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        main, small = self.divided(state)
        y, small = self.second_step(ops.concatenate([x, main[0]], -1), small, w)
        d = w.mark("d", w.scale_kernel(w.embedding_kernel(y) + w.embedding_bias))
        ends, end = [], 0
        for width in (*self.scaled, *self.shifted):
            end += width
            ends.append(end)
        parts = iter(ops.split(d, ends[:-1], axis=-1))
        scales = [next(parts) for _ in self.scaled]
        generated = iter(list(zip(scales, parts, strict=True)))

        def rescaled(kernel: Kernel) -> Kernel:
            scale, shift = next(generated)

            def product(x: Tensor) -> Tensor:
                y = kernel(x)
                shape = (-1, *y.shape[1:])  # (batch, gates, units) by gate
                y = ops.reshape(scale, shape) * y
                return y + ops.reshape(shift, shape) if kernel.reads else y

            return kernel.using(product)

        w = w.including(cell=w.cell.map_kernels(rescaled))
        output, main = super().step(self.cell.inputs(x, w.cell), main, w)
        return output, (*main, *small)
