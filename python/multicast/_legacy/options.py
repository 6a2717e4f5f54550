"""Command-line options that several of the 2.x tools share. For ``argparse`` alone."""

from __future__ import annotations

import argparse

from .._common import argument_types
from .._common.constants import _MCAST_DEFAULT_PORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_MANY = "239.1.2.3+10 (ten from there on) and 239.1.2.0/24 are several"


class Words(argparse.Action):
    """Takes the rest of the line as words, of which there must be one at least."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002 - argparse's signature
    ) -> None:
        """Store the words."""
        if not values:
            parser.error(f"argument {'/'.join(self.option_strings)}: expected at least one argument")
        setattr(namespace, self.dest, values)


def add_port(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add ``--port``."""
    parser.add_argument(
        "--port",
        type=argument_types.port,
        default=_MCAST_DEFAULT_PORT,
        help=f"{meaning}, 1-65535 (default: %(default)s)",
    )


def add_destinations(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--group``, ``--groups`` and ``--iface`` for one who sends."""
    parser.add_argument(
        "--group",
        type=argument_types.destination,
        help="the group to send to, such as 239.1.2.3, ff15::1 or ff02::1%%eth0; "
        f"{_MANY} (default: {default})",
    )
    parser.add_argument(
        "--groups",
        type=argument_types.destination,
        nargs="+",
        metavar="GROUP",
        help="more groups to send the same to",
    )
    parser.add_argument(
        "--iface",
        type=argument_types.one_interface,
        help="the interface to send by: a name, an index or an address (default: the system's choice)",
    )


def add_listening(parser: argparse.ArgumentParser, defaults: Iterable[str]) -> None:
    """Add ``--group``, ``--groups``, ``--iface``, ``--source`` and ``--exclude`` for one who receives."""
    parser.add_argument(
        "--group",
        type=argument_types.group,
        help="the group to receive, such as 239.1.2.3, ff15::1 or ff02::1%%eth0; "
        f"{_MANY}; 10.0.0.1@232.1.2.3 is what 10.0.0.1 sends to it (default: {' '.join(defaults)})",
    )
    parser.add_argument(
        "--groups", type=argument_types.group, nargs="+", metavar="GROUP", help="more groups to receive"
    )
    parser.add_argument(
        "--iface",
        type=argument_types.interface,
        help="the interface to join on: a name, an index or an address; 'all' is every one that is usable, "
        "now or later (default: the system's choice)",
    )
    senders = parser.add_mutually_exclusive_group()
    for option, meaning in (
        ("--source", "receive only what these send (source-specific multicast); may be repeated"),
        ("--exclude", "receive what anybody but these sends; may be repeated"),
    ):
        senders.add_argument(
            option,
            type=argument_types.source,
            nargs="+",
            action="extend",
            default=[],
            metavar="ADDRESS",
            help=meaning,
        )
