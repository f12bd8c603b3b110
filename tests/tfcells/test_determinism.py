"""A seed and `enable_op_determinism` mean equal bits, process after process, for every cell and wrapper.

The compiled loop, which draws nothing, runs for a matrix state, for a linear cell and for noise.
"""

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import hashlib, keras, numpy as np, tensorflow as tf, tfcells
from tests.cases import CASES, WRAPPED
keras.utils.set_random_seed(3)
tf.config.experimental.enable_op_determinism()
x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
COMPILED = "FastWeightsCell", "MinGRUCell", "Zoneout"
cells = [case.cell(**case.arguments) for case in {case.cell: case for case in CASES}.values()]
cells += [row.make(tfcells.LSTMCell(3)) for row in WRAPPED.values()]
for cell in cells:
    given = {"memory": np.ones((4, 2, 2), "float32")} if cell.attends else {}
    given |= {"reset": np.eye(4, 5, dtype=bool)} if cell.reset_by_flag else {}
    for options in ({}, {"jit_compile": False}) if type(cell).__name__ in COMPILED else ({"jit_compile": False},):
        layer = tfcells.RNN(cell, return_sequences=True, **options)
        with tf.GradientTape() as tape:
            y = layer(x, training=True, **given)
            loss = tf.reduce_sum(y * y)
        found = [y, *tape.gradient(loss, [w.value for w in layer.trainable_weights])]
        bits = b"".join(np.asarray(a).tobytes() for a in found)
        print(type(cell).__name__, options, hashlib.sha256(bits).hexdigest())
"""


def test_two_processes_agree():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert found[0] == found[1] and len(found[0].splitlines()) > 25
