"""Keras's configuration: a run sets all that it depends on, whatever ~/.keras/keras.json says."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from lab.fields import InputError

# Error 303 of CUDA: there is no driver.
NOTICES = "I[0-9]{4} |WARNING: All log messages before absl::InitializeLog|.*cuInit.*[(]303[)]"
FILTER = f"""
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in sys.stdin.buffer:
    if not re.match(rb"{NOTICES}", line):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
"""


def tensorflow() -> Any:
    """TensorFlow, imported without its notices."""
    with quiet():
        import tensorflow

        tensorflow.config.list_physical_devices()  # says whether there is a GPU's driver
    return tensorflow


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it TensorFlow is imported without its notices, unless TF_CPP_MIN_LOG_LEVEL is 0. Warnings and errors stay.

    Its libraries log while they are loaded, before they know of that level. Another process reads what they say, so
    that an error that ends this one is shown.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1") == "0" or "tensorflow" in sys.modules:
        yield
        return
    own = os.dup(2)
    with subprocess.Popen([sys.executable, "-ISc", FILTER], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        os.dup2(reader.stdin.fileno(), 2)
        reader.stdin.close()
        try:
            yield
        finally:
            os.dup2(own, 2)
            os.close(own)


def configure(precision: str = "float32") -> None:
    """Set what Keras reads from its file, and the precision of layers made from now on."""
    try:
        with quiet():
            import keras

            tensorflow()
    except (AttributeError, ValueError) as error:  # of Keras's reading that file
        raise InputError(f"keras.json: {error}") from error
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"Keras's backend: must be tensorflow in this process, not {keras.backend.backend()}")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(precision)
