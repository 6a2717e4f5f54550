"""The end of the command line by SIGINT or SIGTERM while no command runs.

The package imports this module first. If the process is the command line, these signals end it from then on: Python's
own reaction to Ctrl-C, ``KeyboardInterrupt``, would print a traceback through the imports that follow, and at the
interpreter's end. ``cli.signals`` takes over while a command runs. In all other programs, nothing changes.

Each import before the handlers are set would be a moment in which Ctrl-C prints a traceback. The interpreter has
imported all that this module imports. ``signal`` would import ``enum``, so this uses the module below it.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

# It has no type declarations.
_signal: "Any" = __import__("_signal")
_SIGINT: int = _signal.SIGINT
_SIGTERM: int = _signal.SIGTERM


def exit_code(number: int) -> int:
    """Return the exit code that shells report for a process that signal ``number`` ended."""
    return 128 + number


def end(number: int, _frame: "FrameType | None" = None) -> "NoReturn":
    """End this process at once, as signal ``number`` would. Output that is not flushed is lost."""
    if number == _SIGINT:
        reraise_sigint()
    os._exit(exit_code(number))


def reraise_sigint() -> None:
    """End this process by SIGINT itself if Ctrl-C at a terminal can reach it; otherwise return.

    A shell that runs the command in a loop, as the FAQ does, ends the loop only if a signal ended the command. ``$?``
    is 130 in both cases.
    """
    if _is_in_foreground():
        _signal.signal(_SIGINT, _signal.SIG_DFL)
        os.kill(os.getpid(), _SIGINT)


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


def _is_command_line() -> bool:
    """Return whether this process is ``python3 -m multicast`` or the console script."""
    if sys.argv[:1] == ["-m"]:
        # The interpreter is looking for the module. The word before the arguments is its name, or -mNAME.
        return sys.orig_argv[-len(sys.argv)].removeprefix("-m") in {"multicast", "multicast.__main__"}
    # The console script imports this function, which is not one of the documented names.
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if {"multicast.__main__", "run"} <= set(frame.f_code.co_names):
            return True
        frame = frame.f_back
    return False


IS_COMMAND_LINE = _is_command_line()
"""Whether this process is the command line."""

if IS_COMMAND_LINE:
    _signal.signal(_SIGINT, end)
    _signal.signal(_SIGTERM, end)
