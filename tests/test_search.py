"""train.py search as its users run it: workers are real processes, and die."""

import os
import re
import signal
import time

import psutil
import pytest

from tests.test_train import finish, start
from tests.tiny import write_corpus

optuna = pytest.importorskip("optuna", reason="the extra search is not installed")
pytestmark = pytest.mark.slow

LINE = (
    "search lstm --corpus text --layers 1 --units 3..9 --batch_size 2 --steps 2 --steps_per_epoch 30 --epochs 2 "
    "--evaluation_batch_size 2 --evaluation_steps 8 --engine eager --optimizer adam --learning_rate 0.01 "
    "--save_seconds 0 --pruner none --sampler random --wait 7"
)


@pytest.fixture
def place(tmp_path):
    write_corpus(tmp_path / "text")
    return tmp_path


def until(process, true):
    deadline = time.monotonic() + 100
    while not true():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


def begun(folder):
    """Whether a step of the run is in a checkpoint."""
    return (folder / "checkpoint.previous.npz").exists()


def trials_of(folder):
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}").trials


def test_a_trial_whose_worker_is_killed_is_tried_again(place):
    """By a worker in its place or by another, from the checkpoint; nothing else is lost."""
    folder = place / "study"
    process = start(place, f"{LINE} --parallel 2 --trials 2 --out study")
    until(process, lambda: begun(folder / "trial-0"))
    workers = psutil.Process(process.pid).children()
    lock = str(folder / "trial-0" / "lock")  # held by the worker that trains it
    (worker,) = [each for each in workers if lock in [file.path for file in each.open_files()]]
    os.kill(worker.pid, signal.SIGKILL)
    code, out, err = finish(process)
    assert code == 0 and "Traceback" not in err, err
    assert re.search("worker [12] was killed by SIGKILL; another takes its place", err)
    trials = trials_of(folder)
    failed = {each.number: each for each in trials if each.state.name == "FAIL"}
    again = {each.system_attrs["retry_history"][-1]: each for each in trials if "retry_history" in each.system_attrs}
    assert failed and failed.keys() == again.keys()
    for number, each in again.items():
        assert each.params == failed[number].params and f"| again as {each.number} |" in out
    complete = [each for each in trials if each.state.name == "COMPLETE"]
    assert len(complete) == 2 == len(trials) - len(failed) and [each.last_step for each in complete] == [2, 2]
    assert 0 in failed and len(workers) == 2 and not any(each.is_running() for each in workers)
    for number in range(2):
        said = (folder / f"trial-{number}" / "log.txt").read_text()
        assert re.findall(r"^epoch (\d)/2", said, re.MULTILINE) == [*"12"]


def test_a_search_that_is_stopped_goes_on(place):
    folder = place / "study"
    process = start(place, f"{LINE} --trials 2 --out study")
    until(process, lambda: begun(folder / "trial-0"))
    (worker,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 128 + signal.SIGTERM and not worker.is_running()
    assert "stopped; to go on: " in err and err.strip().endswith("--resume --out study")
    assert [each.state.name for each in trials_of(folder)] == ["FAIL", "WAITING"]
    code, out, err = finish(start(place, "search --resume --out study"))
    assert code == 0, err
    assert [each.state.name for each in trials_of(folder)] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert "trial 1: valid perplexity" in out and (folder / "trials.md").read_text() in out
    said = (folder / "trial-0" / "log.txt").read_text()
    assert re.findall(r"^epoch (\d)/2", said, re.MULTILINE) == [*"12"]


def test_workers_end_with_the_search_that_is_killed(place):
    process = start(place, f"{LINE} --trials 2 --out study")
    until(process, lambda: begun(place / "study" / "trial-0"))
    (worker,) = psutil.Process(process.pid).children()
    process.kill()
    assert not psutil.wait_procs([worker], timeout=60)[1]
    assert [each.state.name for each in trials_of(place / "study")] == ["FAIL", "WAITING"]
