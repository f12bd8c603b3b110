"""One step of a model, with its states as inputs and outputs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from tfcells.contract.configured import Configured
from tfcells.contract.linear import Tensor
from tfcells.layers.bias import Bias
from tfcells.layers.dense import Dense
from tfcells.layers.rnn import RNN, unstacked
from tfcells.layers.word_dropout import WordDropout
from tfcells.portable import a_layer, graph_of, is_graph, parts

RECURRENT = RNN, keras.layers.RNN, keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN
TOKENS = (
    *(keras.layers.Embedding, keras.layers.ReversibleEmbedding),
    *(keras.layers.Identity, keras.layers.Rescaling, WordDropout),
)
FEATURES = (
    *(keras.layers.Dense, keras.layers.TimeDistributed, keras.layers.Masking, Bias, Dense),
    *(keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU, keras.layers.Softmax),
    *(keras.layers.LayerNormalization, keras.layers.RMSNormalization, keras.layers.BatchNormalization),
    *(keras.layers.Normalization, keras.layers.UnitNormalization, keras.layers.Dropout, keras.layers.SpatialDropout1D),
    *(keras.layers.GaussianNoise, keras.layers.GaussianDropout, keras.layers.ActivityRegularization),
    *(keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply, keras.layers.Average),
    *(keras.layers.Maximum, keras.layers.Minimum, keras.layers.Concatenate),
)
OPERATIONS = frozenset(
    "Absolute Add Any Cast Clip Concatenate Cos Divide Elu Equal Exp ExpandDims Gelu LeakyRelu Log Log1p LogicalAnd "
    "LogicalNot LogicalOr Maximum Minimum Multiply Negative NotEqual OnesLike Relu Relu6 Selu Sigmoid Sign Silu Sin "
    "Softplus Softsign Sqrt Square Subtract Tanh TrueDivide Where ZerosLike".split()
)
"""What treats each step by itself: layers of tokens, (batch, steps), or of features, and operations of keras.ops."""


@keras.saving.register_keras_serializable("tfcells")
class StepModel(keras.Model):
    """What `step_model` returns.

    stepping: which of its inputs have one step. states: how many states it has. starts: what gives them, each the name
    of a layer, or the shape and dtype of an output that is held. kept_in_copies: which of these copies and files keep.
    """

    kept_in_copies = "stepping", "states", "starts"
    stepping: Sequence[int] = ()
    states: int = 0
    starts: Sequence = ()

    def __call__(self, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """Take arrays beside the states, which Keras refuses: it mixes no tensors with others.

        Raises ValueError for an input of several steps.
        """
        inputs = tree.map_structure(lambda x: ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x, inputs)
        for index, x in enumerate(inputs if isinstance(inputs, list | tuple) else ()):
            shape = tuple(getattr(x, "shape", ()))
            if index in self.stepping and len(shape) > 1 and shape[1] not in (1, None):
                raise ValueError(f"inputs: {self.inputs[index].name} must have one step, (batch, 1, ...), got {shape}")
        return super().__call__(inputs, *arguments, **options)

    def get_initial_state(self, batch_size: int) -> list[Tensor]:
        """The states before the first step, in the order of the last inputs."""
        if not self.starts:
            raise ValueError("keras.models.clone_model loses the initial states: tfcells.portable copies them, too")
        states: list[Tensor] = []
        for start in self.starts:
            if isinstance(start, str):
                states += tree.flatten(self.get_layer(start).get_initial_state(batch_size=batch_size))
            else:
                shape, dtype = start
                states.append(ops.zeros((batch_size, *shape), dtype))
        return states

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {name: getattr(self, name) for name in self.kept_in_copies}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "StepModel":
        model = super().from_config(
            {name: config[name] for name in config if name not in cls.kept_in_copies}, custom_objects
        )
        for name in cls.kept_in_copies:
            setattr(model, name, config[name])
        return model


def step_model(model: keras.Model, pointwise: Iterable[type] = ()) -> StepModel:
    """One step of a Sequential or functional model, with the model's own weights and without a loop.

    Its inputs are the model's, of one step, (batch, 1, ...), and then the states of all recurrent layers. Its
    outputs are the model's at that step, and then the new states. A memory is given whole at each step. A layer that
    has a mask and holds its output at masked steps has that output as one more state. Recurrent layers draw no noise.

    pointwise: classes of layers that treat each step by itself: your own, `keras.layers.Lambda`, or Keras's with an
    activation of your own. Raises ValueError for a layer that needs the whole sequence or may mix steps.

    >>> model = keras.Sequential([keras.Input((None, 3)), tfcells.RNN(tfcells.LSTMCell(4), return_sequences=True)])
    >>> step = tfcells.step_model(model)
    >>> y, *states = step([keras.ops.ones((2, 1, 3)), *step.get_initial_state(2)])
    >>> keras.ops.shape(y), len(states)
    ((2, 1, 4), 2)
    """
    a_layer(model)
    if not (is_graph(model) and model.built):
        call = ": call it once, or give it a keras.Input" if is_graph(model) else ""
        raise ValueError(f"model must be a built Sequential or functional model, got {type(model).__name__}{call}")
    stepping = read_by_step(model)
    if not stepping:
        known = keras.layers.RNN, keras.layers.Bidirectional, keras.layers.Wrapper
        own = [part for part in parts(model) if not isinstance(part, known)]
        hidden = [part.name for part in own if any(isinstance(each, RNN) for each in part._flatten_layers())]
        where = f"; those inside {', '.join(hidden)} are out of reach: put them into the model itself" if hidden else ""
        raise ValueError(f"model must have a recurrent layer that reads one of its inputs step by step{where}")
    given = []
    for index, x in enumerate(model.inputs):
        shape = (x.shape[0], 1, *x.shape[2:]) if index in stepping else x.shape
        x = keras.Input(batch_shape=shape, dtype=x.dtype, name=x.name)
        given.append(Moment(x, "step" if index in stepping else "whole"))
    walk = Walk(tuple(pointwise))
    outputs = tree.flatten(through(model, given, walk.call))
    new = StepModel(
        [*(each.tensor for each in given), *walk.before],
        [*(each.tensor for each in outputs), *walk.after],
        name=f"{model.name}_step",
    )
    new.stepping, new.states, new.starts = sorted(stepping), len(walk.before), walk.starts
    new(new.input)  # Keras exports to ONNX only what has been called
    return new


def through(model: keras.Model, values: list, call: Callable) -> Any:
    """What the graph of a model makes of values for its inputs. call: of an operation and its arguments."""
    return graph_of(model)._run_through_graph(values, operation_fn=lambda operation: operation, call_fn=call)


def in_order(model: keras.Model, *args: Any, inputs: Any = None, **_: Any) -> list:
    """The inputs of a call of a model in the order of its own: a dict may name them."""
    given, graph = args[0] if args else inputs, graph_of(model)
    if isinstance(given, dict) and not isinstance(graph._inputs_struct, dict):
        return [given[x.name] for x in graph.inputs]
    return tree.flatten(given)


def read_by_step(model: keras.Model) -> set[int]:
    """Which inputs of a model its recurrent layers read step by step, through other layers or not."""
    nodes = [node for nodes in graph_of(model)._nodes_by_depth.values() for node in nodes if not node.is_input]
    makers = {id(output): node for node in nodes for output in node.outputs}

    def along(node: Any) -> list:
        if isinstance(node.operation, keras.layers.RNN | keras.layers.Bidirectional):
            named = node.arguments.kwargs
            return tree.flatten(
                [node.arguments.args[:1], *(named.get(name) for name in ("sequences", "mask", "reset"))]
            )
        if not is_graph(node.operation):
            return []
        given = in_order(node.operation, *node.arguments.args, **node.arguments.kwargs)
        return [given[i] for i in read_by_step(node.operation)]

    found: set[int] = set()
    ahead = [x for node in nodes for x in along(node)]
    while ahead:
        x = ahead.pop()
        if x is not None and id(x) not in found:
            found.add(id(x))
            maker = makers.get(id(x))
            ahead += [] if maker is None else along(maker) or maker.input_tensors
    return {index for index, x in enumerate(graph_of(model).inputs) if id(x) in found}


class Moment:
    """A symbolic tensor of the step model.

    kind: "step" for one moment of a sequence, "last" for what the whole model makes of the last one, "whole" for
    what does not depend on the steps.
    """

    def __init__(self, tensor: Any, kind: str) -> None:
        self.tensor = tensor
        self.kind = kind


class Hold(Configured, keras.layers.Layer):
    """An output, or where a mask is False the one before; twice, the second time without the mask.

    pass_mask: whether the first has it.
    """

    def __init__(self, pass_mask: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pass_mask = pass_mask
        self.supports_masking = True

    def call(self, inputs: list[Tensor], mask: Any = None) -> list[Tensor]:
        output, before = inputs
        held = ops.where(ops.reshape(mask[0], (-1, 1, 1)), output, before)
        return [held, ops.copy(held)]

    def compute_mask(self, inputs: list[Tensor], previous_mask: Any) -> Any:
        return [previous_mask[0] if self.pass_mask else None, None]


class Walk:
    """Goes through a model and builds its step.

    before, after: the states. starts: as a `StepModel` has them.
    """

    def __init__(self, pointwise: tuple[type, ...]) -> None:
        self.pointwise = pointwise
        self.before: list = []
        self.after: list = []
        self.starts: list = []
        self.ones: dict[int, list] = {}

    def call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """The step of an operation: of the same structure as its outputs, `Moment`s."""
        if isinstance(operation, keras.layers.RNN):
            return self.recurrent(operation, *args, **kwargs)
        if is_graph(operation):
            return through(operation, in_order(operation, *args, **kwargs), self.call)
        given = [x for x in tree.flatten((args, kwargs)) if isinstance(x, Moment)]
        kinds = {x.kind for x in given}
        kind = next(each for each in ("step", "last", "whole") if each in kinds)
        if kind == "step":
            self.check(operation, given)
        args, kwargs = tree.map_structure(lambda x: x.tensor if isinstance(x, Moment) else x, (args, kwargs))
        outputs = operation(*args, **kwargs)
        for x in tree.flatten(outputs) if kind == "step" else ():
            if len(x.shape) < 2 or x.shape[1] != 1:
                refuse(operation, f"makes {tuple(x.shape)} of one step, where axis 1 must stay 1")
        return tree.map_structure(lambda x: Moment(x, kind), outputs)

    def check(self, operation: Any, given: list[Moment]) -> None:
        """Raises ValueError unless an operation is known to treat each step by itself."""
        kind, name = type(operation), type(operation).__name__
        if isinstance(operation, keras.layers.Bidirectional):
            refuse(operation, "reads the whole sequence, from its end too")
        own = kind in self.pointwise
        element_wise = name in OPERATIONS and kind.__module__.startswith("keras.src.ops")
        if not (own or element_wise or kind in TOKENS + FEATURES):
            refuse(operation, f"may mix steps. If {name} treats each by itself, name its class in pointwise")
        if any(x.kind == "last" for x in given):
            refuse(operation, "gives all steps what is known after the last one")
        rank = max(len(x.tensor.shape) for x in given)
        for x in given:
            if x.kind == "whole" and len(x.tensor.shape) == rank and x.tensor.shape[1] != 1:
                refuse(operation, "joins steps with an input that no recurrent layer reads step by step")
        if own:
            return
        axis = getattr(operation, "axis", ())
        end = rank + (type(operation).__name__ == "ExpandDims")  # whose axis is one of the output
        axes = range(rank) if axis is None else [each % end for each in tree.flatten(axis)]
        own_axes = max(len(np.shape(getattr(operation, name, 0))) for name in ("scale", "offset"))
        if any(each < 2 for each in axes) or (rank < 3 and kind in FEATURES) or own_axes > rank - 2:
            refuse(operation, "acts along the axis of the steps")
        function = getattr(operation, "activation", None)
        if isinstance(function, keras.Layer):
            self.check(function, given)
        elif function is not None and function not in vars(keras.activations).values():
            of = getattr(function, "__name__", function)
            refuse(operation, f"has the activation {of}, which may mix steps. If not, name {name} in pointwise")

    def recurrent(
        self, layer: Any, sequences: Moment, initial_state: Any = None, mask: Moment | None = None, **kwargs: Any
    ) -> Any:
        """One step of a recurrent layer, its states among the inputs and outputs of the model."""
        if type(layer) not in RECURRENT:
            refuse(layer, f"is a {type(layer).__name__}, of which one step is not known")
        if layer.go_backwards:
            refuse(layer, "goes backwards, so that its first step needs the last input")
        if sequences.kind != "step":
            refuse(layer, "reads a sequence that is made after the last step")
        if initial_state is not None:
            refuse(layer, "is given an initial_state by the model, which would start it anew at each step")
        if kwargs.pop("lengths", None) is not None:
            refuse(layer, "is given lengths, which count the whole sequence: give it mask= instead")
        kwargs.pop("training", None)
        for name, x in kwargs.items():
            if isinstance(x, Moment) and x.kind != ("step" if name == "reset" else "whole"):
                refuse(layer, f"needs the whole of {name}, which is made step by step")
        batch, x = sequences.tensor.shape[0], sequences.tensor
        own, (one, uses) = layer.get_initial_state(batch_size=1), self.one(layer)
        name = f"{layer.name}_{uses}" if uses else layer.name

        def state(label: str, like: Any) -> Any:
            dtype = keras.backend.standardize_dtype(like.dtype)
            return keras.Input(batch_shape=(batch, *like.shape[1:]), dtype=dtype, name=f"{name}_{label}")

        states = [state(*each) for each in zip(labels(layer.cell, own), tree.flatten(own), strict=True)]
        tensors = {key: each.tensor if isinstance(each, Moment) else each for key, each in kwargs.items()}
        seen = mask.tensor if mask is not None else getattr(x, "_keras_mask", None)
        before = tree.pack_sequence_as(own, states)
        output, *new = one(x, initial_state=before, mask=seen, training=False, **tensors)
        new = tree.flatten(new)
        self.before += states
        self.after += new
        self.starts.append(one.name)
        if seen is not None and not layer.zero_output_for_mask:
            last = state("output", output)
            hold = Hold(getattr(output, "_keras_mask", None) is not None, name=f"{name}_hold", dtype=layer.dtype_policy)
            output, held = hold([output, last], mask=[seen, None])
            self.before.append(last)
            self.after.append(held)
            self.starts.append([list(output.shape[1:]), output.dtype])
        found = Moment(output, "step") if layer.return_sequences else Moment(ops.squeeze(output, 1), "last")
        return [found, *(Moment(each, "last") for each in new)] if layer.return_state else found

    def one(self, layer: Any) -> tuple[Any, int]:
        """A layer of the same cell for single steps, and how often it has been asked for."""
        options = {"return_sequences": True, "return_state": True, "unroll": True}
        options |= {name: getattr(layer, name) for name in ("zero_output_for_mask", "name")}
        kind, more = keras.layers.RNN, {}
        if isinstance(layer, RNN):
            kind, more = RNN, {"jit_compile": False, "parallel": False, "pass_mask": layer.pass_mask}
        if id(layer) not in self.ones:
            self.ones[id(layer)] = [kind(layer.cell, **options, **more, dtype=layer.dtype_policy), 0]
        found = self.ones[id(layer)]
        found[1] += 1
        return found[0], found[1] - 1


def labels(cell: Any, own: Any) -> list[str]:
    """Names for the states of a layer: those of the cell, with a number in a stack."""
    cells = unstacked(cell)
    if not all(hasattr(each, "states") for each in cells):
        return [f"state_{number}" for number in range(len(tree.flatten(own)))]
    stacked = len(cells) > 1
    return [f"{number}_{name}" if stacked else name for number, each in enumerate(cells) for name in each.states]


def refuse(operation: Any, why: str) -> None:
    raise ValueError(f"model has no single step: {operation.name} {why}")
