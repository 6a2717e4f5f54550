"""The commands, and what runs one as the words of a command line say: the documented names of ``__main__``.

Words become options, and failures exit codes, in ``cli``.
"""

from __future__ import annotations

import sys

from .. import hear, recv, send
from ..cli.errors import USAGE_ERROR, report, report_silence
from ..cli.output import flush_stdout
from ..cli.parser import add_options, keywords, parse
from ..cli.signals import ending_on_signals
from .tool import mtool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

__all__ = ["TASK_OPTIONS", "McastDispatch", "McastNope", "McastRecvHearDispatch", "cli", "main"]

# "Internal software error" of BSD's sysexits: what a receiver that heard nothing has ended with ever since.
_NOTHING_CAME = 70


class McastNope(mtool):
    """Does nothing, successfully."""

    __proc__ = "NOOP"
    __prologue__ = "Does nothing, successfully."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add nothing: there is nothing to choose."""

    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, None]:  # noqa: ARG002
        """Return ``(True, None)``."""
        return True, None


class McastRecvHearDispatch(mtool):
    """Receives once, or goes on listening where ``is_daemon`` says so."""

    __proc__ = "HEAR"
    __prologue__ = hear.McastHEAR.__prologue__
    __epilogue__ = hear.McastHEAR.__epilogue__

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of both."""
        hear.McastHEAR.setupArgs(parser)

    def doStep(self, *args: Any, is_daemon: bool = False, **kwargs: Any) -> tuple[bool, Any]:
        """Do as ``McastHEAR`` does, or as ``McastRECV``, each with the keywords that concern it."""
        if is_daemon:
            kwargs.pop("timeout", None)
            return hear.McastHEAR()(*args, is_daemon=True, **kwargs)
        kwargs.pop("reply", None)
        kwargs.pop("stop", None)
        return recv.McastRECV()(*args, **kwargs)


TASK_OPTIONS: dict[str, mtool] = {
    "NOOP": McastNope(),
    "RECV": McastRecvHearDispatch(),
    "SAY": send.McastSAY(),
    "HEAR": McastRecvHearDispatch(),
}


class McastDispatch(mtool):
    """Reads a whole command line and does what it says."""

    __proc__ = "multicast"
    __prologue__ = "Sends and receives UDP multicast."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add all commands with their options."""
        if parser is not None:
            add_options(parser)

    @staticmethod
    def useTool(tool: str, **kwargs: Any) -> tuple[bool, Any]:
        """Do what the tool of that name does, ``(False, None)`` where there is none."""
        if tool not in TASK_OPTIONS:
            return False, None
        return TASK_OPTIONS[tool](**kwargs)

    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:  # noqa: ARG002
        """Do what the words in ``args`` say, and let its errors through."""
        options = parse(_words(args))
        return self.useTool(options.command, **keywords(options))


def main(*argv: Any) -> tuple[int, tuple[bool, Any]]:
    """Do what the words in ``argv`` say and return ``(exit_code, (bool, result))``.

    Whatever fails has been told on standard error by then; nothing is raised. The words may come one by one or as a
    list.
    """
    words = _words(argv)
    try:
        options = parse(words)
    except SystemExit as told:
        return (told.code if isinstance(told.code, int) else USAGE_ERROR), (told.code == 0, None)
    try:
        outcome = McastDispatch.useTool(options.command, **keywords(options))
    except BaseException as problem:  # noqa: BLE001 - this is where a process ends
        return report(problem, options), (False, None)
    if not outcome[0]:
        report_silence(options)
        return _NOTHING_CAME, outcome
    return 0, outcome


def cli() -> int:
    """Do what the command line of this process says and return its exit code."""
    with ending_on_signals():
        code, _ = main(sys.argv[1:])
        return flush_stdout(code)


def _words(args: tuple[Any, ...]) -> list[str]:
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        return list(args[0])
    return list(args)
