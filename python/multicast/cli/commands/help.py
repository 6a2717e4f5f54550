"""``multicast help``: explain a command, or list all of them."""

from __future__ import annotations

from .. import parser as grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..output import Output

HAS_RECORDS = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``help``."""
    parser.add_argument(
        "topic", nargs="?", metavar="COMMAND", help="explain this command (default: list all commands)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the help."""
    out.line(grammar.help_text(args.topic).rstrip("\n"))
    return 0
