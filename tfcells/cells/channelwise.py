"""Cells whose units read of the state themselves alone: their recurrent weights are vectors."""

import math
from typing import Any

import keras
from keras import ops

from tfcells.checks import divisor, flag, number, positive
from tfcells.contract.cell import View
from tfcells.contract.initial import raise_block
from tfcells.contract.kernels import GatedCell, KernelCell, NormedCell
from tfcells.contract.linear import Tensor, by_heads, whole
from tfcells.contract.normalization import layer_norm
from tfcells.contract.weights import Weights


class ChannelwiseCell(KernelCell):
    """A cell whose recurrent weights are a vector, `recurrent_vector`, of `gates` blocks of `units`.

    recurrent_initializer, _regularizer, _constraint: the vector's.
    """

    slots = frozenset({"update", "state"})

    def __init__(self, units: int, recurrent_initializer: Any = "glorot_uniform", **kwargs: Any) -> None:
        super().__init__(units, recurrent_initializer=recurrent_initializer, **kwargs)

    def add_recurrent_vector(self, width: int, **options: Any) -> None:
        """Declare the vector that multiplies the state. options: those of `declare`."""
        self.add("recurrent", (width,), "recurrent_vector", **options)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        width = self.gates * self.units
        self.add_kernel((input_shape[-1], width))
        self.add_recurrent_vector(width)
        self.add_bias((width,))


class IndRNNCell(ChannelwiseCell):
    r"""h' = relu(W x + u h + b), with a vector u.

    steps: the number of steps over which no gradient may grow beyond a factor of 2. Then u is clipped to
    [-2^(1/steps), 2^(1/steps)] after each update, as by a constraint, and after recurrent_constraint if that is
    given; the bound is meant for activations whose slope is at most 1. None: u is not bound.
    recurrent_initializer: None draws u from [0, 2^(1/steps)], or from [0, 1], as the authors' code does for
    all layers but the last. The candidate, for recurrent dropout, is all of h'. State: h.
    Source: Li et al., 1803.04831, and their code, IndRNN_Theano_Lasagne.

    >>> keras.ops.shape(tfcells.RNN(tfcells.IndRNNCell(8, steps=5))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "relu",
        steps: int | None = None,
        recurrent_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        self.steps = steps if steps is None else positive("steps", steps)
        if recurrent_initializer is None:
            recurrent_initializer = keras.initializers.RandomUniform(0.0, self.bound)
        super().__init__(units, recurrent_initializer, activation=activation, **kwargs)

    @property
    def bound(self) -> float:
        """Of u, as steps has it."""
        return 1.0 if self.steps is None else 2.0 ** (1 / self.steps)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.add_kernel((input_shape[-1], self.units))
        self.add_recurrent_vector(self.units, **{"constraint": self.bounded} if self.steps else {})
        self.add_bias((self.units,))

    def bounded(self, u: Tensor) -> Tensor:
        """u within the bound."""
        other = self.recurrent_constraint
        return ops.clip(u if other is None else other(u), -self.bound, self.bound)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        h = w.update(self.activation(x + w.recurrent_vector * h))
        return h, (h,)


class LayerNormIndRNNCell(NormedCell, IndRNNCell):
    r"""An IndRNN that reads a normalized product of its input:  h' = relu(LN(W x) + u h + b).

    LN(a) = gain (a - mean) / sqrt(var + epsilon), made before the loop. The bias serves as the norm's shift. The rest
    is IndRNNCell's. Source: Ba, Kiros & Hinton, 1607.06450, in the form of lmnt-com/haste, whose activation is tanh.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormIndRNNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def inputs(self, x: Tensor, w: Weights) -> Tensor:
        return layer_norm(whole(w.kernel(x)), w.gain, w.bias, self.epsilon)


class IndyLSTMCell(ChannelwiseCell, GatedCell):
    r"""An LSTM whose recurrent weights are vectors: i, f, g, o = W x + u h + b;  c' = s(f) c + s(i) tanh(g);

    h' = s(o) tanh(c'). forget_bias: added to the initial bias of the forget gate. Gate order and states are
    LSTMCell's. The candidate, for recurrent dropout, is tanh(g). Source: Gonnet & Deselaers, 1903.08023.

    >>> keras.ops.shape(tfcells.RNN(tfcells.IndyLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    gates = 4

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(drawn, 1, 4, self.forget_bias)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        s, tanh = self.recurrent_activation, self.activation
        i, f, g, o = ops.split(x + w.recurrent_vector * ops.tile(h, (1, 4)), 4, axis=-1)
        c = w.mark("f", s(f)) * c + w.mark("i", s(i)) * w.update(tanh(g))
        h = w.mark("o", s(o)) * tanh(c)
        return h, (h, c)


class SRUCell(ChannelwiseCell, GatedCell):
    r"""The simple recurrent unit: a memory c, and an output that a gate mixes with the input.

    f = s(W_f x + v_f c + b_f);  r = s(W_r x + v_r c + b_r);  c' = f c + (1 - f) W x;
    h = r activation(c') + (1 - r) alpha x.

    Where there are as many features as units, x itself is mixed in; else S x, where S is a fourth block of the
    kernel. rescale: mix x in times alpha = sqrt(1 + 2 exp(highway_bias)), not 1. highway_bias: the initial b_r.
    activation: None is the paper's last form, "tanh" that of its first. Kernels stack g = W x, f, r, S x, the
    others f, r. As in the authors' code, W starts uniform with the variance 1 / features, what the gates read with half
    of that, S with alpha^2 times that, v with 1/2: of a kernel_initializer that is given, the gates' part is divided by
    sqrt(2) and S multiplied by alpha. The candidate, for recurrent dropout, is g. State: c; the output is none.
    Source: Lei et al., 1709.02755, and their code, sru. As the gates read c, this is not linear in time.

    >>> keras.ops.shape(tfcells.RNN(tfcells.SRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("c",)
    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = None,
        highway_bias: float = 0.0,
        rescale: bool = True,
        kernel_initializer: Any = "lecun_uniform",
        recurrent_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        if recurrent_initializer is None:
            recurrent_initializer = keras.initializers.RandomUniform(-math.sqrt(1.5), math.sqrt(1.5))
        super().__init__(
            units, recurrent_initializer, activation=activation, kernel_initializer=kernel_initializer, **kwargs
        )
        self.highway_bias = number("highway_bias", highway_bias)
        self.rescale = flag("rescale", rescale)

    @property
    def alpha(self) -> float:
        """What the input is multiplied by, so that the output starts with its variance."""
        return math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0

    def build(self, input_shape: tuple[Any, ...]) -> None:
        features, H = input_shape[-1], self.units
        after = 0 if features == H else H
        self.add_kernel((features, 3 * H + after), then=self.initial_kernel)
        self.add_recurrent_vector(2 * H)
        self.add_bias((2 * H,), views={"bias": View(lambda b: ops.pad(b, [[H, after]]))})

    def initial_kernel(self, drawn: Tensor) -> Tensor:
        """The kernel that the cell starts with, from what its initializer drew."""
        g, f, r, *skip = ops.split(drawn, drawn.shape[-1] // self.units, axis=-1)
        return ops.concatenate([g, f / math.sqrt(2), r / math.sqrt(2), *(self.alpha * S for S in skip)], axis=-1)

    def initial_bias(self, drawn: Tensor) -> Tensor:
        return raise_block(drawn, 1, 2, self.highway_bias)

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        products = {"gates": w.kernel(x) + w.bias}
        if x.shape[-1] != self.units:
            return products
        return products | {"skip": self.alpha * x}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (c,) = state
        g, f, r, *skip = ops.split(x["gates"], x["gates"].shape[-1] // self.units, axis=-1)
        v_f, v_r = ops.split(w.recurrent_vector, 2)
        f, r = self.recurrent_activation(f + v_f * c), self.recurrent_activation(r + v_r * c)
        c = w.mark("f", f) * c + (1 - f) * w.update(g)
        h = w.mark("r", r) * self.activation(c) + (1 - r) * (skip[0] if skip else x["skip"])
        return h, (c,)


class ParaCell(ChannelwiseCell, GatedCell):
    """What the two cells of ParaRNN share: heads of the input, and how they start.

    heads: the number of blocks of units, each of which reads a block of the input; the kernel has features / heads
    rows. recurrent_initializer: None draws normal numbers with the standard deviation 2 / sqrt(5 units), the authors'
    start. The bias of the first gate starts as -(0, ..., 1), evenly spaced along the units.
    """

    gates = 3

    def __init__(self, units: int, heads: int = 1, recurrent_initializer: Any = None, **kwargs: Any) -> None:
        if recurrent_initializer is None:
            spread = 2 / math.sqrt(5 * positive("units", units))
            recurrent_initializer = keras.initializers.RandomNormal(stddev=spread)
        super().__init__(units, recurrent_initializer, **kwargs)
        self.heads = divisor("heads", heads, "units", self.units)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        features, width = input_shape[-1], 3 * self.units
        rows = features // divisor("heads", self.heads, "features", features)
        whole = View(lambda k: by_heads(k, self.heads, 3))
        self.add_kernel((rows, width), drawn=3 * self.heads, views={"kernel": whole})
        self.add_recurrent_vector(width)
        self.add_bias((width,))

    def initial_bias(self, drawn: Tensor) -> Tensor:
        spaced = ops.linspace(0.0, 1.0, self.units, dtype=drawn.dtype)
        return drawn - ops.pad(spaced, [[0, 2 * self.units]])


class ParaGRUCell(ParaCell):
    r"""A GRU whose recurrent weights are vectors.

    z = s(W_z x + a_z h + b_z);  r = s(W_r x + a_r h + b_r);  g = tanh(W_g x + a_g (r h) + b_g);
    h' = z g + (1 - z) h.

    Weights stack the gates as z, r, g; a high z forgets. heads: the number of blocks of units,
    each of which reads a block of the input. The candidate, for recurrent dropout, is g. State: h.
    Source: ParaRNN, 2510.21450, and its authors' code, ml-pararnn, whose heads are 2 by default. The steps run one
    after the other here; the paper's Newton iterations converge to the same numbers.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ParaGRUCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        s, tanh = self.recurrent_activation, self.activation
        x_z, x_r, x_g = ops.split(x, 3, axis=-1)
        a_z, a_r, a_g = ops.split(w.recurrent_vector, 3)
        z, r = w.mark("z", s(x_z + a_z * h)), w.mark("r", s(x_r + a_r * h))
        g = tanh(x_g + a_g * (r * h))
        h = z * w.update(g) + (1 - z) * h
        return h, (h,)


class ParaLSTMCell(ParaCell):
    r"""An LSTM with coupled gates and peepholes whose recurrent weights are vectors.

    f = s(W_f x + a_f h + p_f c + b_f);  g = tanh(W_g x + a_g h + b_g);  c' = f c + (1 - f) g;
    o = s(W_o x + a_o h + p_o c' + b_o);  h' = o tanh(c').

    Weights stack the gates as f, o, g, and p as f, o. heads are ParaGRUCell's. The candidate, for recurrent dropout,
    is g. States: h, c. Source: ParaRNN, 2510.21450, and its authors' code, ml-pararnn.

    >>> keras.ops.shape(tfcells.RNN(tfcells.ParaLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add("recurrent", (2 * self.units,), "peephole")

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        s, tanh = self.recurrent_activation, self.activation
        f, o, g = ops.split(x + w.recurrent_vector * ops.tile(h, (1, 3)), 3, axis=-1)
        p_f, p_o = ops.split(w.peephole, 2)
        f = w.mark("f", s(f + p_f * c))
        c = f * c + (1 - f) * w.update(tanh(g))
        h = w.mark("o", s(o + p_o * c)) * tanh(c)
        return h, (h, c)
