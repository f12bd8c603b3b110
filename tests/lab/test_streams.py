"""What is said on standard output and error, and that it costs nothing if it can't be."""

import contextlib
import errno
import io
import os
import pathlib
import runpy
import subprocess
import sys

import pytest

import lab.checkpoints
import lab.run
from lab import progress, streams
from tests.tiny import RUN, call, write_corpus

ROOT = pathlib.Path(__file__).parents[2]
NAMES = "stdout", "stderr"


class Broken(io.StringIO):
    """A stream that takes so many writes."""

    def __init__(self, error, writes=0):
        super().__init__()
        self.error, self.left = error, writes

    def write(self, text):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().write(text)


ERRORS = {
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "a closed pipe": BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)),
    "a terminal that is gone": OSError(errno.EIO, os.strerror(errno.EIO)),
    "closed": ValueError("I/O operation on closed file"),
}
FILES = {name: (lambda error=error: Broken(error)) for name, error in ERRORS.items()} | {"none": lambda: None}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", FILES)
def test_nothing_that_is_said_raises(monkeypatch, name, kind):
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stdout", heard)
    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr(sys, name, FILES[kind]())
    with progress.bar("epoch", "words", 10) as shown:
        for _ in range(2):
            streams.say("said")
            streams.complain("complained")
            shown.update(5)
            shown.refresh()
    assert heard.getvalue().count("complained" if name == "stdout" else "said") == 2
    assert heard.getvalue().count("train.py: standard output: ") == (name == "stdout" and kind != "none")


@pytest.mark.parametrize("kind", ERRORS)
def test_a_result_that_does_not_get_there_is_an_error(monkeypatch, kind):
    monkeypatch.setattr(sys, "stdout", FILES[kind]())
    with pytest.raises(OSError, match="standard output"):
        streams.deliver("result")


def test_a_letter_that_the_stream_has_not_is_escaped(monkeypatch):
    for name in NAMES:
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    streams.say("é")
    streams.complain("ö")
    streams.deliver("ü\ud800")
    assert sys.stdout.buffer.getvalue() == b"\\xe9\n\\xfc\\ud800"
    assert sys.stderr.buffer.getvalue() == b"\\xf6\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("streams")
    write_corpus(place / "text")
    with contextlib.chdir(place):
        assert call(f"{RUN} --out done")[0] == 0
        yield place


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, writes, kind",
    [
        ("stdout", 1, "a closed pipe"),
        ("stderr", 3, "a closed pipe"),
        ("stderr", 0, "closed"),
    ],
)
def test_a_run_whose_streams_fail_is_one_like_any(place, monkeypatch, name, writes, kind):
    import train

    folder = f"{name}-{writes}-{kind}"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO())
        patch.setattr(sys, "stderr", io.StringIO())
        patch.setattr(sys, name, Broken(ERRORS[kind], writes))
        assert train.main([*RUN.split(), "--out", folder]) == 0
    one, other = (lab.run.load(place / each / "checkpoint.npz") for each in (folder, "done"))
    assert scores(one) == scores(other)
    log = (place / folder / "log.txt").read_text()
    assert "epoch 1/2" in log and "epoch 2/2" in log and "All results are in" in log
    assert (place / folder / "result.json").exists()


def scores(checkpoint):
    return [{k: v for k, v in epoch.items() if "second" not in k} for epoch in checkpoint[1]["progress"]["history"]]


@pytest.mark.slow
def test_an_epoch_is_kept_before_a_word_is_said_of_it(place, monkeypatch):
    """In the checkpoint, then among the best weights; then come the curves, the log and the line."""
    events = []
    for module, name in ((lab.run.Run, "record"), (lab.run.Run, "say"), (lab.checkpoints, "save")):
        before = getattr(module, name)

        def noted(*arguments, before=before, name=name, **options):
            events.append(arguments[0].stem if name == "save" else name)
            return before(*arguments, **options)

        monkeypatch.setattr(module, name, noted)
    assert call(f"{RUN} --epochs 1 --out order")[0] == 0
    assert events == ["checkpoint", "checkpoint", "best", "record", "say", "say"]


@pytest.mark.slow
def test_a_notebooks_streams_will_do(place, monkeypatch):
    """`%run train.py` of a notebook, whose streams can't be reconfigured and have no file."""

    class OutStream:
        encoding = "UTF-8"

        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def isatty(self):
            return False

    for name in NAMES:
        monkeypatch.setattr(sys, name, OutStream())
    monkeypatch.setattr(sys, "argv", ["train.py", *RUN.split(), "--out", "notebook"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert stopped.value.code == 0
    assert "epoch 2/2" in sys.stdout.text and "test_perplexity" in sys.stdout.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "redirection, code",
    [
        ("--list >&- 2>&-", 0),
        ("--list > /dev/full", 2),
        (f"{RUN} --out OUT > /dev/full", 0),
        (f"{RUN} --out OUT >&- 2>&-", 0),
        (f"{RUN} --out OUT | head -1", 0),
    ],
)
def test_streams_of_a_shell(place, tmp_path, redirection, code):
    line = f"set -o pipefail; {sys.executable} {ROOT / 'train.py'} {redirection.replace('OUT', str(tmp_path / 'run'))}"
    run = subprocess.run(["bash", "-c", line], cwd=place, capture_output=True, text=True, timeout=300)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr and "Exception ignored" not in run.stderr
    assert ("No space left" in run.stderr) == ("> /dev/full" in redirection)
    if "OUT" in redirection:
        assert (tmp_path / "run" / "result.json").exists()
        assert lab.run.load(tmp_path / "run" / "best.npz")[1]["epoch"]
