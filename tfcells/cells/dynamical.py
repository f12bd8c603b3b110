"""Cells that discretize a differential equation, or keep the norm of their state."""

import math
from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, number, positive, real, require
from tfcells.contract.cell import Cell, View
from tfcells.contract.kernels import GatedCell, KernelCell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights


class AntisymmetricRNNCell(KernelCell):
    r"""h' = h + epsilon tanh(W x + (U - U^T - gamma I) h + b).

    epsilon: the step of the discretization. gamma: the diffusion, which makes it stable. U is saved; what
    multiplies h is made of it once before the loop. The candidate, for recurrent dropout, is the tanh.
    State: h. Source: Chang et al., 1902.09689.

    >>> keras.ops.shape(tfcells.RNN(tfcells.AntisymmetricRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    live = frozenset({"epsilon", "gamma"})

    def __init__(self, units: int, epsilon: float = 0.01, gamma: float = 0.01, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.epsilon = number("epsilon", epsilon, low=0)
        self.gamma = number("gamma", gamma)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        views = {"recurrent_kernel": View(lambda u: balanced(u, 1.0, self.gamma), "h")}
        self.add_kernel((input_shape[-1], self.gates * self.units))
        self.add_recurrent_kernel((self.units, self.units), views=views)
        self.add_bias((self.gates * self.units,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        h = h + self.epsilon * w.update(self.activation(x + w.recurrent_kernel(h)))
        return h, (h,)


class GatedAntisymmetricRNNCell(AntisymmetricRNNCell, GatedCell):
    r"""An antisymmetric network with a gate, which reads the same product of the state:

    A = U - U^T - gamma I;  z = s(W_z x + A h + b_z);  h' = h + epsilon z tanh(W_g x + A h + b_g).

    Kernel and bias stack z, g. The rest is AntisymmetricRNNCell's. Source: Chang et al., 1902.09689.

    >>> keras.ops.shape(tfcells.RNN(tfcells.GatedAntisymmetricRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        x_z, x_g = ops.split(x, 2, axis=-1)
        u = w.recurrent_kernel(h)
        z = w.mark("z", self.recurrent_activation(x_z + u))
        h = h + self.epsilon * z * w.update(self.activation(x_g + u))
        return h, (h,)


class LipschitzRNNCell(KernelCell):
    r"""h' = h + epsilon (A h + tanh(U h + W x + b)), where A and U come from free matrices M:

    (1 - beta) (M + M^T) + beta (M - M^T) - gamma I.

    beta: from 0.5, M itself, to 1, antisymmetric. gamma: the diffusion, which makes it stable.
    epsilon: the step of the discretization, by Euler's method.
    M of U is saved as recurrent_kernel, that of A as linear_kernel. The candidate, for recurrent dropout, is the
    tanh. State: h. Source: Erichson et al., 2006.12070; as in their code, which also has other solvers, A and
    U share beta and gamma. Theirs start with a standard deviation of s / units, with an s for each task: give a
    recurrent_initializer.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LipschitzRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    live = frozenset({"epsilon", "beta", "gamma"})

    def __init__(
        self, units: int, epsilon: float = 0.01, beta: float = 0.8, gamma: float = 0.01, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.epsilon = number("epsilon", epsilon, low=0)
        self.beta = float(require("beta", beta, "a number from 0.5 to 1", real(beta) and 0.5 <= beta <= 1))
        self.gamma = number("gamma", gamma)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.add_kernel((input_shape[-1], self.units))
        for name in ("recurrent_kernel", "linear_kernel"):
            views = {name: View(lambda m: balanced(m, self.beta, self.gamma), "h")}
            self.add_recurrent_kernel((self.units, self.units), name, views=views)
        self.add_bias((self.units,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        g = self.activation(x + w.recurrent_kernel(h))
        h = h + self.epsilon * (w.linear_kernel(h) + w.update(g))
        return h, (h,)


def balanced(m: Tensor, beta: float, gamma: float) -> Tensor:
    """(1 - beta) (m + m^T) + beta (m - m^T) - gamma I, in float32 at least."""
    wide = ops.cast(m, keras.backend.result_type(m.dtype, "float32"))
    found = wide + (1 - 2 * beta) * ops.transpose(wide) - gamma * ops.eye(m.shape[0], dtype=wide.dtype)
    return ops.cast(found, m.dtype)


class CoRNNCell(KernelCell):
    r"""Coupled, forced and damped oscillators at the positions y, with the velocities z:

    z' = z + dt (tanh(W x + U y + V z + b) - gamma y - epsilon z);  y' = y + dt z'.

    dt: the step of the discretization. gamma: the frequencies. epsilon: the damping, by the old z, as in the
    authors' code. Defaults are theirs for permuted sequential MNIST. V is velocity_kernel. The candidate, for recurrent
    dropout, is the tanh. States: y, which is the output, and z. Source: Rusch & Mishra, 2010.00951.

    >>> keras.ops.shape(tfcells.RNN(tfcells.CoRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("y", "z")
    live = frozenset({"dt", "gamma", "epsilon"})

    def __init__(self, units: int, dt: float = 0.076, gamma: float = 0.4, epsilon: float = 8.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.dt = number("dt", dt, low=0)
        self.gamma = number("gamma", gamma)
        self.epsilon = number("epsilon", epsilon, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_recurrent_kernel((self.units, self.units), "velocity_kernel", reads="z")

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        y, z = state
        g = self.activation(x + w.recurrent_kernel(y) + w.velocity_kernel(z))
        z = z + self.dt * (w.update(g) - self.gamma * y - self.epsilon * z)
        y = y + self.dt * z
        return y, (y, z)


class LEMCell(GatedCell):
    r"""Long expressive memory: two states with time steps of their own, which are gates.

    d = dt s(W_d x + U_d y + b_d);  e = dt s(W_e x + U_e y + b_e);
    z' = (1 - d) z + d tanh(W_z x + U_z y + b_z);  y' = (1 - e) y + e tanh(W_y x + V z' + b_y).

    dt: the longest time step.
    Kernel and bias stack d, e, z, y, the recurrent kernel d, e, z; V is transform_kernel. The candidates, for
    recurrent dropout, are both tanh. States: y, which is the output, and z. Source: Rusch et al., 2110.04744, and
    their code, whose y reads the new z.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LEMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("y", "z")
    gates = 4
    live = frozenset({"dt"})

    def __init__(self, units: int, dt: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.dt = number("dt", dt, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 4 * H))
        self.add_recurrent_kernel((H, 3 * H))
        self.add_recurrent_kernel((H, H), "transform_kernel", reads="z")
        self.add_bias((4 * H,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        y, z = state
        s, tanh = self.recurrent_activation, self.activation
        x, x_y = x[:, : 3 * self.units], x[:, 3 * self.units :]
        d, e, g = ops.split(x + w.recurrent_kernel(y), 3, axis=-1)
        d, e = w.mark("d", self.dt * s(d)), w.mark("e", self.dt * s(e))
        z = (1 - d) * z + d * w.update(tanh(g))
        y = (1 - e) * y + e * w.update(tanh(x_y + w.transform_kernel(z)))
        return y, (y, z)


@keras.saving.register_keras_serializable("tfcells")
def modrelu(z: Tensor, b: Tensor) -> Tensor:
    """sign(z) relu(|z| + b)."""
    return ops.sign(z) * ops.relu(ops.abs(z) + b)


@keras.saving.register_keras_serializable("tfcells")
class Rotations(keras.initializers.Initializer):
    """A matrix M of which `orthogonal` makes plane rotations, by angles drawn from [0, pi / 2]."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        units = shape[0]
        angles = keras.random.uniform((units // 2,), 0.0, math.pi / 2, dtype=dtype, seed=self.seed)
        above = ops.stack([ops.tan(angles / 2), ops.zeros_like(angles)], axis=-1)  # every other plane
        return ops.diag(ops.reshape(above, (-1,))[: units - 1], k=1)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class ScoRNNCell(KernelCell):
    r"""An Elman network whose recurrent kernel Q is orthogonal: a scaled Cayley transform.

    A = M - M^T;  Q = (I + A)^-1 (I - A) D;  z = W x + Q h;  h' = sign(z) relu(|z| + b), the modReLU.

    activation: "modrelu", or any other f, for h' = f(z + b). negatives: the share of the diagonal of D that is
    -1, its first part; the rest is 1. recurrent_initializer: of M; None starts Q D as rotations of pairs of units
    by angles from [0, pi / 2], as the paper does. The candidate, for recurrent dropout, is all of h'. Dropout scales up
    what it leaves, Q keeps its norm: over many steps RecurrentDropout, and VariationalDropout by its state_rate, make
    h grow without bound. State: h.
    Source: Helfrich, Willmott & Ye, 1707.09520. There A itself is saved; here M, so that every value of it will do, and
    the gradient goes through the transform.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ScoRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "modrelu",
        negatives: float = 0.5,
        recurrent_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        given = modrelu if activation == "modrelu" else activation
        start = Rotations() if recurrent_initializer is None else recurrent_initializer
        super().__init__(units, given, recurrent_initializer=start, **kwargs)
        fits = real(negatives) and 0 <= negatives <= 1
        self.negatives = float(require("negatives", negatives, "a number from 0 to 1", fits))

    def build(self, input_shape: tuple[Any, ...]) -> None:
        views = {"recurrent_kernel": View(self.orthogonal, "h")}
        self.add_kernel((input_shape[-1], self.units))
        self.add_recurrent_kernel((self.units, self.units), views=views)
        self.add_bias((self.units,))

    def orthogonal(self, m: Tensor) -> Tensor:
        """The kernel that is made of M, in float32 at least."""
        wide = ops.cast(m, keras.backend.result_type(m.dtype, "float32"))
        skew, identity = wide - ops.transpose(wide), ops.eye(self.units, dtype=wide.dtype)
        first = ops.arange(self.units) < round(self.negatives * self.units)
        signs = ops.where(first, -ops.ones((), wide.dtype), ops.ones((), wide.dtype))
        return ops.cast(ops.solve(identity + skew, identity - skew) * signs, m.dtype)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        z = x + w.recurrent_kernel(h)
        h = w.update(modrelu(z, w.bias) if self.activation is modrelu else self.activation(z + w.bias))
        return h, (h,)


def spectral_radius(matrix: Tensor, squarings: int = 24) -> Tensor:
    """The largest absolute eigenvalue, 1 where all are 0: the limit of |A^k|^(1/k), k = 2^squarings (Gelfand).

    Products alone, which thousands of units take in a second; all eigenvalues would take them minutes.
    """
    logarithm, power = 0.0, matrix
    for squaring in range(squarings + 1):
        size = ops.norm(power)
        size = ops.where(size > 0, size, 1.0)
        logarithm = logarithm + ops.log(size) / 2**squaring
        power = ops.matmul(power / size, power / size)
    return ops.where(ops.norm(power) > 0, ops.exp(logarithm), 1.0)


class EchoStateCell(Cell):
    r"""A reservoir that is drawn once and not trained: h' = (1 - leak) h + leak tanh(W x + U h + b).

    activation: in place of tanh. leak: the share of the candidate, in (0, 1]. spectral_radius: U is scaled, when
    it is drawn, so that this is its largest absolute eigenvalue. The weights are saved, and no optimizer changes them:
    what reads the outputs learns. The candidate, for recurrent dropout, is the tanh. State: h.
    Source: Jaeger, The "echo state" approach, 2001; the leak as in TensorFlow Addons.

    >>> layer = tfcells.RNN(tfcells.EchoStateCell(8))
    >>> keras.ops.shape(layer(keras.ops.ones((2, 5, 3)))), len(layer.trainable_weights)
    ((2, 8), 0)
    """

    slots = frozenset({"kernel", "update", "state"})
    gates = 1
    live = frozenset({"activation", "leak"})

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        leak: float = 1.0,
        spectral_radius: float = 0.9,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive("units", units)
        self.activation = keras.activations.get(activation)
        self.leak = float(require("leak", leak, "a number in (0, 1]", real(leak) and 0 < leak <= 1))
        self.spectral_radius = number("spectral_radius", spectral_radius, low=0)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.declare("kernel", (input_shape[-1], H), self.kernel_initializer, trainable=False)
        self.declare("recurrent_kernel", (H, H), self.reservoir, "h", trainable=False)
        if self.use_bias:
            self.declare("bias", (H,), self.bias_initializer, trainable=False)
        else:
            self.reserve("bias", {"bias": View()})
            self.bias = None

    def reservoir(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """U as it is drawn, scaled to the spectral radius unless all its eigenvalues are 0."""
        drawn = ops.cast(self.recurrent_initializer(shape, dtype=dtype), "float32")
        return ops.cast(drawn * self.spectral_radius / spectral_radius(drawn), dtype)

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return w.kernel(x) + w.bias

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        g = self.activation(x + w.recurrent_kernel(h))
        h = (1 - self.leak) * h + self.leak * w.update(g)
        return h, (h,)
