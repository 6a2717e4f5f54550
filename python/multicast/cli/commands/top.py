"""``multicast top``: watch the streams of groups."""

from __future__ import annotations

import contextlib
import time

from ..._common import argument_types
from .. import options
from ..errors import NOTHING_RECEIVED
from ..output import terminal_columns, terminal_lines
from ..receiving import Report, open_listener
from ..signals import handled
from ..streams_table import CELLS, ORDERS, columns_that_fit, in_order, widths_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ...apps.listening import Listener
    from ...apps.watching import Row, Watch, WireWatch
    from ...apps.wire import Wire
    from ..live_streams import Screen
    from ..output import Output
    from ..terminal import Terminal

# Home, and clear what was below: the next table replaces the last one without flicker.
_REDRAW = "\x1b[H\x1b[2J"
# Seconds in which datagrams are gathered before they are counted together.
_LINGER = 0.05
_HINT = "for a live screen with colors, history and keys: python3 -m pip install 'multicast[cli]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``top``."""
    parser.epilog = (
        "A stream is WAITING before its first datagram, RECEIVING, or STALLED after 2 seconds without one. "
        "The exit code is 0, or 70 if no datagram arrived, and 130 after Ctrl-C."
    )
    options.add_endpoints(parser, "watch")
    parser.add_argument(
        "--all",
        action="store_true",
        help="watch every group on the interface -i, joined or not (Linux, with CAP_NET_RAW)",
    )
    parser.add_argument("--once", action="store_true", help="watch for one interval, print the table and end")
    options.add_seconds(
        parser,
        "-n",
        "--interval",
        check=argument_types.interval,
        default=1.0,
        help="refresh the table after this time",
    )
    options.add_limits(parser)
    parser.add_argument(
        "--sort",
        choices=tuple(ORDERS),
        default="group",
        help="sort the rows in this order (default: %(default)s)",
    )
    options.add_receiving(parser, "8 MiB; with --all, 16 MiB for each IP version")


def run(args: argparse.Namespace, out: Output) -> int:
    """Watch until a limit, a key or a signal; return the exit code."""
    from ...apps.listening import Limits  # noqa: PLC0415 - see the top of the package

    limits = Limits(args.count, args.timeout, args.interval if args.once else args.duration)
    with handled() as signals, contextlib.ExitStack() as opened:
        source, watch = _wire(args, opened) if args.all else _listener(args, opened)
        report = Report("top", out, source, signals)
        is_redrawn = out.can_redraw and not (args.once or out.json)
        with contextlib.ExitStack() as resources:
            live = _live(args, out, report, resources) if is_redrawn else None
            display = _Plain(args, out, report) if live is None else live
            if is_redrawn:
                display.show(watch.rows())
            elif args.all:
                out.remark(f"watching every group on {args.interface}")
            else:
                report.memberships()
            due = time.monotonic() + args.interval
            is_shown = False
            for _ in watch.follow(limits, lambda: signals.has_ended() or display.has_ended()):
                if time.monotonic() >= due and not args.once:
                    due = max(due + args.interval, time.monotonic())
                    display.show(watch.rows())
                    is_shown = True
                display.tick()
            if not is_shown:
                # Once, or a limit was reached within the first interval.
                display.show(watch.rows())
        if is_redrawn and live is None:
            out.remark(_HINT)
        totals = report.summary()
    return signals.exit_code(0 if totals.received else NOTHING_RECEIVED)


def _listener(args: argparse.Namespace, opened: contextlib.ExitStack) -> tuple[Listener, Watch]:
    """Join the groups of the endpoints."""
    from ...apps.watching import Watch  # noqa: PLC0415 - see the top of the package

    endpoints = options.endpoints_of(args)
    listener = opened.enter_context(open_listener(args, endpoints, linger=_LINGER))
    return listener, Watch(listener)


def _wire(args: argparse.Namespace, opened: contextlib.ExitStack) -> tuple[Wire, WireWatch]:
    """Watch all groups on an interface."""
    if args.endpoints or args.port is not None:
        options.usage_error(args, "argument --all: not allowed with ENDPOINT or -p/--port")
    if args.interface in (None, "all"):
        options.usage_error(args, "argument --all: needs one interface, such as -i eth0")
    from ...apps.watching import WireWatch  # noqa: PLC0415 - see the top of the package
    from ...apps.wire import Wire  # noqa: PLC0415 - see the top of the package

    size = {} if args.recv_buffer is None else {"size": args.recv_buffer}
    wire = opened.enter_context(Wire(args.interface, **size))
    return wire, WireWatch(wire)


class _Plain:
    """Tables as text, or records as JSON."""

    def __init__(self, args: argparse.Namespace, out: Output, report: Report) -> None:
        self._args, self._out, self._report = args, out, report

    def show(self, found: list[Row]) -> None:
        """Write these rows."""
        _show(in_order(found, self._args.sort), self._args, self._out)

    def tick(self) -> None:
        """Report drops, several times a second."""
        self._report.tick()

    def has_ended(self) -> bool:
        """Return False: text has no key to end it."""
        return False


class _Live:
    """The live screen."""

    def __init__(self, screen: Screen, terminal: Terminal, report: Report) -> None:
        self._screen, self._terminal, self._report = screen, terminal, report
        self._size = (0, 0)

    def show(self, found: list[Row]) -> None:
        """Draw these rows."""
        self._screen.update(found, self._report.away())
        self._terminal.draw(self._screen.lines())

    def tick(self) -> None:
        """Follow keys, the size of the terminal, Ctrl-Z and SIGUSR1, several times a second.

        An interim summary goes to the screen of the shell, where it is seen at the end.
        """
        keys = self._terminal.keys()
        for key in keys:
            self._screen.press(key)
        size = terminal_columns(), terminal_lines()
        is_gone = self._terminal.was_stopped() | self._report.answer(self._terminal.lent())
        if is_gone or keys or size != self._size:
            self._size = size
            self._terminal.draw(self._screen.lines())

    def has_ended(self) -> bool:
        """Return whether a key has asked to end."""
        return self._screen.quit


def _live(
    args: argparse.Namespace, out: Output, report: Report, resources: contextlib.ExitStack
) -> _Live | None:
    """Take the terminal for a live screen; None if it needs a package that is not installed."""
    from importlib.util import find_spec  # noqa: PLC0415 - see the top of the package

    if find_spec("rich") is None:
        return None
    from ..live_streams import Screen  # noqa: PLC0415 - see the top of the package
    from ..terminal import Terminal  # noqa: PLC0415 - likewise

    terminal = resources.enter_context(Terminal(out))
    return _Live(Screen(out, args.sort, has_keys=terminal.has_keys), terminal, report)


def _show(rows: list[Row], args: argparse.Namespace, out: Output) -> None:
    if out.json:
        out.records("stream", map(_record, rows))
        return
    head = list(CELLS)
    cells = [[cell(row) for cell in CELLS.values()] for row in rows]
    if not out.is_terminal:
        for row in cells:
            out.line("\t".join(row))
        return
    if out.can_redraw and not args.once:
        # A taller table would scroll: its head, its last line and the cursor need a line each.
        room = max(1, terminal_lines() - 3)
        if len(cells) > room:
            cells = [*cells[:room], [f"{len(cells) - room} more", *[""] * (len(head) - 1)]]
        out.data(_REDRAW.encode())
    kept = [head.index(name) for name in columns_that_fit(widths_of(head, cells), terminal_columns())]
    out.table([head[column] for column in kept], [[[row[column]] for column in kept] for row in cells])


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
