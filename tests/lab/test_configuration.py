"""The user's configuration of Keras does not reach a run."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from lab.configuration import configure
from lab.fields import InputError
from lab.run import load
from recipes import TARGETS
from tests.lab.tasks.test_tasks import SMALL
from tests.tiny import RUN, call, write_corpus

ROOT = pathlib.Path(__file__).parents[2]
STRANGE = {
    "floatx": "float16",
    "epsilon": 0.3,
    "backend": "jax",
    "image_data_format": "channels_first",
    "nnx_enabled": True,
}


@pytest.fixture
def strange():
    before = keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()
    keras.config.set_floatx("float64")
    keras.config.set_epsilon(0.3)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_epsilon(before[1])
    keras.config.set_image_data_format(before[2])
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_is_made_as_by_default(strange, target):
    entry = next(iter(TARGETS[target].values()))
    assert entry.recipe.parameters() == entry.parameters
    assert keras.config.floatx() == "float32" and keras.config.epsilon() == 1e-7
    assert keras.config.image_data_format() == "channels_last"
    model = entry.recipe.outline(entry.recipe.recall(None))
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers} <= {"float32", "int32", "uint8"}


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="backend: must be tensorflow in this process, not jax"):
        configure()


def said(code, level=None):
    """The exit code of a program, and what is on its standard error."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": level} if level else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_what_is_no_notice_is_shown_even_if_the_process_dies():
    lines = (
        "WARNING: All log messages before absl::InitializeLog() ...",
        "I0000 00:00: hello",
        "W0000 a",
        "E0000 b",
        "F c",
    )
    code = f"""if True:
        import os
        from lab.configuration import quiet
        with quiet():
            for line in {lines}:
                os.write(2, (line + os.linesep).encode())
            os.abort()
    """
    number, err = said(code)
    assert number != 0 and err.splitlines() == list(lines[2:])


@pytest.mark.slow
def test_who_wants_all_that_tensorflow_says_has_it():
    """Others hear no word: test_writes_text in test_demo.py."""
    code, err = said("from lab.configuration import configure; configure()", level="0")
    assert code == 0 and err


def run(place, lines, name, configuration):
    """A process that does what train.py does with each line."""
    home = place / f"{name}-keras"
    home.mkdir()
    (home / "keras.json").write_text(json.dumps(configuration))
    code = "import sys, train; sys.exit(max(train.main(line.split()) for line in sys.argv[1:]))"
    environment = os.environ | {"KERAS_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *lines], cwd=place, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_the_same_bits_under_any_file(tmp_path, monkeypatch):
    """As in this process."""
    write_corpus(tmp_path / "text")
    monkeypatch.chdir(tmp_path)
    lines = {
        "model": f"{RUN.replace('eager', 'graph')} --word_dropout 0.1 --restart 0.1 --zoneout 0.1 --tied true",
        "ocr": f"ocr {SMALL['ocr']} --epochs 1 --engine eager",
    }
    done = run(tmp_path, [f"{line} --out strange-{kind}" for kind, line in lines.items()], "strange", STRANGE)
    assert done.returncode == 0, done.stderr
    for kind, line in lines.items():
        code, _, err = call(f"{line} --out plain-{kind}")
        assert code == 0, err
    for kind in lines:
        one, other = (load(tmp_path / f"{name}-{kind}" / "checkpoint.npz")[0] for name in ("plain", "strange"))
        assert one.keys() == other.keys()
        for key in one.keys() - {"step_seconds"}:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.slow
@pytest.mark.parametrize("configuration", [{"floatx": "float8"}, {"epsilon": 1}])
def test_a_file_that_keras_refuses_is_named(tmp_path, configuration):
    write_corpus(tmp_path / "text")
    done = run(tmp_path, [f"{RUN} --out new"], "new", configuration)
    last = done.stderr.splitlines()[-1]
    assert (
        done.returncode == 2 and last.startswith("train.py: error: keras.json: ") and next(iter(configuration)) in last
    )
    assert not (tmp_path / "new").exists()
