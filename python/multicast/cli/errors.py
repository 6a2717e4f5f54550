"""What the command line says when something fails, and the exit code that follows."""

from __future__ import annotations

import traceback

from ..exceptions import get_exit_code_from_exception
from .output import print_line_to_stderr, sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

USAGE_ERROR = 2
"""Exit code of a command line that cannot be read, as argparse has it."""


def report(problem: BaseException, options: argparse.Namespace) -> int:
    """Tell the user what failed and what to try, and return the exit code.

    An end by signal and a reader that went away are no failures of ours, and pass in silence.
    """
    if options.debug:
        traceback.print_exception(problem)
    if isinstance(problem, SystemExit):
        return problem.code if isinstance(problem.code, int) else USAGE_ERROR
    if not isinstance(problem, (BrokenPipeError, KeyboardInterrupt)):
        print_error(options.command, f"{sentence(problem)}{_advice(problem, options)}")
    return get_exit_code_from_exception(problem)


def report_silence(options: argparse.Namespace) -> None:
    """Tell the user that a receiver heard nothing, and what to try."""
    print_error(
        options.command,
        f"nothing came on port {options.port} within {options.timeout:g} s "
        "(check group, port and interface, or wait longer with --timeout)",
    )


def print_error(command: str, sentence: str) -> None:
    """Write one line on standard error about ``command``."""
    print_line_to_stderr(f"multicast {command}: {' '.join(sentence.split())}")


def _advice(problem: BaseException, options: argparse.Namespace) -> str:
    if sentence(problem).endswith(")"):
        return ""  # the core gives its advice in brackets
    if isinstance(problem, (ValueError, TypeError)):
        return f" (see 'multicast {options.command} --help')"
    return " (add --debug to see where)"
