"""Recurrent highway networks."""

from keras import ops

from tfcells.cells.base import GatedCell, Kernel, Weights
from tfcells.checks import flag, number, positive


class RHNCell(GatedCell):
    r"""`depth` highway layers in every time step; the input enters the first.

    For l = 1 .. depth, with s_0 the previous step's state and x only at l = 1:
    g, t = W x + R_l s + b_l;  s <- tanh(g) s(t) + s (1 - s(t)).
    coupled=False has a carry gate of its own: g, t, c = ...;  s <- tanh(g) s(t) + s s(c).

    transform_bias: the initial bias of every transform gate t (the others: bias_initializer).
    The candidate, for recurrent dropout, is tanh(g). State: s, which is also the output.
    Weights: kernel (features, 2 units), `depth` recurrent kernels (units, 2 units) and biases (2 units,);
    3 units if not coupled. Source: Zilly et al., 1607.03474.

    >>> keras.ops.shape(tfcells.RNN(tfcells.RHNCell(8, depth=3))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("s",)

    def __init__(self, units, depth=5, coupled=True, transform_bias=-2.0, **kwargs):
        super().__init__(units, **kwargs)
        self.depth = positive("depth", depth)
        self.coupled = flag("coupled", coupled)
        self.transform_bias = number("transform_bias", transform_bias)

    @property
    def gates(self):
        return 2 if self.coupled else 3

    def build(self, input_shape):
        width = self.gates * self.units
        self.kernel = self.add_kernel((input_shape[-1], width))
        self.recurrent_kernels = [
            self.add_recurrent_kernel((self.units, width), name=f"recurrent_kernel_{level}")
            for level in range(self.depth)
        ]
        self.biases = [self.add_bias((width,), name=f"bias_{level}") for level in range(self.depth)]

    def initial_bias(self, drawn):
        drawn = ops.split(drawn, self.gates)
        drawn[1] = ops.full_like(drawn[1], self.transform_bias)
        return ops.concatenate(drawn)

    def prepare(self, sequence, training=False):
        w = Weights()
        for level, kernel in enumerate(self.recurrent_kernels):
            kernel = ops.convert_to_tensor(kernel)
            w.items[f"R{level}"] = Kernel(kernel, reads="s", blocks=self.gates)
            if level and self.use_bias:
                w.items[f"b{level}"] = ops.convert_to_tensor(self.biases[level])
        return self.project(sequence, self.biases[0]), w

    def step(self, x, state, w):
        (s,) = state
        gate, tanh = self.recurrent_activation, self.activation
        for level in range(self.depth):
            a = w[f"R{level}"](s)
            if level == 0:
                a = a + x
            elif self.use_bias:
                a = a + w[f"b{level}"]
            g, t, *c = ops.split(a, self.gates, axis=-1)
            t = gate(t)
            carry = gate(c[0]) if c else 1 - t
            s = w.update(tanh(g)) * t + s * carry
        return s, (s,)


class HighwayStateGateRHNCell(RHNCell):
    r"""A recurrent highway network whose output passes a gate that remembers the output before.

    s' = RHN(x, s), as `RHNCell`;  g = s(V h + R s' + b);  h' = g h + (1 - g) s'.

    gate_bias: the initial b. V and R are stacked in gate_kernel, (2 units, units). States: h, which is
    the output, and s, from which the highway goes on. Source: Shoham & Permuter, 1805.09238; as there
    is no code of theirs, what goes on in time follows asahi417/LSTMCell.

    >>> keras.ops.shape(tfcells.RNN(tfcells.HighwayStateGateRHNCell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    states = ("h", "s")

    def __init__(self, units, gate_bias=-2.0, **kwargs):
        super().__init__(units, **kwargs)
        self.gate_bias = number("gate_bias", gate_bias)

    def build(self, input_shape):
        super().build(input_shape)
        self.gate_kernel = self.add_recurrent_kernel(
            (2 * self.units, self.units), name="gate_kernel"
        )
        if self.use_bias:
            self.gate_shift = self.add(
                "bias", (self.units,), "gate_bias", then=lambda b: ops.full_like(b, self.gate_bias)
            )

    def prepare(self, sequence, training=False):
        x, w = super().prepare(sequence, training)
        of_h, of_s = ops.split(ops.convert_to_tensor(self.gate_kernel), 2)
        w.items |= {"V": Kernel(of_h, reads="h"), "R": Kernel(of_s, reads="s")}
        if self.use_bias:
            w.items["b"] = ops.convert_to_tensor(self.gate_shift)
        return x, w

    def step(self, x, state, w):
        h, s = state
        _, (s,) = super().step(x, (s,), w)
        a = w.V(h) + w.R(s)
        g = self.recurrent_activation(a + w.b if self.use_bias else a)
        h = g * h + (1 - g) * s
        return h, (h, s)
