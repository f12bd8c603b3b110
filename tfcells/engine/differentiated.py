"""A function of tensors with a gradient of its own, as `tf.custom_gradient` has it, but for three things.

In a graph it is traced apart, once, and called. What TensorFlow keeps of it for good holds no tensor of the caller's
graph, and so no model. The gradient reads what the operation's inputs are, so that a branch of `tf.cond` can have it.
And a transformation that loses the gradient, as `tf.vectorized_map` does, raises; it does not find zeros.
"""

import itertools
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree
from tensorflow.python.eager import record
from tensorflow.python.framework import op_callbacks

from tfcells.contract.linear import Tensor

HOME = tf.Graph()
NUMBERS = itertools.count()
LOST = (
    "a transformation lost the gradient of tfcells.RNN's compiled loop, as tf.vectorized_map does; inside it use "
    "tfcells.RNN(..., jit_compile=False)"
)
TWICE = (
    "the compiled loop of tfcells.RNN can be differentiated once, backward; for second derivatives and forward mode "
    "use tfcells.RNN(..., jit_compile=False)"
)


class Differentiated:
    """forward(*tensors) gives results, a list, and what to keep, a structure of tensors.

    backward(d, kept, tensors) gives the gradients of the floats among the tensors; d: those of the results. Both must
    hold nothing alive that is to be freed. spent: which of the tensors backward needs no more than the kind of.
    Raises NotImplementedError when it is differentiated twice.
    """

    def __init__(self, forward: Callable, backward: Callable, spent: Any = ()) -> None:
        self.forward, self.backward, self.spent = forward, backward, spent
        self.traced = [tf.function(function, autograph=False) for function in (forward, backward)]

    def __call__(self, *tensors: Any, alive: Any = None) -> list:
        """The results. alive: what a tape is to keep as long as it can ask for the gradient, outside graphs."""
        tensors = tuple(map(tf.convert_to_tensor, tensors))
        return list(self.eagerly(alive, *tensors) if tf.executing_eagerly() else self.in_graph(*tensors))

    def eagerly(self, alive: Any, *tensors: Tensor) -> tuple:
        @tf.custom_gradient
        def run(*tensors: Tensor) -> tuple:
            results, kept = self.forward(*map(tf.stop_gradient, tensors))
            given = self.emptied(tensors)

            @tf.custom_gradient
            def back(*arguments: Tensor) -> tuple:
                arguments = tuple(map(tf.stop_gradient, arguments))
                count = len(results)
                return tuple(self.backward(list(arguments[:count]), kept, list(arguments[count:]))), twice

            def gradient(*d: Any, alive: Any = alive) -> tuple:
                d = tuple(x if g is None else g for g, x in zip(d, results, strict=True))
                found = iter(back(*d, *given))
                return tuple(next(found) if x.dtype.is_floating else None for x in tensors)

            return tuple(results), gradient

        return run(*tensors)

    def in_graph(self, *tensors: Tensor) -> list:
        forward, backward = self.traced
        call = traced(forward, *tensors)
        with record.stop_recording():
            results, kept = call(*tensors)
        count, structure = len(results), tree.map_structure(lambda _: 0, kept)
        inputs = [*map(closed, results), *tree.flatten(kept), *tensors]
        middle = len(inputs) - len(tensors)

        def gradient(inputs: list, d: tuple) -> list:
            kept, tensors = tree.pack_sequence_as(structure, inputs[count:middle]), list(inputs[middle:])
            given = [tf.zeros_like(x) if g is None else g for g, x in zip(d, inputs[:count])]
            arguments = given, kept, self.emptied(tensors)
            call = traced(backward, *arguments)
            with record.stop_recording():
                found = call(*arguments)
            found = iter(overridden([*map(closed, found)], tree.flatten(arguments), once))
            return [None] * middle + [next(found) if x.dtype.is_floating else None for x in tensors]

        return overridden(inputs[:middle], tensors, gradient)[:count]

    def emptied(self, tensors: Any) -> list:
        """The tensors, of those that are spent nothing but their kind, lest they be kept."""
        return [x[..., :0] if place in self.spent else x for place, x in enumerate(tensors)]


def watched(tensors: list) -> bool:
    """Whether a tape, or forward mode, asks for the gradient of one of these."""
    return bool(record.should_record_backprop(tensors))


def varies(x: Tensor) -> bool:
    """Whether a tensor of a graph is made of more than constants: a tape outside may ask for its gradient."""
    ahead, seen = [x.op] if tf.is_symbolic_tensor(x) else [], set()
    while ahead:
        operation = ahead.pop()
        if not operation.inputs and operation.type != "Const":
            return True
        if operation not in seen:
            seen.add(operation)
            ahead += [each.op for each in operation.inputs]
    return False


def debugged() -> bool:
    """Whether a tool as `tf.debugging.enable_check_numerics` adds to every operation what XLA can't run."""
    return bool(op_callbacks.should_invoke_op_callbacks())


def traced(function: Any, *arguments: Any) -> Any:
    """The concrete function for these arguments, traced apart from their graph."""
    specs = tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), arguments)
    with HOME.as_default():
        return function.get_concrete_function(*specs)


def closed(x: Tensor) -> Tensor:
    """x, through which no gradient may flow but that of the operation that it goes into."""
    return tf.raw_ops.PreventGradient(input=x, message=LOST) if x.dtype.is_floating else x


def overridden(results: list, tensors: Any, gradient: Callable) -> list:
    """The results, with `gradient(inputs, d)` as the gradient of [*results, *tensors], in a graph and on tapes."""
    graph, inputs = tf.compat.v1.get_default_graph(), [*results, *tensors]
    name = f"tfcells_{next(NUMBERS)}"
    graph_of: Callable[[], Any] = weakref.ref(graph)

    @tf.RegisterGradient(name)
    def registered(operation: Any, *d: Any) -> list:
        if operation:
            return gradient(list(operation.inputs), d)
        # Saving a model asks for every gradient, without an operation: also for those that are refused.
        inputs = list(graph_of().get_operation_by_name(place).inputs)
        return list(map(refused, inputs)) if gradient is once else gradient(inputs, d)

    with graph.gradient_override_map({"IdentityN": name}), record.stop_recording():
        outputs = tf.identity_n(inputs)
    place = outputs[0].op.name
    record.record_operation(name, outputs, inputs, lambda *d: gradient(inputs, d))
    return outputs[: len(results)]


def twice(*_: Any) -> None:
    raise NotImplementedError(TWICE)


def once(inputs: list, d: tuple) -> list:
    raise NotImplementedError(TWICE)


def refused(x: Tensor) -> Tensor | None:
    """A gradient that raises when it is computed."""
    with tf.control_dependencies([tf.debugging.Assert(False, [TWICE])]):
        return tf.zeros_like(x) if x.dtype.is_floating else None
