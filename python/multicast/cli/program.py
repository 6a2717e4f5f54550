"""The program: run the command that the words of a command line name."""

from __future__ import annotations

from .commands import is_tool, load
from .errors import NOTHING_RECEIVED, USAGE_ERROR, UsageError, report, report_silence
from .output import flush_stdout, output_for
from .parser import keywords, parse, usage
from .signals import ending_on_signals
from .tool_reports import report_keywords

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    UseTool = Callable[..., tuple[bool, Any]]


def run(words: Sequence[str], use_tool: UseTool) -> int:
    """Run the command in ``words`` as this process's work, and return the exit code.

    SIGINT and SIGTERM end the command, and standard output has been flushed.
    """
    with ending_on_signals():
        try:
            code, _ = execute(words, use_tool)
        except UsageError:
            code = USAGE_ERROR
        return flush_stdout(code)


def execute(words: Sequence[str], use_tool: UseTool) -> tuple[int, tuple[bool, Any]]:
    """Run the command in ``words`` and return ``(exit_code, (success, result))``.

    A failure of the command has been reported on standard error, and is not raised.

    Args:
        words: the words of a command line.
        use_tool: runs a 2.x tool: gets its name and keywords, and returns ``(success, result)``.

    Raises:
        UsageError: The command line is invalid, which has been reported as well.
    """
    try:
        options = parse(words)
    except UsageError:
        raise
    except SystemExit as finished:
        code = finished.code if isinstance(finished.code, int) else USAGE_ERROR
        return code, (code == 0, None)
    try:
        if options.command is None:
            from .overview import print_overview  # noqa: PLC0415 - see the top of the package

            print_overview(usage())
        if is_tool(options.command):
            return _run_tool(options, use_tool)
        code = load(options.command).run(options, output_for(options))
    except UsageError:
        raise
    except BaseException as error:  # noqa: BLE001 - the process ends here
        return report(error, options), (False, None)
    return code, (code == 0, None)


def _run_tool(options: argparse.Namespace, use_tool: UseTool) -> tuple[int, tuple[bool, Any]]:
    outcome = use_tool(options.command, **keywords(options), **report_keywords(options))
    if not outcome[0]:
        report_silence(options)
        return NOTHING_RECEIVED, outcome
    return 0, outcome
