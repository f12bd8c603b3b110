"""Cells that are linear in their state, so that all steps can be taken at once."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfcells.checks import divisor, number, positive, probability, real, require
from tfcells.contract.cell import View
from tfcells.contract.kernels import InputCell
from tfcells.contract.linear import Tensor, by_heads
from tfcells.contract.normalization import layer_norm
from tfcells.contract.recurrence import linear, previous, rotated
from tfcells.contract.weights import Weights


class QRNNCell(InputCell):
    r"""A convolution over the last inputs, and pooling with gates along time.

    z, f, o, i = W_0 x(t) + W_1 x(t - 1) + ... + b, over `window` inputs;
    pooling="f":    c' = s(f) c + (1 - s(f)) tanh(z);  h = c'.
    pooling="fo":   c' the same;  h = s(o) c'.
    pooling="ifo":  c' = s(f) c + s(i) tanh(z);  h = s(o) c'.

    window: how many inputs each step reads. pooling: which gates there are, "f", "fo" or "ifo".
    The kernel has the rows of W_0, W_1, ... one below the other, and stacks z, f, o, i as far as there are
    such. The candidate, for recurrent dropout, is tanh(z). States: c, and what the last inputs add to the sums of
    the steps to come, `window - 1` of them, later_1 the next step's: so masked steps, single steps and stateful
    layers need no padding. Zoneout(cell, {"c": rate}) leaves the sums alone.
    Source: Bradbury et al., 1611.01576.

    >>> keras.ops.shape(tfcells.RNN(tfcells.QRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states: tuple[str, ...] = ("c", "later_1")  # with the default window
    linear = True

    def __init__(self, units: int, window: int = 2, pooling: str = "fo", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.window = positive("window", window)
        allowed = ("f", "fo", "ifo")
        self.pooling = require("pooling", pooling, f"one of {allowed}", pooling in allowed)
        self.states = ("c", *(f"later_{step}" for step in range(1, self.window)))

    @property
    def gates(self) -> int:  # type: ignore[override]
        return 1 + len(self.pooling)

    @property
    def state_size(self) -> list[int]:
        return [self.units] + [self.gates * self.units] * (self.window - 1)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        width, later = self.gates * self.units, self.window - 1
        beside = View(lambda k: ops.concatenate(ops.split(k, self.window), axis=-1))
        self.add_kernel((self.window * input_shape[-1], width), views={"kernel": beside})
        self.add_bias((width,), views={"bias": View(lambda b: ops.pad(b, [[0, later * width]]))})

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (c, *later), (a, *ahead) = state, ops.split(x, self.window, axis=-1)
        sums: list[Tensor] = []
        for part, following in zip(reversed(ahead), [None, *reversed(later)], strict=False):
            sums.insert(0, part + previous(sums[0], following) if sums else part)
        a = a + previous(sums[0], later[0]) if sums else a
        z, f, *others = ops.split(a, self.gates, axis=-1)
        f, *others = (w.mark(name, ops.sigmoid(gate)) for name, gate in zip("foi", (f, *others), strict=False))
        o, i = [*others, None, None][:2]
        c = linear(f, (1 - f if i is None else i) * w.update(self.activation(z)), c)
        return c if o is None else o * c, (c, *sums)


class LRUCell(InputCell):
    r"""The linear recurrent unit: a complex state, each entry of which turns and decays by itself.

    h' = exp(-exp(nu) + i exp(theta)) h + exp(gamma) (B x + b);  y = Re(C h') + D x.

    min_radius, max_radius: the eigenvalues exp(...) start uniformly on the ring between these radii.
    max_phase: the eigenvalues' angles start uniformly in [0, max_phase]. exp(gamma) starts as sqrt(1 - radius^2).
    The kernel stacks Re B, Im B, D; output_kernel has the rows Re C, Im C. Saved are nu, theta and gamma, as
    radius_vector, phase_vector and scale_vector. activation: of B x + b, its real and its imaginary part; the
    candidate, for recurrent dropout. States: the real and the imaginary part of h; the output is none.
    Source: Orvieto et al., 2303.06349, which has no bias, and a D that is diagonal, with features = units; here D
    is a matrix.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("re", "im")
    gates = 3
    linear = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        min_radius: float = 0.0,
        max_radius: float = 1.0,
        max_phase: float = 6.28,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, **kwargs)
        self.min_radius = probability("min_radius", min_radius)
        fits = real(max_radius) and self.min_radius < max_radius <= 1
        allowed = f"a number above min_radius, {self.min_radius}, and at most 1"
        self.max_radius = float(require("max_radius", max_radius, allowed, fits))
        self.max_phase = number("max_phase", max_phase, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 3 * H), drawn=3)
        self.add_bias((2 * H,), views={"bias": View(lambda b: ops.pad(b, [[0, H]]))})
        turn = {"cos": View(lambda theta: ops.cos(ops.exp(theta))), "sin": View(lambda theta: ops.sin(ops.exp(theta)))}
        self.add_vector("radius_vector", H, self.initial_radius, views={"radius": View(radius)})
        self.add_vector("phase_vector", H, self.initial_phase, views=turn)
        self.add_vector("scale_vector", H, self.initial_scale, views={"gamma": View(ops.exp)})
        self.add("kernel", (2 * H, H), "output_kernel")

    def initial_radius(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """nu: a radius so that every area of the ring is as probable."""
        squares = inside(shape, self.min_radius**2, self.max_radius**2, dtype)
        return ops.log(-ops.log(squares) / 2)

    def initial_phase(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """theta: the logarithm of an angle."""
        return ops.log(inside(shape, 0.0, self.max_phase, dtype))

    def initial_scale(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """gamma, so that the state has the variance of white inputs."""
        nu = ops.convert_to_tensor(self.radius_vector)
        return ops.cast(ops.log(-ops.expm1(-2 * ops.exp(nu))) / 2, dtype)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        re, im, direct = ops.split(x, 3, axis=-1)
        re, im = (w.gamma * w.update(self.activation(part)) for part in (re, im))
        re, im = rotated((w.radius * w.cos, w.radius * w.sin), (re, im), state)
        return w.output_kernel(ops.concatenate([re, -im], axis=-1)) + direct, (re, im)


def radius(nu: Tensor) -> Tensor:
    """exp(-exp(nu))."""
    return ops.exp(-ops.exp(nu))


def inside(shape: tuple[int, ...], low: float, high: float, dtype: Any) -> Tensor:
    """Drawn uniformly between these, themselves excluded also in half precision."""
    drawn = keras.random.uniform(shape, 1e-3, 1 - 1e-3, dtype=dtype)
    return low + (high - low) * drawn


class RGLRUCell(InputCell):
    r"""The real-gated linear recurrent unit of Griffin.

    r = s(W_r x + b_r);  i = s(W_i x + b_i);  a = exp(-8 r softplus(L));  h' = a h + sqrt(1 - a^2) (i x).

    heads: the number of blocks of units whose gates read one block of the input each; the kernel has features / heads
    rows and stacks r, i. L is saved as decay_vector, and starts so that exp(-2 softplus(L)) is uniform
    between 0.9^2 and 0.999^2. The gradient of the root is bounded by 1,000. activation: of x. The candidate, for
    recurrent dropout, is i x. State: h. Source: De et al., 2402.19427, and their code, recurrentgemma; there the
    root is 1 at the first step of a sequence, and features = units. Where they differ, i gates V x, by value_kernel.

    >>> keras.ops.shape(tfcells.RNN(tfcells.RGLRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2
    linear = True

    def __init__(self, units: int, activation: Any = None, heads: int = 1, **kwargs: Any) -> None:
        super().__init__(units, activation, **kwargs)
        self.heads = divisor("heads", heads, "units", self.units)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        features, H = input_shape[-1], self.units
        rows = features // divisor("heads", self.heads, "features", features)
        whole = View(lambda k: by_heads(k, self.heads, 2))
        self.add_kernel((rows, 2 * H), drawn=2 * self.heads, views={"kernel": whole})
        if features != H:
            self.add_kernel((features, H), "value_kernel")
        self.add_bias((2 * H,))
        decay = View(lambda v: -8 * ops.softplus(v))
        self.add_vector("decay_vector", H, self.initial_decay, views={"decay": decay})

    def initial_decay(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """L, as the area of a ring has it."""
        logarithm = ops.log(keras.random.uniform(shape, 0.9**2, 0.999**2)) / 2
        return ops.cast(ops.log(ops.expm1(-logarithm)), dtype)

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        return {"gates": w.kernel(x) + w.bias, "x": w.value_kernel(x) if w.get("value_kernel") else x}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        r, i = ops.split(ops.sigmoid(x["gates"]), 2, axis=-1)
        logarithm = w.decay * r
        half = ops.tanh(logarithm)  # 1 - a^2 = -2 half / (1 - half), exact where a is near 1; ONNX has no expm1
        added = root(-2 * half / (1 - half)) * w.update(w.mark("i", i) * self.activation(x["x"]))
        h = linear(w.mark("a", ops.exp(logarithm)), added, h)
        return h, (h,)


def root(u: Tensor) -> Tensor:
    """sqrt(u) with a gradient of at most 1,000."""

    @ops.custom_gradient
    def bounded(u: Tensor) -> tuple[Tensor, Callable]:
        y = ops.sqrt(u)

        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            d = args[0] if upstream is None else upstream
            return d / (2 * ops.maximum(y, 1 / 2000))

        return y, gradient

    return bounded(u)


class HGRNCell(InputCell):
    r"""The hierarchically gated recurrent unit: a complex state whose forget gate has a lower bound.

    f = lower_bound + (1 - lower_bound) s(W_f x + b_f);  c = silu(W_c x + b_c);  g = silu(W_g x + b_g);
    h' = f exp(i theta) h + (1 - f) c;  y = V (g LN([Re h', Im h'])) + d.

    LN(a) = gain (a - mean) / sqrt(var + epsilon) + shift. c is complex, and g twice as wide as the units.
    lower_bound: the least value of f; the paper's rises from layer to layer, and is learned.
    epsilon: keeps LN from dividing by zero.
    theta, saved as phase_vector, starts as 10000^(-2 k / units). The kernel stacks Re c, Im c, f, and the two
    blocks of g; V is output_kernel, d output_bias. The candidate, for recurrent dropout, is c. States: the real and
    the imaginary part of h; the output is none. Source: Qin, Yang & Zhong, 2311.04823, and their code, hgru-pytorch.

    >>> keras.ops.shape(tfcells.RNN(tfcells.HGRNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("re", "im")
    gates = 5
    linear = True
    live = frozenset({"lower_bound", "epsilon"})

    def __init__(
        self,
        units: int,
        activation: Any = "silu",
        lower_bound: float = 0.0,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, **kwargs)
        self.lower_bound = probability("lower_bound", lower_bound)
        self.epsilon = number("epsilon", epsilon, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        H = self.units
        self.add_vector("phase_vector", H, initial_phase, views={"cos": View(ops.cos), "sin": View(ops.sin)})
        self.add_vector("gain", 2 * H, "ones")
        self.add_vector("shift", 2 * H, "zeros")
        self.add_kernel((2 * H, H), "output_kernel")
        self.add_bias((H,), "output_bias")

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        re, im, f, *_ = ops.split(x, 5, axis=-1)
        f = w.mark("f", self.lower_bound + (1 - self.lower_bound) * ops.sigmoid(f))
        re, im = ((1 - f) * w.update(self.activation(part)) for part in (re, im))
        re, im = rotated((f * w.cos, f * w.sin), (re, im), state)
        g = self.activation(x[..., 3 * self.units :])
        normal = layer_norm(ops.concatenate([re, im], axis=-1), w.gain, w.shift, self.epsilon)
        return w.output_kernel(g * normal) + w.output_bias, (re, im)


def initial_phase(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """10000^(-2 k / units) for unit k."""
    k = ops.arange(shape[0], dtype="float32")
    return ops.cast(ops.power(10000.0, -2 * k / shape[0]), dtype)
