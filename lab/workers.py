"""Several processes or machines that train one run: each has some rows of the batch, and the first writes the run.

All do the same steps in the same order, so that each finds the others at its collective operations. What only one of
them can know, the first tells the others. A heartbeat says whether they are still there.
"""

import contextlib
import dataclasses
import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lab.configuration import tensorflow
from lab.fields import InputError
from lab.options import Settings
from lab.recipe import Recipe
from lab.run import digest
from lab.signals import Interrupted
from lab.streams import complain

SILENCE = 20.0  # seconds after which a worker counts as gone
BEAT = 1.0
GONE = 4  # the exit code when a worker has gone
HOST = "127.0.0.1"


class Cluster(NamedTuple):
    """The addresses of all workers, and which of them this process is."""

    addresses: list[tuple[str, int]]
    rank: int

    @classmethod
    def read(cls) -> "Cluster | None":
        """The cluster of TF_CONFIG; an InputError if that says nothing sensible."""
        text = os.environ.get("TF_CONFIG")
        if not text:
            return None
        try:
            config = json.loads(text)
            jobs, task = config.get("cluster", {}), config.get("task", {})
            if not jobs:
                return None
            if other := jobs.keys() - {"chief", "worker"}:
                raise ValueError(f"jobs must be chief and worker, not {', '.join(sorted(other))}")
            addresses = [address(text) for job in ("chief", "worker") for text in jobs.get(job, [])]
            index, size = int(task["index"]), len(jobs.get(task["type"], []))
            if not 0 <= index < size:
                raise ValueError(f"the index must be below {size}, the number of its kind, not {index}")
            return cls(addresses, index + (len(jobs.get("chief", [])) if task["type"] == "worker" else 0))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"TF_CONFIG: {error!r}, in {text}") from error

    @property
    def local(self) -> bool:
        """Whether all are processes of this machine."""
        return all(host == HOST for host, _ in self.addresses)

    def named(self, rank: int) -> str:
        host, port = self.addresses[rank]
        return f"worker {rank} ({host}:{port})"


def address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or host.startswith("["):
        raise ValueError(f"an address must be HOST:PORT, not {text}")
    return host, int(port)


def check_workers(recipe: Recipe[Any], settings: Settings, count: int | None) -> Cluster | None:
    """The cluster to join, if there is one. Refuses what several workers can't do."""
    cluster = Cluster.read()
    there = len(cluster.addresses) if cluster else 1
    if there > 1 and count != there:
        given = "" if count is None else f"={count}"
        raise InputError(f"--workers{given}: must be {there}, the workers of TF_CONFIG")
    if (count or 1) > 1 and settings["engine"] == "numpy":
        raise InputError("--engine numpy: must be graph or eager or xla with --workers")
    if (count or 1) > recipe.batch_size:
        raise InputError(f"--workers={count}: must be at most batch_size, {recipe.batch_size}")
    return cluster if there > 1 else None


@dataclasses.dataclass(eq=False)
class Workers:
    """All workers of a run, as one of them sees them; by default there is but one."""

    rank: int = 0
    count: int = 1
    strategy: Any = None
    heartbeat: Any = None

    @functools.cached_property
    def total(self) -> Callable[[Any], Any]:
        """A function of a tensor: its sum over the workers."""
        import tensorflow as tf

        def reduce(tensor: Any) -> Any:
            placed = tf.identity(tensor)  # on the worker's device, which a graph leaves open
            return tf.distribute.get_replica_context().all_reduce("SUM", placed)

        return tf.function(lambda tensor: self.strategy.run(reduce, (tensor,)), reduce_retracing=True)

    def pooled(self, array: np.ndarray) -> np.ndarray:
        """Bit by bit, what the one worker has that has not zeros there."""
        import tensorflow as tf

        content = array.tobytes()
        words = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
        summed = np.asarray(self.total(tf.constant(words))) if len(words) else words
        return np.frombuffer(summed.tobytes()[: len(content)], array.dtype).reshape(array.shape)

    def first(self, value: Callable[[], Any]) -> Any:
        """What this function returns in the first worker, as JSON keeps it; it alone calls it."""
        if self.count == 1:
            return value()
        text = b""
        if not self.rank:
            try:
                text = json.dumps({"value": value()}).encode()
            except Interrupted:
                text = b"{}"
        (length,) = self.pooled(np.array([len(text)]))
        content = self.pooled(np.frombuffer(text.ljust(length, b"\0"), np.uint8))
        outcome = json.loads(content.tobytes())
        if not outcome:
            raise Interrupted
        return outcome["value"]

    def any(self, *flags: bool) -> list[bool]:
        """For each flag whether a worker has it."""
        if self.count == 1:
            return list(flags)
        import tensorflow as tf

        return [bool(number) for number in np.asarray(self.total(tf.constant(flags, tf.int32)))]

    def agree(self, facts: dict[str, Any]) -> None:
        """Refuse to train anything else than the first worker does."""
        theirs = self.first(lambda: facts)
        for name, value in facts.items():
            if digest(value) != digest(theirs[name]):
                raise InputError(f"worker {self.rank} has another {name} than worker 0: {value} (there {theirs[name]})")


ALONE = Workers()


class Heartbeat:
    """Tells all other workers each second that this one is there, over UDP, at the ports that TensorFlow uses for TCP.

    One that has been silent for `SILENCE` seconds, killed or stopped, ends this process, which would wait for it in
    TensorFlow for ever.
    """

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.say: Callable[[str], None] = lambda text: complain(f"train.py: {text}")
        self.heard: dict[int, float] = {}
        self.children: list[subprocess.Popen] = []  # workers that this process started
        self.watching = self.stopping = False
        host, port = cluster.addresses[cluster.rank]
        bound = host if cluster.local else ""  # a name from outside need not be one of this machine's own
        try:
            with socket.create_server((bound, port)):
                pass  # TensorFlow's own server would fail in a less legible way
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((bound, port))
        except (OSError, OverflowError) as error:
            raise InputError(f"TF_CONFIG: {cluster.named(cluster.rank)} can't be this machine's: {error}") from error
        self.word = digest([list(each) for each in cluster.addresses])
        self.thread = threading.Thread(target=self.run, daemon=True)

    def others(self) -> list[int]:
        return [rank for rank in range(len(self.cluster.addresses)) if rank != self.cluster.rank]

    def send(self, state: str) -> None:
        message = f"{self.word} {self.cluster.rank} {state}".encode()
        for rank in self.others():
            with contextlib.suppress(OSError):  # it may not be there yet, nor its name
                self.socket.sendto(message, self.cluster.addresses[rank])

    def run(self) -> None:
        while not self.stopping:
            began = time.monotonic()
            self.send("here")
            while (left := began + BEAT - time.monotonic()) > 0:
                self.listen(left)
            if time.monotonic() - began > SILENCE / 2:  # this process was stopped itself: hear the others anew
                self.heard = dict.fromkeys(self.heard, time.monotonic())
            for rank, when in self.heard.items():
                if self.watching and (silent := time.monotonic() - when) > SILENCE:
                    self.end(f"{self.cluster.named(rank)} has been silent for {silent:.0f} s")

    def listen(self, seconds: float) -> None:
        self.socket.settimeout(seconds)
        try:
            word, number, state = self.socket.recv(1024).decode().split()
            rank = int(number)
        except (OSError, ValueError):  # a timeout, as a rule; nothing heard; or a stranger's words
            return
        if word == self.word and rank in self.others():
            self.heard[rank] = time.monotonic()
            if state == "failed":
                self.end(f"{self.cluster.named(rank)} has failed, and says why itself")

    def meet(self, seconds: float) -> None:
        """Wait for all the others."""
        self.thread.start()
        deadline = time.monotonic() + seconds
        while missing := [self.cluster.named(rank) for rank in self.others() if rank not in self.heard]:
            if time.monotonic() > deadline:
                raise InputError(
                    f"--wait={seconds:g}: no answer from {', '.join(missing)}: each must have been started with the "
                    "same TF_CONFIG but for its index, and be reached at its port by TCP and by UDP"
                )
            time.sleep(BEAT / 10)
        self.watching = True

    def end(self, text: str) -> None:
        """End this process, with a sentence: its main thread is somewhere in TensorFlow and can't be called back."""
        if not self.stopping:
            self.say(f"stopped: {text}")
            for child in self.children:
                child.kill()  # one that was stopped would stay
            os._exit(GONE)

    def stop(self, failed: bool) -> None:
        self.stopping = True
        for _ in range(3 * failed):  # what goes by UDP may get lost
            self.send("failed")
            time.sleep(BEAT / 10)


@contextlib.contextmanager
def joined(count: int, cluster: Cluster | None, wait: float, arguments: list[str]) -> Iterator[Workers]:
    """This process as one of the workers. Without a cluster, the others are started here, as processes.

    wait: so many seconds for the others. arguments: the command line.
    """
    if count == 1:
        yield ALONE
        return
    with contextlib.ExitStack() as stack:
        children = [] if cluster else stack.enter_context(processes(count, arguments))
        cluster = cluster or Cluster.read()
        assert cluster is not None
        heartbeat = Heartbeat(cluster)
        heartbeat.children = children
        try:
            heartbeat.meet(wait)
            yield Workers(cluster.rank, count, strategy(cluster, heartbeat, wait), heartbeat)
        except Exception as error:
            if type(error).__module__.startswith("tensorflow"):
                time.sleep(SILENCE + 3 * BEAT)  # a worker has gone, as a rule: the heartbeat will say which
            heartbeat.stop(failed=True)
            raise
        except BaseException:
            heartbeat.stop(failed=True)
            raise
        heartbeat.stop(failed=False)


def strategy(cluster: Cluster, heartbeat: Heartbeat, wait: float) -> Any:
    """TensorFlow's strategy for this cluster, with one processor or one GPU a worker."""
    tf = tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and cluster.local:
        if len(cluster.addresses) > len(gpus):
            raise InputError(f"--workers={len(cluster.addresses)}: must be at most {len(gpus)}, this machine's GPUs")
        gpus = [gpus[cluster.rank]]
    if len(gpus) > 1:
        raise InputError(f"{cluster.named(cluster.rank)} sees {len(gpus)} GPUs: let CUDA_VISIBLE_DEVICES name one")
    tf.config.set_visible_devices(gpus, "GPU")
    text = f"--wait={wait:g}: the workers hear each other by UDP, but can't connect by TCP"
    timer = threading.Timer(wait, heartbeat.end, [text])  # the constructor waits for the others for ever
    timer.daemon = True
    timer.start()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        timer.cancel()


@contextlib.contextmanager
def processes(count: int, arguments: list[str]) -> Iterator[list[subprocess.Popen]]:
    """The other workers as processes of this machine, and TF_CONFIG for this one."""
    own, *rest = configs(count)
    before, os.environ["TF_CONFIG"] = os.environ.get("TF_CONFIG", ""), own
    command = [sys.executable, sys.argv[0], *arguments]
    others = [
        subprocess.Popen(command, env=os.environ | {"TF_CONFIG": config}, stdout=subprocess.DEVNULL) for config in rest
    ]
    try:
        yield others
    finally:
        os.environ["TF_CONFIG"] = before
        for other in others:
            try:
                other.wait(SILENCE + 10 * BEAT)
            except subprocess.TimeoutExpired:
                other.kill()


def configs(count: int) -> list[str]:
    """TF_CONFIG of each of so many processes of this machine, at ports that are free."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        jobs = {"worker": [f"{HOST}:{server.getsockname()[1]}" for server in servers]}
    return [json.dumps({"cluster": jobs, "task": {"type": "worker", "index": rank}}) for rank in range(count)]
