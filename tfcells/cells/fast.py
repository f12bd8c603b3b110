"""Cells with a residual connection along time, whose weights are two numbers."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import positive
from tfcells.contract.cell import View
from tfcells.contract.kernels import GatedCell, KernelCell
from tfcells.contract.linear import Tensor, whole
from tfcells.contract.weights import Weights


class FastRNNCell(KernelCell):
    r"""An Elman network with a weighted residual connection:  h' = s(alpha) tanh(W x + U h + b) + s(beta) h.

    alpha and beta are two numbers that are trained; they start at -3 and 3, the biases at 1. The candidate, for
    recurrent dropout, is the tanh. State: h. Source: Kusupati et al., 1901.02358, and their code, EdgeML.

    >>> keras.ops.shape(tfcells.RNN(tfcells.FastRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units: int, bias_initializer: Any = "ones", **kwargs: Any) -> None:
        super().__init__(units, bias_initializer=bias_initializer, **kwargs)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        for name, start in (("alpha", -3.0), ("beta", 3.0)):
            self.add_vector(name, 1, keras.initializers.Constant(start), views={name: View(ops.sigmoid)})

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        h = w.alpha * w.update(self.activation(x + w.recurrent_kernel(h))) + w.beta * h
        return h, (h,)


class FastGRNNCell(GatedCell):
    r"""One product for gate and candidate:  a = W x + U h;  z = s(a + b_z);  g = tanh(a + b_g);

    h' = (s(zeta) (1 - z) + s(nu)) g + z h.

    zeta and nu are two numbers that are trained; they start at 1 and -4, the biases, (2, units), at 1. kernel_rank,
    recurrent_rank: W and U are products of two matrices of that rank, kernel_right kernel_left and
    recurrent_kernel_right recurrent_kernel_left, or None for whole ones; of these the right one reads h. The candidate,
    for recurrent dropout, is g. State: h. Source: Kusupati et al., 1901.02358, and their code, EdgeML.

    >>> keras.ops.shape(tfcells.RNN(tfcells.FastGRNNCell(8, recurrent_rank=2))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(
        self,
        units: int,
        kernel_rank: int | None = None,
        recurrent_rank: int | None = None,
        bias_initializer: Any = "ones",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, bias_initializer=bias_initializer, **kwargs)
        self.kernel_rank = kernel_rank if kernel_rank is None else positive("kernel_rank", kernel_rank)
        self.recurrent_rank = recurrent_rank if recurrent_rank is None else positive("recurrent_rank", recurrent_rank)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H, features = self.units, input_shape[-1]
        if self.kernel_rank is None:
            self.add_kernel((features, H))
        else:
            self.add_kernel((features, self.kernel_rank), "kernel_right")
            self.add_kernel((self.kernel_rank, H), "kernel_left")
        if self.recurrent_rank is None:
            self.add_recurrent_kernel((H, H))
        else:
            self.add_recurrent_kernel((H, self.recurrent_rank), "recurrent_kernel_right", blocks=1)
            self.add("recurrent", (self.recurrent_rank, H), "recurrent_kernel_left")
        self.add_bias((2, H), views={"bias_z": View(lambda b: b[0]), "bias_g": View(lambda b: b[1])})
        for name, start in (("zeta", 1.0), ("nu", -4.0)):
            self.add_vector(name, 1, keras.initializers.Constant(start), views={name: View(ops.sigmoid)})

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return w.kernel(x) if self.kernel_rank is None else w.kernel_left(whole(w.kernel_right(x)))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        low = self.recurrent_rank is not None
        a = x + (w.recurrent_kernel_left(w.recurrent_kernel_right(h)) if low else w.recurrent_kernel(h))
        z = w.mark("z", self.recurrent_activation(a + w.bias_z))
        h = (w.zeta * (1 - z) + w.nu) * w.update(self.activation(a + w.bias_g)) + z * h
        return h, (h,)
