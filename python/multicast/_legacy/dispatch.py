"""The 2.x names of ``multicast.__main__`` that run a whole command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from ..cli import program
from ..cli.parser import add_options
from .tasks import TASK_OPTIONS, McastNope, McastRecvHearDispatch
from .tool import mtool

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["TASK_OPTIONS", "McastDispatch", "McastNope", "McastRecvHearDispatch", "cli", "main"]


class McastDispatch(mtool):
    """Run the command that a whole command line names."""

    __proc__ = "multicast"
    __prologue__ = "Send and receive UDP multicast."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add all commands with their options."""
        if parser is not None:
            add_options(parser)

    @staticmethod
    def useTool(tool: str, **kwargs: Any) -> tuple[bool, Any]:
        """Run the 2.x tool of that name with these keywords; return ``(False, None)`` if there is none."""
        if tool not in TASK_OPTIONS:
            return False, None
        return TASK_OPTIONS[tool](**kwargs)

    def doStep(self, *args: Any, **kwargs: Any) -> tuple[int, tuple[bool, Any]]:  # type: ignore[override]  # noqa: ARG002
        """Run the command line ``args`` and return ``(exit_code, (success, result))``, as `main` does."""
        return program.execute(list(_words(args)), self.useTool)


def main(*argv: Any) -> tuple[int, tuple[bool, Any]]:
    """Run the command line ``argv`` and return ``(exit_code, (success, result))``.

    The words may be given one by one and in lists or tuples, also nested. A failure of the command has been reported
    on standard error, and is not raised.

    Raises:
        SystemExit: The command line is invalid, which has been reported; the code is 2.
        TypeError: A word is not a ``str``.
    """
    return program.execute(list(_words(argv)), McastDispatch.useTool)


def cli() -> int:
    """Run the command line of this process and return the exit code."""
    return program.run(sys.argv[1:], McastDispatch.useTool)


def _words(args: Iterable[Any]) -> Iterator[str]:
    for word in args:
        if isinstance(word, (list, tuple)):
            yield from _words(cast("Iterable[Any]", word))
        elif isinstance(word, str):
            yield word
        else:
            raise TypeError(f"words of a command line must be str, got {word!r:.50}")
