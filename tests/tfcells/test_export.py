"""Files of whole models and of step models, each run by its own runtime, give the model's outputs."""

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfcells
from tests.tfcells.test_stepping import ROWS, X, drawn, rnn

pytestmark = pytest.mark.export

BUILT_IN = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
NEEDED = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "litert": ("ai_edge_litert",)}
FORMATS = pytest.mark.parametrize(
    "format",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not all(map(importlib.util.find_spec, modules)), reason=f"{' or '.join(modules)} is not installed"
            ),
        )
        for name, modules in NEEDED.items()
    ],
)


def onnx(model, path):
    """A function of a list of inputs, by ONNX Runtime."""
    import onnxruntime

    model.export(path / "it.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path / "it.onnx")
    names = [each.name for each in session.get_inputs()]
    assert names == [each.name for each in model.inputs]
    return lambda inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def litert(model, path):
    """A function of a list of inputs, by LiteRT, with its own operations alone."""
    from ai_edge_litert.interpreter import Interpreter

    model.export(path / "it.tflite", format="litert", verbose=False, **BUILT_IN)
    runner = Interpreter(model_path=str(path / "it.tflite")).get_signature_runner()

    def run(inputs):
        outputs = runner(**{x.name: value for x, value in zip(model.inputs, inputs, strict=True)})
        return [outputs[name] for name in sorted(outputs, key=lambda name: int(name.split("_")[-1]))]

    return run


RUNTIMES = {"onnx": onnx, "litert": litert}
UNLIKE = (
    "lstm clockwork fast-norm mlstm qrnn-ifo-3 lru scornn phased VariationalDropout-lstm Attention-lstm "
    "KVPAttention-lstm TrainableInitialState-lstm ResetOnFlag-lstm"
).split()
"""Rows that are unlike in their states or in what they read. `.ci/export` has them all."""


def agree(found, model, inputs):
    wanted = keras.tree.flatten(model([keras.ops.convert_to_tensor(x) for x in inputs]))
    for mine, each, output in zip(found, wanted, model.outputs, strict=True):
        np.testing.assert_allclose(mine, each, atol=1e-4, err_msg=output.name)


def shorter(values):
    """Fewer samples and steps; a memory keeps its rows."""
    return [x[:2] if name == "memory" else x[:2, :4] for name, x in values.items()]


def first(model, values):
    """Inputs of the first step of a model, from states that are not zero; and fewer samples of them."""
    states = [np.asarray(state) for state in model.get_initial_state(len(X))]
    states = [state + 0.1 if state.dtype == "float32" else state for state in states]
    inputs = [*(x if name == "memory" else x[:, :1] for name, x in values.items()), *states]
    return inputs, [x[:2] for x in inputs]


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_whole_sequences(case, format, tmp_path):
    """Of any batch size and length, with masks."""
    model, values = drawn([case], masked=True)
    run = RUNTIMES[format](tfcells.portable(model, format), tmp_path)
    for inputs in list(values.values()), shorter(values):
        agree(run(inputs), model, inputs)


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_steps(case, format, tmp_path):
    model, values = drawn([case], masked=False)
    step = tfcells.step_model(model)
    run = RUNTIMES[format](step, tmp_path)
    inputs, _ = first(step, values)
    agree(run(inputs), step, inputs)


SERVE = """
import sys
sys.modules["tfcells"] = None  # importing it fails
import numpy as np
import tensorflow as tf
models = [tf.saved_model.load(folder) for folder in sys.argv[1:]]
for folder, model in zip(sys.argv[1:], models):
    for number in range(2):
        inputs = [tf.constant(x) for x in np.load(f"{folder}/inputs_{number}.npz").values()]
        np.savez(f"{folder}/outputs_{number}.npz", *model.serve(inputs))
"""


@pytest.mark.slow
def test_saved_models(tmp_path):
    """Of every row where all formats are tested, whole sequences and one step; of some the compiled loop, too.

    All cells are in one model, as TensorFlow takes much longer to write and to load many.
    """
    every = all(importlib.util.find_spec(module) for modules in NEEDED.values() for module in modules)
    whole, values = drawn([ROWS[name] for name in (ROWS if every else UNLIKE)], masked=True)
    step = tfcells.step_model(whole)
    as_trained = {"jit_compile": "auto", "parallel": "auto"}
    few, same = drawn(
        [ROWS["lstm"], ROWS["mingru-positive"], ROWS["VariationalDropout-lstm"]], masked=True, **as_trained
    )
    models = {
        "whole": (whole, [list(values.values()), shorter(values)]),
        "step": (step, first(step, values)),
        "few": (few, [list(same.values()), shorter(same)]),
    }
    for name, (model, calls) in models.items():
        model.export(tmp_path / name, verbose=False)
        for number, inputs in enumerate(calls):
            np.savez(tmp_path / name / f"inputs_{number}.npz", *inputs)
    folders = [str(tmp_path / name) for name in models]
    subprocess.run([sys.executable, "-c", SERVE, *folders], check=True, cwd=tmp_path)
    for name, (model, calls) in models.items():
        for number, inputs in enumerate(calls):
            agree(np.load(tmp_path / name / f"outputs_{number}.npz").values(), model, inputs)


@pytest.mark.slow
@FORMATS
def test_sequences_without_a_mask(format, tmp_path):
    model = keras.Sequential([keras.Input((None, X.shape[2])), rnn(), tfcells.Dense(2)])
    run = RUNTIMES[format](tfcells.portable(model, format), tmp_path)
    agree(run([X]), keras.Model([model.inputs[0]], model.outputs), [X])


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("options", [{}, {"mean": [1.0] * X.shape[2], "variance": [2.0] * X.shape[2]}])
def test_normalization(format, options, tmp_path):
    """Its numbers are constants of the file, and no inputs of it."""
    normalization = layers.Normalization(**options)
    if not options:
        normalization.adapt(3 * X + 1)
    model = keras.Sequential([keras.Input((None, X.shape[2])), normalization, rnn()])
    run = RUNTIMES[format](tfcells.portable(model, format), tmp_path)
    agree(run([X]), keras.Model([model.inputs[0]], model.outputs), [X])


@pytest.mark.slow
@FORMATS
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(format, policy, tmp_path):
    """In float32 where the runtime has not this precision."""
    inner = [rnn(dtype=policy), tfcells.Dense(2, dtype=policy)]
    model = keras.Sequential([keras.Input((None, X.shape[2])), *inner])
    found = RUNTIMES[format](tfcells.portable(model, format), tmp_path)([X])
    np.testing.assert_allclose(found[0], keras.ops.cast(model(X), "float32"), atol=2e-2)


def test_a_stateful_layer_is_refused_where_it_would_forget():
    model = keras.Sequential([keras.Input(batch_shape=X.shape), rnn(stateful=True)])
    for format in NEEDED:
        with pytest.raises(ValueError, match=f"stateful.*{format}.*step_model"):
            tfcells.portable(model, format)
    with pytest.raises(ValueError, match="format must be None"):
        tfcells.portable(model, "tflite")


def test_the_loop_for_litert_equals_the_other():
    model = keras.Sequential([keras.Input((None, X.shape[2])), rnn(jit_compile=False)])
    copied = tfcells.portable(model, "litert")
    gradients = []
    for each in (model, copied):
        with tf.GradientTape() as tape:
            y = tf.function(each)(X)
            loss = tf.reduce_sum(y**2)
        gradients.append([y, *tape.gradient(loss, each.trainable_variables)])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(copied(X), model(X), atol=1e-6)
