"""The simple recurrent network."""

from keras import ops

from tfcells.cells.base import Kernel, KernelCell, Weights
from tfcells.cells.normalization import layer_norm
from tfcells.checks import number


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


class LayerNormElmanCell(ElmanCell):
    r"""h' = tanh(LN(W x + U h) + b);  LN(a) = gain (a - mean) / sqrt(var + epsilon).

    The bias serves as the norm's shift. Source: Ba, Kiros & Hinton, 1607.06450, equation 4.

    >>> keras.ops.shape(tfcells.RNN(tfcells.LayerNormElmanCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    def __init__(self, units, epsilon=1e-3, **kwargs):
        super().__init__(units, **kwargs)
        self.epsilon = number("epsilon", epsilon, low=0)

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight((self.units,), "ones", name="gain")

    def prepare(self, sequence, training=False):
        tensor = ops.convert_to_tensor
        kernel = Kernel(tensor(self.recurrent_kernel), reads="h")
        w = Weights(recurrent_kernel=kernel, gain=tensor(self.gain))
        if self.use_bias:
            w.items["bias"] = tensor(self.bias)
        return self.project(sequence, None), w

    def step(self, x, state, w):
        (h,) = state
        a = layer_norm(x + w.recurrent_kernel(h), w.gain, w.get("bias"), self.epsilon)
        h = w.update(self.activation(a))
        return h, (h,)
