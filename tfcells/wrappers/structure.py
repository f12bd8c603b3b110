"""Wrappers that join what a cell puts out with something else."""

from typing import Any

import keras
from keras import ops

from tfcells.checks import number, positive
from tfcells.contract.cell import Call, Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Weights
from tfcells.contract.wrapper import OutputWrapper, Pair, Wrapper, build_once


def as_wide(wrapper: Wrapper, features: int) -> None:
    """Raise ValueError unless the input is as wide as the output, and has no time in it."""
    if wrapper.timed:
        name = type(wrapper.innermost).__name__
        raise ValueError(f"cell: {type(wrapper).__name__} would add the time that {name} reads to its output")
    if features != wrapper.output_size:
        raise ValueError(
            f"sequences: {type(wrapper).__name__} adds the input to the output, so that {wrapper.output_size} "
            f"features are needed, got {features}; keras.layers.Dense({wrapper.output_size}) before it makes them"
        )


class Residual(OutputWrapper):
    """The input added to the output, and not to the states: y = cell's output + x.

    The input must be as wide as the output. The output is no state any more, so that there is no "state" slot:
    put Residual around `Zoneout`. Source: He et al., 1512.03385; along depth in stacks, Wu et al., 1609.08144.

    Raises a ValueError if the widths differ, or if there is a time among the input.

    >>> cell = tfcells.Residual(tfcells.GRUCell(3))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 3)
    """

    linear = True

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        as_wide(self, input_shape[-1])

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        return {"x": x, "cell": super().inputs(x, w)}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        output, state = self.finished(x["cell"], state, w)
        return output + x["x"], state


class Highway(OutputWrapper):
    """A gate between the output and the input: y = t h + (1 - t) x;  t = s(W x + b), h the cell's output.

    transform_bias: the initial b, transform_shift; below 0 the input passes at first. The input must be as wide as
    the output, which is no state any more, as in `Residual`. States are the cell's.
    Source: Srivastava, Greff & Schmidhuber, 1505.00387, with the cell as H.

    Raises a ValueError if the widths differ.

    >>> cell = tfcells.Highway(tfcells.GRUCell(3))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 3)
    """

    linear = True

    def __init__(self, cell: Cell | dict, transform_bias: float = -1.0, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.transform_bias = number("transform_bias", transform_bias)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        as_wide(self, input_shape[-1])
        width, start = self.output_size, keras.initializers.Constant(self.transform_bias)
        self.declare("transform_kernel", (width, width), keras.initializers.GlorotUniform())
        self.declare("transform_shift", (width,), start)

    def inputs(self, x: Tensor, w: Weights) -> dict[str, Any]:
        return {"x": x, "t": w.transform_kernel(x) + w.transform_shift, "cell": super().inputs(x, w)}

    def step(self, x: dict[str, Any], state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        output, state = self.finished(x["cell"], state, w)
        t = w.mark("t", ops.sigmoid(x["t"]))
        return t * output + (1 - t) * x["x"], state


class Projection(Wrapper):
    """The output through a matrix, which is what the next step reads: r = h P.

    projection_units: the width of r.
    Where the cell's kernels have W x + U h, they have W x + U r: fewer weights for as many units. Around an LSTM it
    is the LSTMP. The cell's first state is r, the others are as wide as before. For cells whose kernels alone read
    the first state ("projection" slot): a GRU also carries it on. The cell must not be built yet.
    Source: Sak, Senior & Beaufays, 1402.1128, without the second, non-recurrent projection.

    >>> cell = tfcells.Projection(tfcells.LSTMCell(8), 3)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 3)
    """

    needs = frozenset({"projection"})
    slots = property(lambda self: self.cell.slots - {"projection"})
    projected = None
    output_size = property(lambda self: self.projection_units)

    def __init__(self, cell: Cell | dict, projection_units: int, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.projection_units = positive("projection_units", projection_units)
        self.cell.narrow(self.projection_units)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        shape = (self.cell.output_size, self.projection_units)
        self.declare("projection_kernel", shape, keras.initializers.GlorotUniform())

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        output, (h, *rest) = super().step(x, state, w)
        r, finished = w.projection_kernel(h), self.cell.finish(output, w.cell)
        return r if finished is h else w.projection_kernel(finished), (r, *rest)

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        return outputs


class FastSlow(Pair):
    r"""Fast cells that share a state, one after the other in each step, and a slow cell between the first two.

    h = F_1(x, state);  z = S(h, its own state);  h <- F_2(z, ...);  h <- F_i(...) without input for i = 3 ..;
    y = h. Each F_i goes on from the state that F_(i-1) leaves, and F_1 from that of the last in the step before.

    cell: the first fast cell; the others are made by its configuration and have weights of their own (the same initial
    ones if its initializers have a seed). fast_cells: the number of fast cells. slow: the slow cell, None for one like
    `cell`.
    States: the fast cells', and the slow one's as slow_NAME. The update slot is the fast cells': put a
    wrapper around `slow` to act there.
    Raises a ValueError for cells that read times, and for fast cells that count steps.
    Source: Mujika, Meier & Steger, 1705.08639, and their code, which gives F_3 .. one zero as input, and drops out
    what one cell gives to the next.

    >>> cell = tfcells.FastSlow(tfcells.LSTMCell(8), tfcells.LSTMCell(4))
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3))))
    (2, 8)
    """

    second = "slow"

    slots = property(lambda self: self.shared - {"projection"} | self.slow.slots & {"kernel"})

    def __init__(self, cell: Cell | dict, slow: Cell | dict | None = None, fast_cells: int = 2, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.pair(self.another("slow") if slow is None else slow)
        for name, each in (("cell", self.cell), ("slow", self.slow)):
            if each.timed:
                kind = type(getattr(each, "innermost", each)).__name__
                raise ValueError(
                    f"{name}: FastSlow gives outputs as inputs, among which {kind} would look for its time"
                )
        if any(name.endswith("time") for name in self.cell.clocks):
            kind = type(self.innermost).__name__
            raise ValueError(f"cell: the fast cells share their states, so {kind} would count each step several times")
        self.fast_cells = positive("fast_cells", fast_cells)
        if self.fast_cells == 1:
            raise ValueError("fast_cells must be a whole number above 1, got 1")
        for name in self.names:
            setattr(self, name, self.another(name))

    @property
    def names(self) -> list[str]:
        """Of the fast cells after the first."""
        return [f"fast_{number}" for number in range(2, self.fast_cells + 1)]

    @property
    def rest(self) -> list[Cell]:
        """The fast cells after the first: each is an attribute, as `tf.train.Checkpoint` sees no list."""
        return [getattr(self, name) for name in self.names]

    def another(self, name: str) -> Cell:
        """A cell like the first."""
        return type(self.cell).from_config(self.cell.get_config() | {"name": f"{self.cell.name}_{name}"})

    def second_features(self, features: int) -> int:
        return self.cell.output_size

    def later(self) -> list[tuple[str, Cell, int]]:
        """Of the fast cells after the first: the name of its weights, the cell, the width of its input."""
        widths = [self.slow.output_size, *[0] * (self.fast_cells - 2)]
        return list(zip(self.names, self.rest, widths, strict=True))

    def adopt_dtype(self, policy: Any) -> None:
        super().adopt_dtype(policy)
        for cell in self.rest:
            cell.adopt_dtype(policy)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        for _, cell, features in self.later():
            build_once(cell, (*input_shape[:-1], features))

    def bind(self, call: Call) -> Weights:
        for cell in self.rest:
            follow(self.cell, cell)
        bound = {name: cell.bind(call._replace(features=width)) for name, cell, width in self.later()}
        return super().bind(call).including(**bound)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        fast, slow = self.divided(state)
        y, fast = super().step(x, fast, w)
        z, slow = self.second_step(self.cell.finish(y, w.cell), slow, w)
        for name, cell, width in self.later():
            own = w[name].updating(w.update)
            y, fast = cell.advance(cell.inputs(z[:, :width], own), fast, own)
        return y, (*fast, *slow)

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        name, last, _ = self.later()[-1]
        return last.finish(outputs, w[name])


def follow(first: Cell, other: Cell) -> None:
    """Set what was set later in a cell, or in one inside, in another one that was made like it."""
    for name in first.arguments():
        mine, others = getattr(first, name), getattr(other, name)
        if isinstance(mine, Cell):
            follow(mine, others)
        elif first.is_live(name) and mine != others:
            setattr(other, name, mine)
