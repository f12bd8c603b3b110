"""What the processes of `kills` and `processes` share: imported once, then forked."""

import os
import threading

os.environ["KERAS_BACKEND"] = "tensorflow"

from lab.configuration import quiet  # noqa: E402

with quiet():
    import tensorflow  # noqa: F401

import matplotlib.figure  # noqa: E402, F401

import benchmarks.sides  # noqa: E402, F401
import lab.learner  # noqa: E402, F401
import lab.progress  # noqa: E402
import train  # noqa: E402, F401

# tqdm's own lock is one semaphore for all of them: a process that is killed while it has it would block the others.
lab.progress.tqdm.set_lock(threading.RLock())
