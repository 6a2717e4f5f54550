"""How signals end the command line."""

from __future__ import annotations

import contextlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the block by ``SystemExit`` with 128 and the signal's number, as shells report it."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reraise_sigint() -> None:
    """Let SIGINT itself end this process where it came from the keyboard; return where it did not.

    A shell that runs us in a loop, as the FAQ does, ends the loop only where the signal was our end. Its ``$?`` is
    130 in both cases.
    """
    if _is_in_foreground():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _is_in_foreground() -> bool:
    """Tell whether this process is among those that a Ctrl-C at its terminal reaches."""
    if not hasattr(os, "tcgetpgrp"):
        return False  # Windows: its console has no process groups
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False  # no terminal
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False  # it has been hung up
    finally:
        os.close(terminal)
