"""Ctrl-C, SIGTERM and SIGHUP, where there is one: they ask a run to stop where it can be continued."""

import signal
import threading
from types import FrameType
from typing import Any, Self

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(Exception):
    """Someone asks the run to stop."""


class Signals:
    """Within it, Ctrl-C, SIGTERM and SIGHUP wait until `check` is called; the second time they don't.

    One that is ignored, as by nohup, stays ignored. Outside the main thread, where Python allows no handlers,
    all stay as they are.
    """

    received: int | None = None

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        found = {number: signal.getsignal(number) for number in STOPPING if main}
        # None: a handler that is not Python's, and could not be put back.
        self.before = {n: handler for n, handler in found.items() if handler not in (signal.SIG_IGN, None)}
        for number in self.before:
            signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)

    def check(self) -> None:
        if self.received:
            raise Interrupted
