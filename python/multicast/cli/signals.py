"""How signals end the command line."""

from __future__ import annotations

import contextlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType
    from typing import NoReturn

# Seconds that a command has to end after the first signal.
_PATIENCE = 1.0


@contextlib.contextmanager
def ending_on_signals() -> Generator[None, None, None]:
    """Let SIGINT and SIGTERM end the block with ``SystemExit(128 + number)``, the code that shells report."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Signals:
    """The signals that a command takes note of while `handled` is active.

    Attributes:
        ended_by: the number of the signal that asks the command to end; None if none has arrived.
    """

    def __init__(self) -> None:
        self.ended_by: int | None = None
        self._wants_summary = False

    def has_ended(self) -> bool:
        """Return whether a signal asks the command to end."""
        return self.ended_by is not None

    def take_summary_request(self) -> bool:
        """Return whether SIGUSR1 has arrived since the last call."""
        wanted, self._wants_summary = self._wants_summary, False
        return wanted

    def exit_code(self, otherwise: int) -> int:
        """Return the code that shells report for the signal that ended the command, or ``otherwise``."""
        return otherwise if self.ended_by is None else 128 + self.ended_by

    def _end(self, number: int, _frame: FrameType | None) -> None:
        if self.ended_by is not None:
            raise SystemExit(128 + self.ended_by)
        self.ended_by = number
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE)

    def _request_summary(self, _number: int, _frame: FrameType | None) -> None:
        self._wants_summary = True


@contextlib.contextmanager
def handled() -> Generator[Signals, None, None]:
    """Let a command end by itself when SIGINT or SIGTERM arrives, with its summary, and note SIGUSR1.

    The command checks the returned object at least every 0.1 s. A second signal, or one second without an end, for
    example because a full pipe is not read, raises ``SystemExit(128 + number)``.
    """
    signals = Signals()
    handlers: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGINT: signals._end,
        signal.SIGTERM: signals._end,
    }
    if hasattr(signal, "SIGALRM"):
        handlers[signal.SIGALRM] = signals._end
        handlers[signal.SIGUSR1] = signals._request_summary
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield signals
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def reraise_sigint() -> None:
    """End this process by SIGINT itself if Ctrl-C at a terminal can reach it; otherwise return.

    A shell that runs the command in a loop, as the FAQ does, ends the loop only if a signal ended the command. ``$?``
    is 130 in both cases.
    """
    if _is_in_foreground():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _is_in_foreground() -> bool:
    """Return whether this process belongs to the foreground process group of its terminal."""
    if not hasattr(os, "tcgetpgrp"):
        return False  # the console of Windows has no process groups
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False  # no terminal
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False  # the terminal was hung up
    finally:
        os.close(terminal)
