"""The layer that runs a cell along time."""

import functools
import itertools
import re
from typing import Any

import keras
from keras import ops, tree

from tfcells import masks
from tfcells.contract.cell import Call, Cell, fitting
from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor, multiplied
from tfcells.contract.recurrence import Before, frozen, scan
from tfcells.contract.weights import Weights
from tfcells.layers import arguments
from tfcells.layers.steps import in_strides, in_turn, step_key, step_of, unrolled

if keras.backend.backend() == "tensorflow":
    from tfcells import engine


class RNN(Configured, keras.layers.RNN):
    """Runs a `Cell` along time in a compiled loop; before it, for all steps at once, what needs no state.

    Takes every argument of `keras.layers.RNN` and behaves as it does, also for stacks: a list of cells
    or `keras.layers.StackedRNNCells` (of `Cell`s: any other cell runs in Keras's own loop).

    jit_compile: "auto" or True runs the compiled loop (TensorFlow with XLA), except that "auto" takes
    a single step as it is, and the ordinary loop where there is no XLA, as on Windows and the GPU of a Mac;
    False runs an ordinary loop, which can be exported and differentiated twice.
    With unroll=True there is no loop to compile; on other backends the ordinary one always runs.
    parallel: "auto" takes all steps of a cell that is linear in its state at once, so that only two operations a step
    follow one another; True refuses other cells and wrappers; False goes step by step.
    remat: go in strides of about the square root of the number of steps, keep the state before each, and
    compute its products and steps again for the gradient: much less memory, for one more pass forward.
    Needs a loop, which on TensorFlow must be the compiled one.
    memory, memory_mask: arguments of the call for cells in `Attention`, (batch, rows, features) and
    (batch, rows).
    reset: an argument of the call for cells in `ResetOnFlag`, (batch, steps).
    lengths: an argument of the call, whole numbers of shape (batch,), in place of the mask steps < lengths. Where they
    are known, those beyond the steps raise a ValueError; else they mean all steps, and below 0 none.
    pass_mask: whether the next layer gets the mask, if this one returns sequences. True is what Keras's layers did
    before 3.16; False is what they do since.
    name: by default that of its cells, as "zoneout_lstm_rnn", which `summary()` and
    `keras.utils.plot_model(model, show_layer_names=True)` show.

    >>> layer = tfcells.RNN([tfcells.LSTMCell(8), tfcells.GRUCell(4)], return_sequences=True)
    >>> keras.ops.shape(layer(keras.ops.ones((2, 5, 3))))
    (2, 5, 4)
    """

    live = frozenset(
        {
            "jit_compile",
            "parallel",
            "pass_mask",
            "remat",
            "return_sequences",
            "return_state",
            "go_backwards",
            "unroll",
            "zero_output_for_mask",
        }
    )
    one_tensor = False  # whether the ordinary loop writes its outputs to one tensor: `portable`

    def __init__(
        self,
        cell: Any,
        *args: Any,
        jit_compile: bool | str = "auto",
        parallel: bool | str = "auto",
        remat: bool = False,
        pass_mask: bool = True,
        **kwargs: Any,
    ) -> None:
        if jit_compile != "auto" and not isinstance(jit_compile, bool):
            raise ValueError(f'jit_compile must be "auto", True or False, got {jit_compile!r}')
        for each in cell or [cell] if isinstance(cell, list | tuple) else [cell]:
            if isinstance(each, type | keras.layers.RNN) or not hasattr(each, "call"):
                raise ValueError(f"cell must be a cell such as tfcells.LSTMCell(32), or a list of cells, got {each!r}")
        kwargs["name"] = kwargs.get("name") or name_of(cell)
        super().__init__(cell, *args, **kwargs)
        self.jit_compile = jit_compile
        self.parallel = parallel
        self.remat = remat
        self.pass_mask = pass_mask
        self.supports_masking = True
        cells = unstacked(self.cell)
        if stacked(self.cell) and keras.backend.backend() == "tensorflow":
            self.shown = engine.shown(cells)
        self.runs_cells = all(isinstance(each, Cell) for each in cells)
        if self.runs_cells and self.cell.activity_regularizer:
            raise ValueError("cell: a stack can't have an activity_regularizer; give it to tfcells.RNN")
        for each in cells[1:]:
            if getattr(each, "timed", False):
                raise ValueError(
                    f"cell: a timed {type(each).__name__} must be the first of a stack, which is given times"
                )
        self.check_options()
        if self.runs_cells:
            for each in cells:
                each.adopt_dtype(self.dtype_policy)
        self.programs: dict[tuple, Any] = {}

    def check_shape(self, shape: Any) -> None:
        """Sequences have three axes, the last as wide as it was. Raises ValueError for others."""
        if any(isinstance(each, list | tuple) for each in shape):
            raise ValueError(
                f"sequences must be one tensor, got {len(shape)}; give the others as initial_state= or memory="
            )
        if not self.runs_cells:
            return  # Keras's loop runs cells for any rank
        if len(shape) != 3:
            hint = "; does the layer before need return_sequences=True?" if len(shape) == 2 else ""
            wanted = f"sequences must have shape (batch, steps, features): expected ndim=3, found ndim={len(shape)}"
            raise ValueError(f"{wanted}, shape {tuple(shape)}{hint}")
        unstacked(self.cell)[0].check_features(shape[2])

    def check_options(self) -> None:
        """There must be a loop to rematerialize, and steps that can be taken at once to be so."""
        loops = self.compiles if keras.backend.backend() == "tensorflow" else self.runs_cells and not self.unroll
        if not isinstance(self.remat, bool) or (self.remat and not loops):
            loopless = "unroll=True, cells that are not tfcells'"
            uncompiled = "jit_compile=False, Windows, the GPU of a Mac"
            allowed = f"True or False, and False without a loop ({loopless}), or on TensorFlow without a compiled one"
            raise ValueError(f"remat must be {allowed} ({uncompiled}); got {self.remat!r}")
        if not isinstance(self.pass_mask, bool):
            raise ValueError(f"pass_mask must be True or False, got {self.pass_mask!r}")
        if self.parallel != "auto" and not isinstance(self.parallel, bool):
            raise ValueError(f'parallel must be "auto", True or False, got {self.parallel!r}')
        cells = unstacked(self.cell)
        stepping = [type(cell).__name__ for cell in cells if not getattr(cell, "takes_all_steps", False)]
        if self.parallel is True and (stepping or self.remat or self.unroll):
            why = stepping[0] if stepping else "with remat=True or unroll=True the layer"
            raise ValueError(f'parallel must be "auto" or False, not True: {why} goes step by step')

    def compute_mask(self, sequences: Any, mask: Any) -> Any:
        return super().compute_mask(sequences, arguments.one_mask(mask) if self.pass_mask else None)

    @property
    def compiles(self) -> bool:
        """Whether a loop of more than one step is a compiled one."""
        able = self.runs_cells and not self.unroll and keras.backend.backend() == "tensorflow"
        return able and (engine.has_compiler() if self.jit_compile == "auto" else self.jit_compile is True)

    @property
    def input_dtype(self) -> Any:
        """What Keras makes floats before the call: not half precision where a state given may be a count of steps."""
        counts = self.runs_cells and any(each.clocks for each in unstacked(self.cell))
        return keras.backend.result_type(self.compute_dtype, "float32") if counts else self.compute_dtype

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        self.check_shape(sequences_shape)
        super().build(sequences_shape, initial_state_shape)

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool = False,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        reset: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Any:
        """The output of the last step, (batch, width), or of all, (batch, steps, width), as `return_sequences` says;
        with `return_state` a tuple of it and each final state.

        sequences: (batch, steps, features). initial_state: in place of the cell's own, or of the one remembered.
        mask: (batch, steps), true where a step counts; a step that does not leaves the state as it is.
        training: whether regularizers draw. The others are the layer's own, explained with it.
        """
        given = self.fitted(sequences, initial_state, mask, training, memory, memory_mask, reset, lengths)
        sequences, state, mask, memory, memory_mask, reset = given
        if self.unroll and sequences.shape[1] is None:
            raise ValueError("unroll=True needs a known number of steps; sequences has None")
        if not self.runs_cells:
            return super().call(sequences, state, mask, training)
        batch, steps, features = ops.shape(sequences)
        call = Call(steps, batch, features, training, memory, memory_mask, reset)
        last, outputs, state = self.along(sequences, state, mask, call)
        if self.stateful:
            for variable, value in zip(tree.flatten(self.states), tree.flatten(state), strict=True):
                variable.assign(value)
        output = outputs if self.return_sequences else last
        return (output, *state) if self.return_state else output

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        def dense(x: Any) -> Any:  # Keras calls sparse what is not, as twice a tensor
            return keras.KerasTensor(x.shape, x.dtype) if isinstance(x, keras.KerasTensor) else x

        if keras.backend.backend() != "torch":  # there Keras makes up the sizes that are not known
            try:
                Checks(self).compute_output_spec(*tree.map_structure(dense, args), **tree.map_structure(dense, kwargs))
            except ValueError as error:
                raise error.__context__ or error from None
        found = super().compute_output_spec(*args, **kwargs)
        with_states = self.runs_cells and self.return_state
        return arguments.in_own_precision(found, unstacked(self.cell)) if with_states else found

    def fitted(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool = False,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        reset: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple:
        """The arguments of the call as the loop needs them. Raises ValueError for what does not fit."""
        self.check_options()  # unroll may have been set since
        if hasattr(sequences, "row_splits") or hasattr(sequences, "dense_shape"):
            dense = "sequences.to_tensor()" if hasattr(sequences, "row_splits") else "tf.sparse.to_dense(sequences)"
            kind = type(sequences).__name__
            raise ValueError(f"sequences must be a dense tensor, got a {kind}: give {dense}, and a mask of the steps")
        self.check_shape(arguments.given_shapes(sequences))
        cells = unstacked(self.cell)
        memory, memory_mask = arguments.checked_memory(cells, sequences, memory, memory_mask)
        state = self.first_state(sequences, initial_state)
        if mask is None:  # Keras passes it on where sequences is the only tensor
            mask = getattr(sequences, "_keras_mask", None)
        mask = arguments.checked_mask("mask", sequences, mask)
        mask = mask if lengths is None else arguments.mask_of(sequences, lengths, mask)
        reset = arguments.checked_reset(cells, sequences, reset)
        if keras.backend.backend() == "tensorflow":
            sequences, mask, reset, state, memory, memory_mask = engine.agreeing(
                (sequences, mask, reset), (state, memory, memory_mask)
            )
        sequences, memory = (
            self.dtype_policy.convert_input(x, self.autocast, self.compute_dtype) for x in (sequences, memory)
        )
        sequences = masks.visible(sequences, mask)
        return sequences, state, mask, memory, memory_mask, reset

    def first_state(self, sequences: Tensor, initial_state: Any) -> Any:
        """The state before the first step: given, remembered, or the cell's own; checked."""
        if sequences.shape[1] == 0:
            raise ValueError(f"sequences must have at least one step, got shape {sequences.shape}")
        batch = sequences.shape[0]
        own = self.get_initial_state(batch_size=ops.shape(sequences)[0])
        remembered = self._expected_batch_size if self.stateful else batch
        if None not in (batch, remembered) and batch != remembered:
            raise ValueError(f"sequences: the layer is stateful with a batch size of {remembered}, got {batch}")
        if initial_state is None:
            initial_state = self.states if self.stateful else own
        flat = tree.flatten(own)
        state = fitting("initial_state", initial_state, [tuple(x.shape) for x in flat])
        return tree.pack_sequence_as(own, [ops.cast(x, like.dtype) for x, like in zip(state, flat)])

    def along(
        self, sequences: Tensor, initial_state: Any, mask: Tensor | None, call: Call
    ) -> tuple[Tensor, Tensor, Any]:
        """Last output, all outputs, (batch, steps, ...), and final state of batch-major sequences."""
        x = ops.swapaxes(sequences, 0, 1)
        keep, reset = (None if m is None else ops.expand_dims(ops.transpose(m), -1) for m in (mask, call.reset))
        if self.go_backwards:
            x, keep, reset = (None if each is None else ops.flip(each, 0) for each in (x, keep, reset))
        x, state = self.run(self.cell, x, initial_state, keep, call._replace(reset=reset))
        return x[-1], ops.swapaxes(x, 0, 1), state

    def run(self, cell: Any, sequence: Tensor, state: Any, keep: Tensor | None, call: Call) -> tuple[Tensor, list]:
        """A cell along a time-major sequence: its outputs, (steps, batch, ...), and final state."""
        if stacked(cell):
            finals = []
            for each, before in zip(cell.cells, state, strict=True):
                sequence, final = self.run(each, sequence, before, keep, call)
                finals.append(final)
            return sequence, finals
        weights = cell.bind(call._replace(features=sequence.shape[-1]))
        slices = cell.inputs(sequence, weights.deferred()), weights.along_time()
        weights, given = weights.at({}), weights
        steps, state = sequence.shape[0], tuple(state)
        if keras.backend.backend() == "tensorflow":
            memory = [x for x in (call.memory, call.memory_mask) if x is not None]
            engine.check(slices if keep is None else (keep, slices), [*state, *memory])
        single = self.unroll or (steps == 1 and self.jit_compile == "auto")
        if self.parallel and cell.takes_all_steps and not (single or self.remat):
            outputs, state = self.at_once(cell, slices, state, keep, weights, call.training)
            return cell.finish(outputs, given), state
        held = None if keep is None else self.zero_output_for_mask
        if keep is not None:
            slices = keep, slices
            if not self.zero_output_for_mask:
                shape = (ops.shape(sequence)[1], cell.output_size)
                state = (ops.zeros(shape, dtype=cell.compute_dtype), *state)
        if single or not (self.compiles or self.remat):
            slices = multiplied(slices)
        elif not self.remat:
            slices = multiplied(slices, engine.product)
        if single:
            outputs, state = unrolled(step_of(cell, held), slices, state, weights, steps)
        elif keras.backend.backend() == "tensorflow":
            way = engine.Strides if self.remat else engine.Whole
            key_of, make = functools.partial(step_key, held=held), functools.partial(step_of, held=held)
            program, outputs, state = engine.run(
                way, key_of, cell, make, slices, state, weights, self.compiles, call.training, self.one_tensor
            )
            self.programs[program.key] = program
        else:
            loop = in_strides if self.remat else in_turn
            outputs, state = loop(step_of(cell, held), slices, state, weights)
        if keep is not None and not self.zero_output_for_mask:
            state = state[1:]
        return cell.finish(outputs, given), list(state)

    def at_once(
        self, cell: Cell, slices: Any, state: tuple, keep: Tensor | None, weights: Weights, training: bool
    ) -> tuple[Tensor, list]:
        """All steps of a linear cell: its outputs and final state."""
        along = scan
        if keras.backend.backend() == "tensorflow":
            along = functools.partial(engine.along, compile=self.compiles, training=training)
            slices = multiplied(slices, engine.product) if self.compiles else slices
        before = tuple(Before(start, along, keep) for start in state)
        outputs, after = step_of(cell, None)(multiplied(slices), before, weights)
        if keep is not None:
            after = tuple(map(frozen, after, before))
            nothing = ops.zeros_like(outputs)
            last = Before(nothing[0], along, keep)
            outputs = ops.where(keep, outputs, nothing) if self.zero_output_for_mask else frozen(outputs, last)
        return outputs, [each[-1] for each in after]

    def _create_state_variables(self, batch_size: int) -> None:
        states = tree.map_structure(
            lambda value: keras.Variable(value, trainable=False, dtype=value.dtype, autocast=False, name="rnn_state"),
            self.get_initial_state(batch_size),
        )
        object.__setattr__(self, "states", states)  # not among the weights, as in Keras

    def reset_state(self) -> None:
        """Set the remembered state to the cell's own initial state."""
        begin(self)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        if not self.runs_cells:
            return super().compute_output_shape(sequences_shape, initial_state_shape)
        self.check_shape(sequences_shape)
        batch, steps = sequences_shape[:2]
        last = self.cell.cells[-1] if stacked(self.cell) else self.cell
        output = (batch, steps, last.output_size) if self.return_sequences else (batch, last.output_size)
        return (output, *shapes_of(self.cell, batch)) if self.return_state else output


class Checks(keras.Operation):
    """What a layer checks when it is called, for a call with symbolic tensors, which runs no step."""

    def __init__(self, layer: RNN) -> None:
        super().__init__()
        self.layer = layer

    def call(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.layer.fitted(*args, **kwargs)[0]


def begin(layer: keras.layers.RNN) -> None:
    """Have a stateful layer remember its cell's own initial state. One that is not built yet will."""
    if layer.states is not None:
        states = tree.flatten(layer.states)
        own = layer.get_initial_state(states[0].shape[0])
        for variable, value in zip(states, tree.flatten(own), strict=True):
            variable.assign(value)


def shapes_of(cell: Any, batch: int | None) -> list:
    """The shapes of a cell's states; of a stack, those of its cells, one list each."""
    if stacked(cell):
        return [shapes_of(each, batch) for each in cell.cells]
    return cell.state_shapes(batch)


def name_of(cell: Any) -> str:
    """A name that no layer has yet, made of those of the cells: "zoneout_lstm_rnn", "gru_rnn_1"."""
    names = []
    for each in itertools.chain(*map(unstacked, cell if isinstance(cell, list | tuple) else [cell])):
        while each is not None:
            own = getattr(each, "name", None) or type(each).__name__.lower()
            names.append(re.sub(r"_\d+$", "", own).removesuffix("_cell"))
            each = getattr(each, "cell", None)
    name = "_".join([*names, "rnn"])
    before = keras.backend.get_uid(name) - 1
    return f"{name}_{before}" if before else name


def stacked(cell: Any) -> bool:
    """Whether its cells run one after the other: a subclass with a `call` of its own is one cell, not ours."""
    stack = keras.layers.StackedRNNCells
    return isinstance(cell, stack) and type(cell).call is stack.call


def unstacked(cell: Any) -> list:
    """The cells of a stack, of stacks in it, or the cell itself."""
    if stacked(cell):
        return [each for inner in cell.cells for each in unstacked(inner)]
    return [cell]
