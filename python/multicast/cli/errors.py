"""The messages of the command line about failures, and the exit codes that follow."""

from __future__ import annotations

import errno

from ..exceptions import get_exit_code_from_exception
from .output import print_line_to_stderr, sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

USAGE_ERROR = 2
"""The exit code of an invalid command line, as argparse has it."""

NOT_HELD = 1
"""The exit code of a command whose condition, such as ``--max-loss``, did not hold."""

NOTHING_RECEIVED = 70
"""The documented exit code of a listener that received nothing: "internal software error" of BSD's sysexits."""


class UsageError(SystemExit):
    """The command line is invalid. The usage and the reason have been printed; the code is 2."""

    def __init__(self) -> None:
        super().__init__(USAGE_ERROR)


def report(error: BaseException, options: argparse.Namespace) -> int:
    """Print what failed and what to try, and return the exit code.

    An end by a signal and a reader that has gone are not failures of the command, and print nothing.
    """
    if options.debug:
        from traceback import print_exception  # noqa: PLC0415 - see the top of the package

        print_exception(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else USAGE_ERROR
    if not isinstance(error, (BrokenPipeError, KeyboardInterrupt)):
        print_error(options.command, f"{sentence(error)}{_hint(error, options)}")
    return get_exit_code_from_exception(error)


def report_silence(options: argparse.Namespace) -> None:
    """Print that no message arrived in time, and what to try."""
    print_error(
        options.command,
        f"received nothing on port {options.port} within {options.timeout:g} s "
        "(check the group, the port and the interface, or wait longer with --timeout)",
    )


def print_error(command: str, text: str) -> None:
    """Write one line about ``command`` to standard error."""
    print_line_to_stderr(f"multicast {command}: {' '.join(text.split())}")


def _hint(error: BaseException, options: argparse.Namespace) -> str:
    if sentence(error).endswith(")"):
        return ""  # it has a hint in parentheses already
    if isinstance(error, (ValueError, TypeError)):
        return f" (see 'multicast {options.command} --help')"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return " (free some space, or write somewhere else)"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return " (check the permissions of this user)"
    if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
        return " (check the name of the file)"
    return " (add --debug to see where)"
