"""Hypernetworks: an LSTM whose weights a smaller LSTM rescales at every step."""

import keras
from keras import ops

from tfcells.cells.base import GatedCell, Kernel, Projection, Weights, identity, raise_block
from tfcells.cells.normalization import layer_norm
from tfcells.checks import flag, number, positive


class HyperLSTMCell(GatedCell):
    r"""A small LSTM reads [x, h] and generates, at every step, row scalings and biases of the main one.

    The hyper LSTM:  ^h', ^c' = LSTM([x, h], ^h, ^c), with `hyper_units` units.
    For each gate y of i, f, g, o and each of k = x, h, b:  z_ky = Z_ky ^h' + e_ky, of
    `embedding_units`;  d_ky = A_ky z_ky  (e_by = 0).
    i, f, g, o = d_x (W x) + d_h (U h) + d_b + b;  c' = s(f) c + s(i) tanh(g);  h' = s(o) tanh(c').
    layer_norm=True: both LSTMs normalise each gate, and c on its way to the output, as
    `LayerNormLSTMCell(norm="gate")`.

    States: h, c, hyper_h, hyper_c. Initialised as the authors do: the scalings start at 0.1, the
    generated biases at 0, recurrent blocks orthogonal gate by gate. forget_bias, of both LSTMs, is in the
    bias (with layer_norm: in the shift). The update slot is the main cell's.
    Source: Ha, Dai & Le, 1609.09106 (section 3.2, appendix A.2), and their code, supercell.

    >>> keras.ops.shape(tfcells.RNN(tfcells.HyperLSTMCell(8, hyper_units=4))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "c", "hyper_h", "hyper_c")
    gates = 4

    def __init__(
        self,
        units,
        hyper_units=128,
        embedding_units=4,
        forget_bias=1.0,
        layer_norm=False,
        epsilon=1e-3,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self.hyper_units = positive("hyper_units", hyper_units)
        self.embedding_units = positive("embedding_units", embedding_units)
        self.forget_bias = number("forget_bias", forget_bias)
        self.layer_norm = flag("layer_norm", layer_norm)
        self.epsilon = number("epsilon", epsilon, low=0)

    @property
    def state_size(self):
        return [self.units, self.units, self.hyper_units, self.hyper_units]

    def build(self, input_shape):
        features, H, N, E = input_shape[-1], self.units, self.hyper_units, self.embedding_units
        self.kernel = self.add_kernel((features, 4 * H))
        self.recurrent_kernel = self.add_recurrent_kernel((H, 4 * H), blocks=4)
        self.bias = self.add_bias((4 * H,))
        self.hyper_kernel = self.add_kernel((features + H, 4 * N), name="hyper_kernel")
        self.hyper_recurrent_kernel = self.add_recurrent_kernel(
            (N, 4 * N), name="hyper_recurrent_kernel", blocks=4
        )
        self.hyper_bias = self.add_bias((4 * N,), name="hyper_bias")
        # Z and A stack their blocks as x, h, b, and inside each i, f, g, o.
        self.embedding_kernel = self.add_weight(
            (N, 12 * E), self.initial_embedding, name="embedding_kernel"
        )
        self.embedding_bias = self.add_weight((8 * E,), "ones", name="embedding_bias")
        self.scale_kernel = self.add_weight((12, E, H), self.initial_scale, name="scale_kernel")
        if self.layer_norm:
            self.norms = {
                name: self.add_weight((width,), initializer, name=name)
                for prefix, units in (("", H), ("hyper_", N))
                for name, width, initializer in (
                    (f"{prefix}gain", 4 * units, "ones"),
                    (f"{prefix}shift", 4 * units, self.initial_shift),
                    (f"{prefix}cell_gain", units, "ones"),
                    (f"{prefix}cell_shift", units, "zeros"),
                )
            }

    def initial_bias(self, drawn):
        """Raised at the forget gate, unless layer norm follows."""
        return drawn if self.layer_norm else raise_block(drawn, 1, 4, self.forget_bias)

    def initial_shift(self, shape, dtype=None):
        """Zeros, but forget_bias at the forget gate."""
        return raise_block(ops.zeros(shape, dtype), 1, 4, self.forget_bias)

    def initial_embedding(self, shape, dtype=None):
        """Z: zero for the scalings, which start as their bias, N(0, 0.01) for the biases."""
        third = shape[-1] // 3
        biases = keras.initializers.RandomNormal(stddev=0.01)((shape[0], third), dtype=dtype)
        return ops.concatenate([ops.zeros((shape[0], 2 * third), dtype), biases], axis=-1)

    def initial_scale(self, shape, dtype=None):
        """A: 0.1 / embedding_units for the scalings, so that they start at 0.1, zero for the biases."""
        scalings = ops.full((8, *shape[1:]), 0.1 / self.embedding_units, dtype)
        return ops.concatenate([scalings, ops.zeros((4, *shape[1:]), dtype)])

    def prepare(self, sequence, training=False):
        tensor, features = ops.convert_to_tensor, sequence.shape[-1]
        hyper_kernel = tensor(self.hyper_kernel)
        bias = self.hyper_bias if self.use_bias else None
        x = {
            "main": self.project(sequence, None),
            "hyper": Projection(sequence, hyper_kernel[:features], bias),
        }
        w = Weights(
            recurrent_kernel=Kernel(tensor(self.recurrent_kernel), reads="h", blocks=4),
            hyper_state_kernel=Kernel(hyper_kernel[features:], reads="h", blocks=4),
            hyper_recurrent_kernel=Kernel(
                tensor(self.hyper_recurrent_kernel), reads="hyper_h", blocks=4
            ),
            embedding_kernel=Kernel(tensor(self.embedding_kernel), reads="hyper_h", blocks=12),
            embedding_bias=ops.pad(tensor(self.embedding_bias), [[0, 4 * self.embedding_units]]),
            scale_kernel=Kernel(block_diagonal(tensor(self.scale_kernel))),
        )
        if self.use_bias:
            w.items["bias"] = tensor(self.bias)
        if self.layer_norm:
            w.items |= {name: tensor(value) for name, value in self.norms.items()}
        return x, w

    def step(self, x, state, w):
        h, c, hyper_h, hyper_c = state
        a = x["hyper"] + w.hyper_state_kernel(h) + w.hyper_recurrent_kernel(hyper_h)
        hyper_h, hyper_c = self.lstm(a, hyper_c, w, "hyper_", identity)
        z = w.embedding_kernel(hyper_h) + w.embedding_bias
        d_x, d_h, d_b = ops.split(w.scale_kernel(z), 3, axis=-1)
        a = d_x * x["main"] + d_h * w.recurrent_kernel(h) + d_b
        h, c = self.lstm(a + w.bias if self.use_bias else a, c, w, "", w.update)
        return h, (h, c, hyper_h, hyper_c)

    def lstm(self, a, c, w, prefix, update):
        """h' and c' of an LSTM from its pre-activations, with layer norm if the cell has it."""
        s, tanh = self.recurrent_activation, self.activation
        if self.layer_norm:
            a = layer_norm(a, w[f"{prefix}gain"], w[f"{prefix}shift"], self.epsilon, groups=4)
        i, f, g, o = ops.split(a, 4, axis=-1)
        c = s(f) * c + s(i) * update(tanh(g))
        normal = c
        if self.layer_norm:
            gain, shift = w[f"{prefix}cell_gain"], w[f"{prefix}cell_shift"]
            normal = layer_norm(c, gain, shift, self.epsilon)
        return s(o) * tanh(normal), c


def block_diagonal(blocks):
    """(n, inputs, outputs) as one matrix, (n * inputs, n * outputs): for small blocks the faster product."""
    n, inputs, outputs = blocks.shape
    apart = ops.reshape(ops.eye(n, dtype=blocks.dtype), (n, 1, n, 1))
    return ops.reshape(apart * ops.expand_dims(blocks, 2), (n * inputs, n * outputs))
