"""A step along time: in the ordinary loop, or in the compiled one with its gradient."""

import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree

from tfcells.contract.cell import Cell
from tfcells.contract.linear import Projection, Tensor, multiplied
from tfcells.contract.weights import Kernel, Weights
from tfcells.engine.differentiated import varies, watched
from tfcells.engine.program import Program
from tfcells.engine.sequences import length_of, shaped, tensors_of
from tfcells.engine.strides import Strides
from tfcells.engine.whole import Whole

HALF = tf.float16, tf.bfloat16


def run(
    way: type[Whole | Strides],
    key_of: Callable,
    cell: Any,
    step_of: Callable,
    slices: Any,
    state: tuple,
    weights: Weights,
    compile: bool,
    training: bool = True,
    one_tensor: bool = False,
) -> tuple:
    """A cell along time: the program, the outputs, the final state.

    key_of, step_of: of a cell, what `Program.of` is to find the program by, and the step. one_tensor: whether the
    ordinary loop has to do without lists.
    Half precision on a CPU is compiled in float32, and only the products over the whole sequence, before and after
    the loop, keep that dtype: XLA's small products have no fast form there. (Not with a layer of Keras in the cell, an
    activation, say, which casts what it is given.) A step that the compiled loop can't run takes the
    ordinary loop, with a warning. Raises ValueError for what would lose its gradient.
    """
    half = half_precision(weights) if compile else None
    half = None if half and holds_layers(cell) else half
    dtypes, given = [x.dtype for x in state], (slices, state, weights)
    if half:
        slices, state, weights = widened(slices, state, weights)
    program = Program.of(way, key_of, cell, step_of, slices, state, weights, half)
    if compile and watched(program.step.captured) and not program.step.foreign:
        raise ValueError(f"{type(cell).__name__}.step uses a tensor that it was not given, and that a tape watches")
    around = compile and any(map(varies, program.step.captured))
    if compile and (foreign := program.step.foreign + ["gradients of tensors of the function around it"] * around):
        what = f"{type(cell).__name__}.step does what the compiled loop can't ({', '.join(foreign)})"
        warnings.warn(f"{what}: it runs in the ordinary loop, as with jit_compile=False", stacklevel=2)
        slices, state, weights = given
        return run(way, key_of, cell, step_of, multiplied(slices), state, weights, False)
    if compile:
        outputs, final = program(cell, slices, state, weights, training)
    else:
        along = listless if one_tensor else loop
        outputs, final = along(program.step.output, step_of(cell), slices, state, weights)
    if half:
        outputs = tf.cast(outputs, half)
        final = tuple(tf.cast(x, dtype) for x, dtype in zip(final, dtypes, strict=True))
    return program, outputs, final


def loop(output: tf.TensorSpec, step: Callable, slices: Any, state: tuple, weights: Weights) -> tuple:
    """The ordinary loop: TensorFlow differentiates it as often as wanted.

    output: of a step. slices: a structure of (steps, ...) tensors; state: a tuple of tensors; weights: `Weights`.
    Returns the outputs, (steps, batch, features), and the final state.
    """
    first = tree.flatten(slices)[0]
    steps = length_of(first)
    outputs = tf.TensorArray(output.dtype, steps, element_shape=first.shape[1:2] + output.shape[1:])

    def unstacked(x: Tensor) -> Tensor:
        # The gradient of x[t] is as long as x, so that all steps' would take quadratic time.
        return tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x)

    moments = [unstacked(x) for x in tree.flatten(slices)]

    def body(t: Any, state: tuple, outputs: Any) -> tuple:
        now = tree.pack_sequence_as(slices, [moment.read(t) for moment in moments])
        output, new = step(now, state, weights)
        return t + 1, tuple(shaped(new, state)), outputs.write(t, output)

    _, state, outputs = tf.while_loop(
        lambda t, *_: t < steps, body, (0, tuple(state), outputs), maximum_iterations=steps
    )
    return outputs.stack(), state


def listless(output: tf.TensorSpec, step: Callable, slices: Any, state: tuple, weights: Weights) -> tuple:
    """The ordinary loop with operations that LiteRT has: each step writes its row of one tensor of outputs."""
    first = tree.flatten(slices)[0]
    steps, batch = tf.unstack(tf.shape(first)[:2])
    shape = tf.TensorShape([*first.shape[:2], *output.shape[1:]])
    start = tf.zeros([steps, batch, *output.shape[1:]], output.dtype)

    def body(t: Any, state: tuple, outputs: Any) -> tuple:
        moment, new = step(tree.map_structure(lambda x: x[t], slices), state, weights)
        outputs = tf.tensor_scatter_nd_update(outputs, [[t]], moment[None])
        return t + 1, tuple(shaped(new, state)), *shaped([outputs], [start])

    start.set_shape(shape)
    _, state, outputs = tf.while_loop(lambda t, *_: t < steps, body, (0, tuple(state), start))
    return outputs, state


def holds_layers(cell: Any) -> bool:
    return any(not isinstance(each, Cell) for each in cell._flatten_layers(include_self=False))


def half_precision(weights: Weights) -> Any:
    """The dtype of the kernels if that is half precision and there is no GPU, or None."""
    dtypes = {tf.as_dtype(getattr(leaf, "matrix", leaf).dtype) for leaf in weights.leaves()}
    found = next(iter(dtypes.intersection(HALF)), None)
    return None if tf.config.list_logical_devices("GPU") else found


def widened(slices: Any, state: Any, weights: Weights) -> tuple:
    """The same in float32, where they are in half precision."""

    def wide(x: Tensor) -> Any:
        if isinstance(x, Kernel):
            return Kernel(wide(x.matrix), x.reads, x.blocks, x.product)
        if isinstance(x, Projection):
            sequence, matrix, bias = [*x.tensors, None][:3]
            return Projection(sequence, matrix, bias, "float32") if x.dtype in HALF else x
        x = tf.convert_to_tensor(x)
        return tf.cast(x, tf.float32) if x.dtype in HALF else x

    return tree.map_structure(wide, slices), tuple(map(wide, state)), weights.map(wide)


def check(slices: Any, state: list) -> None:
    """Assert, when the program runs, the agreement of sizes that were unknown when it was traced."""
    first, *others = [tensors_of(leaf)[0] for leaf in tree.flatten(slices)]
    sizes = [*(x.shape[:2] for x in (first, *others)), *(x.shape[:1] for x in state)]
    if all(None not in size for size in sizes):
        return
    steps, batch = tf.unstack(tf.shape(first)[:2])
    tf.debugging.assert_positive(steps, "sequences must have at least one step")
    for x in others:
        message = "mask and slices must have the steps and batch size of sequences"
        tf.debugging.assert_equal(tf.shape(x)[:2], [steps, batch], message)
    for x in state:
        message = "initial_state, or the state remembered, and memory must have the batch size of sequences"
        tf.debugging.assert_equal(tf.shape(x)[0], batch, message)


def agreeing(timed: tuple, others: tuple) -> tuple:
    """The tensors, each with the batch size and, of those that have steps, the steps that are known of another one.

    Static shapes have to stay what they are in a loop, and broadcasting 1 with an unknown size gives an unknown one.
    """
    steps, batch = known(1, list(timed)), known(0, [*timed, *tree.flatten(others)])
    along = (None if x is None else ensured(x, batch, steps) for x in timed)
    return *along, *tree.map_structure(lambda x: None if x is None else ensured(x, batch), others)


def known(axis: int, tensors: list) -> int | None:
    """The size of an axis, if it is known of one of the tensors."""
    sizes = [x.shape[axis] for x in tensors if x is not None]
    return next((size for size in sizes if size is not None), None)


def ensured(x: Tensor, *sizes: int | None) -> Tensor:
    """The tensor, whose first axes must have these sizes, where they are known."""
    shape = [own if size is None else size for own, size in zip(x.shape, sizes)]
    if None not in x.shape[: len(sizes)] or shape == x.shape[: len(sizes)]:
        return x
    message = "sequences_mask_reset_memory_and_initial_state_or_the_one_remembered_must_agree_in_batch_size_and_steps"
    return tf.ensure_shape(x, [*shape, *x.shape[len(sizes) :]], name=message)  # an error names its operation
