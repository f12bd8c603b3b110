"""Cells: one recurrence, split where it may be split."""

import itertools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor, multiplied
from tfcells.contract.quantized import Quantizable, as_quantized
from tfcells.contract.recurrence import Before
from tfcells.contract.weights import Kernel, Weights, identity, taken

VERSION_1 = """{name}.prepare is version 1 of the contract. Declare in `build`, and multiply in `inputs`:

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.units))
        self.add_recurrent_kernel((self.units, self.units))
        self.add_bias((self.units,))

    def inputs(self, x, w):           # a sequence, or one moment
        return w.kernel(x) + w.bias

    def step(self, x, state, w):      # as before
        ..."""


class Call(NamedTuple):
    """What a call of a layer knows before its loop: sizes, which may be tensors, and options.

    features: of the cell's input. reset: flags, (steps, batch, 1), for cells that are `reset_by_flag`.
    """

    steps: Any
    batch: Any
    features: int
    training: bool = False
    memory: Tensor | None = None
    memory_mask: Tensor | None = None
    reset: Tensor | None = None


class View(NamedTuple):
    """How a step sees a declared weight.

    function: of the weight's tensor, run once before the loop. reads, blocks: as a `Kernel` has them.
    """

    function: Callable[[Tensor], Tensor] = identity
    reads: str | None = None
    blocks: int = 1

    def of(self, tensor: Tensor) -> Any:
        """The weight as it is bound: a `Kernel` if it is a matrix, else a tensor."""
        seen = self.function(tensor)
        return Kernel(seen, self.reads, self.blocks) if len(seen.shape) > 1 else seen


class Split(dict[str, View]):
    """Views of which each is the next part of a weight along an axis: one operation for all, and one for the gradient.

    parts: name -> (width, reads, blocks), of which the last two may be left out as of a `View`.
    """

    def __init__(self, axis: int, **parts: tuple) -> None:
        super().__init__({name: View(identity, *of) for name, (_, *of) in parts.items()})
        self.axis, self.ends = axis, list(itertools.accumulate(width for width, *_ in parts.values()))

    def seen(self, tensor: Tensor) -> list[Tensor]:
        """The part of each view. Raises ValueError where the widths don't add up to the weight's."""
        if tensor.shape[self.axis] != self.ends[-1]:
            raise ValueError(
                f"views: the parts are {self.ends[-1]} of {tensor.shape[self.axis]} along axis {self.axis}"
            )
        return ops.split(tensor, self.ends[:-1], axis=self.axis)


class Cell(Configured, Quantizable, keras.layers.Layer):
    """One recurrence.

    A subclass gives `states`, `build`, `inputs` and `step`. It gets from here the binding of its
    weights, its configuration (every constructor argument is an attribute of the same name), its
    registration under the package `tfcells`, and the interface of Keras's own cells.

    states: the names of the state tensors, by custom the output's first.
    slots: where wrappers can act: "kernel" (a `Kernel` that reads a state), "update" (`step` calls
        w.update), "state" (the output is one, and new and old ones can be mixed), "projection" (kernels alone read the
        first state, so that it may have another width than the output).
    timed: whether the first column of the input is a time, which wrappers leave alone.
    clocks: the names of states that count the steps. records: of those that hold what earlier steps gave.
        Wrappers leave both alone.
    attends, reset_by_flag: whether a memory, or flags, must be given to the layer that runs the cell.
    projected: the width of the first state inside `Projection`, if it is not the output's.
    linear: stands beside a `step` that can take all steps at once, with `Before` for its states: it advances them with
        the functions of contract/recurrence.py alone, and all else goes along the last axes.
    """

    of_keras = Configured.of_keras - {"activity_regularizer"}  # the outputs are the layer's
    states: tuple[str, ...] = ("h",)
    clocks: frozenset[str] = frozenset()
    records: frozenset[str] = frozenset()
    timed = False
    attends = False
    linear = False
    reset_by_flag = False
    projected: int | None = None
    slots: frozenset[str] = frozenset({"state"})
    units: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if hasattr(cls, "prepare"):
            raise TypeError(VERSION_1.format(name=cls.__name__))
        super().__init_subclass__(**kwargs)

    def __init__(self, **kwargs: Any) -> None:
        if type(self).step is Cell.step:
            raise TypeError(
                f"{type(self).__name__} has no step(x, state, w). A cell with Keras's `call` alone is a "
                "keras.layers.Layer, and tfcells.RNN runs it in Keras's own loop"
            )
        if type(self).call is not Cell.call:
            raise TypeError(
                f"{type(self).__name__}: override step(x, state, w); tfcells.RNN never runs a cell's `call`"
            )
        self.dtype_is_explicit = kwargs.get("dtype") is not None
        super().__init__(**kwargs)
        self.views: dict[str, dict[str, View]] = {}
        self.around = weakref.WeakSet()

    def declare(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any,
        reads: str | None = None,
        blocks: int = 1,
        views: dict[str, View] | None = None,
        **options: Any,
    ) -> None:
        """Make a weight: the attribute `name`, which `inputs` and `step` read as w.NAME.

        reads, blocks: as a `Kernel` has them. views: if the weight is read in other forms instead, what
        each is called and how it is made; {} if no step reads it. options: those of `add_weight`.
        """
        if self.projected and reads == self.states[0]:
            shape = (self.projected, *shape[1:])
        self.reserve(name, {name: View(identity, reads, blocks)} if views is None else views)
        self.hold(name, shape, initializer, **options)

    def reserve(self, name: str, views: dict[str, View]) -> None:
        """Note how a weight is read. Raises ValueError for a name that means something else, or another weight."""
        if name in self.arguments():
            raise ValueError(f"{type(self).__name__}: a weight can't be named {name!r}; an argument is")
        for view in views:
            if view == "cell" or taken(view):
                raise ValueError(f"{type(self).__name__}: a weight can't be named {view!r}; w has that")
        seen = {view for others in self.views.values() for view in others}
        for twice in ({name} & self.views.keys()) | (views.keys() & seen):
            raise ValueError(f"{type(self).__name__}: a weight can't be named {twice!r}; another is")
        self.views[name] = views

    def bind(self, call: Call) -> Weights:
        """The weights as `inputs` and `step` read them. Noise for the call is drawn here, by wrappers."""
        items: dict[str, Any] = {}
        for name, views in self.views.items():
            tensor = None if getattr(self, name) is None else self.tensor(name)
            if tensor is None:
                items |= dict.fromkeys(views, 0)
            else:
                parts = views.seen(tensor) if isinstance(views, Split) else [tensor] * len(views)
                items |= {name: view.of(part) for (name, view), part in zip(views.items(), parts, strict=True)}
        return Weights(items)

    def inputs(self, x: Tensor, w: Weights) -> Any:
        """What of a step depends on its input alone, a structure of tensors; by default the input.

        x: a sequence, (steps, batch, features), before the loop; or one moment, (batch, features), in
        the step of a wrapper that makes its cell's input. Of a sequence the products are `Projection`s.
        """
        return x

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        """One time step, a pure function of what `inputs` gave, a tuple of states and the weights.

        Returns the output and the tuple of new states. Draws nothing, reads of `self` the
        constructor's arguments alone.
        """
        raise NotImplementedError

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        """What concerns all outputs, (steps, batch, features), and no state. It keeps their width."""
        return outputs

    def advance(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        """`step`, its results checked: the output's width, and the number, shapes and dtypes of the states.

        States stay as they are, but a first state that is `projected` has the output's width until it is. Raises
        ValueError for a step that returns anything else.
        """
        returned = self.step(x, state, w)
        name, count = type(self).__name__, len(self.states)
        if not (isinstance(returned, tuple | list) and len(returned) == 2):
            what = "a tensor" if hasattr(returned, "shape") else repr(returned)
            what = f"{len(returned)} things" if isinstance(returned, tuple | list) else what
            raise ValueError(f"{name}.step must return (output, new states), got {what}")
        output, new = returned
        shape, width = tuple(getattr(output, "shape", ())), getattr(self, "output_size", None)
        if shape[-1:] not in ((width,), (None,)) and width is not None:
            raise ValueError(f"{name}.step: the output must have {width} features, its output_size, got shape {shape}")
        if not isinstance(new, tuple | list) or len(new) != count:
            got = str(len(new)) if isinstance(new, tuple | list) else "a bare tensor"
            raise ValueError(f"{name}.step must return {count} new states, a tuple; got {got}")
        for state_name, before, now in zip(self.states, state, new, strict=True):
            if not hasattr(now, "shape"):
                raise ValueError(f"{name}.step: the state {state_name!r} must be a tensor, got {now!r}")
            first = 2 if isinstance(before, Before) else 1  # of the axes that must stay
            shape = tuple(before.shape)
            if self.projected and state_name == self.states[0]:
                shape = (shape[0], self.output_size)
            if tuple(now.shape[first:]) != shape[first:] or now.dtype != before.dtype:
                wanted, found = (
                    f"{keras.backend.standardize_dtype(dtype)} of shape {shape}"
                    for dtype, shape in ((before.dtype, shape), (now.dtype, tuple(now.shape)))
                )
                raise ValueError(f"{name}.step: the state {state_name!r} must stay {wanted}, got {found}")
        return output, tuple(new)

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple[Tensor, list]:
        """One step as Keras's own RNN layers ask for it."""
        if training and self.fixes_noise_along_time:
            raise ValueError(
                f"{type(self).__name__} draws its masks once a sequence; a loop over `call` would "
                "draw them at each step. Run the cell in tfcells.RNN."
            )
        if len(inputs.shape) != 2:
            raise ValueError(f"inputs must have shape (batch, features), got {tuple(inputs.shape)}")
        self.check_features(inputs.shape[-1])
        state = fitting("states", states, self.state_shapes(inputs.shape[0]))
        for name, each in zip(self.states, state, strict=True):
            if name in self.clocks and keras.backend.standardize_dtype(each.dtype) in ("float16", "bfloat16"):
                kind = type(self).__name__
                raise ValueError(
                    f"{kind} counts in {name!r}, for which half precision is too coarse: run it in tfcells.RNN"
                )
        w = self.bind(Call(1, ops.shape(inputs)[0], inputs.shape[-1], training))
        w = w.at(keras.tree.map_structure(lambda x: x[0], w.along_time()))
        x = multiplied(self.inputs(inputs, w.deferred()))  # so that a cell may do here what it may in RNN
        output, new = self.advance(x, tuple(state), w)
        return self.finish(output, w), list(new) if keras.tree.is_nested(states) else new[0]

    def check_features(self, features: int) -> None:
        """Raises ValueError for an input of another width than the weights were made for."""
        config = self.get_build_config() or {}
        built = (config.get("input_shape") or (features,))[-1]
        if features not in (built, None):
            raise ValueError(f"{type(self).__name__} is built for inputs of {built} features, got {features}")

    @property
    def fixes_noise_along_time(self) -> bool:
        """Whether `bind` draws something that has to last for the whole sequence."""
        return False

    @classmethod
    def steps_at_once(cls) -> bool:
        """Whether its step can take all steps at once: the class that has the step says so."""
        author = next(base for base in cls.__mro__ if "step" in vars(base))
        return vars(author).get("linear", False)

    @property
    def takes_all_steps(self) -> bool:
        """The same of a cell with all that is inside it."""
        return self.steps_at_once()

    @property
    def state_size(self) -> list[Any]:
        """The size of each state, or the tuple of its sizes."""
        return [self.projected or self.units, *[self.units] * (len(self.states) - 1)]

    @property
    def output_size(self) -> int:
        return self.units

    @property
    def carried(self) -> list[str]:
        """The names of the states that wrappers may change."""
        return [name for name in self.states if name not in self.clocks | self.records]

    def narrow(self, width: int) -> None:
        """Have the kernels read a first state of that width: `Projection` makes it of the output."""
        if self.built and self.projected != width:
            raise ValueError(f"cell: {type(self).__name__} must not be built before it is in a Projection")
        self.projected = width

    def get_build_config(self) -> dict[str, Any] | None:
        config = super().get_build_config()
        return config | {"projected": self.projected} if config and self.projected else config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as before saving. Keras does so before the cell is given to its wrapper."""
        if config.get("projected"):
            self.narrow(config["projected"])
        super().build_from_config({name: value for name, value in config.items() if name != "projected"})

    def load_own_variables(self, store: Any) -> None:
        """Called by Keras. Raises ValueError where a file has nothing for this cell, and says what may read it."""
        if self.views and not store.keys():
            raise ValueError(
                f"the file has no weights for {type(self).__name__}. If it is of a model with Keras's own layers, as "
                "keras.layers.LSTM, tfcells.load_keras_weights(model, path) loads it"
            )
        super().load_own_variables(store)

    def state_shapes(self, batch_size: Any) -> list[tuple]:
        """The shape of each state."""
        return [shape_of(batch_size, size) for size in self.state_size]

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        """Zeros, as many as a batch needs."""
        return self.zeros(batch_size, dict(zip(self.states, self.state_size, strict=True)))

    def zeros(self, batch_size: Any, sizes: dict[str, Any]) -> list[Tensor]:
        """States of these sizes."""
        return [ops.zeros(shape_of(batch_size, size), dtype=self.state_dtype(name)) for name, size in sizes.items()]

    def state_dtype(self, name: str) -> str:
        """The dtype of a state: of counters of steps single precision at least."""
        return keras.backend.result_type(self.compute_dtype, "float32") if name in self.clocks else self.compute_dtype

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | ({} if self.dtype_is_explicit else {"dtype_is_explicit": False})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        explicit = config.pop("dtype_is_explicit", True)
        cell = super().from_config(config)
        cell.dtype_is_explicit = explicit
        return cell

    def adopt_dtype(self, policy: Any) -> None:
        """Take the dtype policy of the layer that runs this cell, unless it was given its own.

        Raises ValueError for a dtype in which Keras does not compute: on JAX and PyTorch float64 becomes float32.
        """
        backend, dtype = keras.backend.backend(), policy.compute_dtype
        if keras.backend.result_type(dtype) != dtype:
            becomes = f"Keras makes {keras.backend.result_type(dtype)} of {dtype} on {backend}"
            raise ValueError(
                f'dtype must be "float32", "float16", "bfloat16" or a mixed policy, got {policy.name}: {becomes}'
            )
        policy = as_quantized(policy, self.quantization_mode)
        if self.dtype_policy == policy:
            return
        if self.dtype_is_explicit:
            raise ValueError(
                f"dtype: the layer's policy is {policy.name}, its cell's {self.dtype_policy.name}; "
                "give the layer the cell's dtype, or neither"
            )
        if self.built:
            raise ValueError(f"dtype: the cell is already built with {self.dtype_policy.name}")
        self.dtype_policy = policy


def fitting(name: str, given: Any, wanted: list) -> list:
    """States as a flat list; a single one needs no list. Raises ValueError for other shapes than those wanted."""
    if isinstance(given, dict):
        raise ValueError(f"{name} must be a list of tensors of shapes {wanted}, in this order, got a dict")
    states = [ops.convert_to_tensor(x) for x in keras.tree.flatten(given)]
    shapes = [tuple(x.shape) for x in states]
    if len(shapes) != len(wanted) or not all(map(fits, shapes, wanted)):
        raise ValueError(f"{name} must be tensors of shapes {wanted}, got {shapes}")
    return states


def shape_of(batch_size: Any, size: Any) -> tuple:
    """The shape of a state: its size is a number, or the tuple of its sizes."""
    return (batch_size, *(size if isinstance(size, tuple) else (size,)))


def fits(shape: tuple, wanted: tuple) -> bool:
    """Whether two shapes agree wherever both are known."""
    return len(shape) == len(wanted) and all(
        None in (a, b) or a == b or not isinstance(b, int) for a, b in zip(shape, wanted)
    )
