"""Recurrent networks whose parts run at clocks of their own."""

from numbers import Integral
from typing import Any

import numpy as np
from keras import ops

from tfcells.checks import require
from tfcells.contract.cell import View
from tfcells.contract.kernels import KernelCell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights


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
    live = frozenset({"periods"})

    def __init__(self, units: int, periods: tuple[int, ...] = (1, 2, 4, 8), **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        given = list(periods) if isinstance(periods, list | tuple | np.ndarray) else []
        whole = all(isinstance(period, Integral) and period is not True and 0 < period < 2**24 for period in given)
        allowed = f"whole numbers above 0, so many that they divide {self.units} units"
        fits = given and whole and self.units % len(given) == 0
        require("periods", periods, allowed, bool(fits))
        self.periods = tuple(map(int, given))

    @property
    def state_size(self) -> list[int]:
        return [self.units, 1]

    def by_unit(self, dtype: Any) -> Tensor:
        """The period of each unit."""
        return ops.repeat(ops.cast(self.periods, dtype), self.units // len(self.periods))

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.add_kernel((input_shape[-1], self.units))
        views = {"recurrent_kernel": View(self.from_slower, "h")}
        self.add_recurrent_kernel((self.units, self.units), views=views)
        self.add_bias((self.units,))

    def from_slower(self, kernel: Tensor) -> Tensor:
        """The kernel without what leads from faster modules to slower ones."""
        period = self.by_unit("float32")
        return kernel * ops.cast(period[:, None] >= period[None], kernel.dtype)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, time = state
        due = ops.equal(ops.mod(ops.floor(time), self.by_unit(time.dtype)), 0)
        h = ops.where(due, w.update(self.activation(x + w.recurrent_kernel(h))), h)
        return h, (h, time + 1)
