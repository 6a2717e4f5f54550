"""The command line: words to options, failures to one plain line and an exit code. No networking.

What the commands do is told in ``_commands``, which knows the tools; their options are told by the tools themselves.
"""

import argparse
import contextlib
import errno
import os
import signal
import sys
import traceback

from . import hear, recv, send
from .exceptions import get_exit_code_from_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType
    from typing import Any, NoReturn, TextIO

    from _typeshed import SupportsWrite

# What the tools are told of nothing: these are the command line's own.
_OWN_OPTIONS = ("command", "debug")
_USAGE_ERROR = 2
# Of a terminal, where there is none to ask.
_COLUMNS = 80


class _Help(argparse.HelpFormatter):
    """Knows how wide the terminal is without loading ``shutil``, as argparse would for every option it is told."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if sys.__stdout__ is not None:
        # A closed output is a ValueError, and what is no terminal an OSError.
        with contextlib.suppress(ValueError, OSError):
            return os.get_terminal_size(sys.__stdout__.fileno()).columns or _COLUMNS
    return _COLUMNS


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, and tells what is wrong in one line."""

    def __init__(self, **settings: "Any") -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=_Help)

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        """Write the help. A failure to is raised, which argparse would swallow."""
        (_output() if file is None else file).write(self.format_help())

    def error(self, message: str) -> "NoReturn":
        """End with exit code 2 and ``message``."""
        _tell(f"{self.prog}: error: {message} (see '{self.prog} --help')")
        sys.exit(_USAGE_ERROR)


class _Version(argparse.Action):
    """Prints the version, which the compiled core knows: it is loaded only here."""

    def __call__(self, *_: "Any", **__: "Any") -> "NoReturn":
        from . import __version__  # noqa: PLC0415

        _output().write(f"multicast {__version__}\n")
        sys.exit(0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add everything that the command line knows to ``parser``."""
    parser.add_argument(
        "-v",
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the version and exit",
    )
    _add_common(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="CMD", required=True, parser_class=Parser)
    for tool in (send.McastSAY, recv.McastRECV, hear.McastHEAR):
        sub = commands.add_parser(
            str(tool.__proc__),
            help=tool.__prologue__,
            description=tool.__prologue__,
            epilog=tool.__epilogue__,
        )
        _add_common(sub, default=argparse.SUPPRESS, listens=tool is not send.McastSAY)
        tool.setupArgs(sub)
    nothing = commands.add_parser("NOOP", help="Does nothing, successfully.")
    _add_common(nothing, default=argparse.SUPPRESS, listens=False)


def _add_common(parser: argparse.ArgumentParser, default: "Any", *, listens: bool = True) -> None:
    """Add what may stand before the command and behind it; there, ``default`` must not undo what stood before.

    What only concerns listeners is accepted by every command, as it always was, but the help of others does not tell.
    """
    parser.add_argument(
        "--use-std",
        dest="is_std",
        action="store_true",
        default=default,
        help="print what is received on standard output" if listens else argparse.SUPPRESS,
    )
    parser.add_argument(
        "--daemon",
        dest="is_daemon",
        action="store_true",
        default=default,
        help="go on listening until stopped" if listens else argparse.SUPPRESS,
    )
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show where in the program a failure happened"
    )


def parse(words: "Sequence[str]") -> argparse.Namespace:
    """Return what ``words``, those of a whole command line, say.

    Raises:
        SystemExit: the help or the version was asked for and printed (0), or a word is wrong, which was told (2).
    """
    parser = Parser(prog="multicast", description="Sends and receives UDP multicast.")
    add_options(parser)
    try:
        return parser.parse_args(_with_message_whole(list(words)))
    except OSError as problem:
        raise SystemExit(_tell_unwritten(problem)) from problem


def _with_message_whole(words: list[str]) -> list[str]:
    """Return ``words`` with the message of SAY as one, since argparse would not leave a ``--`` in it alone."""
    for at, word in enumerate(words):
        if word in {"-m", "--message"} and "SAY" in words[:at] and words[at + 1 :]:
            return [*words[:at], "--message=" + " ".join(words[at + 1 :])]
    return words


def keywords(options: argparse.Namespace) -> "dict[str, Any]":
    """Return what the tool gets of ``options``."""
    return {name: value for name, value in vars(options).items() if name not in _OWN_OPTIONS}


def report(problem: BaseException, options: argparse.Namespace) -> int:
    """Tell the user what failed and what to try, and return the exit code.

    An end by signal and a reader that went away are no failures of ours, and pass in silence.
    """
    if options.debug:
        traceback.print_exception(problem)
    if isinstance(problem, SystemExit):
        return problem.code if isinstance(problem.code, int) else _USAGE_ERROR
    if not isinstance(problem, (BrokenPipeError, KeyboardInterrupt)):
        complain(options.command, f"{_sentence(problem)}{_advice(problem, options)}")
    return get_exit_code_from_exception(problem)


def report_silence(options: argparse.Namespace) -> None:
    """Tell the user that a receiver heard nothing, and what to try."""
    complain(
        options.command,
        f"nothing came on port {options.port} within {options.timeout:g} s "
        "(check group, port and interface, or wait longer with --timeout)",
    )


def complain(command: str, sentence: str) -> None:
    """Write one line on standard error about ``command``."""
    _tell(f"multicast {command}: {' '.join(sentence.split())}")


def _sentence(problem: BaseException) -> str:
    """Return what ``problem`` says, without the number that Python puts before a system's error."""
    strerror = getattr(problem, "strerror", None)
    return strerror or str(problem) or type(problem).__name__


def _advice(problem: BaseException, options: argparse.Namespace) -> str:
    if _sentence(problem).endswith(")"):
        return ""  # the core gives its advice in brackets
    if isinstance(problem, (ValueError, TypeError)):
        return f" (see 'multicast {options.command} --help')"
    return " (add --debug to see where)"


def _tell(line: str) -> None:
    # Where standard error is gone too there is nobody to tell: the exit code still does.
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


@contextlib.contextmanager
def ending_on_signals() -> "Iterator[None]":
    """Let SIGINT and SIGTERM end the block by ``SystemExit`` with 128 and the signal's number, as shells report it."""

    def end(number: int, _frame: "FrameType | None") -> "NoReturn":
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_of_ctrl_c() -> None:
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


def settle_output(code: int) -> int:
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
            return _tell_unwritten(problem)
    return code


def _output() -> "TextIO":
    if sys.stdout is None:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")
    return sys.stdout


def _tell_unwritten(problem: OSError) -> int:
    """Tell, but for a reader that went away, that standard output cannot be written, and return the exit code."""
    if not isinstance(problem, BrokenPipeError):
        _tell(f"multicast: cannot write standard output: {_sentence(problem)} (send it somewhere else)")
    return get_exit_code_from_exception(problem)
