"""The grammar of the command line: from words to options.

Only the module of the command in use is imported; see `commands`.
"""

from __future__ import annotations

import argparse
import sys

from . import output
from .commands import COMMANDS, is_tool, load, nearest
from .errors import UsageError, print_error
from .output import print_line_to_stderr, report_write_failure, standard_output, terminal_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from _typeshed import SupportsWrite

# Options of the command line itself, which the tools do not get.
_OWN_OPTIONS = ("command", "debug")


class _Help(argparse.HelpFormatter):
    """A help formatter that finds the terminal's width without importing ``shutil`` for each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_columns() - 2)


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviations and raises `UsageError`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, formatter_class=_Help)

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help. A failure to write is raised; argparse would ignore it."""
        (standard_output() if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Print the usage and ``message`` on standard error, and raise `UsageError`."""
        usage = self.short_usage()
        print_line_to_stderr(f"{usage}{self.prog}: error: {message} (see '{self.prog} --help')")
        raise UsageError

    def short_usage(self) -> str:
        """Return the usage that an error message shows."""
        return self.format_usage()


class _CommandParser(Parser):
    """The parser of a command, which imports the command's module and adds its options on first use."""

    def __init__(self, *, command: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._command = command
        self._is_complete = self._is_parsing = False
        self._short_usage = self._hint_for_more_words = ""

    def complete(self) -> None:
        """Add the options of the command, unless that was done already."""
        if self._is_complete:
            return
        self._is_complete = True
        command = load(self._command)
        if is_tool(self._command):
            self.description, self.epilog = command.__prologue__, command.__epilogue__
            _add_tool_options(self, argparse.SUPPRESS, listens=self._command in {"RECV", "HEAR"})
            command.setupArgs(self)
            if self._command == "SAY":
                self._hint_for_more_words = "write --message before the message"
        else:
            summary = COMMANDS[self._command][1]
            self.description = f"{summary[0].upper()}{summary[1:]}."
            command.add_arguments(self)
            self._hint_for_more_words = getattr(command, "HINT_FOR_MORE_WORDS", "")
            output.add_options(self, has_records=getattr(command, "HAS_RECORDS", True))
            _add_debug(self, argparse.SUPPRESS)
            # Here, because argparse hides the words while it parses the options.
            formatter = _Help(f"{self.prog} [OPTION ...]")
            needed = [action for action in self._actions if action.required or not action.option_strings]
            formatter.add_usage(None, needed, [])
            self._short_usage = formatter.format_help()

    def has_option(self, word: str) -> bool:
        """Return whether ``word`` is an option of the command."""
        self.complete()
        return word in self._option_string_actions

    def short_usage(self) -> str:
        """Return the usage without the options that may be left out; 2.x commands show all."""
        return self._short_usage or self.format_usage()

    def parse_known_args(self, *args: Any, **settings: Any) -> Any:
        """Parse the words that follow the command. Except for 2.x commands, options may stand between the words."""
        self.complete()
        if is_tool(self._command) or self._is_parsing:
            return super().parse_known_args(*args, **settings)
        self._is_parsing = True  # argparse calls this method again for options and words apart
        try:
            options, rest = self.parse_known_intermixed_args(*args, **settings)
        finally:
            self._is_parsing = False
        self.refuse(rest)
        return options, rest

    def refuse(self, words: Sequence[str]) -> None:
        """Raise `UsageError` if there are words that the command does not accept."""
        if words:
            self.error(f"unrecognized arguments: {' '.join(words)}{self._hint_for(words[0])}")

    def _hint_for(self, word: str) -> str:
        """Return a hint for a word too many: the option that it most resembles; empty if there is none."""
        if not word.startswith("-"):
            return f" ({self._hint_for_more_words})" if self._hint_for_more_words else ""
        from difflib import get_close_matches  # noqa: PLC0415 - needed for misspelled options only

        names = {option.lstrip("-"): option for option in self._option_string_actions}
        found = get_close_matches(word.partition("=")[0].lstrip("-"), names, n=1)
        return f" (did you mean {names[found[0]]!r}?)" if found else ""


class _Version(argparse.Action):
    """Print the version. The compiled core, which knows it, is imported only here."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        from .. import __version__  # noqa: PLC0415

        standard_output().write(f"multicast {__version__}\n")
        sys.exit(0)


def add_options(parser: argparse.ArgumentParser) -> dict[str, _CommandParser]:
    """Add all commands and the options before them to ``parser``, and return the parsers of the commands."""
    parser.add_argument(
        "-v",
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the version and exit",
    )
    _add_tool_options(parser, default=False, listens=True)
    commands = parser.add_subparsers(dest="command", metavar="CMD", parser_class=_CommandParser)
    return {
        name: commands.add_parser(name, command=name, help=summary) for name, (_, summary) in COMMANDS.items()
    }


def _add_tool_options(parser: argparse.ArgumentParser, default: Any, *, listens: bool) -> None:
    """Add the options that may stand before a 2.x command or after it.

    ``default`` is SUPPRESS after the command, so that it does not undo what stands before. Every 2.x command accepts
    the options of listeners, but only the help of listeners shows them.
    """
    parser.add_argument(
        "--use-std",
        dest="is_std",
        action="store_true",
        default=default,
        help="print received messages on standard output" if listens else argparse.SUPPRESS,
    )
    parser.add_argument(
        "--daemon",
        dest="is_daemon",
        action="store_true",
        default=default,
        help="keep listening until stopped" if listens else argparse.SUPPRESS,
    )
    _add_debug(parser, default)


def _add_debug(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show a traceback if the command fails"
    )


def _program() -> tuple[Parser, dict[str, _CommandParser]]:
    """Return the parser of the whole command line, and those of the commands."""
    parser = Parser(
        prog="multicast",
        description="Send and receive UDP multicast.",
        epilog="Run 'multicast help COMMAND' for the options of a command.",
    )
    return parser, add_options(parser)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the options in ``words``, the words of a whole command line; ``command`` is None if there is none.

    Raises:
        UsageError: A word is invalid.
        SystemExit: The help or the version was requested and has been printed (0), or cannot be printed (the code of
            that error).
    """
    parser, commands = _program()
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        parser.error(f"argument CMD: {_unknown(command)}")
    try:
        options, rest = parser.parse_known_args(_with_message_whole(list(words)))
    except OSError as error:
        raise SystemExit(report_write_failure(error)) from error
    if options.command is None and rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command is not None:
        commands[options.command].refuse(rest)
    if options.command == "SAY":
        _warn_of_options_in_message(words, commands["SAY"])
    return options


def usage() -> str:
    """Return the usage of the program."""
    return _program()[0].format_usage()


def complete_parser() -> argparse.ArgumentParser:
    """Return the parser of the program, in which every command has its options."""
    parser, commands = _program()
    for command in commands.values():
        command.complete()
    return parser


def help_text(topic: str | None = None) -> str:
    """Return the help of the command ``topic``, or of the program if it is None.

    Raises:
        UsageError: There is no such command.
    """
    parser, commands = _program()
    if topic is None:
        return parser.format_help()
    if topic not in commands:
        parser.error(f"argument COMMAND: {_unknown(topic)}")
    commands[topic].complete()
    return commands[topic].format_help()


def fail(command: str, message: str) -> NoReturn:
    """Print the usage of ``command`` and ``message`` on standard error.

    Raises:
        UsageError: Always.
    """
    parser = _program()[1][command]
    parser.complete()
    parser.error(message)


def _unknown(command: str) -> str:
    similar = nearest(command)
    hint = f"did you mean {similar!r}?" if similar else f"choose from {', '.join(COMMANDS)}"
    return f"invalid choice: {command!r} ({hint})"


def _with_message_whole(words: list[str]) -> list[str]:
    """Return ``words`` with the message of SAY as one word, because argparse would remove a ``--`` from it."""
    at = _message_start(words)
    if at == len(words):
        return words
    return [*words[: at - 1], "--message=" + " ".join(words[at:])]


def _message_start(words: Sequence[str]) -> int:
    """Return where in ``words`` the message of SAY begins, or their number if there is none."""
    for at, word in enumerate(words):
        if word in {"-m", "--message"} and "SAY" in words[:at]:
            return at + 1
    return len(words)


def _warn_of_options_in_message(words: Sequence[str], say: _CommandParser) -> None:
    """Warn about words of the message that are options of SAY: they were probably meant as options."""
    message = words[_message_start(words) :]
    options = dict.fromkeys(
        word.partition("=")[0] for word in message if say.has_option(word.partition("=")[0])
    )
    if options:
        print_error(
            "SAY",
            f"warning: {', '.join(options)} and what follows are part of the message "
            "(--message takes the rest of the line, so put it last)",
        )


def keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that a 2.x tool gets as keywords."""
    return {name: value for name, value in vars(options).items() if name not in _OWN_OPTIONS}
