"""The bases of cells that multiply: kernels, biases, vectors and gains, with their roles."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfcells.checks import flag, number, positive
from tfcells.contract.cell import Cell, View
from tfcells.contract.initial import fresh
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Kernel, Weights, identity


class InputCell(Cell):
    """A cell with one stacked input kernel, and no recurrent one.

    units: the size of the output. activation: of the candidate. use_bias: whether there are biases.
    kernel_ and bias_initializer, _regularizer, _constraint: as in Keras's own cells.

    gates: how many blocks of `units` columns the kernels stack.
    """

    gates = 1
    slots = frozenset({"update", "state"})
    live = frozenset({"activation"})

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive("units", units)
        self.activation = keras.activations.get(activation)
        self.use_bias = flag("use_bias", use_bias)
        self.keep("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.keep("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.draws: dict[str, int] = {}

    def keep(self, role: str, initializer: Any, regularizer: Any, constraint: Any) -> None:
        """Keep what weights of a role have."""
        setattr(self, f"{role}_initializer", keras.initializers.get(initializer))
        setattr(self, f"{role}_regularizer", keras.regularizers.get(regularizer))
        setattr(self, f"{role}_constraint", keras.constraints.get(constraint))

    def add_kernel(self, shape: tuple[int, ...], name: str = "kernel", **options: Any) -> None:
        """Declare a weight that multiplies the input. options: those of `declare`."""
        self.add("kernel", shape, name, **options)

    def add_bias(self, shape: tuple[int, ...], name: str = "bias", **options: Any) -> None:
        """Declare a bias that starts as `initial_bias` of what was drawn; 0 in w without `use_bias`."""
        if self.use_bias:
            self.add("bias", shape, name, **{"then": self.initial_bias} | options)
        else:
            self.reserve(name, options.get("views") or {name: View()})
            setattr(self, name, None)

    def add_vector(self, name: str, width: int, initializer: Any, **options: Any) -> None:
        """Declare a vector that is read element-wise. options: those of `declare`, as regularizer and constraint.

        One initializer for several vectors: `fresh(initializer, number)`, else one seed makes them equal.
        """
        self.declare(name, (positive("width", width),), initializer, **options)

    def add(
        self,
        role: str,
        shape: tuple[int, ...],
        name: str,
        drawn: int = 1,
        then: Callable[[Tensor], Tensor] = identity,
        **options: Any,
    ) -> None:
        """Declare a weight with the role's regularizer and constraint, drawn afresh by its initializer."""
        given = getattr(self, f"{role}_initializer")
        first = self.draws.get(role, 0)
        self.draws[role] = first + drawn

        def initialize(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
            *rows, columns = shape
            parts = [
                fresh(given, number)((*rows, columns // drawn), dtype=dtype) for number in range(first, first + drawn)
            ]
            return then(ops.concatenate(parts, axis=-1))

        own = {each: getattr(self, f"{role}_{each}") for each in ("regularizer", "constraint")}
        self.declare(name, shape, initialize, **own | options)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.add_kernel((input_shape[-1], self.gates * self.units))
        self.add_bias((self.gates * self.units,))

    def initial_bias(self, drawn: Tensor) -> Tensor:
        """The bias that the cell starts with, (gates * units,), from what its initializer drew."""
        return drawn

    def inputs(self, x: Tensor, w: Weights) -> Any:
        return w.kernel(x) + w.bias

    def advance(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        """As any cell's. Raises TypeError for a step that multiplies what these `inputs` have multiplied."""
        kernel, name = w.get("kernel"), type(self).__name__

        def product(given: Tensor) -> Any:
            if given is x:
                raise TypeError(f"{name}.step: x is W x + b already; {name}.inputs may return something else")
            return kernel(given)

        if type(self).inputs is InputCell.inputs and isinstance(kernel, Kernel):
            w = w.including(kernel=kernel.using(product))
        return super().advance(x, state, w)


class KernelCell(InputCell):
    """A cell with one stacked input kernel and one stacked recurrent kernel.

    recurrent_initializer, _regularizer, _constraint: as in Keras's own cells; the others: `InputCell`'s.
    """

    slots = frozenset({"kernel", "update", "state"})

    def __init__(
        self,
        units: int,
        *args: Any,
        recurrent_initializer: Any = "orthogonal",
        recurrent_regularizer: Any = None,
        recurrent_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, *args, **kwargs)
        self.keep("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)

    def add_recurrent_kernel(
        self,
        shape: tuple[int, ...],
        name: str = "recurrent_kernel",
        reads: str | None = None,
        **options: Any,
    ) -> None:
        """Declare a weight that multiplies a state, the first unless `reads` names another.

        drawn: how many equal blocks of its columns are drawn one by one; for orthogonal matrices that
        makes a difference. options: those of `declare`.
        """
        options = {"reads": reads or self.states[0], "blocks": shape[-1] // self.units, **options}
        self.add("recurrent", shape, name, **options)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        width = self.gates * self.units
        self.add_kernel((input_shape[-1], width))
        self.add_recurrent_kernel((self.units, width))
        self.add_bias((width,))


class GatedCell(KernelCell):
    """A `KernelCell` whose gates are squashed by `recurrent_activation`."""

    live = frozenset({"recurrent_activation"})

    def __init__(self, units: int, recurrent_activation: Any = "sigmoid", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.recurrent_activation = keras.activations.get(recurrent_activation)


class PassingCell(GatedCell):
    """A `GatedCell` that also uses its input as it is, which must then be as wide as its units.

    project: whether that input is multiplied by `projection_kernel` first, None for only if the widths differ.
    """

    def __init__(self, units: int, project: bool | None = None, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.project = project if project is None else flag("project", project)

    def add_projection(self, features: int, bias: bool = False) -> None:
        """Declare the projection, if there is to be one. Raises ValueError if it is needed and not allowed."""
        if self.project or (self.project is None and features != self.units):
            self.add_kernel((features, self.units), "projection_kernel")
            if bias:
                self.add_bias((self.units,), "projection_bias", then=identity)
        elif features != self.units:
            widths = f"{features} features are not as many as {self.units} units"
            raise ValueError(f"project must be True or None where {widths}, got False")

    def passed(self, x: Tensor, w: Weights) -> Any:
        """The input, as wide as the units."""
        kernel, bias = w.get("projection_kernel"), w.get("projection_bias")
        x = x if kernel is None else kernel(x)
        return x if bias is None else x + bias


class GainedCell(KernelCell):
    """A cell that normalizes, with gains.

    gain_regularizer, gain_constraint: of every gain; the other arguments: those of the class that follows.
    """

    def __init__(
        self, units: int, *args: Any, gain_regularizer: Any = None, gain_constraint: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(units, *args, **kwargs)
        self.gain_regularizer = keras.regularizers.get(gain_regularizer)
        self.gain_constraint = keras.constraints.get(gain_constraint)

    def add_gain(self, name: str, width: int) -> None:
        """Declare a gain, which starts as ones."""
        options = {"regularizer": self.gain_regularizer, "constraint": self.gain_constraint}
        self.add_vector(name, width, "ones", **options)


class NormedCell(GainedCell):
    """A cell with one norm, as wide as its units: LN(a) = gain (a - mean) / sqrt(var + epsilon).

    epsilon: keeps LN from dividing by zero.
    """

    live = frozenset({"epsilon"})

    def __init__(self, units: int, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.epsilon = number("epsilon", epsilon, low=0)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        super().build(input_shape)
        self.add_gain("gain", self.units)
