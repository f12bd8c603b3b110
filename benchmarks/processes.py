"""A function in a process of its own, and the memory that a process takes.

The process is forked from one that has TensorFlow imported but not begun to use it.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import resource
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
STATUS = pathlib.Path("/proc/self/status")


def in_a_fresh_process(function, *arguments):
    """What a function of a module returns there; it ends with this process."""
    with contextlib.chdir(ROOT):  # where the process that is forked finds its modules
        with concurrent.futures.ProcessPoolExecutor(1, forkserver(), initializer=follow) as pool:
            return pool.submit(function, *arguments).result()


def forkserver():
    """What makes such processes. The one they are forked from is made once: all that need it import the same."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.preloaded"])
    return context


def follow():
    """End this process as soon as the one that started it is gone, even if that was killed."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def forget_peak():
    """Let `peak_memory` count from now on, where the system can."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def memory() -> int:
    """The bytes that this process has in memory, or where that is not known had at the most."""
    return status("VmRSS")


def peak_memory() -> int:
    """The most bytes that this process had in memory.

    Linux's ru_maxrss won't do: it is handed down from the parent process.
    """
    return status("VmHWM")


def status(field: str) -> int:
    if STATUS.exists():
        lines = (line.split() for line in STATUS.read_text().splitlines())
        return next(1024 * int(words[1]) for words in lines if words[0] == f"{field}:")
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def compiled_programs(folder: str) -> list[str]:
    """The names of the functions that XLA has compiled, one for each time."""
    return [
        path.name.split(".")[1].removeprefix("a_inference_")
        for path in pathlib.Path(folder).glob("*before_optimizations.txt")
    ]


def have_xla_list_programs(folder: str):
    """To be called before XLA compiles anything in this process."""
    os.environ["XLA_FLAGS"] = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
