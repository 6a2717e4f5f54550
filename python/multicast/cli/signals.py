"""How signals end the command line."""

from __future__ import annotations

import contextlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType
    from typing import NoReturn


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
