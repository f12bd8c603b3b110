"""Cells that a search found."""

import re
from collections.abc import Sequence
from typing import Any

from keras import ops

from tfcells.checks import require
from tfcells.contract.cell import Split, View
from tfcells.contract.kernels import GatedCell, PassingCell
from tfcells.contract.linear import Tensor, whole
from tfcells.contract.weights import Weights


class MUT1Cell(PassingCell):
    r"""z = s(W_z x + b_z);  r = s(W_r x + U_r h + b_r);  g = tanh(U_g (r h) + tanh(x) + b_g);  h' = z g + (1 - z) h.

    project: put P x + p in place of x in tanh(x), by projection_kernel and projection_bias; the paper's networks have
    inputs as wide as the state. The kernel stacks z, r, the recurrent kernel r, g, the bias z, r, g. The candidate,
    for recurrent dropout, is g. State: h. Source: Jozefowicz, Zaremba & Sutskever, ICML 2015.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MUT1Cell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H, features = self.units, input_shape[-1]
        self.add_kernel((features, 2 * H))
        views = Split(1, recurrent_kernel=(H, "h"), candidate_kernel=(H, "h"))
        self.add_recurrent_kernel((H, 2 * H), views=views)
        self.add_bias((3 * H,), views=Split(0, bias=(2 * H,), bias_g=(H,)))
        self.add_projection(features, bias=True)

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        return super().inputs(x, w), self.activation(whole(self.passed(x, w))) + w.bias_g

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), (a, x_g) = state, x
        s, tanh = self.recurrent_activation, self.activation
        x_z, x_r = ops.split(a, 2, axis=-1)
        z, r = w.mark("z", s(x_z)), w.mark("r", s(x_r + w.recurrent_kernel(h)))
        h = z * w.update(tanh(w.candidate_kernel(r * h) + x_g)) + (1 - z) * h
        return h, (h,)


class MUT2Cell(PassingCell):
    r"""z = s(W_z x + U_z h + b_z);  r = s(x + U_r h + b_r);  g = tanh(U_g (r h) + W_g x + b_g);  h' = z g + (1 - z) h.

    project: put P x in place of x in r, by projection_kernel; the paper's networks have inputs as wide as the state.
    The kernel stacks z, g, the recurrent kernel and the bias z, r, g. The candidate, for recurrent dropout, is g.
    State: h.
    Source: Jozefowicz, Zaremba & Sutskever, ICML 2015.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MUT2Cell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H, features = self.units, input_shape[-1]
        self.add_kernel((features, 2 * H))
        views = Split(1, recurrent_kernel=(2 * H, "h", 2), candidate_kernel=(H, "h"))
        self.add_recurrent_kernel((H, 3 * H), views=views)
        biases = {
            "bias": View(lambda b: ops.concatenate([b[:H], b[2 * H :]])),
            "bias_r": View(lambda b: b[H : 2 * H]),
        }
        self.add_bias((3 * H,), views=biases)
        self.add_projection(features)

    def inputs(self, x: Tensor, w: Weights) -> tuple[Any, Any]:
        return super().inputs(x, w), self.passed(x, w) + w.bias_r

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,), (a, x_r) = state, x
        s, tanh = self.recurrent_activation, self.activation
        (x_z, x_g), (u_z, u_r) = ops.split(a, 2, axis=-1), ops.split(w.recurrent_kernel(h), 2, axis=-1)
        z, r = w.mark("z", s(x_z + u_z)), w.mark("r", s(x_r + u_r))
        h = z * w.update(tanh(w.candidate_kernel(r * h) + x_g)) + (1 - z) * h
        return h, (h,)


class MUT3Cell(GatedCell):
    r"""z = s(W_z x + U_z tanh(h) + b_z);  r = s(W_r x + U_r h + b_r);  g = tanh(U_g (r h) + W_g x + b_g);

    h' = z g + (1 - z) h.

    Kernels and bias stack z, r, g. The candidate, for recurrent dropout, is g. State: h.
    Source: Jozefowicz, Zaremba & Sutskever, ICML 2015.

    >>> keras.ops.shape(tfcells.RNN(tfcells.MUT3Cell(8))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 3

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H = self.units
        self.add_kernel((input_shape[-1], 3 * H))
        views = Split(1, update_kernel=(H, "h"), reset_kernel=(H, "h"), candidate_kernel=(H, "h"))
        self.add_recurrent_kernel((H, 3 * H), views=views)
        self.add_bias((3 * H,))

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state
        s, tanh = self.recurrent_activation, self.activation
        x_z, x_r, x_g = ops.split(x, 3, axis=-1)
        z, r = w.mark("z", s(x_z + w.update_kernel(tanh(h)))), w.mark("r", s(x_r + w.reset_kernel(h)))
        h = z * w.update(tanh(w.candidate_kernel(r * h) + x_g)) + (1 - z) * h
        return h, (h,)


class NASCell(GatedCell):
    r"""The cell that a search found for the Penn Treebank. With x_k = W_k x and u_k = U_k h + b_k, k = 0 .. 7:

    p = tanh(tanh(s(x_0 + u_0) relu(x_1 + u_1)) + c);  c' = p tanh(s(x_2 + u_2) + relu(x_3 u_3));
    q = tanh(tanh(x_4 + u_4) s(x_5 + u_5));  r = s(tanh(x_6 + u_6) + s(x_7 + u_7));  h' = tanh(c' tanh(q + r)).

    Kernels and bias stack k = 0 .. 7; the bias is on the side of U, as in TensorFlow Addons, which has none by default.
    Its projection is `tfcells.Projection` around this cell. activation and recurrent_activation stand for each tanh and
    s. It has no update slot: c' is a product. States: h, c. Source: Zoph & Le, 1611.01578, appendix.

    >>> keras.ops.shape(tfcells.RNN(tfcells.Projection(tfcells.NASCell(8), 4))(keras.ops.ones((2, 5, 3))))
    (2, 4)
    """

    states = ("h", "c")
    gates = 8
    slots = frozenset({"kernel", "state", "projection"})

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return w.kernel(x)

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        h, c = state
        s, tanh, relu = self.recurrent_activation, self.activation, ops.relu
        u = w.recurrent_kernel(h) + w.bias
        a = ops.split(x + u, 8, axis=-1)
        x_3, u_3 = (ops.split(v, 8, axis=-1)[3] for v in (x, u))
        p = tanh(tanh(s(a[0]) * relu(a[1])) + c)
        c = p * tanh(s(a[2]) + relu(x_3 * u_3))
        q, r = tanh(tanh(a[4]) * s(a[5])), s(tanh(a[6]) + s(a[7]))
        h = tanh(c * tanh(q + r))
        return h, (h, c)


FUNCTIONS = {"identity": lambda a: a, "relu": ops.relu, "sigmoid": ops.sigmoid, "tanh": ops.tanh}

GENOTYPES = {
    "darts_v1": "relu0-relu1-tanh2-relu3-relu4-identity1-relu5-relu1",
    "darts_v2": "sigmoid0-relu1-relu1-identity1-tanh2-sigmoid5-tanh3-relu5",
    "enas": "sigmoid0-tanh1-relu2-sigmoid2-tanh4-tanh5-sigmoid3-sigmoid6",
}
"""By name: the function of each node from the first, and the node that it reads."""


class GenotypeCell(GatedCell):
    r"""A tree of highway layers:  c, g = W x + U_0 h;  s_0 = h + sigmoid(c) (tanh(g) - h);

    for nodes i = 1, 2, ..:  c, g = U_i s_p;  s_i = s_p + sigmoid(c) (f_i(g) - s_p), where s_p is an earlier node;
    h' is the mean of s_1, s_2, ..

    genotype: for each node a pair (f_i, p), f_i one of identity, relu, sigmoid, tanh, or a text such as "tanh0-relu1";
    or the name of what a search found: "darts_v1", "darts_v2" (Liu et al., 1806.09055, first and
    second order), "enas" (Pham et al., 1802.03268, of the corrected code). use_bias: biases bias_0, bias_1, .., which
    the authors have not. Their input is as wide as the state; here it need not be. Kernels stack c, g. activation: of
    s_0. The candidates, for recurrent dropout, are tanh(g) and each f_i(g). State dropout has one mask for h and all
    s_p. State: h.

    >>> keras.ops.shape(tfcells.RNN(tfcells.GenotypeCell(8, "enas"))(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    gates = 2

    def __init__(
        self,
        units: int,
        genotype: str | Sequence[tuple[str, int]] = "darts_v2",
        use_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, use_bias=use_bias, **kwargs)
        pairs = f"pairs of one of {tuple(FUNCTIONS)} and the number of an earlier node"
        allowed = f"one of {tuple(GENOTYPES)}, or {pairs}, also as a text such as tanh0-relu1"
        nodes = nodes_of(genotype)
        require("genotype", genotype, allowed, bool(nodes))
        self.genotype = genotype if isinstance(genotype, str) else nodes

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """For each node its function and the node that it reads."""
        return nodes_of(self.genotype)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        H, count = self.units, len(self.nodes) + 1
        self.add_kernel((input_shape[-1], 2 * H))
        for node in range(count):
            self.add_recurrent_kernel((H, 2 * H), f"recurrent_kernel_{node}")
        for node in range(count):
            self.add_bias((2 * H,), f"bias_{node}")

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return w.kernel(x) + w.bias_0

    def step(self, x: Tensor, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        (h,) = state

        def layer(s: Tensor, a: Tensor, f: Any) -> Tensor:
            c, g = ops.split(a, 2, axis=-1)
            return s + w.mark("c", self.recurrent_activation(c)) * (w.update(f(g)) - s)

        nodes = [layer(h, x + w.recurrent_kernel_0(h), self.activation)]
        for i, (name, p) in enumerate(self.nodes, 1):
            a = w[f"recurrent_kernel_{i}"](nodes[p]) + w[f"bias_{i}"]
            nodes.append(layer(nodes[p], a, FUNCTIONS[name]))
        h = sum(nodes[1:]) / len(self.nodes)
        return h, (h,)


def nodes_of(genotype: Any) -> tuple[tuple[str, int], ...]:
    """The pairs of a genotype; none if it is not one."""
    if isinstance(genotype, str):
        found = [re.fullmatch("([a-z]+)([0-9]+)", node) for node in GENOTYPES.get(genotype, genotype).split("-")]
        genotype = [(node[1], int(node[2])) for node in found if node] if all(found) else []
    given = genotype if isinstance(genotype, list | tuple) else []
    pairs = tuple((pair[0], pair[1]) for pair in given if isinstance(pair, list | tuple) and len(pair) == 2)
    fits = [name in FUNCTIONS and type(p) is int and 0 <= p <= i for i, (name, p) in enumerate(pairs)]
    return pairs if all(fits) and len(pairs) == len(given) else ()
