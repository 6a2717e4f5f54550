"""Standard output and standard error of the command line, and what follows when they fail."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from ..exceptions import get_exit_code_from_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def standard_output() -> TextIO:
    """Return standard output.

    Raises:
        BrokenPipeError: the process was started with standard output closed.
    """
    if sys.stdout is None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")
    return sys.stdout


def print_line_to_stderr(line: str) -> None:
    """Write ``line`` to standard error.

    If standard error cannot be written either, only the exit code reports the failure.
    """
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def flush_stdout(code: int) -> int:
    """Write out what standard output still holds, and return the exit code: ``code``, or that of a failure here.

    Without this the interpreter would try at its very end, and complain in its own words.
    """
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except OSError as problem:
        # What is left cannot be written anywhere: let the interpreter's own attempt succeed.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if code == 0:
            return report_write_failure(problem)
    return code


def report_write_failure(problem: OSError) -> int:
    """Tell, but for a reader that went away, that standard output cannot be written, and return the exit code."""
    if not isinstance(problem, BrokenPipeError):
        print_line_to_stderr(
            f"multicast: cannot write standard output: {sentence(problem)} (send it somewhere else)"
        )
    return get_exit_code_from_exception(problem)


def sentence(problem: BaseException) -> str:
    """Return what ``problem`` says, without the number that Python puts before a system's error."""
    strerror = getattr(problem, "strerror", None)
    return strerror or str(problem) or type(problem).__name__
