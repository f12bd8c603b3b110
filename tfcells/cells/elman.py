"""The simple recurrent network."""

from tfcells.cells.base import KernelCell


class ElmanCell(KernelCell):
    r"""h' = tanh(W x + U h + b).

    The candidate, for recurrent dropout, is all of h'. Source: Elman, Finding structure in time, 1990;
    with the output as the context, as in `keras.layers.SimpleRNNCell`, whose weights it shares.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ElmanCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def step(self, x, state, w):
        (h,) = state
        h = w.update(self.activation(x + w.recurrent_kernel(h)))
        return h, (h,)
