"""How signals end a command."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import time

from .._interrupts import end, exit_code
from .output import flush_stdout, start_line_after_interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType
    from typing import NoReturn

# Seconds that a command has to end after the first signal.
_PATIENCE = 1.0
# Seconds in which the same signal may arrive again and mean the same: timeout(1) sends it to the command and to its
# group, and a shell passes on the hangup that its terminal sends as well.
_REPEATED = 0.1


class _EndedBySignal(SystemExit):
    """A signal ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(exit_code(number))
        self.number = number


@contextlib.contextmanager
def ending_on_signals() -> Generator[None, None, None]:
    """Let SIGINT and SIGTERM end the block with ``SystemExit(128 + number)``, the code that shells report.

    If a signal arrives in a callback whose exceptions Python ignores, such as a finalizer, it ends the process there.
    """

    def raise_end(number: int, _frame: FrameType | None) -> NoReturn:
        raise _EndedBySignal(number)

    def end_if_ignored(ignored: sys.UnraisableHookArgs) -> None:
        if isinstance(ignored.exc_value, _EndedBySignal):
            flush_stdout(exit_code(ignored.exc_value.number))
            end(ignored.exc_value.number)
        hook(ignored)

    hook, sys.unraisablehook = sys.unraisablehook, end_if_ignored
    before = {number: signal.signal(number, raise_end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


class Signals:
    """The signals that a command takes note of while `handled` is active.

    Attributes:
        ended_by: the number of the signal that asks the command to end; None if none has arrived.
    """

    def __init__(self) -> None:
        self.ended_by: int | None = None
        self._ended_at = 0.0
        self._wants_summary = False

    def has_ended(self) -> bool:
        """Return whether a signal asks the command to end."""
        return self.ended_by is not None

    def take_summary_request(self) -> bool:
        """Return whether SIGUSR1 has arrived since the last call."""
        wanted, self._wants_summary = self._wants_summary, False
        return wanted

    def reporting(self, report: Callable[[], None], duration: float | None = None) -> Callable[[], bool]:
        """Return `has_ended` for a loop that calls it often: it first calls ``report`` if SIGUSR1 has arrived.

        Args:
            report: writes an interim summary.
            duration: seconds from now after which the command ends as well; None has no limit.
        """
        until = float("inf") if duration is None else time.monotonic() + duration

        def has_ended() -> bool:
            if self.take_summary_request():
                report()
            return self.has_ended() or time.monotonic() >= until

        return has_ended

    def exit_code(self, otherwise: int) -> int:
        """Return the code that shells report for the signal that ended the command, or ``otherwise``."""
        return otherwise if self.ended_by is None else exit_code(self.ended_by)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.ended_by is not None:
            if number == self.ended_by and now < self._ended_at + _REPEATED:
                return
            raise _EndedBySignal(self.ended_by)
        self.ended_by, self._ended_at = number, now
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        if number == signal.SIGINT:
            start_line_after_interrupt()

    def _request_summary(self, _number: int, _frame: FrameType | None) -> None:
        self._wants_summary = True


@contextlib.contextmanager
def handled() -> Generator[Signals, None, None]:
    """Let a command end by itself when SIGINT, SIGTERM or SIGHUP arrives, with its summary, and note SIGUSR1.

    SIGHUP stays ignored if it is, as under nohup. The command checks the returned object at least every 0.1 s. A
    second signal (the same one not within 0.1 s), or one second without an end, for example because a full pipe is
    not read, raises ``SystemExit(128 + number)``.
    """
    signals = Signals()
    handlers: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGINT: signals._end,
        signal.SIGTERM: signals._end,
    }
    if hasattr(signal, "SIGALRM"):
        handlers[signal.SIGALRM] = signals._end
        handlers[signal.SIGUSR1] = signals._request_summary
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            handlers[signal.SIGHUP] = signals._end
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield signals
    except Exception as error:
        # A terminal that was hung up refuses everything with this error: OSError, or the termios.error of its modes.
        if error.args[:1] != (errno.EIO,) or getattr(signal, "SIGHUP", None) not in handlers:
            raise
        if signals.ended_by is None:
            # The signal follows at once. An error of a disk is raised a moment later than it could be.
            time.sleep(_REPEATED)
        if signals.ended_by != signal.SIGHUP:
            raise
        raise _EndedBySignal(signal.SIGHUP) from error
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
