"""Clusters, what several workers can't do, and heartbeats; tests/test_workers.py has the processes."""

import json
import socket
import time

import numpy as np
import pytest

from lab import workers
from lab.fields import InputError
from lab.options import parse, settle
from lab.signals import Interrupted
from lab.workers import ALONE, Cluster, Heartbeat, check_workers
from recipes import TARGETS


def config(index=0, kind="worker", **jobs):
    jobs = jobs or {"worker": ["a:1", "b:2"]}
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    "text, cluster",
    [
        (config(1), Cluster([("a", 1), ("b", 2)], 1)),
        (config(0, chief=["c:3"], worker=["a:1", "b:2"]), Cluster([("c", 3), ("a", 1), ("b", 2)], 1)),
        (config(0, "chief", chief=["c:3"], worker=["a:1"]), Cluster([("c", 3), ("a", 1)], 0)),
        ("", None),
        ("{}", None),
    ],
)
def test_clusters(monkeypatch, text, cluster):
    monkeypatch.setenv("TF_CONFIG", text)
    assert Cluster.read() == cluster


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "JSONDecodeError"),
        ("[]", "AttributeError"),
        (config(2), "the index must be below 2, the number of its kind, not 2"),
        (config(0, "ps"), "the index must be below 0"),
        (config(0, ps=["a:1"]), "jobs must be chief and worker, not ps"),
        (config(0, worker=["a", "b:2"]), "an address must be HOST:PORT, not a"),
        (config(0, worker=["[::1]:5", "b:2"]), "an address must be HOST:PORT"),
        (config(0, worker=["a:b"]), "invalid literal"),
        ('{"cluster": {"worker": ["a:1"]}}', "KeyError('task')"),
    ],
)
def test_clusters_that_are_none(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="^TF_CONFIG: ") as raised:
        Cluster.read()
    assert message.replace("('task')", "") in str(raised.value)


@pytest.mark.parametrize(
    "line, count, message",
    [
        ("lstm", 3, "--workers: must be 3, the workers of TF_CONFIG"),
        ("lstm --workers 2", 3, "--workers=2: must be 3, the workers of TF_CONFIG"),
        ("lstm --workers 2 --engine numpy", 2, "--engine numpy: must be graph or eager or xla with --workers"),
        ("lstm --workers 4 --batch_size 3", 1, "--workers=4: must be at most batch_size, 3"),
        ("reber --workers 2", 1, "--workers=2: must be at most batch_size, 1"),
        ("waveform --workers 2", 1, "--workers=2: must be at most batch_size, 1"),
        ("lstm --workers 0", 1, "--workers=0: must be a whole number from 1 to 100"),
        ("lstm --workers 2 --wait 0", 1, "--wait=0: must be a number above 0, to 3e38"),
    ],
)
def test_what_is_refused(monkeypatch, line, count, message):
    monkeypatch.setenv("TF_CONFIG", config(0, worker=[f"host:{port}" for port in range(count)]))
    with pytest.raises(InputError) as raised:
        options, overrides = parse(line.split(), TARGETS)
        recipe, settings, _ = settle(options, overrides, TARGETS)
        check_workers(recipe, settings, options.workers)
    assert str(raised.value) == message


def test_a_cluster_of_one_is_none(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(0, worker=["host:1"]))
    options, overrides = parse(["lstm"], TARGETS)
    assert check_workers(*settle(options, overrides, TARGETS)[:2], options.workers) is None


def test_one_worker_asks_no_others():
    def stopped():
        raise Interrupted

    assert ALONE.first(lambda: np.float32(3)) == 3
    assert ALONE.any(True, False) == [True, False]
    with pytest.raises(Interrupted):
        ALONE.first(stopped)


# Heartbeats.


@pytest.fixture
def pair(monkeypatch):
    """The heartbeats of two workers, quick ones, and what ends them."""
    monkeypatch.setattr(workers, "BEAT", 0.05)
    monkeypatch.setattr(workers, "SILENCE", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
    ended = {}
    made = [Heartbeat(Cluster([("127.0.0.1", port) for port in ports], rank)) for rank in range(2)]
    for each in made:
        monkeypatch.setattr(each, "end", lambda text, rank=each.cluster.rank: ended.setdefault(rank, text))
    yield made, ended
    for each in made:
        each.stop(failed=False)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_they_meet_and_one_falls_silent(pair):
    (one, other), ended = pair
    other.thread.start()
    one.meet(20)
    assert other.heard or not ended
    time.sleep(1)
    assert not ended
    other.stop(failed=False)
    until(lambda: ended)
    host, port = other.cluster.addresses[1]
    assert ended[0].startswith(f"worker 1 ({host}:{port}) has been silent for ") and 1 not in ended


def test_one_that_fails_says_so(pair):
    (one, other), ended = pair
    other.thread.start()
    one.meet(20)
    other.stop(failed=True)
    until(lambda: ended)
    assert ended[0].endswith("has failed, and says why itself")


def test_a_process_that_was_stopped_hears_the_others_anew(pair, monkeypatch):
    (one, other), ended = pair
    other.thread.start()
    one.meet(20)
    listen = one.listen

    def stopped_for_a_while(seconds):
        monkeypatch.setattr(one, "listen", listen)
        time.sleep(1)  # the other has been silent for longer than allowed

    monkeypatch.setattr(one, "listen", stopped_for_a_while)
    until(lambda: one.listen is listen)
    time.sleep(0.5)
    assert not ended


def test_one_that_never_comes_is_named(pair):
    (one, other), _ = pair
    host, port = other.cluster.addresses[1]
    with pytest.raises(InputError, match=rf"^--wait=0.3: no answer from worker 1 \({host}:{port}\)"):
        one.meet(0.3)


def test_strangers_are_not_heard(pair):
    (one, _), ended = pair
    one.watching = True
    one.thread.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for message in (b"", b"\xff", b"x 1 failed", f"{one.word} 7 failed".encode(), f"{one.word} x failed".encode()):
            stranger.sendto(message, one.cluster.addresses[0])
    time.sleep(0.3)
    assert not ended and not one.heard and one.thread.is_alive()


def test_a_port_that_is_taken(pair):
    (one, _), _ = pair
    with pytest.raises(InputError, match=r"^TF_CONFIG: worker 0 \(127.0.0.1:\d+\) can't be this machine's"):
        Heartbeat(one.cluster)
