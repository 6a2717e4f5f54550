"""The abstract base of the documented tools: options in, ``(bool, result)`` out. No networking here.

``argparse`` is loaded when a tool's options are asked for, not before: a program that calls the tools from Python
has no use for it.
"""

from __future__ import annotations

import abc
import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["mtool"]

# Options that stand on every command line, whether or not the tool has a use for them.
_SHARED = {"is_daemon", "is_std"}

module_logger = logging.getLogger(__name__)


class mtool(abc.ABC):
    """A tool: its options for the command line, and the step that it does.

    A subclass says what its options are (``setupArgs``) and what it does (``doStep``); calling an instance is calling
    ``doStep``. Instances hold no state, so they can be pickled and handed to another process.

    Attributes:
        __proc__: name of the tool on the command line.
        __prologue__: what its help text opens with.
        __epilogue__: what its help text ends with.
    """

    __proc__: str | None = None
    __prologue__: str | None = None
    __epilogue__: str | None = None

    @classmethod
    def buildArgs(cls, calling_parser_group: argparse.ArgumentParser | None) -> argparse.ArgumentParser:
        """Return a parser with this tool's options: the given one with them added, or a new one for None."""
        parser = calling_parser_group
        if parser is None:
            import argparse  # noqa: PLC0415 - see the head of this file

            parser = argparse.ArgumentParser(
                prog=cls.__proc__,
                description=cls.__prologue__,
                epilog=cls.__epilogue__,
                allow_abbrev=False,
            )
        cls.setupArgs(parser)
        return parser

    @classmethod
    def parseArgs(cls, arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
        """Return what the words in ``arguments`` say (None: no words), and those that are none of this tool's options.

        Raises:
            SystemExit: a value is bad; argparse has told which on standard error. The code is 2.
        """
        words = [word for word in cls.checkToolArgs(arguments) if word is not None]
        return cls.buildArgs(None).parse_known_args(words)

    @classmethod
    def checkToolArgs(cls, args: Sequence[Any] | None) -> list[Any]:
        """Return ``args`` as a list; None stands for the one argument None."""
        return [None] if args is None else list(args)

    @classmethod
    @abc.abstractmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add this tool's options to ``parser``; None is left alone."""

    @abc.abstractmethod
    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:
        """Do what the tool is for and return whether there was something, and what."""

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:
        return self.doStep(*args, **kwargs)

    def _tell_ignored(self, keywords: Mapping[str, object]) -> None:
        """Log the keywords of a call that this tool has no use for: they may be another tool's, or misspelt."""
        unused = sorted(keywords.keys() - _SHARED)
        if unused:
            module_logger.warning("%s does not use %s.", self.__proc__, ", ".join(unused))
