"""Regularised cells: each wraps any cell, and no cell knows of it."""

import itertools

import keras
from keras import ops

from tfcells import masks
from tfcells.cells.base import Cell, Kernel, Weights
from tfcells.checks import flag, probability, require


class Wrapper(Cell):
    """A cell around a cell: states, sizes and slots are the inner one's.

    needs: the slots that the inner cell must have. Wrappers with the same seed draw the same numbers:
    give each one of its own, or none.
    """

    needs = frozenset()

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = keras.saving.deserialize_keras_object(cell) if isinstance(cell, dict) else cell
        if not isinstance(self.cell, Cell):
            raise ValueError(f"cell must be a tfcells.Cell, got {cell!r}")
        missing = self.needs - self.cell.slots
        if missing:
            raise ValueError(
                f"cell: {type(self.cell).__name__} has no {sorted(missing)[0]} slot, on which "
                f"{type(self).__name__} acts; it has {sorted(self.cell.slots)}"
            )

    states = property(lambda self: self.cell.states)
    clocks = property(lambda self: self.cell.clocks)
    attends = property(lambda self: self.cell.attends)
    slots = property(lambda self: self.cell.slots)
    units = property(lambda self: self.cell.units)
    state_size = property(lambda self: self.cell.state_size)
    output_size = property(lambda self: self.cell.output_size)

    def get_initial_state(self, batch_size=None):
        return self.cell.get_initial_state(batch_size)

    def adopt_dtype(self, policy):
        super().adopt_dtype(policy)
        self.cell.adopt_dtype(policy)

    def build(self, input_shape):
        if not self.cell.built:  # loading has built it already
            self.cell.build(input_shape)
            self.cell.built = True

    def prepare(self, sequence, training=False, **memory):
        slices, w = self.cell.prepare(sequence, training=training, **memory)
        return {"cell": slices}, Weights(cell=w)

    def step(self, x, state, w):
        return self.cell.step(x["cell"], state, w.cell.updating(w.update))

    def finish(self, outputs, training=False):
        return self.cell.finish(outputs, training=training)

    @property
    def fixes_noise_along_time(self):
        return self.cell.fixes_noise_along_time


class Variational(Wrapper):
    r"""Dropout with one mask for a whole sequence, drawn for each sample.

    input_rate: on the inputs.  state_rate: on what the kernels read of each state; the carry is
    untouched.  output_rate: on the outputs, and not on the state.  Kept values are scaled by
    1 / (1 - rate); nothing is dropped outside training.
    per_kernel=False: one mask a state, shared over gates and depths ("tied").
    per_kernel=True: every gate of every kernel that reads a state has a mask of its own ("untied").
    Source: Gal & Ghahramani, 1512.05287, whose untied form has a mask of the inputs for each gate, too;
    for recurrent highway networks Zilly et al., 1607.03474.

    >>> cell = tfcells.Variational(tfcells.RHNCell(8), input_rate=0.5, state_rate=0.3)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    def __init__(
        self,
        cell,
        input_rate=0.0,
        state_rate=0.0,
        output_rate=0.0,
        per_kernel=False,
        seed=None,
        **kwargs,
    ):
        self.needs = frozenset({"kernel"} if state_rate else ())
        super().__init__(cell, **kwargs)
        self.input_rate = probability("input_rate", input_rate)
        self.state_rate = probability("state_rate", state_rate)
        self.output_rate = probability("output_rate", output_rate)
        self.per_kernel = flag("per_kernel", per_kernel)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    @property
    def fixes_noise_along_time(self):
        rates = self.input_rate, self.state_rate, self.output_rate
        return any(rates) or super().fixes_noise_along_time

    def mask(self, rate, *shape):
        """A dropout mask, drawn now."""
        return masks.dropout_mask(shape, rate, self.compute_dtype, self.generator)

    def prepare(self, sequence, training=False, **memory):
        batch = ops.shape(sequence)[1]
        if training and self.input_rate:
            sequence = sequence * self.mask(self.input_rate, batch, sequence.shape[-1])
        slices, w = super().prepare(sequence, training, **memory)
        if not (training and self.state_rate):
            return slices, w
        if self.per_kernel:
            noise, inner = [], w.cell.map_kernels(by_block)
            for kernel in reading_kernels(inner):
                noise.append(self.mask(self.state_rate, batch, *kernel.matrix.shape[:-1]))
            return slices, Weights(cell=inner, masks=Weights(enumerate(noise)))
        read = {kernel.reads for kernel in reading_kernels(w)}
        noise = {
            name: self.mask(self.state_rate, batch, size)
            for name, size in zip(self.states, self.state_size)
            if name in read
        }
        return slices, Weights(cell=w.cell, masks=Weights(noise))

    def step(self, x, state, w):
        if w.get("masks") is None:
            return super().step(x, state, w)
        count = itertools.count()

        def masked(kernel):
            if kernel.reads is None:
                return kernel
            mask = w.masks[next(count) if self.per_kernel else kernel.reads]
            return kernel.using(lambda x: masked_product(kernel, x, mask))

        return self.cell.step(x["cell"], state, w.cell.map_kernels(masked).updating(w.update))

    def finish(self, outputs, training=False):
        outputs = super().finish(outputs, training)
        if not (training and self.output_rate):
            return outputs
        return outputs * self.mask(self.output_rate, *ops.shape(outputs)[1:])


def reading_kernels(w):
    """The kernels that read a state."""
    return [leaf for leaf in w.leaves() if getattr(leaf, "reads", None) is not None]


def by_block(kernel):
    """A kernel that reads a state as one matrix a gate: (gates, inputs, outputs of a gate)."""
    if kernel.reads is None or kernel.blocks == 1 or len(kernel.matrix.shape) == 3:
        return kernel
    matrices = ops.split(kernel.matrix, kernel.blocks, axis=-1)
    return Kernel(ops.stack(matrices), kernel.reads, kernel.blocks)


def masked_product(kernel, x, mask):
    """The product of x and mask; a mask (batch, gates, inputs) has every gate read x in its own way."""
    if len(x.shape) < len(mask.shape):
        product = kernel(ops.expand_dims(x, 1) * mask)
        return ops.reshape(product, (-1, product.shape[1] * product.shape[2]))
    return kernel(x * (mask if len(x.shape) == len(mask.shape) else ops.expand_dims(mask, 1)))


class RecurrentDropout(Wrapper):
    r"""Dropout on the update of the memory alone, so that nothing remembered is lost.

    What the cell marks as the candidate, an LSTM's tanh(g), is multiplied by a mask, new at each step,
    or, with per_sequence, one for the whole sequence; in a step with several updates, as in a recurrent
    highway network, they share it. Kept values are scaled by 1 / (1 - rate); nothing is dropped outside
    training. Source: Semeniuta, Severyn & Barth, 1603.05118.

    >>> cell = tfcells.RecurrentDropout(tfcells.LSTMCell(8), 0.25)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    needs = frozenset({"update"})

    def __init__(self, cell, rate, per_sequence=False, seed=None, **kwargs):
        super().__init__(cell, **kwargs)
        self.rate = probability("rate", rate)
        self.per_sequence = flag("per_sequence", per_sequence)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    @property
    def fixes_noise_along_time(self):
        return bool(self.rate and self.per_sequence) or super().fixes_noise_along_time

    def prepare(self, sequence, training=False, **memory):
        slices, w = super().prepare(sequence, training, **memory)
        if not (training and self.rate):
            return slices, w
        steps, batch = ops.shape(sequence)[:2]
        shape = (batch, self.units) if self.per_sequence else (steps, batch, self.units)
        mask = masks.dropout_mask(shape, self.rate, self.compute_dtype, self.generator)
        if self.per_sequence:
            return slices, Weights(w.items, update_mask=mask)
        return slices | {"update_mask": mask}, w

    def step(self, x, state, w):
        mask = w.get("update_mask") if self.per_sequence else x.get("update_mask")
        if mask is None:
            return super().step(x, state, w)
        return self.cell.step(x["cell"], state, w.cell.updating(lambda g: w.update(g * mask)))


class Zoneout(Wrapper):
    r"""Units that keep, at random and for one step, the exact value they had before.

    rate: the probability, for all states, or for each by its name, as {"h": 0.05, "c": 0.5} (others 0).
    Training: each unit of the new state is replaced by the old one's with that probability, drawn anew
    at each step. Inference: the expectation, rate * old + (1 - rate) * new. Where the output is one of
    the states, it is the zoned one. Source: Krueger et al., 1606.01305.

    >>> cell = tfcells.Zoneout(tfcells.LSTMCell(8), {"h": 0.05, "c": 0.5})
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    needs = frozenset({"state"})

    def __init__(self, cell, rate, seed=None, **kwargs):
        super().__init__(cell, **kwargs)
        zoned = [name for name in self.states if name not in self.clocks]
        rates = rate if isinstance(rate, dict) else dict.fromkeys(zoned, rate)
        for name in rates:
            allowed = f"a rate, or rates by the states {', '.join(zoned)}"
            require("rate", rate, allowed, name in zoned)
        self.rate = rate
        self.rates = [probability("rate", rates.get(name, 0.0)) for name in self.states]
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def prepare(self, sequence, training=False, **memory):
        slices, w = super().prepare(sequence, training, **memory)
        if not (training and any(self.rates)):
            return slices, w
        moments = ops.shape(sequence)[:2]
        fresh = {
            name: masks.keep_mask((*moments, size), rate, self.generator)
            for name, size, rate in zip(self.states, self.state_size, self.rates)
            if rate
        }
        return slices | {"fresh": fresh}, w

    def step(self, x, state, w):
        output, new = super().step(x, state, w)
        zoned = []
        for name, rate, old, now in zip(self.states, self.rates, state, new):
            value = now
            if rate and "fresh" in x:
                value = ops.where(x["fresh"][name], now, old)
            elif rate:
                value = rate * old + (1 - rate) * now
            output = value if output is now else output
            zoned.append(value)
        return output, tuple(zoned)


class WeightDrop(Wrapper):
    r"""Dropout on the kernels that read a state: one mask a sequence, the same for all samples.

    rate: the probability with which an entry of those matrices counts as zero; the others are scaled by
    1 / (1 - rate). Nothing is dropped outside training. Source: Merity et al., 1708.02182 (AWD-LSTM).

    >>> cell = tfcells.WeightDrop(tfcells.LSTMCell(8), 0.5)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    needs = frozenset({"kernel"})

    def __init__(self, cell, rate, seed=None, **kwargs):
        super().__init__(cell, **kwargs)
        self.rate = probability("rate", rate)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    @property
    def fixes_noise_along_time(self):
        return bool(self.rate) or super().fixes_noise_along_time

    def prepare(self, sequence, training=False, **memory):
        slices, w = super().prepare(sequence, training, **memory)
        return slices, w.map_kernels(self.dropped) if training and self.rate else w

    def dropped(self, kernel):
        """The kernel, with a mask if it reads a state."""
        if kernel.reads is None:
            return kernel
        matrix = kernel.matrix
        mask = masks.dropout_mask(tuple(matrix.shape), self.rate, matrix.dtype, self.generator)
        return Kernel(matrix * mask, kernel.reads, kernel.blocks)
