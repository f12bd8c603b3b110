"""Regularizers: each wraps any cell, and no cell knows of it."""

import itertools
import warnings
from typing import Any

from keras import ops

from tfcells import masks
from tfcells.checks import flag, probability, require
from tfcells.contract.cell import Call, Cell
from tfcells.contract.linear import Tensor
from tfcells.contract.weights import Kernel, Weights
from tfcells.contract.wrapper import Wrapper, replaced


class Noise(Wrapper):
    """A wrapper that draws masks. seed: of its random numbers, None for one of Keras's own."""

    def __init__(self, cell: Cell | dict, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.draw_from(seed)

    def mask(self, rate: float, *shape: Any, axis: int = 0) -> Tensor:
        """A dropout mask, drawn now. axis: that of the batch's rows."""
        return masks.dropout_mask(shape, rate, self.compute_dtype, self.generator, axis)


class VariationalDropout(Noise):
    r"""Dropout with one mask for a whole sequence, drawn for each sample.

    Each rate is 0 if it is not given.

    input_rate: the probability of dropping an input feature; a time among them is never dropped.
    state_rate: the probability of dropping a unit of what the kernels read of each state; the carry is untouched.
    output_rate: the probability of dropping a unit of the output, and not of the state. Kept values are
    scaled by 1 / (1 - rate); nothing is dropped outside training.
    per_gate: draw a mask for every gate of every kernel that reads a state ("untied"), not one for the state, shared
    over gates and depths ("tied").
    Source: Gal & Ghahramani, 1512.05287, whose untied form has a mask of the inputs for each gate, too;
    for recurrent highway networks Zilly et al., 1607.03474.

    >>> cell = tfcells.VariationalDropout(tfcells.RHNCell(8), input_rate=0.5, state_rate=0.3)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    linear = True
    live = frozenset({"input_rate", "state_rate", "output_rate", "per_gate"})

    def __init__(
        self,
        cell: Cell | dict,
        input_rate: float = 0.0,
        state_rate: float = 0.0,
        output_rate: float = 0.0,
        per_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if "per_kernel" in kwargs:
            message = "per_kernel is now per_gate; the old name will be removed in 0.4"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            per_gate = kwargs.pop("per_kernel")
        self.needs = frozenset({"kernel"} if state_rate else ())
        super().__init__(cell, seed, **kwargs)
        self.input_rate = probability("input_rate", input_rate)
        self.state_rate = probability("state_rate", state_rate)
        self.output_rate = probability("output_rate", output_rate)
        self.per_gate = flag("per_gate", per_gate)

    @property
    def fixes_noise_along_time(self) -> bool:
        rates = self.input_rate, self.state_rate, self.output_rate
        return any(rates) or super().fixes_noise_along_time

    def bind(self, call: Call) -> Weights:
        noise, state_masks = {}, {}
        if call.training and self.input_rate:
            mask = self.mask(self.input_rate, call.batch, call.features)
            time = ops.ones_like(mask[:, :1])
            noise["input_mask"] = ops.concatenate([time, mask[:, 1:]], axis=-1) if self.timed else mask
        w = super().bind(call)
        if call.training and self.state_rate and self.per_gate:
            w = w.including(cell=w.cell.map_kernels(by_gate))
            state_masks = {
                str(number): self.mask(self.state_rate, call.batch, *kernel.matrix.shape[:-1])
                for number, kernel in enumerate(reading_kernels(w))
            }
        elif call.training and self.state_rate:
            read = {kernel.reads for kernel in reading_kernels(w)}
            state_masks = {
                name: self.mask(self.state_rate, call.batch, size)
                for name, size in zip(self.states, self.state_size)
                if name in read
            }
        if state_masks:
            w = w.including(state_masks=Weights().by_row(**state_masks))
        if call.training and self.output_rate:
            noise["output_mask"] = self.mask(self.output_rate, call.batch, self.output_size)
        return w.by_row(**noise)

    def inputs(self, x: Tensor, w: Weights) -> Any:
        mask = w.get("input_mask")
        return super().inputs(x if mask is None else x * mask, w)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        state_masks, count = w.get("state_masks"), itertools.count()
        if state_masks is None:
            return super().step(x, state, w)

        def masked(kernel: Kernel) -> Kernel:
            if kernel.reads is None:
                return kernel
            mask = state_masks[str(next(count)) if self.per_gate else kernel.reads]
            return kernel.using(lambda x: masked_product(kernel, x, mask))

        return super().step(x, state, w.including(cell=w.cell.map_kernels(masked)))

    def finish(self, outputs: Tensor, w: Weights) -> Tensor:
        outputs, mask = super().finish(outputs, w), w.get("output_mask")
        return outputs if mask is None else outputs * mask


def reading_kernels(w: Weights) -> list[Kernel]:
    """The kernels that read a state."""
    return [leaf for leaf in w.leaves() if getattr(leaf, "reads", None) is not None]


def by_gate(kernel: Kernel) -> Kernel:
    """A kernel that reads a state as one matrix a gate: (gates, inputs, outputs of a gate)."""
    if kernel.reads is None or kernel.blocks == 1 or len(kernel.matrix.shape) == 3:
        return kernel
    matrices = ops.split(kernel.matrix, kernel.blocks, axis=-1)
    return Kernel(ops.stack(matrices), kernel.reads, kernel.blocks)


def masked_product(kernel: Kernel, x: Tensor, mask: Tensor) -> Tensor:
    """The product of x and mask; a mask (batch, gates, inputs) has every gate read x in its own way."""
    if len(x.shape) < len(mask.shape):
        product = kernel(ops.expand_dims(x, 1) * mask)
        return ops.reshape(product, (-1, product.shape[1] * product.shape[2]))
    return kernel(x * (mask if len(x.shape) == len(mask.shape) else ops.expand_dims(mask, 1)))


class RecurrentDropout(Noise):
    r"""Dropout on the update of the memory alone, so that nothing remembered is lost.

    rate: the probability of dropping a unit of the update. per_sequence: draw one mask for the whole sequence, not a
    new one at each step.

    What the cell marks as the candidate, an LSTM's tanh(g), is multiplied by the mask. In a step with several updates,
    as in a recurrent highway network, they share it. Kept values are scaled by 1 / (1 - rate); nothing is dropped
    outside training. Raises ValueError if the cell's step marks no update, though the cell says it does.
    Source: Semeniuta, Severyn & Barth, 1603.05118.

    >>> cell = tfcells.RecurrentDropout(tfcells.LSTMCell(8), 0.25)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    needs = frozenset({"update"})
    linear = True
    live = frozenset({"rate", "per_sequence"})

    def __init__(
        self,
        cell: Cell | dict,
        rate: float,
        per_sequence: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, seed, **kwargs)
        self.rate = probability("rate", rate)
        self.per_sequence = flag("per_sequence", per_sequence)

    @property
    def fixes_noise_along_time(self) -> bool:
        return bool(self.rate and self.per_sequence) or super().fixes_noise_along_time

    def bind(self, call: Call) -> Weights:
        w = super().bind(call)
        if not (call.training and self.rate):
            return w
        if self.per_sequence:
            return w.by_row(update_mask=self.mask(self.rate, call.batch, self.units))
        return w.along(update_mask=self.mask(self.rate, call.steps, call.batch, self.units, axis=1))

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        mask, updates = w.get("update_mask"), []
        if mask is None:
            return super().step(x, state, w)

        def dropped(g: Tensor) -> Tensor:
            updates.append(g)
            return w.update(g * mask)

        found = super().step(x, state, w.updating(dropped))
        if not updates:
            raise ValueError(
                f"cell: {type(self.innermost).__name__} declares the update slot, but its step never calls "
                "w.update(candidate): nothing would be dropped"
            )
        return found


class Zoneout(Noise):
    r"""Units that keep, at random and for one step, the exact value they had before.

    rate: the probability that a unit keeps its value, one for all states, or one for each by name:
    {"h": 0.05, "c": 0.5} (others 0).
    Training: each unit of the new state is replaced by the old one's with that probability, drawn anew
    at each step. Inference: the expectation, rate * old + (1 - rate) * new. Where the output is one of
    the states, it is the zoned one. Source: Krueger et al., 1606.01305.

    >>> cell = tfcells.Zoneout(tfcells.LSTMCell(8), {"h": 0.05, "c": 0.5})
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    needs = frozenset({"state"})
    slots = property(lambda self: self.cell.slots - {"projection"})  # it mixes old and new states
    live = frozenset({"rate"})

    def __init__(
        self,
        cell: Cell | dict,
        rate: float | dict[str, float],
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, seed, **kwargs)
        self.rate = rate
        self.each()  # raises if one is wrong

    def each(self) -> list[float]:
        """The rate of each state."""
        rates = self.rate if isinstance(self.rate, dict) else dict.fromkeys(self.carried, self.rate)
        for name in rates:
            allowed = f"a rate, or rates by the states {', '.join(self.carried)}"
            require("rate", self.rate, allowed, name in self.carried)
        return [probability("rate", rates.get(name, 0.0)) for name in self.states]

    def bind(self, call: Call) -> Weights:
        w = super().bind(call)
        if not (call.training and any(self.each())):
            return w
        fresh = {
            name: masks.keep_mask((call.steps, *shape), rate, self.generator, axis=1)
            for name, shape, rate in zip(self.states, self.state_shapes(call.batch), self.each())
            if rate
        }
        return w.along(fresh=fresh)

    def step(self, x: Any, state: tuple[Tensor, ...], w: Weights) -> tuple[Tensor, tuple]:
        output, new = super().step(x, state, w)
        fresh, zoned = w.get("fresh"), []
        for name, rate, old, now in zip(self.states, self.each(), state, new):
            if rate and fresh:
                now = ops.where(fresh[name], now, old)
            elif rate:
                now = rate * old + (1 - rate) * now
            zoned.append(now)
        return replaced(output, new, zoned)


class WeightDrop(Noise):
    r"""Dropout on the kernels that read a state: one mask a sequence, the same for all samples.

    rate: the probability that an entry of such a kernel counts as zero; the others are scaled by
    1 / (1 - rate). Nothing is dropped outside training. Source: Merity et al., 1708.02182 (AWD-LSTM).

    >>> cell = tfcells.WeightDrop(tfcells.LSTMCell(8), 0.5)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    needs = frozenset({"kernel"})
    live = frozenset({"rate"})

    def __init__(self, cell: Cell | dict, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(cell, seed, **kwargs)
        self.rate = probability("rate", rate)

    @property
    def fixes_noise_along_time(self) -> bool:
        return bool(self.rate) or super().fixes_noise_along_time

    def bind(self, call: Call) -> Weights:
        w = super().bind(call)
        return w.map_kernels(self.dropped) if call.training and self.rate else w

    def dropped(self, kernel: Kernel) -> Kernel:
        """The kernel, with a mask if it reads a state."""
        if kernel.reads is None:
            return kernel
        matrix = kernel.matrix
        mask = masks.dropout_mask(tuple(matrix.shape), self.rate, matrix.dtype, self.generator, axis=None)
        return Kernel(matrix * mask, kernel.reads, kernel.blocks)
