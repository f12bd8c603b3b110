"""Long short-term memory."""

import keras
from keras import ops

from tfcells.cells.base import GatedCell, Kernel, Weights, fresh, raise_block
from tfcells.cells.normalization import layer_norm
from tfcells.checks import number, require


class LSTMCell(GatedCell):
    r"""i, f, g, o = W x + U h + b;  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').

    forget_bias: added to the initial bias of the forget gate (0 in Zaremba et al., 2014).
    Kernels stack the gates as i, f, g, o, like `keras.layers.LSTMCell`, whose weights it shares.
    States: h, c. Source: Hochreiter & Schmidhuber, 1997; the forget gate: Gers et al., 2000.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c")
    gates = 4

    def __init__(self, units, forget_bias=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.forget_bias = number("forget_bias", forget_bias)

    def initial_bias(self, drawn):
        return raise_block(drawn, 1, 4, self.forget_bias)

    def step(self, x, state, w):
        h, c = state
        i, f, g, o = ops.split(x + w.recurrent_kernel(h), 4, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        c = s(f) * c + s(i) * w.update(tanh(g))
        h = s(o) * tanh(c)
        return h, (h, c)


class LayerNormLSTMCell(LSTMCell):
    r"""An LSTM whose pre-activations are normalised: LN(a) = gain (a - mean) / sqrt(var + epsilon) + shift.

    norm="product": i, f, g, o = LN(W x) + LN(U h) + b, each over all four gates (Ba et al., 2016).
    norm="gate":    i, f, g, o = LN(W x + U h + b), gate by gate (Ha et al., 2016).
    cell_norm="output": c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(LN(c')), both papers' form.
    cell_norm="carry":  c' = LN(s(f) c + s(i) tanh(g)), as in TensorFlow Addons.
    cell_norm=None:     c is not normalised.

    With "product" the bias serves as the shift. States, gate order and forget_bias are LSTMCell's;
    with "gate", forget_bias raises the shift, since a bias inside the norm would be normalised.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units, norm="product", cell_norm="output", epsilon=1e-3, **kwargs):
        super().__init__(units, **kwargs)
        self.norm = require("norm", norm, '"product" or "gate"', norm in ("product", "gate"))
        allowed = ("output", "carry", None)
        self.cell_norm = require("cell_norm", cell_norm, f"one of {allowed}", cell_norm in allowed)
        self.epsilon = number("epsilon", epsilon, low=0)

    def initial_bias(self, drawn):
        return super().initial_bias(drawn) if self.norm == "product" else drawn

    def build(self, input_shape):
        super().build(input_shape)
        width = self.gates * self.units
        if self.norm == "product":
            self.kernel_gain = self.add_weight((width,), "ones", name="kernel_gain")
            self.recurrent_gain = self.add_weight((width,), "ones", name="recurrent_gain")
        else:
            self.gain = self.add_weight((width,), "ones", name="gain")
            self.shift = self.add_weight((width,), self.initial_shift, name="shift")
        if self.cell_norm:
            self.cell_gain = self.add_weight((self.units,), "ones", name="cell_gain")
            self.cell_shift = self.add_weight((self.units,), "zeros", name="cell_shift")

    def initial_shift(self, shape, dtype=None):
        """Zeros, but forget_bias at the forget gate."""
        return raise_block(ops.zeros(shape, dtype), 1, 4, self.forget_bias)

    def prepare(self, sequence, training=False):
        tensor = ops.convert_to_tensor
        kernel = Kernel(tensor(self.recurrent_kernel), reads="h", blocks=4)
        weights = {"recurrent_kernel": kernel}
        if self.norm == "product":
            x = self.project(sequence, None)
            weights |= {
                "kernel_gain": tensor(self.kernel_gain),
                "recurrent_gain": tensor(self.recurrent_gain),
            }
            if self.use_bias:
                weights["bias"] = tensor(self.bias)
        else:
            x = self.project(sequence, self.bias)
            weights |= {"gain": tensor(self.gain), "shift": tensor(self.shift)}
        if self.cell_norm:
            weights |= {"cell_gain": tensor(self.cell_gain), "cell_shift": tensor(self.cell_shift)}
        return x, Weights(weights)

    def step(self, x, state, w):
        h, c = state
        if self.norm == "product":
            a = layer_norm(x, w.kernel_gain, w.get("bias"), self.epsilon)
            a += layer_norm(w.recurrent_kernel(h), w.recurrent_gain, None, self.epsilon)
        else:
            a = layer_norm(x + w.recurrent_kernel(h), w.gain, w.shift, self.epsilon, groups=4)
        i, f, g, o = ops.split(a, 4, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        c = s(f) * c + s(i) * w.update(tanh(g))
        normal = layer_norm(c, w.cell_gain, w.cell_shift, self.epsilon) if self.cell_norm else c
        h = s(o) * tanh(normal)
        return h, (h, normal if self.cell_norm == "carry" else c)


class PeepholeLSTMCell(LSTMCell):
    r"""An LSTM whose gates see the memory: i, f, g, o = W x + U h + b, then

    c' = s(f + p_f c) c + s(i + p_i c) tanh(g);  h' = s(o + p_o c') tanh(c').

    peephole_initializer: of the vectors p_i, p_f and p_o, which have the recurrent kernel's regularizer
    and constraint. State dropout leaves what they read alone. States, gate order and forget_bias are
    LSTMCell's. Source: Gers, Schraudolph & Schmidhuber, 2002.

    >>> keras.ops.shape(tfcells.RNN(tfcells.PeepholeLSTMCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units, peephole_initializer="glorot_uniform", **kwargs):
        super().__init__(units, **kwargs)
        self.peephole_initializer = keras.initializers.get(peephole_initializer)

    def build(self, input_shape):
        super().build(input_shape)
        self.peepholes = [
            self.add_weight(
                (self.units,),
                fresh(self.peephole_initializer, number),
                name=f"{gate}_peephole",
                regularizer=self.recurrent_regularizer,
                constraint=self.recurrent_constraint,
            )
            for number, gate in enumerate(("input", "forget", "output"))
        ]

    def prepare(self, sequence, training=False):
        x, w = super().prepare(sequence, training)
        w.items |= zip(("p_i", "p_f", "p_o"), map(ops.convert_to_tensor, self.peepholes))
        return x, w

    def step(self, x, state, w):
        h, c = state
        i, f, g, o = ops.split(x + w.recurrent_kernel(h), 4, axis=-1)
        s, tanh = self.recurrent_activation, self.activation
        c = s(f + w.p_f * c) * c + s(i + w.p_i * c) * w.update(tanh(g))
        h = s(o + w.p_o * c) * tanh(c)
        return h, (h, c)
