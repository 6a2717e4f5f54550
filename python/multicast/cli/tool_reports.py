"""Reports of the 2.x commands on standard error beside their results."""

from __future__ import annotations

import sys

from .errors import print_error
from .words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from .._legacy.destinations import Sent
    from .._legacy.drops import Dropped


def report_keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords that let the tool of this command report on standard error, after what is said at once."""
    if options.command == "SAY" and sys.stderr is not None and sys.stderr.isatty():
        if options.data == ["-"] and sys.stdin is not None and sys.stdin.isatty():
            print_error("SAY", "sending each line that you type (Ctrl-D ends)")
        return {"on_sent": _print_sent}
    if options.command in {"HEAR", "RECV"} and options.is_daemon:
        from functools import partial  # noqa: PLC0415 - see the top of the package

        return {"on_dropped": partial(_print_dropped, options.command)}
    return {}


def _print_dropped(command: str, dropped: Dropped) -> None:
    if dropped.is_last:
        text = f"dropped {dropped.total:,} of {number(dropped.total + dropped.received, 'datagram')}"
    else:
        text = f"dropped {number(dropped.new, 'datagram')}, {dropped.total:,} so far, because they arrive too fast"
    print_error(command, f"{text} (write to a file instead of a terminal, or allow a larger receive buffer)")


def _print_sent(sent: Sent) -> None:
    count = number(sent.bytes, "byte")
    if sent.datagrams != 1:
        count = f"{number(sent.datagrams, 'datagram')}, {count},"
    where = sent.groups[0] if len(sent.groups) == 1 else f"each of {len(sent.groups):,} groups"
    print_error(
        "SAY", f"sent {count} to {where}, port {sent.port}, from {_interface(sent)}, with TTL {sent.ttl}"
    )


def _interface(sent: Sent) -> str:
    interface, *others = sent.interfaces
    if others:
        return "several interfaces"
    if interface is not None:
        return str(interface)
    from ..apps.routes import interface_name_for  # noqa: PLC0415 - see the top of the package

    return interface_name_for(sent.groups[0]) or "the default interface"
