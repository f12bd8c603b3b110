"""Standard output and error: what can't be said there is no reason to lose a run."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm


class Stream:
    """sys.stdout or sys.stderr, whatever it is by now; a write that fails is dropped, and so is all after it."""

    def __init__(self, name: str, title: str):
        self.name, self.title = name, title
        self.failed: Any = None  # the file that did

    @property
    def file(self) -> Any:
        """The file behind it, None if it was closed when Python started."""
        return getattr(sys, self.name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.file, attribute)

    def isatty(self) -> bool:
        return self.file is not None and self.file.isatty()

    def write(self, text: str) -> None:
        with self.forgiven():
            self.deliver(text)

    def flush(self) -> None:
        with self.forgiven():
            self.deliver("")

    @contextlib.contextmanager
    def forgiven(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if self is OUT:
                complain(f"train.py: {self.title}: {getattr(error, 'strerror', None) or error}")

    def deliver(self, text: str) -> None:
        """Write, at once; an error is raised the first time, and nothing is written after it."""
        file = self.file
        if file is None or file is self.failed:
            return
        encoding = getattr(file, "encoding", None) or "utf-8"
        try:
            # A corpus may have letters that the terminal can't show.
            file.write(text.encode(encoding, "backslashreplace").decode(encoding))
            file.flush()
        except (OSError, ValueError):
            self.failed = file
            if file in (sys.__stdout__, sys.__stderr__):  # what it still holds would fail once more when Python ends
                with contextlib.suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
            raise


OUT = Stream("stdout", "standard output")
ERR = Stream("stderr", "standard error")


def say(text: str) -> None:
    """A line on standard output, above the progress bars."""
    with tqdm.external_write_mode(file=ERR):  # where the bars are
        OUT.write(f"{text}\n")


def complain(text: str) -> None:
    """A line on standard error."""
    with tqdm.external_write_mode(file=ERR):
        ERR.write(f"{text}\n")


def deliver(text: str) -> None:
    """A command's result, on standard output; an OSError if it does not get there."""
    try:
        OUT.deliver(text)
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None) or errno.EBADF  # ValueError: a closed file's
        raise OSError(code, os.strerror(code), OUT.title) from error


def occupy() -> None:
    """Open the standard streams that are closed, lest a file that a run opens gets the place of one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
