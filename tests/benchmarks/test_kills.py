"""Runs killed at random moments end like the one that nobody disturbed."""

import contextlib
import os
import signal
import sys

import pytest

from benchmarks import kills
from benchmarks.processes import forkserver
from lab.progress import tqdm
from lab.run import load

pytestmark = pytest.mark.slow


def die_with_the_lock():
    tqdm.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def take_the_lock():
    sys.exit(0 if tqdm.get_lock().acquire(True, 10) else 1)


def test_a_process_killed_with_the_lock_of_the_bars_blocks_no_other():
    for function, code in ((die_with_the_lock, -signal.SIGKILL), (take_the_lock, 0)):
        process = forkserver().Process(target=function, daemon=True)
        with contextlib.chdir(kills.ROOT):  # where the process that is forked finds its modules
            process.start()
        process.join(kills.PATIENCE)
        assert process.exitcode == code


def test_killed_runs_end_like_the_unbroken_one(tmp_path):
    result = kills.kill(6, tmp_path, seed=0)
    _, facts = load(tmp_path / "unbroken" / "checkpoint.npz")
    assert 1 < facts["progress"]["best_epoch"] < kills.EPOCHS
    assert len(result["kills"]) == 6
    assert result["differences"] and not any(result["differences"])
    assert any(moment.startswith("writing") for moment, _ in result["kills"])
