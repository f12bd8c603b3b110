"""Recurrent networks whose parts run at clocks of their own."""

import keras
from keras import ops

from tfcells.cells.base import Kernel, KernelCell, Weights
from tfcells.checks import require


class ClockworkRNNCell(KernelCell):
    r"""Modules that update only every so many steps, and else keep their state.

    For each module i, at steps t that its period T_i divides: h_i' = tanh(W_i x + sum_j U_ij h_j + b_i)
    over the modules j with T_j >= T_i; else h_i' = h_i.

    periods: of the modules, each `units / len(periods)` units wide. U is stored whole, but what would
    lead from faster modules to slower ones takes no part. The candidate, for recurrent dropout, is the
    tanh. States: h, which is the output, and the number of the step, in single precision at least.
    Source: Koutnik et al., 1402.3511.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ClockworkRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "time")
    clocks = frozenset({"time"})

    def __init__(self, units, periods=(1, 2, 4, 8), **kwargs):
        super().__init__(units, **kwargs)
        given = list(periods) if isinstance(periods, list | tuple) else []
        whole = all(type(period) is int and 0 < period < 2**24 for period in given)
        allowed = f"whole numbers above 0, so many that they divide {self.units} units"
        fits = given and whole and self.units % len(given) == 0
        self.periods = tuple(require("periods", periods, allowed, fits) and given)

    @property
    def state_size(self):
        return [self.units, 1]

    def get_initial_state(self, batch_size=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return [
            ops.zeros((batch_size, self.units), dtype=self.compute_dtype),
            ops.zeros((batch_size, 1), dtype=dtype),
        ]

    def by_unit(self, dtype):
        """The period of each unit."""
        return ops.repeat(ops.cast(self.periods, dtype), self.units // len(self.periods))

    def prepare(self, sequence, training=False):
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        period = self.by_unit("float32")
        used = ops.cast(period[:, None] >= period[None], kernel.dtype)
        return self.project(sequence, self.bias), Weights(
            recurrent_kernel=Kernel(kernel * used, reads="h")
        )

    def step(self, x, state, w):
        h, time = state
        due = ops.equal(ops.mod(ops.floor(time), self.by_unit(time.dtype)), 0)
        h = ops.where(due, w.update(self.activation(x + w.recurrent_kernel(h))), h)
        return h, (h, time + 1)
