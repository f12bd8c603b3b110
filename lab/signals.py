"""Ctrl-C and SIGTERM: they ask a run to stop where it can be taken up again."""

import signal


class Interrupted(Exception):
    """Someone asks the run to stop."""


class Signals:
    """Within it, Ctrl-C and SIGTERM wait until `check` is called; the second time they don't."""

    received = None

    def __enter__(self):
        self.before = {n: signal.signal(n, self.receive) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number, frame):
        self.received = number
        signal.signal(number, signal.SIG_DFL)

    def check(self):
        if self.received:
            raise Interrupted
