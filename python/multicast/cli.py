"""The command line: words to options, failures to one plain line and an exit code. No networking.

What the commands do is told in ``__main__``, which knows the tools; their options are told by the tools themselves.
"""

import argparse
import contextlib
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
    from typing import Any, NoReturn

# What the tools are told of nothing: these are the command line's own.
_OWN_OPTIONS = ("command", "debug")
_USAGE_ERROR = 2


class Parser(argparse.ArgumentParser):
    """A parser that tells what is wrong in one line."""

    def error(self, message: str) -> "NoReturn":
        """End with exit code 2 and ``message``."""
        _tell(f"{self.prog}: error: {message} (see '{self.prog} --help')")
        sys.exit(_USAGE_ERROR)


class _Version(argparse.Action):
    """Prints the version, which the compiled core knows: it is loaded only here."""

    def __call__(self, *_: "Any", **__: "Any") -> "NoReturn":
        from . import __version__  # noqa: PLC0415

        sys.stdout.write(f"multicast {__version__}\n")
        sys.exit(0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add everything that the command line knows to ``parser``."""
    parser.add_argument("-v", "--version", action=_Version, nargs=0, help="print the version and exit")
    _add_common(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="CMD", required=True, parser_class=Parser)
    for tool in (send.McastSAY, recv.McastRECV, hear.McastHEAR):
        sub = commands.add_parser(
            str(tool.__proc__),
            help=tool.__prologue__,
            description=tool.__prologue__,
            epilog=tool.__epilogue__,
            allow_abbrev=False,
        )
        _add_common(sub, default=argparse.SUPPRESS)
        tool.setupArgs(sub)
    nothing = commands.add_parser("NOOP", help="Does nothing, successfully.", allow_abbrev=False)
    _add_common(nothing, default=argparse.SUPPRESS)


def _add_common(parser: argparse.ArgumentParser, default: "Any") -> None:
    """Add what may stand before the command and behind it; there, ``default`` must not undo what stood before."""
    parser.add_argument(
        "--use-std",
        dest="is_std",
        action="store_true",
        default=default,
        help="print what is received on standard output",
    )
    parser.add_argument(
        "--daemon", dest="is_daemon", action="store_true", default=default, help="go on listening until stopped"
    )
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show where in the program a failure happened"
    )


def parse(words: "Sequence[str]") -> argparse.Namespace:
    """Return what ``words``, those of a whole command line, say.

    Raises:
        SystemExit: the help or the version was asked for and printed (0), or a word is wrong, which was told (2).
    """
    parser = Parser(prog="multicast", description="Sends and receives UDP multicast.", allow_abbrev=False)
    add_options(parser)
    return parser.parse_args(_with_message_whole(list(words)))


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
            if not isinstance(problem, BrokenPipeError):
                _tell(f"multicast: cannot write standard output: {_sentence(problem)}")
            return get_exit_code_from_exception(problem)
    return code
