"""train.py --workers as its users run it: real processes on a tiny text."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from benchmarks import workers
from lab.configuration import configure
from lab.workers import configs
from tests.test_train import ROOT, finish, read_until, start, strict, told, without_times
from tests.tiny import call

pytestmark = pytest.mark.slow

TINY = "--batch_size 4 --steps 8 --evaluation_batch_size 2 --evaluation_steps 25 --layers 1 --units 8"
NOISE = (
    "--dropout 0.2 --state_dropout 0.2 --zoneout 0.1 --weight_drop 0.2 --word_dropout 0.1 --recurrent_dropout 0.1 "
    "--restart 0.2"
)
LINE = f"lstm --corpus text {TINY} {NOISE} --epochs 2 --steps_per_epoch 20 --precision float64"
TWO = f"{LINE} --workers 2"


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A working directory with a corpus in its folder `text`."""
    place = tmp_path_factory.mktemp("workers")
    (place / "text").mkdir()
    for name, count in {"train": 900, "valid": 90, "test": 90}.items():
        words = np.random.default_rng(count).choice([*"abcdefgh"], count)
        (place / "text" / f"{name}.txt").write_text("\n".join(map(" ".join, words.reshape(-1, 9))) + "\n")
    return place


def train(place, line):
    return told(*finish(start(place, line)))


@contextlib.contextmanager
def alone(place):
    """This process in the working directory, to train what workers do."""
    try:
        with contextlib.chdir(place):
            yield
    finally:
        configure("float32")


def arrays(folder, name="checkpoint.npz"):
    with np.load(folder / name) as found:
        return {key: found[key] for key in set(found.files) - {"facts.json", "sha256", "step_seconds"}}


def history(folder):
    with np.load(folder / "checkpoint.npz") as found:
        return json.loads(found["facts.json"].tobytes())["progress"]["history"]


@pytest.fixture(scope="session")
def unbroken(place):
    """The result of a run by two workers, in the folder `two`."""
    return train(place, f"{TWO} --out two")


def same(place):
    """Check that the run `broken` ended as the run `two`, bit for bit."""
    for name in ("checkpoint.npz", "best.npz"):
        one, other = (arrays(place / folder, name) for folder in ("broken", "two"))
        assert one.keys() == other.keys()
        for key, array in one.items():
            np.testing.assert_array_equal(array, other[key], key)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_two_workers_train_what_one_process_trains(place, unbroken, engine):
    with alone(place):
        told(*call(f"{LINE} --out {engine} --engine {engine}"))
    result = unbroken
    if engine != "graph":
        result = train(place, f"{TWO} --out two-{engine} --engine {engine}")
    two = place / ("two" if engine == "graph" else f"two-{engine}")
    for one, other in zip(history(place / engine), history(two), strict=True):
        for name in ("train_loss", "train_perplexity", "valid_perplexity", "learning_rate"):
            assert one[name] == pytest.approx(other[name], rel=1e-10)
    for key, array in arrays(place / engine).items():
        np.testing.assert_allclose(arrays(two)[key], array, 1e-10, 1e-10, err_msg=key)
    assert result["metrics"]["workers"] == 2
    assert {path.name for path in two.iterdir()} == {path.name for path in (place / engine).iterdir()}


def wait_for_checkpoint(process, folder):
    """Until a step is in it."""
    deadline = time.monotonic() + 200
    while not (folder / "checkpoint.previous.npz").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


def other_worker(process):
    (other,) = psutil.Process(process.pid).children()
    return other


def check_ended_by_worker_1(process, out, began):
    code, said, err = finish(process)
    assert time.monotonic() - began < 30
    assert code == 4 and "Traceback" not in err
    assert "stopped: worker 1 (127.0.0.1:" in said
    assert f"; to go on: {sys.executable} " in said and said.strip().endswith(f"--resume --out {out}")


def test_a_worker_that_stops_ends_the_others(place):
    process = start(place, f"{TWO} --engine eager --save_seconds 0 --out gone-1".replace("--epochs 2", "--epochs 100"))
    wait_for_checkpoint(process, place / "gone-1")
    other, began = other_worker(process), time.monotonic()
    os.kill(other.pid, signal.SIGSTOP)
    check_ended_by_worker_1(process, "gone-1", began)
    psutil.wait_procs([other], timeout=30)
    assert not other.is_running() or other.status() == psutil.STATUS_ZOMBIE  # where nobody buries orphans


def test_the_first_worker_that_dies_ends_the_others(place):
    process = start(place, f"{TWO} --save_seconds 0 --out gone-0".replace("--epochs 2", "--epochs 100"))
    wait_for_checkpoint(process, place / "gone-0")
    other = other_worker(process)
    process.kill()
    try:
        psutil.wait_procs([other], timeout=30)
        assert not other.is_running()
    finally:
        if other.is_running():
            other.kill()
    _, err = process.communicate(timeout=30)
    assert "train.py: stopped: worker 0 (127.0.0.1:" in err and "Traceback" not in err


def test_killed_and_stopped_runs_go_on_bit_by_bit(place, unbroken):
    """By as many workers; by one process they end as these do, but for rounding."""
    process = start(place, f"{TWO} --save_seconds 0 --out broken")
    wait_for_checkpoint(process, place / "broken")
    began = time.monotonic()
    other_worker(process).kill()
    check_ended_by_worker_1(process, "broken", began)
    shutil.copytree(place / "broken", place / "changing")

    process = start(place, "lstm --resume --out broken --workers 2")
    read_until(process, "epoch 1/2: ")
    other_worker(process).terminate()  # a signal to any of them stops all where they can be continued
    code, out, err = finish(process)
    assert code == 128 + signal.SIGTERM and "to go on: " in out and not err.count("Traceback")
    # As a cluster, whose processes are started one by one.
    resumed = clustered(place, "lstm --resume --out broken --workers 2")
    assert without_times(resumed) == without_times(unbroken)
    same(place)
    assert train(place, "lstm --resume --out broken --workers 2") == resumed  # it is finished

    with alone(place):
        told(*call("lstm --resume --out changing"))
    for key, array in arrays(place / "changing").items():
        np.testing.assert_allclose(array, arrays(place / "two")[key], 1e-10, 1e-10, err_msg=key)


# Clusters.


def start_worker(place, line, config):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *line.split()],
        cwd=place,
        env=os.environ | {"TF_CONFIG": config},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def clustered(place, line):
    """The result of two processes that are started one by one."""
    processes = [start_worker(place, line, config) for config in configs(2)]
    (code, out, _), (other_code, other_out, err) = map(finish, processes)
    assert (code, other_code, other_out) == (0, 0, "") and "Traceback" not in err
    return strict(out.splitlines()[-1])


def test_a_peer_that_never_starts(place, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", configs(2)[0])
    with alone(place):
        code, out, err = call(f"{TWO} --wait 2 --out never")
    assert code == 2 and not out and "--wait=2: no answer from worker 1 (127.0.0.1:" in err
    assert "Traceback" not in err and not (place / "never").exists()


def test_workers_with_different_commands(place):
    lines = f"{TWO} --out differ", f"{TWO} --out differ --learning_rate 0.25"
    one, other = (start_worker(place, line, config) for line, config in zip(lines, configs(2), strict=True))
    code, out, err = finish(one)
    said = out + err  # it says so as its run does, if that has begun
    assert code == 4 and "worker 1 (127.0.0.1:" in said and "has failed, and says why itself" in said
    code, out, err = finish(other)
    assert code == 2 and "worker 1 has another recipe than worker 0: {" in err and "Traceback" not in err
    assert not (place / "differ" / "result.json").exists()


def test_every_loss_is_that_of_one_process(place):
    """Of 20 steps of three workers, that do not have the same number of rows."""
    line = f"lstm --corpus {place / 'text'} {TINY} {NOISE}".replace("--batch_size 4", "--batch_size 5")
    found = [each["losses"] for each in workers.steps(3, ["--line", line], "float64", 20)]
    assert found[0] == found[1] == found[2]
    with alone(place):
        _, recipe, settings, data = workers.given("workers", "", "", ["--line", line])
        losses, _ = workers.train(recipe, data, settings | {"precision": "float64"}, 20)
    np.testing.assert_allclose(found[0], losses, rtol=1e-10)


def test_the_example_for_jax(tmp_path):
    """Both processes report the losses of all rows, which one process finds, too."""
    pytest.importorskip("jax")
    code = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (address,) = json.loads(configs(1)[0])["cluster"]["worker"]
    alone = re.sub(r"^keras\.distribution\.(initialize|set_distribution)\(.*\n", "", code, flags=re.MULTILINE)
    lines = [(code, "0", "2"), (code, "1", "2"), (alone, "0", "1")]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", source, index, count, address],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
        )
        for source, index, count in lines
    ]
    one, other, wanted = (json.loads(each.communicate(timeout=300)[0].splitlines()[-1]) for each in started)
    assert one == other
    np.testing.assert_allclose(one, wanted, rtol=1e-5)
