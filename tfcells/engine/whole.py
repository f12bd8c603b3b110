"""All steps in one loop each way: as fast as can be, and everything recorded is remembered."""

from typing import Any

import tensorflow as tf

from tfcells.contract.linear import Tensor
from tfcells.engine.compiler import compiled
from tfcells.engine.pair import Arguments, Pair
from tfcells.engine.pieces import least_rows
from tfcells.engine.products import backward_factors, forward_factors
from tfcells.engine.recording import Kept, weight_gradients
from tfcells.engine.sequences import exponent, narrowed, power_of_two
from tfcells.engine.step import Step


class Whole:
    """Runs a `Pair` over the whole sequence."""

    def __init__(self, step: Step, half: Any) -> None:
        self.step, self.half = step, half
        self.least_rows = least_rows(step)
        pair = Pair(step)
        self.forward_loop, self.backward_loop = compiled(pair.forward), compiled(pair.backward)
        # The slices that the way back does not need: their sums with a product are recorded.
        self.spent = [site.slice_joined for site in step.sites if site.slice_joined is not None]

    def length(self, steps: Any) -> Any:
        """To how many steps sequences are padded: a power of two unless the graph knows them, so that few programs are
        compiled for all lengths.
        """
        if isinstance(steps, int) and not tf.executing_eagerly():
            return steps
        return power_of_two(exponent(steps))

    def forward(self, given: Arguments, steps: Any) -> tuple[Tensor, list, Kept]:
        """Outputs, final state, and what to keep for the way back."""
        slices, state, matrices, tensors = given
        return self.forward_loop(slices, state, forward_factors(matrices, slices[0].shape[0]), tensors, steps)

    def backward(
        self, d_outputs: Tensor, d_final: list, kept: Kept, given: Arguments, steps: Any, padded: bool
    ) -> Arguments:
        """The gradients of all that was given, if it is floats. padded: whether the sequences go on after `steps`."""
        slices, _, matrices, tensors = given
        d_slices, d_state, totals, records = self.backward_loop(
            d_outputs, d_final, kept, slices, backward_factors(matrices), tensors, steps
        )
        sequences = kept.states, records, d_slices
        if padded:
            sequences = tf.nest.map_structure(lambda x: x[:steps], sequences)
        d_matrices = weight_gradients(self.step.sites, matrices, *sequences, self.half)
        return Arguments(d_slices, d_state, d_matrices, narrowed(totals, tensors))
