"""Regularised cells: each wraps any cell, and no cell knows of it."""

import keras
from keras import ops

from tfcells import masks
from tfcells.cells.base import Cell, Weights, flag, probability


class Wrapper(Cell):
    """A cell around a cell: states, sizes and slots are the inner one's.

    needs: the slots that the inner cell must have.
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

    def prepare(self, sequence, training=False):
        slices, w = self.cell.prepare(sequence, training=training)
        return {"cell": slices}, Weights(cell=w)

    def step(self, x, state, w):
        return self.cell.step(x["cell"], state, w.cell.updating(w.update))

    @property
    def fixes_noise_along_time(self):
        return self.cell.fixes_noise_along_time


class Variational(Wrapper):
    r"""Dropout with one mask for a whole sequence, drawn for each sample.

    input_rate: on the inputs.  state_rate: on what the kernels read of each state, one mask a state,
    shared over depths and gates; the carry is untouched.  output_rate: on the outputs.
    Kept values are scaled by 1 / (1 - rate); nothing is dropped outside training.
    Source: Gal & Ghahramani, 1512.05287; for recurrent highway networks Zilly et al., 1607.03474.

    >>> cell = tfcells.Variational(tfcells.RHNCell(8), input_rate=0.5, state_rate=0.3)
    >>> keras.ops.shape(tfcells.RNN(cell)(keras.ops.ones((2, 5, 3)), training=True))
    (2, 8)
    """

    def __init__(self, cell, input_rate=0.0, state_rate=0.0, output_rate=0.0, seed=None, **kwargs):
        self.needs = frozenset({"kernel"} if state_rate else ())
        super().__init__(cell, **kwargs)
        self.input_rate = probability("input_rate", input_rate)
        self.state_rate = probability("state_rate", state_rate)
        self.output_rate = probability("output_rate", output_rate)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    @property
    def fixes_noise_along_time(self):
        rates = self.input_rate, self.state_rate, self.output_rate
        return any(rates) or super().fixes_noise_along_time

    def prepare(self, sequence, training=False):
        batch, noise = ops.shape(sequence)[1], {}

        def mask(width, rate):
            return masks.dropout_mask((batch, width), rate, self.compute_dtype, self.generator)

        if training and self.input_rate:
            sequence = sequence * mask(sequence.shape[-1], self.input_rate)
        slices, w = super().prepare(sequence, training)
        if training and self.state_rate:
            for name, size in zip(self.states, self.state_size):
                noise[f"{name}_mask"] = mask(size, self.state_rate)
        if training and self.output_rate:
            noise["output_mask"] = mask(self.output_size, self.output_rate)
        return slices, Weights(w.items | noise)

    def step(self, x, state, w):
        def masked(kernel):
            mask = w.get(f"{kernel.reads}_mask")
            return kernel if mask is None else kernel.using(lambda x: kernel(x * mask))

        inner = w.cell.map_kernels(masked).updating(w.update)
        output, new = self.cell.step(x["cell"], state, inner)
        mask = w.get("output_mask")
        return output if mask is None else output * mask, new


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

    def prepare(self, sequence, training=False):
        slices, w = super().prepare(sequence, training)
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
