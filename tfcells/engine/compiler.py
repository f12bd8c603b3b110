"""XLA: whether it is there, the functions that it compiles, and a fault of it that they must not meet."""

import functools
import os
import platform
import threading
from typing import Any

import tensorflow as tf

from tfcells.engine.differentiated import debugged

XLA = tf.test.is_built_with_xla()  # it was left out of TensorFlow for Windows
FAULTY = tf.__version__.startswith("2.21.")
REDUCTIONS = "--xla_cpu_experimental_ynn_fusion_type=-library_fusion_type_reduce"

lock = threading.Lock()


def has_compiler() -> bool:
    """Whether XLA is there and compiles for the device; for the GPU of a Mac it does not."""
    mac = platform.system() == "Darwin" and "arm" in platform.processor().lower()
    return XLA and not (mac and tf.config.list_physical_devices("GPU"))


def compiled(function: Any, *given: Any) -> Any:
    """A function, its first arguments given, compiled by XLA."""
    avoid_fault()
    # TensorFlow counts traces by code, and all programs have the same: five programs look like one traced five times.
    own: Any = functools.partial(function, *given)
    own.__name__ = function.__name__
    return tf.function(own, jit_compile=True, autograph=False, reduce_retracing=True)


def avoid_fault() -> None:
    """Have XLA compile reductions itself, in all programs of this process.

    That of TensorFlow 2.21 gives some to YNNPACK, whose graph it makes when a program first runs, with the constants
    in one vector without a lock. Threads that run a program for the first time at once can end the process: two
    pieces of a batch, or two equal layers side by side. XLA reads its flags once, when it compiles its first
    program: here, unless it has compiled one before.
    """
    if FAULTY and XLA and not (debugged() or tf.config.functions_run_eagerly()):  # then nothing is compiled
        with lock:
            read_flags()


@functools.cache
def read_flags() -> None:
    """Have XLA read its flags, ours before the user's. The processes that this one starts get the user's alone."""
    given = os.environ.get("XLA_FLAGS")
    if (given or "-").strip()[:1] not in ("", "-"):  # the name of a file with flags
        return
    os.environ["XLA_FLAGS"] = f"{REDUCTIONS} {given or ''}"
    try:
        with tf.init_scope(), tf.device("CPU"):
            tf.function(lambda: tf.constant(0.0), jit_compile=True)()
    finally:
        if given is None:
            del os.environ["XLA_FLAGS"]
        else:
            os.environ["XLA_FLAGS"] = given
