"""The 2.x names of ``multicast.__main__`` that run a whole command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..cli import program
from ..cli.parser import add_options
from .tasks import TASK_OPTIONS, McastNope, McastRecvHearDispatch
from .tool import mtool

if TYPE_CHECKING:
    import argparse
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

    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:  # noqa: ARG002
        """Run the command line ``args`` and return ``(success, result)``."""
        return program.execute(_words(args), self.useTool)[1]


def main(*argv: Any) -> tuple[int, tuple[bool, Any]]:
    """Run the command line ``argv`` and return ``(exit_code, (success, result))``.

    A failure has been reported on standard error; nothing is raised. The words may be given one by one or as a list.
    """
    return program.execute(_words(argv), McastDispatch.useTool)


def cli() -> int:
    """Run the command line of this process and return the exit code."""
    return program.run(sys.argv[1:], McastDispatch.useTool)


def _words(args: tuple[Any, ...]) -> list[str]:
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        return list(args[0])
    return list(args)
