"""``multicast top``: watch the streams of groups."""

from __future__ import annotations

import time

from ..._common import argument_types
from ...apps.listening import Limits, Listener
from ...apps.watching import Watch
from .. import options
from ..errors import NOTHING_RECEIVED
from ..output import terminal_columns, terminal_lines
from ..receiving import Report
from ..signals import handled
from ..words import address, quantity

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from ...apps.watching import Row
    from ..output import Output

# Home, and clear what was below: the next table replaces the last one without flicker.
_REDRAW = "\x1b[H\x1b[2J"
# Seconds in which datagrams are gathered before they are counted together.
_LINGER = 0.05
_HEAD = [
    "GROUP",
    "SENDER",
    "STATE",
    "PKT/S",
    "BIT/S",
    "LOST",
    "HERE",
    "DUP",
    "LATE",
    "JITTER",
    "TTL",
    "KIND",
]
_LEAST_IMPORTANT = ["TTL", "JITTER", "KIND", "LATE", "DUP", "HERE", "BIT/S", "SENDER"]
_ORDERS: dict[str, Callable[[Row], Any]] = {
    "group": lambda row: (row.port, row.group or ""),
    "rate": lambda row: -row.packets_per_s,
    "bits": lambda row: -row.bits_per_s,
    "lost": lambda row: -(row.lost or 0) - row.lost_here,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``top``."""
    parser.epilog = (
        "A stream is WAITING before its first datagram, RECEIVING, or STALLED after 2 seconds without one. "
        "The exit code is 0, or 70 if no datagram arrived, and 130 after Ctrl-C."
    )
    options.add_endpoints(parser, "watch")
    parser.add_argument("--once", action="store_true", help="watch for one interval, print the table and end")
    options.add_seconds(
        parser,
        "-n",
        "--interval",
        check=argument_types.interval,
        default=1.0,
        help="refresh the table after this time",
    )
    options.add_duration(parser)
    parser.add_argument(
        "--sort", choices=tuple(_ORDERS), default="group", help="the order of the rows (default: %(default)s)"
    )
    options.add_recv_buffer(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Watch until a limit or a signal; return the exit code."""
    endpoints = options.endpoints_of(args)
    limits = Limits(duration=args.interval if args.once else args.duration)
    with (
        handled() as signals,
        Listener(endpoints, recv_buffer=args.recv_buffer or "auto", linger=_LINGER) as listener,
    ):
        watch = Watch(listener)
        report = Report("top", out, listener, signals)
        if args.once or not out.is_terminal:
            report.memberships()
        due = time.monotonic() + args.interval
        for arrived in listener.batches(limits, signals.has_ended):
            if arrived is not None:
                watch.add(*arrived)
            if time.monotonic() >= due and not args.once:
                due = max(due + args.interval, time.monotonic())
                _show(watch.rows(), args, out)
            report.tick()
        if args.once:
            _show(watch.rows(), args, out)
        totals = report.summary()
    return signals.exit_code(0 if totals.received else NOTHING_RECEIVED)


def _show(found: list[Row], args: argparse.Namespace, out: Output) -> None:
    rows: list[Row] = sorted(found, key=_ORDERS[args.sort])
    if out.json:
        out.records("stream", map(_record, rows))
    elif out.is_terminal:
        cells = [_cells(row) for row in rows]
        if not args.once:
            # A taller table would scroll: its head, its last line and the cursor need a line each.
            room = max(1, terminal_lines() - 3)
            if len(cells) > room:
                cells = [*cells[:room], [f"{len(cells) - room} more", *[""] * (len(_HEAD) - 1)]]
            out.data(_REDRAW.encode())
        kept = _columns_that_fit(cells, terminal_columns())
        out.table([_HEAD[column] for column in kept], [[[row[column]] for column in kept] for row in cells])
    else:
        for row in rows:
            out.line("\t".join(_cells(row)))


def _columns_that_fit(cells: list[list[str]], width: int) -> list[int]:
    """Return the columns of the table that fit the terminal, without the least important ones."""
    widths = [max(map(len, column)) for column in zip(_HEAD, *cells, strict=True)]
    kept = list(range(len(_HEAD)))
    for name in _LEAST_IMPORTANT:
        if sum(widths[column] + 2 for column in kept) - 2 <= width:
            break
        kept.remove(_HEAD.index(name))
    return kept


def _record(row: Row) -> dict[str, object]:
    return {
        "group": row.group,
        "port": row.port,
        "sender": row.sender,
        "sender_port": row.sender_port,
        "interface": row.interface,
        "state": row.state,
        "packets_per_s": round(row.packets_per_s, 3),
        "bits_per_s": round(row.bits_per_s, 3),
        "received": row.received,
        "lost": row.lost,
        "lost_network": row.lost_network,
        "lost_here": row.lost_here,
        "lost_kernel": row.lost_kernel,
        "lost_program": row.lost_program,
        "duplicates": row.duplicates,
        "reordered": row.reordered,
        "restarts": row.restarts,
        "jitter_us": None if row.jitter_us is None else round(row.jitter_us, 3),
        "ttl": row.ttl,
        "dscp": row.dscp,
        "kind": row.kind,
        "last_ns": row.last_ns,
        "burst_packets": row.burst_packets,
        "burst_bytes": row.burst_bytes,
        "burst_buffer": row.burst_buffer,
    }


def _cells(row: Row) -> list[str]:
    counts = (row.lost, row.lost_here, row.duplicates, row.reordered)
    return [
        address(row.group or "-", row.port),
        "-" if row.sender is None else address(row.sender, row.sender_port or 0),
        row.state,
        quantity(row.packets_per_s),
        quantity(row.bits_per_s),
        *("-" if count is None else str(count) for count in counts),
        "-" if row.jitter_us is None else f"{row.jitter_us:.0f}us",
        "-" if row.ttl is None else str(row.ttl),
        row.kind,
    ]
