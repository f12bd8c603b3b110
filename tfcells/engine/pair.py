"""The pair of loops over a stretch of steps: forward, which records, and backward, which replays."""

from typing import Any, NamedTuple

import tensorflow as tf

from tfcells.contract.linear import Tensor
from tfcells.engine.recording import Kept, Record, Recording, Replay, with_sums
from tfcells.engine.sequences import arrays, floats, in_place, read, stack, wide, write
from tfcells.engine.step import Step


class Arguments(NamedTuple):
    """What the loops read, or the gradients of all floats in it.

    slices: what `inputs` made, for all steps. state: before the first. matrices: of the kernels. tensors: the other
    weights.
    """

    slices: list
    state: list
    matrices: list
    tensors: list


class Pair:
    """The two loops of a step, for XLA to compile.

    Sequences are (steps, batch, ...). Of these, so many count as `steps` says: XLA would compile anew for each number
    if it were part of an index.
    """

    def __init__(self, step: Step) -> None:
        self.step = step

    def forward(self, slices: list, state: list, factors: list, tensors: list, steps: Any) -> tuple:
        """Outputs, final state and `Kept`. factors: of `forward_factors`.

        Each step reads ahead what the next one needs: XLA does element-wise work several times as fast on what the loop
        carries as on a slice taken in the midst of it.
        """
        size = tf.shape(slices[0])[0]

        def body(t: Any, now: list, state: list, outputs: Tensor, kept: Kept) -> tuple:
            recording = Recording(self.step.sites, factors, now)
            output, new = self.step(now, state, recording, tensors)
            return (
                t + 1,
                read(tf.minimum(t + 1, size - 1), slices),
                new,
                outputs.write(t, output),
                write(t, kept, Kept(state, recording.records)),
            )

        outputs = tf.TensorArray(self.step.output.dtype, size)
        kept = arrays(Kept(state, [Record(y=site.y) for site in self.step.sites]), size)
        start = 0, read(0, slices), state, outputs, kept
        _, _, state, outputs, kept = tf.while_loop(lambda t, *_: t < steps, body, start)
        return outputs.stack(), state, stack(kept)

    def backward(
        self, d_outputs: Tensor, d_final: list, kept: Kept, slices: list, transposed: list, tensors: list, steps: Any
    ) -> tuple[list, list, list, list[Record]]:
        """Gradients of slices, state and tensors, the last in float32 at least; and a `Record` of each product.

        Gradients of slices stand where these do, with () for those that are no floats. transposed: of
        `backward_factors`.
        """
        sites, constants = self.step.sites, floats(tensors)
        slices, recorded = with_sums(sites, slices, kept.records)
        size = tf.shape(slices[0])[0]

        def body(t: Any, d_state: list, totals: list, d_slices: list, records: list) -> tuple:
            now, before = read(t, slices), read(t, kept.states)
            replay = Replay(sites, transposed, now, read(t, recorded))
            watched = [floats(now), floats(before), replay.taps, constants]
            with tf.GradientTape() as tape:
                tape.watch(watched)
                output, new = self.step(now, before, replay, tensors)
            d_now, d_before, d_taps, d_used = tape.gradient(
                [output, *floats(new)], watched, [d_outputs[t], *d_state], unconnected_gradients="zero"
            )
            return (
                t - 1,
                d_before,
                [total + tf.cast(d, total.dtype) for total, d in zip(totals, d_used, strict=True)],
                write(t, d_slices, in_place(d_now, slices)),
                write(t, records, replay.records(d_taps)),
            )

        start = (
            steps - 1,
            d_final,
            [tf.zeros_like(x, wide(x.dtype)) for x in constants],
            arrays(in_place(floats(slices), slices), size),
            arrays([site.recorded(site.x, site.y) for site in sites], size),
        )
        _, d_state, totals, *found = tf.while_loop(lambda t, *_: t >= 0, body, start)
        d_slices, records = map(stack, found)
        return d_slices, d_state, totals, records
