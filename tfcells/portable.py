"""Models for runtimes that don't know XLA."""

import collections
import contextlib
import copy
import os
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tfcells.contract.cell import Cell
from tfcells.contract.weights import identity
from tfcells.layers.rnn import RNN, unstacked

LACKS: dict[str | None, set[str]] = {None: set(), "onnx": {"bfloat16"}, "litert": {"float16", "bfloat16"}}
"""Dtypes in which the runtimes of the formats don't compute."""

PRODUCTS = keras.layers.Dense, keras.layers.EinsumDense, keras.layers.ReversibleEmbedding
"""Layers that multiply whole numbers once they are quantized."""


def portable(model: keras.Model, format: str | None = None) -> keras.Model:
    """A copy of a model whose `tfcells.RNN` layers, at any depth, run the ordinary loop.

    model: a built Keras model. The copy has the same weights and states, shares what the model shares, gives the same
    outputs, and can be exported to runtimes that have no XLA; its optimizer begins anew. format: "onnx" or "litert" if
    the copy is for that. "litert" makes the loop write its outputs to one tensor, as LiteRT has no lists of tensors
    whose shapes aren't known; gradients take quadratic time there, and the configuration has nothing of it. The copy
    computes in float32 where the model has bfloat16, and for "litert" float16, which the runtimes lack. Raises
    ValueError if the model has not been built, for a stateful layer in a format that would forget its state, and in
    LiteRT for a quantized Dense.

    >>> model = keras.Sequential([keras.Input((5, 3)), tfcells.RNN(tfcells.LSTMCell(4))])
    >>> tfcells.portable(model).layers[0].jit_compile
    False
    """
    if format not in LACKS:
        raise ValueError(f'format must be None, "onnx" or "litert", got {format!r}')
    lacks = LACKS[format]
    new = copied(model, lambda config: in_float32(config, lacks))
    for layer in new._flatten_layers():
        computes = not (is_graph(layer) or isinstance(layer, keras.layers.InputLayer))
        if computes and layer.compute_dtype in lacks:
            raise ValueError(f"model: {layer.name} computes in {layer.compute_dtype}, which {format!r} lacks")
        if format == "litert" and isinstance(layer, PRODUCTS) and layer.quantization_mode:
            raise ValueError(
                f"model: {layer.name} is quantized, and LiteRT multiplies no matrices of whole numbers. Quantize the "
                'cells alone: model.quantize("int8", filters=lambda layer: isinstance(layer, tfcells.Cell))'
            )
        if format and getattr(layer, "stateful", False):
            raise ValueError(
                f"model: {layer.name} is stateful, and a file in the format {format!r} forgets the state after each "
                "call. Export tfcells.step_model(model), which has states as inputs and outputs"
            )
        for name, value in list(vars(layer).items()) if format == "onnx" else ():
            if keras.ops.is_tensor(value) and not hasattr(value, "assign"):  # Keras makes constants inputs of the file
                setattr(layer, name, keras.ops.convert_to_numpy(value))
        if isinstance(layer, RNN):
            layer.remat = layer.jit_compile = layer.parallel = False
            layer.one_tensor = format == "litert"
    if is_graph(new):
        new(graph_of(new).input)  # Keras exports to ONNX only what has been called
    return new


def in_float32(config: Any, lacks: set[str]) -> Any:
    """A configuration with float32 for all policies that compute in a dtype that is lacking."""
    if isinstance(config, list | tuple):
        return type(config)(in_float32(each, lacks) for each in config)
    if not isinstance(config, dict):
        return config
    if str(config.get("class_name")).endswith("DTypePolicy"):
        named = {
            name: "float32" for name, each in config["config"].items() if str(each).removeprefix("mixed_") in lacks
        }
        return config | {"config": config["config"] | named}
    return {name: in_float32(each, lacks) for name, each in config.items()}


def copied(
    model: keras.Model,
    change: Callable[[Any], Any] = identity,
    finish: Callable[[keras.Layer], Any] = identity,
) -> keras.Model:
    """A copy of a built model that shares what the model shares: the same weights, states and random numbers.

    change: of the layers' configurations, before layers are made of them. finish: of a layer, before it gets its
    weights. A recurrent layer may become one of another class, whose random numbers are its own.
    """
    a_layer(model)
    if not model.built:
        raise ValueError("model must be built: call it once, or give it a keras.Input")
    olds = list({id(part): part for part in parts(model)}.values())
    for each in [model, *olds]:
        check_compiled(each)
    for each in graphs(model):
        if isinstance(each, keras.Sequential) and type(each) is not keras.Sequential:
            raise ValueError(
                f"model: {type(each).__name__} is a keras.Sequential with methods of its own, which Keras does not "
                "copy: give keras.Sequential([keras.Input(shape), *model.layers]), or make it a keras.Model of its "
                "inputs and outputs"
            )
    every = [layer for old in olds for layer in old._flatten_layers()]
    uses = collections.Counter(map(id, every))
    several = {each for each, times in uses.items() if times > 1}
    shared = [old for old in olds if several.intersection(map(id, old._flatten_layers()))]
    with keras.saving.custom_object_scope(unregistered(every) | {"Bag": Bag}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")  # unsafe from a file
        warnings.filterwarnings("ignore", r"`build\(\)` was called on layer")  # see `build_inside`
        copies = {id(old): alone(old, change) for old in olds if old not in shared}
        bag = Bag(shared, lambda configs: change(only(several, configs)))
        with told("copied", *shared):
            copies |= zip(map(id, shared), copy.deepcopy(bag).parts(), strict=True)
    for old in olds:
        new = copies[id(old)]
        new.name = old.name  # a class of the user's may have it in no configuration
        build_inside(old, new)
        finish(new)
        assign(old, new)
        if getattr(old, "compiled", False):  # again, as its optimizer would hold what has been replaced since
            new.compile_from_config(old.get_compile_config())

    def copy_of(part: Any) -> Any:
        return copies[id(part)] if id(part) in copies else type(part).from_config(part.get_config())

    if not is_graph(model):
        return copy_of(model)
    clone = keras.models.clone_model(model, clone_function=copy_of, recursive=True)
    for name in getattr(model, "kept_in_copies", ()):
        setattr(clone, name, getattr(model, name))
    return clone


def build_inside(old: keras.Layer, new: keras.Layer) -> None:
    """Have the copy of a layer without `build` build the layers in it, as Keras does: by a symbolic call."""
    waiting = not all(layer.built for layer in new._flatten_layers(include_self=False))
    if waiting and type(old).build is keras.Layer.build and old._inbound_nodes:
        given = old._inbound_nodes[0].arguments
        keras.Operation.compute_output_spec(new, *given.args, **given.kwargs)


def check_compiled(model: keras.Layer) -> None:
    """Raises ValueError if a model is compiled with what Keras can't make again from its configuration."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            config = model.get_compile_config() if getattr(model, "compiled", False) else None
        keras.saving.deserialize_keras_object(config)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"model: {model.name} is compiled with a loss or metric that is a lambda, or not registered, so that Keras "
            "can't copy it: register it with keras.saving.register_keras_serializable, or compile the copy alone"
        ) from error


def a_layer(model: Any) -> None:
    """Raises ValueError for what is no Keras model or layer, as the path of one."""
    load = "; load it with keras.models.load_model" if isinstance(model, str | os.PathLike) else ""
    if not isinstance(model, keras.Layer):
        raise ValueError(f"model must be a Keras model or layer, got {model!r}{load}")


def unregistered(layers: list[keras.Layer]) -> dict[str, Any]:
    """The classes and functions of layers, for Keras to find them by their names."""
    functions = {each.__name__: each for layer in layers for each in functions_of(layer).values()}
    return functions | {type(layer).__name__: type(layer) for layer in layers}


def functions_of(layer: keras.Layer) -> dict[str, types.FunctionType]:
    """The functions among the attributes of a layer, as activations; not its methods, which Keras wraps."""
    functions = {name: each for name, each in vars(layer).items() if isinstance(each, types.FunctionType)}
    return {name: each for name, each in functions.items() if not hasattr(each, "__wrapped__")}


def alone(layer: keras.Layer, change: Callable[[Any], Any]) -> keras.Layer:
    """A copy of a layer, but for its weights."""
    own = unregistered(list(layer._flatten_layers())[::-1])  # another layer may have a class of the same name
    with told("copied", layer), keras.saving.custom_object_scope(own):
        config = change(keras.saving.serialize_keras_object(layer))
        return keras.saving.deserialize_keras_object(config, safe_mode=False)


@contextlib.contextmanager
def told(done: str, *layers: keras.Layer) -> Iterator[None]:
    """Within it, what goes wrong is a ValueError that says which layers can't be `done`, and why."""
    try:
        yield
    except (NotImplementedError, TypeError, ValueError) as error:
        first: BaseException = error
        while first.__context__:  # what Keras wraps is longer
            first = first.__context__
        names = ", ".join(repr(layer.name) for layer in layers)
        why = " ".join(str(first).strip().partition("\n\n")[0].split())
        if "unexpected keyword argument" in why:
            why += "; have its __init__ take **kwargs and hand them to super().__init__, or write its get_config"
        raise ValueError(f"layer {names} can't be {done}: {why}") from error


def assign(old: keras.Layer, new: keras.Layer) -> None:
    """Give a layer the weights, states, random numbers and functions of another one that is built alike."""
    pairs = list(twins(old, new))
    others = [layer for pair in pairs if type(pair[0]) is not type(pair[1]) for layer in pair]
    seeds = {id(v) for layer in others for v in layer.variables} - {id(v) for layer in others for v in layer.weights}
    for a, b in pairs:
        if type(a) is type(b):
            hand_over(a, b)
        elif not (isinstance(a, keras.layers.RNN | Cell) or isinstance(b, Cell)):  # which may be converted
            raise ValueError(f"layer {a.name!r} can't be copied: another class is called {type(a).__name__}, too")
    before, after = ([v for v in layer.variables if id(v) not in seeds] for layer in (old, new))
    for a, b in zip(before, after, strict=True):
        b.assign(a)
        for name in ("regularizer", "constraint"):
            if isinstance(function := getattr(a, name, None), types.FunctionType):  # two may have one name
                setattr(b, name, function)
    for a, b in pairs:
        # A lambda that is read from a configuration has lost its globals, and two functions may have one name.
        vars(b).update({name: each for name, each in functions_of(a).items() if name in vars(b)})
        if isinstance(a, keras.layers.RNN) and a.stateful and a.states is not None:
            for value, state in zip(keras.tree.flatten(a.states), keras.tree.flatten(b.states), strict=True):
                state.assign(value)


def hand_over(old: keras.Layer, new: keras.Layer) -> None:
    """Give a layer all that a `.keras` file keeps of another one: its variables, and what it has learned beside them.

    Vocabularies go without a file: in Keras's a token with an end of line would be two.
    """
    store: dict[str, Any] = {}
    old.save_own_variables(store)
    if not hasattr(old, "set_vocabulary"):
        new.load_own_variables(store)
        if hasattr(old, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)
    elif old.get_vocabulary(include_special_tokens=False):
        words = old.get_vocabulary()
        new.set_vocabulary(words, *(weights[: len(words)] for weights in store.values()))


def twins(old: keras.Layer, new: keras.Layer) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    """The layers of one tree, each with its like in another; of recurrent ones of two classes, the innermost cells."""
    yield old, new
    if type(old) is type(new):
        inner = (layer._flatten_layers(include_self=False, recursive=False) for layer in (old, new))
        for pair in zip(*inner, strict=True):
            yield from twins(*pair)
    elif isinstance(old, keras.layers.RNN):
        cells = ([getattr(cell, "innermost", cell) for cell in unstacked(layer.cell)] for layer in (old, new))
        yield from zip(*cells, strict=True)


def is_graph(layer: keras.Layer) -> bool:
    """Whether Keras knows the graph of layers."""
    return isinstance(layer, keras.Sequential) or hasattr(layer, "operations") and isinstance(layer, keras.Model)


def graph_of(model: keras.Model) -> Any:
    """The graph that Keras keeps of a model."""
    return getattr(model, "_functional", model)


def parts(layer: keras.Layer) -> Iterator[keras.Layer]:
    """The layers of a model, and of models in it, as far as Keras knows their graphs."""
    if is_graph(layer):
        for inner in layer.layers:
            yield from parts(inner)
    else:
        yield layer


def graphs(layer: keras.Layer) -> Iterator[keras.Model]:
    """A model and the models in it, as far as Keras knows their graphs."""
    if is_graph(layer):
        yield layer
        for inner in layer.layers:
            yield from graphs(inner)


class Bag(keras.layers.Layer):
    """Layers that are copied together. They are behind a function, so that Keras leaves their weights alone."""

    def __init__(self, parts: list, change: Callable[[Any], Any] = identity, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts, self.change = lambda: parts, change

    def get_config(self) -> dict[str, Any]:
        for _ in range(2):  # the second time Keras marks whatever it has seen before, wherever it is
            configs = [keras.saving.serialize_keras_object(part) for part in self.parts()]
        return super().get_config() | {"parts": self.change(configs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Bag":
        return cls(list(map(keras.saving.deserialize_keras_object, config["parts"])))


def only(several: set[int], config: Any) -> Any:
    """A configuration whose marks are those of objects that are there several times.

    Other marks would tie what is alike, as the halves of a Bidirectional that a layer makes.
    """
    if isinstance(config, list | tuple):
        return type(config)(only(several, each) for each in config)
    if not isinstance(config, dict):
        return config
    kept = config if config.get("shared_object_id") in several else config.keys() - {"shared_object_id"}
    return {name: only(several, config[name]) for name in config if name in kept}
