"""Recurrent layers in PyTorch, with the weights of tfcells's: its own, and loops as a user writes them.

Each takes a sequence (steps, batch, features) and starts at zero. The loops do the input products for
all steps at once; their matrices are stored as torch.nn.Linear has them.
"""

import numpy as np
import torch
from torch.nn.functional import layer_norm, linear


class BuiltIn(torch.nn.Module):
    """torch.nn.RNN, LSTM or GRU, from (kernel, recurrent kernel, bias) of each layer."""

    def __init__(self, kind: str, arrays: list[np.ndarray]):
        super().__init__()
        (features, _), (units, _) = arrays[0].shape, arrays[1].shape
        self.net = getattr(torch.nn, kind)(features, units, len(arrays) // 3)
        self.gates = {"RNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}[kind]  # GRU: r, z, g
        for level in range(len(arrays) // 3):
            kernel, recurrent, bias = arrays[3 * level : 3 * level + 3]
            first, second = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
            for name, array in zip(self.names(level), (kernel.T, recurrent.T, first, second)):
                getattr(self.net, name).data = torch.tensor(self.reordered(array))

    def names(self, level: int) -> list[str]:
        return [f"{name}_l{level}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def reordered(self, array: np.ndarray) -> np.ndarray:
        """From tfcells's order of the gates to PyTorch's, or back."""
        blocks = np.split(array, len(self.gates))
        return np.concatenate([blocks[gate] for gate in self.gates])

    def forward(self, x):
        return self.net(x)[0]

    def gradients(self) -> list[np.ndarray]:
        return self.arrays(lambda parameter: parameter.grad)

    def arrays(self, of=lambda parameter: parameter.detach()) -> list[np.ndarray]:
        """The weights, or what `of` takes of them, as (kernel, recurrent kernel, bias) of each layer."""
        found = []
        for level in range(self.net.num_layers):
            values = [of(getattr(self.net, name)).numpy() for name in self.names(level)]
            kernel, recurrent, *biases = map(self.reordered, values)
            bias = np.stack(biases) if len(self.gates) == 3 else biases[0]
            found += [kernel.T, recurrent.T, bias]
        return found


class Loop(torch.nn.Module):
    """A loop over `step`. A subclass gives `sizes` of its states, `prepare` and `step`."""

    def __init__(self, arrays: list[np.ndarray], **options):
        super().__init__()
        tensors = [torch.tensor(a.T.copy() if a.ndim == 2 else a) for a in arrays]
        self.weights = torch.nn.ParameterList(tensors)
        vars(self).update(options)

    def forward(self, x):
        slices, w = self.prepare(x, *self.weights)
        state = tuple(x.new_zeros(x.shape[1], size) for size in self.sizes())
        outputs = []
        for now in zip(*(part.unbind() for part in slices)):
            state = self.step(now, state, w)
            outputs.append(state[0])
        return torch.stack(outputs)

    def sizes(self) -> list[int]:
        """By default a state of as many units as the recurrent kernel, the second weight, reads."""
        return [self.weights[1].shape[1]]

    def gradients(self) -> list[np.ndarray]:
        grads = [weight.grad.numpy() for weight in self.weights]
        return [grad.T if grad.ndim == 2 else grad for grad in grads]


class LayerNormLSTM(Loop):
    """norm="product", cell_norm="output"; needs epsilon."""

    def sizes(self):
        return 2 * super().sizes()

    def prepare(self, x, W, U, b, x_gain, h_gain, c_gain, c_shift):
        a = layer_norm(linear(x, W), b.shape, x_gain, b, self.epsilon)
        return [a], (U, h_gain, c_gain, c_shift)

    def step(self, x, state, w):
        (x,), (h, c), (U, gain, c_gain, c_shift) = x, state, w
        a = x + layer_norm(linear(h, U), gain.shape, gain, None, self.epsilon)
        i, f, g, o = a.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * layer_norm(c, c_gain.shape, c_gain, c_shift, self.epsilon).tanh()
        return h, c


class RHN(Loop):
    """Coupled gates."""

    def prepare(self, x, W, *others):
        half = len(others) // 2
        return [linear(x, W, others[half])], (others[:half], others[half:])

    def step(self, x, state, w):
        (x,), (s,) = x, state
        for level, (R, b) in enumerate(zip(*w)):
            a = x + linear(s, R) if level == 0 else linear(s, R, b)
            g, t = a.chunk(2, -1)
            t = t.sigmoid()
            s = g.tanh() * t + s * (1 - t)
        return (s,)


class HyperLSTM(Loop):
    """Without layer normalization."""

    def sizes(self):
        units, hyper_units = self.weights[1].shape[1], self.weights[4].shape[1]
        return [units, units, hyper_units, hyper_units]

    def prepare(self, x, W, U, b, hyper_W, hyper_U, hyper_b, Z, e, A):
        features = x.shape[-1]
        slices = [linear(x, W), linear(x, hyper_W[:, :features], hyper_b)]
        e = torch.nn.functional.pad(e, (0, len(e) // 2))
        return slices, (hyper_W[:, features:], hyper_U, Z, e, A, U, b)

    def step(self, x, state, w):
        (x, hyper_x), (h, c, hyper_h, hyper_c) = x, state
        hyper_W, hyper_U, Z, e, A, U, b = w
        a = hyper_x + linear(h, hyper_W) + linear(hyper_h, hyper_U)
        hyper_h, hyper_c = self.lstm(a, hyper_c)
        z = linear(hyper_h, Z, e).unflatten(-1, A.shape[:2])
        d_x, d_h, d_b = torch.einsum("bne,neh->bnh", z, A).flatten(1).chunk(3, -1)
        h, c = self.lstm(d_x * x + d_h * linear(h, U) + d_b + b, c)
        return h, c, hyper_h, hyper_c

    def lstm(self, a, c):
        i, f, g, o = a.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


def compiled(module: Loop, what: str) -> Loop:
    """The module with its "step", or its "forward" with all steps, compiled by torch.compile."""
    setattr(module, what, torch.compile(getattr(module, what)))
    return module


def of_cell(cell, arrays: list[np.ndarray]):
    """A function that makes the layer of that tfcells cell, and whether it is a loop; or None."""
    kind = type(cell).__name__
    if kind in ("ElmanCell", "LSTMCell", "GRUCell"):
        name = {"ElmanCell": "RNN"}.get(kind, kind.removesuffix("Cell"))
        return lambda: BuiltIn(name, arrays), False
    loops = {"LayerNormLSTMCell": LayerNormLSTM, "RHNCell": RHN, "HyperLSTMCell": HyperLSTM}
    if kind not in loops:
        return None
    options = {"epsilon": cell.epsilon} if kind == "LayerNormLSTMCell" else {}
    return lambda: loops[kind](arrays, **options), True
