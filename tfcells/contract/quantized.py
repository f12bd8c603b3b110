"""Kernels as whole numbers: what `model.quantize("int8")` makes of a cell."""

import weakref
from typing import Any

import keras
from keras import ops

from tfcells.contract.linear import Tensor


class Quantizable:
    """Stands before a Keras layer among the bases: its declared kernels may be int8, with a scale for each column.

    Kernels are the matrices that are not called a bias: a GRU has two rows of those.

    They become floats again when they are bound, so that all computation is what it was.

    around: the wrappers whose cell this is.
    """

    views: dict[str, Any]
    dtype_policy: Any
    around: "weakref.WeakSet[Quantizable]"

    def hold(self: Any, name: str, shape: tuple[int, ...], initializer: Any, **options: Any) -> None:
        """Make the variable of a weight, the attribute `name`; of a kernel in int8 also that of its scales."""
        if self.quantization_mode not in (None, "int8"):
            raise ValueError(f"dtype must be a policy of floats or of int8, got {self.dtype_policy.name}")
        if not self.quantization_mode or len(shape) < 2 or not shape[-2] or "bias" in name:
            setattr(self, name, self.add_weight(shape, initializer, name=name, **options))
            return
        self._is_quantized = True  # Keras asks for it
        scales = {"shape": (*shape[:-2], 1, shape[-1]), "initializer": "ones", "autocast": False}
        setattr(self, name, self.add_weight(shape, "zeros", "int8", trainable=False, name=name))
        setattr(self, f"{name}_scale", self.add_weight(**scales, trainable=False, name=f"{name}_scale"))

    def tensor(self: Any, name: str) -> Tensor:
        """A weight as it is computed with."""
        variable = getattr(self, name)
        if keras.backend.standardize_dtype(variable.dtype) != "int8":
            return ops.convert_to_tensor(variable)
        scale = ops.convert_to_tensor(getattr(self, f"{name}_scale"))
        return ops.cast(ops.cast(variable, scale.dtype) / scale, self.compute_dtype)

    def quantize(self: Any, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Build again with kernels in int8, not to be trained, and so the wrappers around. Other weights stay the same.

        `model.quantize("int8")` calls it for the innermost cells alone. Raises NotImplementedError, of which
        `model.quantize` makes a warning, for what cells have not: another mode, or a config's own weight_quantizer.
        Raises ValueError for a cell that is quantized.
        """
        kind = type(self).__name__
        if mode != "int8":
            raise NotImplementedError(f'{kind} stays as it is: mode must be "int8" for cells, got {mode!r}')
        if config is not None and config.weight_quantizer is not None:
            raise NotImplementedError(f"{kind} stays as it is: the config's weight_quantizer must be None for cells")
        if self.quantization_mode:
            raise ValueError(f"{kind} {self.name!r} is already quantized, with the policy {self.dtype_policy.name}")
        weights = {name: each for name, each in vars(self).items() if isinstance(each, keras.Variable)}
        for each in weights.values():
            self._untrack_variable(each)  # as `del` does, which takes a garbage collection for each
        shape = self.get_build_config()["input_shape"]
        self.views, self.built, self._is_quantized = {}, False, True
        self.dtype_policy = f"int8_from_{self.dtype_policy.name}"
        self._tracker.unlock()  # Keras 3.16 locks what has been built; `build` locks it again
        self.build(shape)
        names = {id(each): name for name, each in vars(self).items() if isinstance(each, keras.Variable)}
        tracked = [each for each in (*self._trainable_variables, *self._non_trainable_variables) if id(each) in names]
        made, locked = {names[id(each)]: each for each in tracked}, self._tracker.locked
        for each in tracked:
            self._untrack_variable(each)
        self._tracker.unlock()
        for name, variable in made.items():  # in the order of files
            if f"{name}_scale" in made:
                value, scale = keras.quantizers.abs_max_quantize(weights[name], axis=-2, to_numpy=True)
                variable.assign(value)
                made[f"{name}_scale"].assign(scale)
            else:
                variable = weights.get(name, variable)  # an optimizer may know the old one
            self._track_variable(variable)
            setattr(self, name, variable)
        if locked:
            self._tracker.lock()
        for wrapper in self.around:
            if wrapper.built and not wrapper.quantization_mode:
                wrapper.quantize(mode, config=config)

    def quantized_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The step of a quantized cell as Keras's own RNN layers ask for it."""
        return self.call(*args, **kwargs)


def as_quantized(policy: Any, mode: str | None) -> Any:
    """The policy of a quantized cell in a layer that has the policy given."""
    return keras.dtype_policies.get(f"{mode}_from_{policy.name}") if mode else policy
