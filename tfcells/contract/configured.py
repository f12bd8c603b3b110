"""What cells, wrappers and layers share: a configuration by their signature, and seeds."""

import inspect
from typing import Any

import keras

VARIABLE = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


class Configured:
    """Stands before a Keras layer among the bases: every constructor argument is an attribute of that name.

    Subclasses are registered under the package `tfcells`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("tfcells")(cls)

    def draw_from(self, seed: int | None) -> None:
        """Keep a seed, and the generator of random numbers that begins with it."""
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    @classmethod
    def arguments(cls) -> list[str]:
        """The names of the constructor's arguments, those of its bases in tfcells included."""
        names: dict[str, None] = {}
        for base in cls.__mro__[: cls.__mro__.index(Configured)]:
            own = vars(base).get("__init__")
            for parameter in inspect.signature(own).parameters.values() if own else ():
                if parameter.name != "self" and parameter.kind not in VARIABLE:
                    names[parameter.name] = None
        return list(names)

    def get_config(self) -> dict[str, Any]:
        config = {name: getattr(self, name) for name in self.arguments()}
        return super().get_config() | {  # type: ignore[misc]
            name: keras.saving.serialize_keras_object(value) for name, value in config.items()
        }
