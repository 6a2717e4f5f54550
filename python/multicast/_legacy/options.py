"""Command-line options that several of the 2.x tools share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .._common import argument_types
from .._common.constants import _MCAST_DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_RANGES = "239.1.2.3+10 means ten groups from there on, and 239.1.2.0/24 all groups of that prefix"


class Words(argparse.Action):
    """Store the rest of the command line, which must be at least one word."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002 - argparse's signature
    ) -> None:
        """Store ``values``, or end the program with a usage error if there are none."""
        if not values:
            parser.error(f"argument {'/'.join(self.option_strings)}: expected at least one argument")
        setattr(namespace, self.dest, values)


def add_port(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add ``--port``, whose help begins with ``purpose``."""
    parser.add_argument(
        "--port",
        type=argument_types.port,
        default=_MCAST_DEFAULT_PORT,
        help=f"{purpose}, 1-65535 (default: %(default)s)",
    )


def add_destinations(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--group``, ``--groups`` and ``--iface`` for a command that sends."""
    parser.add_argument(
        "--group",
        type=argument_types.destination,
        help="send to this group, such as 239.1.2.3, ff15::1 or ff02::1%%eth0; "
        f"{_RANGES} (default: {default})",
    )
    parser.add_argument(
        "--groups",
        type=argument_types.destination,
        nargs="+",
        metavar="GROUP",
        help="send to these groups too",
    )
    parser.add_argument(
        "--iface",
        type=argument_types.one_interface,
        help="send from this interface, given by name, index or address (default: the system's choice)",
    )


def add_listening(parser: argparse.ArgumentParser, defaults: Iterable[str]) -> None:
    """Add ``--group``, ``--groups``, ``--iface``, ``--source`` and ``--exclude`` for a command that receives."""
    parser.add_argument(
        "--group",
        type=argument_types.group,
        help="join this group, such as 239.1.2.3, ff15::1 or ff02::1%%eth0; "
        f"{_RANGES}; 10.0.0.1@232.1.2.3 receives only what 10.0.0.1 sends "
        f"(default: {' '.join(defaults)})",
    )
    parser.add_argument(
        "--groups", type=argument_types.group, nargs="+", metavar="GROUP", help="join these groups too"
    )
    parser.add_argument(
        "--iface",
        type=argument_types.interface,
        help="join on this interface, given by name, index or address; 'all' joins on every usable interface, "
        "now or later (default: the system's choice)",
    )
    senders = parser.add_mutually_exclusive_group()
    for option, purpose in (
        ("--source", "receive only from these senders (source-specific multicast); may be repeated"),
        ("--exclude", "receive from every sender except these; may be repeated"),
    ):
        senders.add_argument(
            option,
            type=argument_types.source,
            nargs="+",
            action="extend",
            default=[],
            metavar="ADDRESS",
            help=purpose,
        )
