"""What a recipe is: a frozen dataclass whose types say what each field may hold.

A field's type is all of its check: ``Rate`` is a number in [0, 1), and 1.7 is refused by name.
Neither Keras nor TensorFlow is imported where a recipe is read, so a mistake on the command line is
answered at once.
"""

import dataclasses
import difflib
import math
import types
import typing
from typing import Annotated, Literal, NamedTuple


class InputError(ValueError):
    """A bad argument, corpus or run folder: the message names the culprit and what would do."""


class Allowed(NamedTuple):
    """The values a field may take: in words, and as the bounds of ``low <= value <= high``."""

    words: str
    low: float
    high: float


LARGEST, BELOW_ONE = 1_000_000, math.nextafter(1, 0)
TINY, FINITE = 1e-37, 3e38  # what float32 can hold

Few = Annotated[int, Allowed("a whole number from 1 to 100", 1, 100)]
Count = Annotated[int, Allowed("a whole number from 1 to 1000000", 1, LARGEST)]
Whole = Annotated[int, Allowed("a whole number from 0 to 1000000", 0, LARGEST)]
Rate = Annotated[float, Allowed("a number in [0, 1)", 0, BELOW_ONE)]
Positive = Annotated[float, Allowed("a number above 0, to 3e38", TINY, FINITE)]
NonNegative = Annotated[float, Allowed("a number from 0 to 3e38", 0, FINITE)]
Number = Annotated[float, Allowed("a number from -3e38 to 3e38", -FINITE, FINITE)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, whatever the task: each task extends it with its network and its data.

    The learning rate of an epoch (counted from 1) is

        learning_rate * decay ** max(epoch - decay_after, 0)

    which is Zaremba's schedule. It rises to that along a line through the first ``warm_up`` epochs,
    and falls to zero at the end of the last, along a line or half a cosine, if ``anneal`` says so.
    The gradient of the objective is clipped at ``clip_norm``, by its norm over all weights.
    Every step takes rate * weight_decay * w off each weight w, but off biases, gains and shifts only
    with ``decay_all``. With ``patience``, training ends once so many epochs in a row brought no new
    best on validation; rates fall as if it went on to the last of ``epochs``.

    A batch is worked on as so many ``shards`` at once: two cores are busier with half a batch each
    than with one together. All but rounding and random numbers is as if it were one.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Positive
    patience: Count | None = None
    steps_per_epoch: Count | None = None
    optimizer: Literal["sgd", "adam"] = "sgd"
    decay: Positive = 1.0
    decay_after: Whole = 0
    warm_up: NonNegative = 0.0
    anneal: Literal["none", "linear", "cosine"] = "none"
    clip_norm: Positive | None = None
    weight_decay: NonNegative = 0.0
    decay_all: bool = False
    shards: Count = 2

    loss = "mean"  # of the losses of a batch; or their sum over time, averaged over the sequences

    def __post_init__(self):
        for name, hint in fields(self).items():
            value = getattr(self, name)
            if not holds(hint, value):
                raise InputError(f"{name}={value!r}: must be {describe(hint)}")
            if type(value) is int and real(hint):
                object.__setattr__(self, name, float(value))  # Keras takes no learning rate of 1

    def replace(self, **texts: str) -> typing.Self:
        """This recipe with some fields read from text, as a command line gives them."""
        hints = fields(self)
        for name in texts:
            if name not in hints:
                raise InputError(
                    f"{type(self).__name__} has no field {name!r}{nearest(name, hints)}"
                )
        return dataclasses.replace(
            self, **{name: read(name, hints[name], text) for name, text in texts.items()}
        )

    def rate(self, epoch: int, step: int, steps: int) -> float:
        """The learning rate of a step; both counted from 0, of so many steps an epoch."""
        done = epoch + step / steps
        rate = self.learning_rate * self.decay ** max(epoch + 1 - self.decay_after, 0)
        if done < self.warm_up:
            return rate * (done + 1 / steps) / (self.warm_up + 1 / steps)
        left = (self.epochs - done) / max(self.epochs - self.warm_up, 1 / steps)
        match self.anneal:
            case "linear":
                return rate * left
            case "cosine":
                return rate * (1 - math.cos(math.pi * left)) / 2
        return rate

    def scalars(self, build) -> int:
        """The trainable scalars of the model that a function builds, without making a single one."""
        import keras

        with keras.StatelessScope(initialize_variables=False):
            return sum(math.prod(weight.shape) for weight in build().trainable_weights)

    def initial_state(self, model, batch_size: int) -> list:
        """The state before the first step of all layers, if the model takes it and gives it."""
        import keras

        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
        wanted = model.outputs[1:]
        state = [s for layer in layers if wanted for s in layer.get_initial_state(batch_size)]
        return [keras.ops.cast(s, end.dtype) for s, end in zip(state, wanted, strict=True)]


class Size(NamedTuple):
    """A recipe beside the score it has to reach: what was published, where, and ours."""

    recipe: Recipe
    paper: str
    source: str
    published: str = ""
    own: str = ""


def fields(recipe: Recipe | type[Recipe]) -> dict[str, typing.Any]:
    """The names of a recipe's fields, each with its type."""
    hints = typing.get_type_hints(
        recipe if isinstance(recipe, type) else type(recipe), include_extras=True
    )
    return {field.name: hints[field.name] for field in dataclasses.fields(recipe)}


def differences(one: Recipe, other: Recipe) -> list[str]:
    """The fields in which two recipes differ, as 'units=200 (was 100)'."""
    return differing(dataclasses.asdict(one), dataclasses.asdict(other))


def differing(one: dict, other: dict) -> list[str]:
    """The entries in which one dict differs from another, of dicts within too."""
    found = []
    for name in one | other:
        value, before = one.get(name), other.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            found += differing(value, before)
        elif value != before:
            found.append(f"{name}={value!r} (was {before!r})")
    return found


def nearest(name: str, names: typing.Iterable[str]) -> str:
    """The end of an error message: the nearest valid names, or all of them where none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(names)}"


def describe(hint) -> str:
    """A type in words, for a message."""
    if hint is bool:
        return "true or false"
    if hint is types.NoneType:
        return "none"
    if hint is str:
        return "a text"
    if typing.get_origin(hint) is Literal:
        return " or ".join(typing.get_args(hint))
    if typing.get_origin(hint) is Annotated:
        return hint.__metadata__[0].words
    return " or ".join(describe(option) for option in typing.get_args(hint))


def holds(hint, value) -> bool:
    """Whether a value is of a field's type."""
    if isinstance(hint, type):
        return type(value) is hint
    if typing.get_origin(hint) is Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        allowed = hint.__metadata__[0]
        whole = type(value) is int
        return (whole or type(value) is hint.__origin__) and allowed.low <= value <= allowed.high
    return any(holds(option, value) for option in typing.get_args(hint))


def real(hint) -> bool:
    """Whether a type is that of a float, perhaps None."""
    if typing.get_origin(hint) is Annotated:
        return hint.__origin__ is float
    return any(map(real, typing.get_args(hint)))


def read(name: str, hint, text: str):
    """The value a text stands for."""
    for convert in (
        {"none": None, "true": True, "false": False}.__getitem__,
        int,
        float,
        str,
    ):
        try:
            value = convert(text)
        except (KeyError, ValueError):
            continue
        if holds(hint, value):
            return value
    raise InputError(f"{name}={text}: must be {describe(hint)}")
