"""A recipe: a frozen dataclass whose types say what each field may hold.

Neither Keras nor TensorFlow is imported where a recipe is read, so a mistake on the command line is
answered at once.
"""

import concurrent.futures
import dataclasses
import functools
import inspect
import math
import re
import typing
from typing import Any, Literal, NamedTuple

from lab.cells import KINDS, REQUIRED, CellName, WrapperName, arguments, check_arguments, make, make_cell, meaning
from lab.configuration import configure
from lab.fields import (
    Count,
    Few,
    Hint,
    InputError,
    NonNegative,
    Positive,
    Rate,
    Whole,
    checked,
    nearest,
    read,
    written,
)
from lab.task import Batches, D, Model, Task, Tensor

RENAMED = {"signal_units": "cell.embedding_units", "lr": "learning_rate"}
"""Other names of fields, which flags and runs may use: those of version 0.1, and what everybody types."""

NEEDS = {"decay_after": "decay", "decay_all": "weight_decay", "init_biases": "init_scale"}
"""Fields without effect while another has its default: nobody may ask for them then."""

FIXED = "cell", "init_biases"
"""The fields that a target had fixed in version 0.1: its runs do not name them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Task[D]):
    """A network's cell and how it is trained; each task extends this.

    cell: the recurrent cell of every layer, a name of --list
    wrapper: what goes around each layer's cell, a name of --list or none
    units: hidden units of a layer
    layers: recurrent layers, one on another
    epochs: passes over the training data
    batch_size: sequences trained on at once
    learning_rate: the learning rate, before decay, warm_up and anneal
    patience: epochs without a better validation loss after which training ends, or none
    steps_per_epoch: steps of the optimizer in an epoch, the first ones in its order, or none for all data
    optimizer: how a gradient changes the weights
    decay: the factor of the learning rate in each epoch after decay_after
    decay_after: epochs before the learning rate decays
    warm_up: epochs in which the learning rate rises from 0
    anneal: how the learning rate falls to 0 by the end of the last epoch
    clip_norm: the largest norm of the gradient over all weights, or none
    weight_decay: the share of a weight that a step subtracts, times the learning rate
    decay_all: let biases, gains and shifts decay, too
    ema: decay of the averaged weights that are validated, tested and kept, 0 for none
    shards: parts of a batch that are computed at once

    The learning rate of an epoch, counted from 1, is

        learning_rate * decay ** max(epoch - decay_after, 0)

    which is Zaremba's schedule. During the first ``warm_up`` epochs it rises to that along a line. With ``anneal`` it
    falls to zero along a line or half a cosine. With ``patience`` it falls as if training went on to the last of
    ``epochs``. ``ema`` keeps the average ema * average + (1 - ema) * w after each step.

    Two ``shards`` keep two cores busier than one. Only rounding and random numbers depend on them.
    """

    cell: CellName = "LSTMCell"
    cell_arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrapper: WrapperName | None = None
    wrapper_arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    units: Count
    layers: Few = 1
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
    ema: Rate = 0.0
    shards: Count = 2

    def __post_init__(self) -> None:
        for name, hint in fields(type(self)).items():
            object.__setattr__(self, name, checked(name, hint, getattr(self, name)))
        for kind in KINDS:
            given = getattr(self, f"{kind}_arguments")
            given = check_arguments(kind, getattr(self, kind), given)
            object.__setattr__(self, f"{kind}_arguments", given)

    def values(self) -> dict[str, Any]:
        """The values of the fields by the names of their flags: {"units": 3, "cell.depth": 2}."""
        found = {name: getattr(self, name) for name in fields(type(self))}
        for kind in KINDS:
            given = getattr(self, f"{kind}_arguments")
            found |= {f"{kind}.{name}": value for name, value in given.items()}
        return found

    def with_values(self, values: dict[str, Any]) -> typing.Self:
        """A recipe of the same task with these values alone, by the names of their flags.

        Values of version 0.1 lack what their target fixed: here it comes from this recipe.
        """
        if "cell" not in values:
            values = {n: v for n, v in self.values().items() if n in FIXED} | values
        hints = fields(type(self))
        classes = {kind: checked(kind, hints[kind], values.get(kind)) for kind in KINDS}
        known = known_fields(type(self), classes)
        return self.of({full_name(n, known, classes): v for n, v in values.items()})

    def replace(self, **texts: str) -> typing.Self:
        """This recipe with some fields read from text, as a command line gives them.

        A new cell gets those of the old one's arguments that it has, too.
        """
        known, values = self.known(**{kind: texts[kind] for kind in KINDS if kind in texts})
        names: dict[str, str] = {}
        for name, text in texts.items():
            if name not in KINDS:
                full = full_name(name, known, values)
                if names.setdefault(full, name) != name:
                    raise InputError(f"{name}: must not be given with {names[full]}, which is the same")
                values[full] = read(name, known[full], text)
        made = self.of(values)
        defaults = {name: each.default for name, each in type(self).__dataclass_fields__.items()}
        for name, needed in NEEDS.items():
            if name in names and getattr(made, name) != defaults[name] and getattr(made, needed) == defaults[needed]:
                raise InputError(f"{name}={written(getattr(made, name))}: must not be given without {needed}")
        return made

    def known(self, **classes: str) -> tuple[dict[str, Hint], dict[str, Any]]:
        """The fields of this recipe with another cell or wrapper, and of their values those that stay."""
        values, hints = self.values(), fields(type(self))
        values |= {kind: read(kind, hints[kind], text) for kind, text in classes.items()}
        known = known_fields(type(self), values)
        return known, {name: value for name, value in values.items() if name in known}

    def of(self, values: dict[str, Any]) -> typing.Self:
        """A recipe of the same task with these values, by their full names."""
        plain = {name: value for name, value in values.items() if "." not in name}
        for kind in KINDS:
            plain[f"{kind}_arguments"] = {
                name.removeprefix(f"{kind}."): value for name, value in values.items() if name.startswith(f"{kind}.")
            }
        return type(self)(**plain)

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

    # What tasks share.

    def make_cell(self, **more: Any) -> Any:
        """A layer's cell in the recipe's wrapper. more: arguments of every cell, such as initializers."""
        return self.wrapped(make_cell(self.cell, self.units, self.cell_arguments, **more))

    def wrapped(self, cell: Any) -> Any:
        """A cell inside the recipe's wrapper, if there is one."""
        if not self.wrapper:
            return cell
        wrapped = make("wrapper", self.wrapper, cell, **self.wrapper_arguments)
        for what, asked in (("a memory, as there is none", "attends"), ("flags, as there are none", "reset_by_flag")):
            if getattr(wrapped, asked, False) and not getattr(cell, asked, False):
                raise InputError(f"wrapper={self.wrapper}: must not read {what} here")
        return wrapped

    def taken(self, batches: Batches) -> Batches:
        """An epoch's batches, or the first ``steps_per_epoch`` of them."""
        return batches.take(self.steps_per_epoch) if self.steps_per_epoch else batches

    def check_steps(self, steps: int) -> None:
        """Raises InputError for epochs of more steps than there are."""
        if self.steps_per_epoch and self.steps_per_epoch > steps:
            raise InputError(f"steps_per_epoch={self.steps_per_epoch}: an epoch has only {steps} steps")

    def initial_state(self, model: Model, batch_size: int) -> list[Tensor]:
        """The state before the first step of all layers, if the model takes it and gives it."""
        import keras

        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]
        wanted = model.outputs[1:]
        state = [s for layer in layers if wanted for s in layer.get_initial_state(batch_size)]
        return [keras.ops.cast(s, end.dtype) for s, end in zip(state, wanted, strict=True)]

    def parameters(self, data: D | None = None) -> int:
        """The number of trainable scalars, tied ones once, counted without making any."""
        model = self.outline(self.recall(None) if data is None else data)
        return sum(math.prod(weight.shape) for weight in model.trainable_weights)

    def outline(self, data: D) -> Model:
        """The network, its weights without values; an InputError where the layers don't fit together.

        Made in a thread of its own, which takes along the list of these weights: Keras gives values to all that are on
        a thread's list when it next builds a model there.
        """
        configure()
        import keras

        def build() -> Model:
            configure()
            with keras.StatelessScope(initialize_variables=False):
                return self.build(data)

        try:
            with concurrent.futures.ThreadPoolExecutor(1) as thread:
                return thread.submit(build).result()
        except InputError:
            raise
        except ValueError as error:
            reason = next(line for line in str(error).splitlines() if line).removeprefix("sequences: ")
            raise InputError(f"cell={self.cell}, wrapper={self.wrapper}: {reason}") from error

    @property
    def speed_name(self) -> str:
        """The name of predictions per second in result.json: "words_per_second"."""
        return f"{self.unit}_per_second"

    def describe(self, data: D) -> dict[str, object]:
        return {"unit": self.unit}

    @property
    def numpy_cells(self) -> tuple[str, ...]:
        return ()

    def in_numpy(self, data: D, dtype: str) -> tuple[Any, Any]:
        raise NotImplementedError

    def score(self, loss: float) -> float:
        return loss

    def measures(self, model: Model, data: D, split: str) -> dict[str, float]:
        return {}

    def scorer(self, model: Model, data: D, remember: Any) -> Any:
        """What reads texts by methods that score better, of a language model."""
        raise InputError(
            "--dynamic, --cache, --temperature, --mc_dropout, --tune: must be given for a language model only"
        )

    def reached(self, facts: dict[str, Any]) -> bool:
        return False


class Size(NamedTuple):
    """A recipe beside its number of parameters and the score it has to reach.

    source: of the published score. published, own: validation / test, or test alone. corpus: what it is trained on by
    default. own: "not trained here" where nobody has.
    """

    recipe: Recipe
    parameters: int
    paper: str
    source: str
    published: str = ""
    own: str = ""
    corpus: str = "auto"


Targets = dict[str, dict[str, Size]]
"""The sizes of every target by name, the default one first."""


def fields(recipe: Any) -> dict[str, Hint]:
    """The names of a recipe's fields, its cell's and wrapper's arguments too, each with its type.

    Of a class, those that do not depend on the cell.
    """
    if isinstance(recipe, type):
        return {**declared(recipe)}
    return known_fields(type(recipe), recipe.values())


@functools.cache
def declared(kind: type) -> dict[str, Hint]:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [each.name for each in dataclasses.fields(kind)]
    return {name: hints[name] for name in names if not name.endswith("_arguments")}


def with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a recipe's fields, and of the arguments of its cell and wrapper that are not given."""
    given = {f"{kind}.{key}": each.default for kind in KINDS for key, each in arguments(values.get(kind)).items()}
    return {name: value for name, value in given.items() if value is not REQUIRED} | values


def meanings(kind: type, values: dict[str, Any] | None = None) -> dict[str, str]:
    """A line about each field: from the docstrings of a class and its bases, of the cell and of the wrapper."""
    docs = (inspect.cleandoc(each.__doc__ or "") for each in reversed(kind.__mro__))
    found = {name: text for doc in docs for name, text in re.findall(r"^(\w+): (.+)$", doc, re.MULTILINE)}
    for part in KINDS:
        if name := (values or {}).get(part):
            found |= {f"{part}.{key}": meaning(name, key) for key in arguments(name)}
    return found


def known_fields(recipe: type[Recipe], classes: dict[str, Any]) -> dict[str, Hint]:
    """The fields of a recipe with that cell and wrapper."""
    found = fields(recipe)
    for kind in KINDS:
        if name := classes.get(kind):
            found |= {f"{kind}.{key}": each.hint for key, each in arguments(name).items()}
    return found


def full_name(name: str, known: dict[str, Hint], classes: dict[str, Any]) -> str:
    """A field's name, which may be given without "cell." before it where nothing else has that name."""
    for full in (name, f"cell.{name}", RENAMED.get(name)):
        if full in known:
            return full
    kind = name.partition(".")[0] if name.startswith(tuple(f"{kind}." for kind in KINDS)) else ""
    near = [each for each in known if each.startswith(f"{kind}." if kind else "")]
    value, kind = classes.get(kind or "cell"), kind or "cell"
    more = nearest(name, near) if near else f"; --{kind} NAME chooses one" if value is None else ""
    if not more and (own := [each for each in known if each.startswith(f"{kind}.")]):
        more = f"; there are {', '.join(own)}"
    raise InputError(f"no field {name!r} with {kind}={written(value)}{more}")


def differences(one: Recipe, other: Recipe) -> list[str]:
    """The fields in which two recipes differ, as 'units=200 (was 100)'."""
    return differing(one.values(), other.values())


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The entries in which one dict differs from another, of dicts within too."""
    found = []
    for name in one | other:
        value, before = one.get(name), other.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            found += differing(value, before)
        elif value != before:
            found.append(f"{name}={value!r} (was {before!r})")
    return found
