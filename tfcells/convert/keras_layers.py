"""Keras's recurrent layers as `tfcells.RNN`, and back: the configurations of layers are rewritten."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras

from tfcells.cells import CLASSES
from tfcells.contract.cell import Cell
from tfcells.layers.rnn import RNN, unstacked
from tfcells.portable import a_layer, assign, copied, functions_of, graph_of, is_graph, told, unregistered

KINDS = {"LSTM": "LSTMCell", "GRU": "GRUCell", "SimpleRNN": "ElmanCell"}
"""Keras's layers, and our cells that have their weights. Keras's cells are LSTMCell, GRUCell and SimpleRNNCell."""

OURS = {getattr(keras.layers, f"{kind}Cell"): CLASSES[cell] for kind, cell in KINDS.items()}
LAYERS = {getattr(keras.layers, kind): getattr(keras.layers, f"{kind}Cell") for kind in KINDS}

SIMPLE = keras.layers.SimpleRNNCell, CLASSES["ElmanCell"]
"""Those with a single gate."""

OF_CELLS = {
    *("name", "trainable", "units", "activation", "recurrent_activation", "use_bias", "reset_after"),
    *(f"{role}_initializer" for role in ("kernel", "recurrent", "bias")),
    *(f"{role}_regularizer" for role in ("kernel", "recurrent", "bias")),
    *(f"{role}_constraint" for role in ("kernel", "recurrent", "bias")),
}
OF_LAYERS = {
    *("name", "trainable", "dtype", "activity_regularizer", "return_sequences", "return_state", "go_backwards"),
    *("stateful", "unroll", "zero_output_for_mask"),
}
"""The arguments that mean the same in both libraries."""

TAKEN = OF_CELLS | {"dtype", "dropout", "recurrent_dropout", "seed", "unit_forget_bias"}
"""The arguments of Keras's cells that are taken over, in one form or another."""

Config = dict[str, Any]


def from_keras(model: keras.Model) -> keras.Model:
    """A copy of a model in which Keras's recurrent layers, at any depth, are `tfcells.RNN`.

    model: a built model, or layer, with `keras.layers.LSTM`, `GRU`, `SimpleRNN` or `RNN` of their cells. The copy has
    the same weights and states, gives the same outputs, and shares what the model shares. It is compiled as the model
    is, and its optimizer goes on where the model's stands. All other layers are copied as they are.

    dropout and recurrent_dropout become `VariationalDropout`, which draws other random numbers. An LSTM or a GRU with
    both has in Keras a mask of the inputs for each gate, here one for all gates: a UserWarning says so.
    A mask that comes from the layer before takes effect beside an initial_state, too. Keras forgets it there, so that
    outputs differ from the first masked step on: a UserWarning says so, where the model's graph is known.
    A layer that makes recurrent layers itself makes Keras's again wherever Keras makes it anew, as from a `.keras`
    file: a UserWarning says so. For such a copy save_weights and load_weights are right.
    Keras 3.16's layers keep their mask from those that follow, and so does the copy there, by pass_mask=False.

    Raises ValueError if the model has not been built, and for a layer that can't be converted, with its name and why.

    >>> model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4)])
    >>> type(tfcells.from_keras(model).layers[0].cell)
    <class 'tfcells.cells.lstm.LSTMCell'>
    """
    return converted(model, runs_keras_cells, to_tfcells_layer)


def to_keras(model: keras.Model) -> keras.Model:
    """A copy of a model in which `tfcells.RNN` layers, at any depth, are Keras's: the way back from `from_keras`.

    It takes the cells that Keras has, `LSTMCell`, `GRUCell` and `ElmanCell`, alone, in stacks, and in a
    `VariationalDropout` as Keras draws it: without output_rate, and for an LSTM or a GRU with per_gate=True if there is
    a state_rate. A forget_bias other than 0 or 1 is not kept, as the copy has the weights. The rest is as `from_keras`
    says.

    >>> model = keras.Sequential([keras.Input((5, 3)), tfcells.RNN(tfcells.LSTMCell(4))])
    >>> type(tfcells.to_keras(model).layers[0]).__name__
    'LSTM'
    """
    return converted(model, runs_tfcells_cells, to_keras_layer)


def load_keras_weights(model: keras.Model, path: Any) -> None:
    """Load a `.weights.h5` of a model with `keras.layers.LSTM`, `GRU` or `SimpleRNN` into the same with `tfcells.RNN`.

    `model.load_weights` does not find these weights, since such a file names layers by their classes. The state of the
    optimizer comes along if the model is compiled, and its optimizer built.

    Raises ValueError for a file of other layers or shapes.
    """
    twin = to_keras(model)
    try:
        twin.load_weights(path)
    except ValueError as error:
        raise ValueError(
            f"{path} does not fit Keras's layers of this model; a file of the model itself is for model.load_weights. "
            f"{error}"
        ) from error
    assign(twin, model)
    if getattr(model, "compiled", False) and model.optimizer.built:
        for variable, value in zip(model.optimizer.variables, twin.optimizer.variables, strict=True):
            variable.assign(value)


def converted(model: keras.Model, wanted: Callable[[Any], bool], change: Callable[[Config], Config | None]) -> Any:
    """A copy of a model.

    wanted: of a layer, whether it has to be changed. change: of a configuration, a new one if it is such a layer's.
    """
    a_layer(model)
    if any(isinstance(model, kind) for kind in (Cell, keras.layers.StackedRNNCells, *OURS)):
        raise ValueError(f"model must be a layer that runs the cell, as keras.layers.RNN(cell), got {model.name!r}")
    for layer in model._flatten_layers():
        if wanted(layer):
            check(layer, change)
        if is_graph(layer):
            check_calls(layer, wanted, change is to_keras_layer)

    def rewritten(config: Any) -> Any:
        if isinstance(config, list | tuple):
            return type(config)(map(rewritten, config))
        if not isinstance(config, dict):
            return config
        return change(config) or {name: rewritten(value) for name, value in config.items()}

    made: dict[int, tuple[keras.Layer, keras.Layer]] = {}
    makers: dict[str, None] = {}

    def finish(layer: keras.Layer, maker: str | None = None) -> None:
        """Convert what the layer made in its constructor, and so has not in its configuration."""
        for inner in layer._flatten_layers(include_self=False, recursive=False):
            if not any(map(wanted, inner._flatten_layers())):
                continue
            if not (wanted(inner) or is_graph(inner)):
                finish(inner, maker or layer.name)
                continue
            if id(inner) not in made:
                made[id(inner)] = inner, copied(inner, rewritten, finish)
            replace(layer, *made[id(inner)])
            makers[maker or layer.name] = None

    new = copied(model, rewritten, finish)
    if makers:
        warnings.warn(
            f"recurrent layers are made in the constructor of {', '.join(map(repr, makers))}. load_model and "
            "clone_model run that again, and get other layers than this copy has: keep its weights with save_weights. "
            "Beside an initial_state, Keras forgets a mask of the layer before, tfcells does not",
            stacklevel=3,
        )
    if len(new.weights) != len(model.weights):
        raise ValueError("model: a layer that several others hold can't share its cell with another layer, too")
    if getattr(model, "compiled", False) and model.optimizer.built:
        new.optimizer = optimizer_of_copy(model, new)
    return new


def optimizer_of_copy(model: keras.Model, new: keras.Model) -> keras.optimizers.Optimizer:
    """The model's optimizer for its copy: of the weights that it was built with, whatever is trainable since."""
    old, copies = model.optimizer, dict(zip(map(id, model.weights), new.weights, strict=True))
    trained = old._trainable_variables
    if not copies.keys() >= set(map(id, trained)):
        raise ValueError("model: its optimizer has other variables than the model; compile the model again")
    made = type(old).from_config(old.get_config())
    inner, new_inner = (getattr(each, "inner_optimizer", each) for each in (old, made))
    undecayed = [copies[id(v)] for v in trained if not inner._use_weight_decay(v)]
    if undecayed:  # which Keras keeps in no configuration
        new_inner.exclude_from_weight_decay(undecayed)
    made.build([copies[id(v)] for v in trained])
    for value, variable in zip(old.variables, made.variables, strict=True):
        variable.assign(value)
    return made


def replace(layer: keras.Layer, old: keras.Layer, new: keras.Layer) -> None:
    """Have the attributes of a layer hold a new layer for an old one, also in lists and dictionaries."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(each) for key, each in value.items()}
        return list(map(replaced, value)) if isinstance(value, list) else new if value is old else value

    def holds(value: Any) -> bool:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return value is old or any(map(holds, inner))

    layer._tracker.replace_tracked_value("layers", old, new)
    names = [name for name, value in vars(layer).items() if holds(value) and not name.startswith("_self_")]
    if not names:
        raise ValueError(
            f"layer {old.name!r} can't be converted: no attribute of {layer.name!r} holds it, or a list of it"
        )
    for name in names:
        setattr(layer, name, replaced(getattr(layer, name)))


def check(layer: keras.layers.RNN, change: Callable[[Config], Config | None]) -> None:
    """Raises ValueError, with the name of the layer, if it can't be converted. Warns where the noise will differ."""
    with told("converted", layer):
        known = {keras.layers.RNN, RNN, *LAYERS, *OURS}
        for part in [layer, *unstacked(layer.cell)]:
            if isinstance(part, tuple(known)) and type(part) not in known:
                raise ValueError(f"{type(part).__name__} is a class of its own, and may compute anything")
        cells = unstacked(layer.cell)
        strange = [type(cell).__name__ for cell in cells if not isinstance(cell, (Cell, *OURS))]
        if strange and any(getattr(cell, name, 0) for cell in cells for name in ("dropout", "recurrent_dropout")):
            raise ValueError(f"its cells with dropout need tfcells's loop, in which {strange[0]} does not run")
        if not isinstance(layer, RNN) and layer.supports_masking != passes_masks():
            own = f"supports_masking={layer.supports_masking} is in no configuration"
            raise ValueError(f"{own}: set it back, and give the layer of the copy its pass_mask")
        config = change(keras.saving.serialize_keras_object(layer)) or {}
        config.pop("build_config", None)
        failed = None
        try:
            with keras.saving.custom_object_scope(unregistered(layer._flatten_layers())):
                keras.saving.deserialize_keras_object(config, safe_mode=False)
        except (TypeError, ValueError) as error:
            failed = error
        if failed:
            functions = [each for part in layer._flatten_layers() for each in functions_of(part).values()]
            lambdas = any(each.__name__ == "<lambda>" for each in functions)
            why = "it has a lambda, which Keras can't copy there; use a function with a name"
            raise ValueError(why) if lambdas else failed
    for cell in unstacked(layer.cell):
        both = [("dropout", "recurrent_dropout"), ("input_rate", "state_rate")]
        drops = any(all(getattr(cell, name, 0) for name in rates) for rates in both)
        if drops and not isinstance(getattr(cell, "innermost", cell), SIMPLE):
            noise = "in training Keras draws a mask of the inputs for each gate, tfcells one for all gates"
            warnings.warn(f"layer {layer.name!r}: {noise}", stacklevel=4)


def check_calls(model: keras.Model, wanted: Callable[[Any], bool], theirs: bool) -> None:
    """Raises ValueError for layers in a graph that become `theirs`, Keras's, and are called with what those lack.

    Warns of those with a mask of the layer before and an initial state: Keras forgets that mask.
    """
    for node in [node for nodes in getattr(graph_of(model), "_nodes_by_depth", {}).values() for node in nodes]:
        layer, args, named = node.operation, node.arguments.args, node.arguments.kwargs
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional) and any(
            map(wanted, layer._flatten_layers())
        ):
            call = inspect.signature(layer.call).bind(*args, **named).arguments
            if theirs and call.get("lengths") is not None:
                raise ValueError(f"layer {layer.name!r} can't be converted: Keras has no lengths; call it with a mask")
            implicit = getattr(call["sequences"], "_keras_mask", None) is not None and call.get("mask") is None
            if implicit and call.get("initial_state") is not None:
                both = "Keras forgets the mask of the layer before beside an initial_state, tfcells does not"
                warnings.warn(f"layer {layer.name!r}: {both}; give mask= in both to have the same", stacklevel=4)


def runs_keras_cells(layer: Any) -> bool:
    return isinstance(layer, keras.layers.RNN) and any(isinstance(c, tuple(OURS)) for c in unstacked(layer.cell))


def runs_tfcells_cells(layer: Any) -> bool:
    cells = unstacked(layer.cell) if isinstance(layer, keras.layers.RNN) else []
    return isinstance(layer, RNN) or any(isinstance(cell, Cell) for cell in cells)


def to_tfcells_layer(config: Config) -> Config | None:
    """The configuration of a `tfcells.RNN`, or None if that of no layer with Keras's cells is given."""
    kind, given = class_of(config), config.get("config", {})
    if kind in LAYERS:
        refuse_others(given, OF_LAYERS | TAKEN)
        own = chosen(given, TAKEN) | {"name": None}
        cell = to_tfcells_cell(described(LAYERS[kind], own), given["dtype"])
    elif kind in (keras.layers.RNN, RNN):
        cell = in_stack(given["cell"], lambda each: to_tfcells_cell(each, given["dtype"]))
        if cell == given["cell"]:
            return None
    else:
        return None
    layer = given if kind is RNN else chosen(given, OF_LAYERS) | {"pass_mask": passes_masks()}
    return config | described(RNN, layer | {"cell": cell})


def refuse_others(config: Config, known: set[str]) -> None:
    """Raises ValueError for an argument that would get lost."""
    for name, value in config.items():
        if name not in known and value is not None:
            instead = "; give it to the layer that runs the cell" if name in OF_LAYERS else ""
            raise ValueError(f"its argument {name} has no like here{instead}")


def to_tfcells_cell(config: Config, dtype: Any) -> Config:
    """The configuration of our cell for Keras's, any other one as it is. dtype: the layer's."""
    kind, given = class_of(config), config["config"]
    if kind not in OURS:
        return config
    refuse_others(given, TAKEN)
    own = {"dtype_is_explicit": False} if given["dtype"] == dtype else {"dtype": given["dtype"]}
    new = described(OURS[kind], chosen(given, OF_CELLS) | own)
    if kind is keras.layers.LSTMCell:
        new["config"]["forget_bias"] = float(given["unit_forget_bias"])
    if given["dropout"] or given["recurrent_dropout"]:
        several = kind not in SIMPLE
        rates = {"input_rate": given["dropout"], "state_rate": given["recurrent_dropout"], "per_gate": several}
        noise = rates | {"cell": new, "seed": given.get("seed")} | own
        new = described(CLASSES["VariationalDropout"], noise)
    return new | chosen(config, {"shared_object_id"})


def to_keras_layer(config: Config) -> Config | None:
    """The configuration of a layer of Keras's, or None if that of no layer with our cells is given."""
    kind, given = class_of(config), config.get("config", {})
    if kind not in (keras.layers.RNN, RNN):
        return None
    cell = in_stack(given["cell"], to_keras_cell)
    if kind is keras.layers.RNN and cell == given["cell"]:
        return None
    if given["return_sequences"] and passes_masks() and not given.get("pass_mask", True):
        raise ValueError("Keras's layers pass their mask on, as pass_mask=False does not")
    layer = chosen(given, OF_LAYERS)
    for layer_kind, cell_kind in LAYERS.items():
        if class_of(cell) is cell_kind and ("shared_object_id" in config or "shared_object_id" not in cell):
            trainable = {"trainable": layer["trainable"] and cell["config"]["trainable"]}
            return config | described(layer_kind, cell["config"] | layer | trainable)
    return config | described(keras.layers.RNN, layer | {"cell": cell})


def to_keras_cell(config: Config) -> Config:
    """The configuration of Keras's cell for ours, any other one as it is. Raises ValueError if Keras has none."""
    outer, given, noise = config, config["config"], {}
    if class_of(config) is CLASSES["VariationalDropout"]:
        noise, config = given, given["cell"]
        given = config["config"]
    kind = class_of(config)
    if not isinstance(kind, type) or not issubclass(kind, Cell):
        return outer
    theirs = next((each for each, ours in OURS.items() if ours is kind), None)
    if theirs is None:
        raise ValueError(f"Keras has no {kind.__name__}")
    if keras.dtype_policies.get(given["dtype"]).quantization_mode:
        raise ValueError(f"Keras's {theirs.__name__} has no kernels in int8")
    if given.get("input_gate", "free") != "free":
        raise ValueError(f"Keras's LSTM has no input_gate={given['input_gate']!r}")
    if noise.get("output_rate"):
        raise ValueError(f"Keras's layers drop nothing of their outputs, as output_rate={noise['output_rate']} does")
    if noise.get("state_rate") and not noise["per_gate"] and theirs not in SIMPLE:
        raise ValueError("Keras draws a mask of the state for each gate, as per_gate=True does, and not per_gate=False")
    new = chosen(given, OF_CELLS | {"dtype"})
    if theirs is keras.layers.LSTMCell:
        new["unit_forget_bias"] = bool(given["forget_bias"])
    new |= {"dropout": noise.get("input_rate", 0.0), "recurrent_dropout": noise.get("state_rate", 0.0)}
    new |= {"seed": noise.get("seed"), "trainable": given["trainable"] and noise.get("trainable", True)}
    return described(theirs, new) | chosen(outer, {"shared_object_id"})


def in_stack(config: Config, change: Callable[[Config], Config]) -> Config:
    """A cell's configuration changed; of a stack, those of its cells."""
    if class_of(config) is not keras.layers.StackedRNNCells:
        return change(config)
    given = config["config"]
    cells = [in_stack(cell, change) for cell in given["cells"]]
    return config if cells == given["cells"] else described(keras.layers.StackedRNNCells, given | {"cells": cells})


def passes_masks() -> bool:
    """Whether layers after Keras's recurrent ones get their mask: until 3.16."""
    return keras.layers.RNN(keras.layers.SimpleRNNCell(1, name="one"), name="one").supports_masking


def class_of(config: Config) -> Any:
    """The class that a configuration is of, if it is Keras's layer or a registered one."""
    if config.get("registered_name"):
        return keras.saving.get_registered_object(config["registered_name"])
    return getattr(keras.layers, config["class_name"], None) if config.get("module") == "keras.layers" else None


def described(kind: type, config: Config) -> Config:
    """A configuration as Keras serializes it."""
    if kind.__module__.startswith("tfcells."):
        name = {"module": kind.__module__, "registered_name": keras.saving.get_registered_name(kind)}
    else:
        name = {"module": "keras.layers", "registered_name": None}
    return name | {"class_name": kind.__name__, "config": config}


def chosen(config: Config, names: Iterable[str]) -> Config:
    return {name: config[name] for name in names if name in config}
