"""The progress of long work: when it is shown, what it says, and how it is removed."""

import io
import os
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from multicast.cli.output import Output
from multicast.cli.progress import Progress

pytestmark = pytest.mark.platform("linux", "darwin")

ERASE = "\x1b[K"


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen(io.StringIO):
    """Standard error at a terminal."""

    def __init__(self, terminal: int) -> None:
        super().__init__()
        self._terminal = terminal

    def fileno(self) -> int:
        return self._terminal

    def isatty(self) -> bool:
        return True


def set_columns(terminal: int, columns: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield the descriptor of a terminal."""
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    yield theirs
    os.close(ours)
    os.close(theirs)


def screen_of(terminal: int, monkeypatch: pytest.MonkeyPatch, columns: int = 60) -> Screen:
    """Make the terminal standard error, and return what is written to it."""
    set_columns(terminal, columns)
    found = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", found)
    return found


def test_progress_appears_after_a_second_and_is_removed(
    clock: Clock, terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = screen_of(terminal, monkeypatch)
    with Progress(Output(), lambda: ("sent 5 datagrams", 0.25)) as progress:
        clock.now += 0.9
        progress.tick()
        assert screen.getvalue() == ""
        clock.now += 1.1
        progress.tick()
        progress.tick()
        bar = "#" * 5 + " " * 15
        assert screen.getvalue() == f"\rsent 5 datagrams  [{bar}]   25%  0:06 left{ERASE}"
    assert screen.getvalue().endswith(f"left{ERASE}\r{ERASE}")


def test_progress_without_an_end_shows_the_time(
    clock: Clock, terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = screen_of(terminal, monkeypatch)
    with Progress(Output(), lambda: ("sent 5 datagrams", None)) as progress:
        clock.now += 3661
        progress.tick()
    assert screen.getvalue().startswith(f"\rsent 5 datagrams  1:01:01{ERASE}")


@pytest.mark.parametrize(
    ("columns", "shown"), [(36, "sent 5 datagrams   50%  0:02 left"), (13, "sent 5 dat")]
)
def test_progress_fits_a_narrow_terminal(
    columns: int, shown: str, clock: Clock, terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = screen_of(terminal, monkeypatch, columns)
    with Progress(Output(), lambda: ("sent 5 datagrams", 0.5)) as progress:
        clock.now += 2
        progress.tick()
    assert screen.getvalue().startswith(f"\r{shown}{ERASE}")


def test_remark_replaces_the_progress(clock: Clock, terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(terminal, monkeypatch)
    out = Output()
    with Progress(out, lambda: ("sent 5 datagrams", None)) as progress:
        clock.now += 2
        progress.tick()
        out.remark("done")
    assert screen.getvalue() == f"\rsent 5 datagrams  0:02{ERASE}\r{ERASE}done\n"


def test_progress_is_not_shown_in_a_pipe(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(Output(), lambda: ("sent 5 datagrams", None)) as progress:
        clock.now += 2
        progress.tick()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_progress_is_not_shown_if_nobody_wants_it(
    term: str, clock: Clock, terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = screen_of(terminal, monkeypatch)
    monkeypatch.setenv("TERM", term)
    with Progress(Output(quiet=term == "xterm"), lambda: ("sent 5 datagrams", None)) as progress:
        clock.now += 2
        progress.tick()
    assert screen.getvalue() == ""
