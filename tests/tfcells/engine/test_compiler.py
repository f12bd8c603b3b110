"""How XLA is called."""

import subprocess
import sys
import textwrap

import keras
import pytest
import tensorflow as tf

import tfcells
from tfcells import engine
from tfcells.engine import compiler

pytestmark = [pytest.mark.cpu, pytest.mark.skipif(not compiler.XLA, reason="TensorFlow has no XLA here")]

PROGRAM = """
    import os
    import keras, tensorflow as tf, tfcells

    os.environ["XLA_FLAGS"] = "--xla_dump_max_hlo_modules=7"
    x = keras.random.normal((10, 35, 2000))
    {first}
    largest = tf.function(lambda x: tf.reduce_max(x, -1), jit_compile=True)
    print("ynn_fusion" in largest.experimental_get_compiler_ir(x)(stage="optimized_hlo"), os.environ["XLA_FLAGS"])
"""
LOOP = "tf.function(tfcells.RNN(tfcells.MGUCell(2)))(x[..., :4])"


@pytest.mark.parametrize("first", ["", LOOP], ids=["alone", "tfcells"])
@pytest.mark.slow
def test_reductions_are_compiled(first):
    """YNNPACK would get them, and threads that run such a program for the first time at once could end the process.

    If a later TensorFlow fails here: does XLA's `EmitYnnSubgraph` still write into one vector without a lock?
    """
    program = textwrap.dedent(PROGRAM).format(first=first)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    given, flags = done.stdout.split()
    assert (given == "True") == (not first and compiler.FAULTY)
    assert flags == "--xla_dump_max_hlo_modules=7"


@pytest.mark.parametrize("way", ["loop", "strides", "steps at once", "product"])
def test_no_program_is_compiled_before_xla_has_its_flags(monkeypatch, way):
    compiler.avoid_fault()  # as what follows is compiled
    engine.recurrence.programs.cache_clear()
    engine.products.compiled_by_transposed.cache_clear()
    monkeypatch.setattr(compiler, "FAULTY", True)
    asked = []
    monkeypatch.setattr(compiler, "read_flags", lambda: asked.append(1))
    x = keras.random.normal((2, 3, 5))
    if way == "product":
        monkeypatch.setattr(engine.products, "WORTH", 1)
        engine.products.back([x[0]], None, [x[0], tf.eye(5)])
    else:
        cell = tfcells.MinGRUCell(2) if way == "steps at once" else tfcells.MGUCell(2, activation=lambda x: x)
        tfcells.RNN(cell, remat=way == "strides")(x)
    assert asked


def test_what_can_not_have_the_flag_is_left_alone(monkeypatch):
    """While functions run eagerly XLA reads no flags; and the variable may be the name of a file with flags."""
    asked = []
    monkeypatch.setattr(compiler, "FAULTY", True)
    with monkeypatch.context() as patched:
        patched.setattr(compiler, "read_flags", lambda: asked.append(1))
        tf.config.run_functions_eagerly(True)
        compiler.avoid_fault()
        tf.config.run_functions_eagerly(False)
        assert not asked
        compiler.avoid_fault()
        assert asked
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    monkeypatch.setattr(tf, "function", None)  # not called
    compiler.read_flags.__wrapped__()
    monkeypatch.setenv("XLA_FLAGS", " ")
    with pytest.raises(TypeError):
        compiler.read_flags.__wrapped__()
