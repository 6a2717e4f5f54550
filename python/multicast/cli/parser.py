"""The grammar of the command line: words to options.

What the tools do is in ``_legacy.dispatch``; each tool describes its own options.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from .. import hear, recv, send
from .errors import USAGE_ERROR
from .output import print_line_to_stderr, report_write_failure, standard_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from _typeshed import SupportsWrite

# What the tools are told of nothing: these are the command line's own.
_OWN_OPTIONS = ("command", "debug")
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

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=_Help)

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help. A failure to is raised, which argparse would swallow."""
        (standard_output() if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and ``message``."""
        print_line_to_stderr(f"{self.prog}: error: {message} (see '{self.prog} --help')")
        sys.exit(USAGE_ERROR)


class _Version(argparse.Action):
    """Prints the version, which the compiled core knows: it is loaded only here."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        from .. import __version__  # noqa: PLC0415

        standard_output().write(f"multicast {__version__}\n")
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


def _add_common(parser: argparse.ArgumentParser, default: Any, *, listens: bool = True) -> None:
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


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what ``words``, those of a whole command line, say.

    Raises:
        SystemExit: the help or the version was asked for and printed (0), or a word is wrong, which was told (2).
    """
    parser = Parser(prog="multicast", description="Sends and receives UDP multicast.")
    add_options(parser)
    try:
        return parser.parse_args(_with_message_whole(list(words)))
    except OSError as problem:
        raise SystemExit(report_write_failure(problem)) from problem


def _with_message_whole(words: list[str]) -> list[str]:
    """Return ``words`` with the message of SAY as one, since argparse would not leave a ``--`` in it alone."""
    for at, word in enumerate(words):
        if word in {"-m", "--message"} and "SAY" in words[:at] and words[at + 1 :]:
            return [*words[:at], "--message=" + " ".join(words[at + 1 :])]
    return words


def keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the tool gets of ``options``."""
    return {name: value for name, value in vars(options).items() if name not in _OWN_OPTIONS}
