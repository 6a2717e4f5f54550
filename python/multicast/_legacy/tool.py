"""The abstract base class of the 2.x tools.

``argparse`` is imported when a tool's options are needed: programs that call the tools from Python do not use it.
"""

from __future__ import annotations

import abc
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["mtool"]

# Options that every command accepts, whether or not its tool uses them.
_SHARED = {"is_daemon", "is_std"}

module_logger = logging.getLogger(__name__)


class mtool(abc.ABC):
    """A tool with options for the command line, and one step of work.

    A subclass defines its options in ``setupArgs`` and its work in ``doStep``. Calling an instance calls ``doStep``.
    Instances hold no state, so they can be pickled and passed to another process.

    Attributes:
        __proc__: the name of the tool on the command line.
        __prologue__: the text before the options in the tool's help.
        __epilogue__: the text after the options in the tool's help.
    """

    __proc__: str | None = None
    __prologue__: str | None = None
    __epilogue__: str | None = None

    @classmethod
    def buildArgs(cls, calling_parser_group: argparse.ArgumentParser | None) -> argparse.ArgumentParser:
        """Add this tool's options to the given parser, or to a new one if it is None, and return the parser."""
        parser = calling_parser_group
        if parser is None:
            import argparse  # noqa: PLC0415 - see the top of the file

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
        """Parse ``arguments`` and return the options, and the words that are not options of this tool.

        Args:
            arguments: the words of a command line; None is an empty one.

        Raises:
            SystemExit: A value is invalid. argparse has printed the reason on standard error; the code is 2.
        """
        words = [word for word in cls.checkToolArgs(arguments) if word is not None]
        return cls.buildArgs(None).parse_known_args(words)

    @classmethod
    def checkToolArgs(cls, args: Sequence[Any] | None) -> list[Any]:
        """Return ``args`` as a list; None becomes ``[None]``."""
        return [None] if args is None else list(args)

    @classmethod
    @abc.abstractmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add this tool's options to ``parser``; do nothing if it is None."""

    @abc.abstractmethod
    def doStep(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:
        """Do the tool's work and return ``(success, result)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[bool, Any]:
        return self.doStep(*args, **kwargs)

    def _log_unused(self, keywords: Mapping[str, object]) -> None:
        """Log the keywords of a call that this tool does not use: they may be meant for another tool, or misspelled."""
        unused = sorted(keywords.keys() - _SHARED)
        if unused:
            module_logger.warning("%s does not use %s.", self.__proc__, ", ".join(unused))
