"""Ctrl-C and SIGTERM: they ask a run to stop where it can be continued."""

import signal
from types import FrameType
from typing import Any, Self


class Interrupted(Exception):
    """Someone asks the run to stop."""


class Signals:
    """Within it, Ctrl-C and SIGTERM wait until `check` is called; the second time they don't."""

    received: int | None = None

    def __enter__(self) -> Self:
        self.before = {n: signal.signal(n, self.receive) for n in (signal.SIGINT, signal.SIGTERM)}
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
