"""What cells, wrappers and layers share: a configuration by their signature, and seeds."""

import difflib
import functools
import inspect
from typing import Any

import keras

OF_CELLS = "units", "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer"
OF_LAYERS = (
    "activity_regularizer",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
)
ELSEWHERE = {
    "dropout": "wrap the cell: tfcells.VariationalDropout(cell, input_rate=...)",
    "recurrent_dropout": "wrap the cell: tfcells.VariationalDropout(cell, state_rate=...), or "
    "tfcells.RecurrentDropout, tfcells.Zoneout, tfcells.WeightDrop",
    "rate": "tfcells.VariationalDropout has input_rate, state_rate and output_rate",
    "unit_forget_bias": "give forget_bias=1.0, which is the default, or forget_bias=0.0",
    "seed": "give a seed to each initializer, and to each wrapper that draws masks",
    "implementation": "there is one implementation",
    "use_cudnn": "there is one implementation",
    "time_major": "sequences are (batch, steps, features), so give keras.ops.swapaxes(sequences, 0, 1)",
    **{name: f"cells have it, as tfcells.LSTMCell(..., {name}=...)" for name in OF_CELLS},
    **{name: f"the layer has it: tfcells.RNN(cell, {name}=...)" for name in OF_LAYERS},
}
"""Arguments of Keras's cells and layers that may be given to the wrong one, or to one that has none, and what to do."""

VARIABLE = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


class Shown:
    """The signature of a class, as `inspect.signature` asks for it; an instance has that of its own `__call__`."""

    def __get__(self, instance: Any, owner: Any) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        return signature_of(owner)


class Configured:
    """Stands before a Keras layer among the bases: every constructor argument is an attribute of that name.

    Subclasses are registered under the package `tfcells`.

    live: the arguments of the class that may be set later, as `keras.layers.Dropout.rate` may. They are checked as the
    constructor checks them. All others raise a ValueError: `build` reads them, so that a change would come too late.
    A function traced before, as `fit` makes one, keeps the old value, as it does with Keras's own layers.

    of_keras: the arguments of any Keras layer that the class takes, too.
    """

    __signature__ = Shown()
    live: frozenset[str] = frozenset()
    of_keras = frozenset({*inspect.signature(keras.layers.Layer.__init__).parameters, "input_shape", "input_dim"})

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Raise TypeError for a missing argument, and name this class: the constructor may be a base's."""
        try:
            constructor(cls).bind(None, *args, **kwargs)  # type: ignore[arg-type]
        except TypeError as error:
            parameters = inspect.signature(cls).parameters.values()
            needed = ", ".join(
                each.name for each in parameters if each.default is each.empty and each.kind not in VARIABLE
            )
            raise TypeError(f"{cls.__name__}: {error}; it needs {needed}") from None
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        known = self.arguments()
        for name in [each for each in kwargs if each not in (*known, *self.of_keras)]:
            near = difflib.get_close_matches(name, known, 1, 0.85)
            there = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            lacking = name in OF_CELLS and "units" in known  # a cell that has it not
            raise ValueError(
                f"{type(self).__name__} has no argument {name!r}: {there if lacking else ELSEWHERE.get(name, there)}"
            )
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("tfcells")(cls)

    def draw_from(self, seed: int | None) -> None:
        """Keep a seed, and the generator of random numbers that begins with it."""
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        variable = self.generator.state.value
        if hasattr(variable, "assign"):  # TensorFlow's, for tf.train.Checkpoint, from which Keras hides generators
            self._track_trackable(variable, "generator")  # type: ignore[attr-defined]

    @classmethod
    def arguments(cls) -> dict[str, type]:
        """The constructor's arguments, its bases' included, and for each the class that takes it."""
        return arguments_of(cls)  # type: ignore[arg-type]

    @classmethod
    def signature(cls) -> inspect.Signature:
        """What `help` and editors show: the constructor's own arguments, then those that it hands on to its bases."""
        every = constructor(cls).parameters.values()  # type: ignore[arg-type]
        own = [each for each in every if each.kind not in VARIABLE][1:]
        handed = {name: owner for name, owner in cls.arguments().items() if name not in {each.name for each in own}}
        theirs = [constructor(owner).parameters[name] for name, owner in handed.items()]
        by_name = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in theirs]
        return inspect.Signature([*own, *by_name, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self) and name in self.arguments():
            value = self.checked(name, value)
        super().__setattr__(name, value)
        if name in self.arguments():
            vars(self).setdefault(name, value)  # Keras leaves out what is the class's value already

    def is_live(self, name: str) -> bool:
        return any(name in vars(base).get("live", ()) for base in type(self).__mro__)

    def checked(self, name: str, value: Any) -> Any:
        """A new value of an argument, as the constructor keeps it. Raises ValueError if it can't be set later."""
        if not self.is_live(name):
            raise ValueError(f"{name} can't be set later: give it to the constructor of a new {type(self).__name__}")
        owner, twin = self.arguments()[name], super().__new__(type(self))
        named, others = parameters(owner)
        given = {each: getattr(self, each) for each in named} | {name: value}
        given |= {"dtype": self.dtype_policy} if others else {}  # type: ignore[attr-defined]
        given |= {"seed": 0} if "seed" in given else {}  # None would draw one
        owner.__init__(twin, **given)  # type: ignore[misc]
        return getattr(twin, name)

    def given(self) -> dict[str, Any]:
        """The constructor's arguments, by name. Raises AttributeError for one that the constructor did not keep."""
        for name in self.arguments():
            if not hasattr(self, name):
                kind = type(self).__name__
                raise AttributeError(f"{kind}.__init__ must keep its argument {name!r}, as in self.{name} = {name}")
        return {name: getattr(self, name) for name in self.arguments()}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {  # type: ignore[misc]
            name: unbuilt(keras.saving.serialize_keras_object(value)) for name, value in self.given().items()
        }


def unbuilt(config: Any) -> Any:
    """A configuration whose cells wait for their layer to build them, as they may have to take its dtype."""
    if isinstance(config, dict):
        config.pop("build_config", None)  # in place: Keras marks in it what is shared
    for inner in config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ():
        unbuilt(inner)
    return config


@functools.cache
def constructor(cls: type) -> inspect.Signature:
    return inspect.signature(cls.__init__)  # type: ignore[misc]


@functools.cache
def signature_of(cls: type[Configured]) -> inspect.Signature:
    return cls.signature()


@functools.cache
def arguments_of(cls: type) -> dict[str, type]:
    bases = cls.__mro__[: cls.__mro__.index(keras.layers.Layer)]
    return {name: base for base in reversed(bases) if "__init__" in vars(base) for name in parameters(base)[0]}


def parameters(cls: type) -> tuple[list[str], bool]:
    """The arguments that the constructor of a class names, and whether it takes others."""
    found = list(constructor(cls).parameters.values())[1:]
    named = [parameter.name for parameter in found if parameter.kind not in VARIABLE]
    return named, any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in found)
