"""Which signals stop a run, and which are left alone."""

import signal
import threading

import pytest

from lab.signals import STOPPING, Interrupted, Signals
from tests.tiny import RUN, call, write_corpus

NAMES = "SIGINT", "SIGTERM", "SIGHUP"


def test_those_that_end_a_program_by_convention():
    assert [number.name for number in STOPPING] == list(NAMES)


@pytest.fixture(params=STOPPING, ids=NAMES)
def number(request):
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_waits_until_it_is_asked_for(number):
    before = signal.getsignal(number)
    with Signals() as signals:
        signals.check()
        signal.raise_signal(number)
        with pytest.raises(Interrupted):
            signals.check()
        assert signals.received == number
        assert signal.getsignal(number) == signal.SIG_DFL  # the second one ends the process
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored(number):
    """As nohup, or a shell for what runs in its background, would have it."""
    signal.signal(number, signal.SIG_IGN)
    with Signals() as signals:
        assert signal.getsignal(number) == signal.SIG_IGN
        signal.raise_signal(number)
        signals.check()
    assert signal.getsignal(number) == signal.SIG_IGN


def test_a_handler_that_is_not_pythons_stays(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", None)  # not to be reached
    with Signals() as signals:
        signals.check()


@pytest.mark.slow
def test_a_run_in_a_thread_is_one_like_any(tmp_path, monkeypatch):
    import train

    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "text")
    handlers = [signal.getsignal(number) for number in STOPPING]
    codes = []
    thread = threading.Thread(target=lambda: codes.append(train.main([*RUN.split(), "--out", "thread"])))
    thread.start()
    thread.join()
    assert codes == [0] and handlers == [signal.getsignal(number) for number in STOPPING]
    assert call(f"{RUN} --out main")[0] == 0
    one, other = ((tmp_path / name / "log.txt").read_text().split(", rate")[0] for name in ("thread", "main"))
    assert one == other
