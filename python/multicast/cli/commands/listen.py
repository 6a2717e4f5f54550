"""``multicast listen``: print what arrives."""

from __future__ import annotations

from binascii import b2a_base64

from .. import options
from ..errors import NOT_HELD, NOTHING_RECEIVED
from ..receiving import Report, open_listener
from ..signals import handled
from ..words import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..._core import Batch, Datagram
    from ...apps.listening import Totals
    from ...sync import Receiver
    from ..output import Output

# Seconds in which datagrams are gathered: a person does not notice, and each batch has a cost.
_LINGER = 0.002


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``listen``."""
    parser.epilog = (
        "The exit code is 0 if the conditions --expect and --max-loss were met, 1 if not, 70 if no datagram arrived, "
        "and 130 after Ctrl-C."
    )
    options.add_endpoints(parser, "listen to")
    options.add_limits(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--format",
        choices=("text", "hex", "json", "raw"),
        default="text",
        help="write payloads as lines of text, in hexadecimal, as JSON, or as they are (default: text)",
    )
    shape.add_argument(
        "--raw",
        action="store_const",
        const="raw",
        dest="format",
        help="write only the bytes of the payloads",
    )
    options.add_conditions(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Print what arrives until a limit or a signal; return the exit code."""
    if args.format == "json":
        out.json = True
    if args.format == "raw":
        if out.json:
            options.usage_error(args, "argument --json: not allowed with --raw")
        if out.is_terminal:
            options.usage_error(args, "cannot write raw bytes to a terminal (redirect standard output)")
    endpoints = options.endpoints_of(args)
    from ...apps.listening import Limits  # noqa: PLC0415 - see the top of the package

    limits = Limits(args.count, args.timeout, args.duration)
    with (
        handled() as signals,
        open_listener(args, endpoints, linger=_LINGER) as listener,
    ):
        report = Report("listen", out, listener, signals)
        report.memberships()
        try:
            for arrived in listener.batches(limits, signals.has_ended):
                if arrived is not None:
                    _write(*arrived, args.format, out)
                report.tick()
        except SystemExit:
            report.stuck()
            raise
        totals = report.summary()
        return signals.exit_code(_verdict(args, totals))


def _verdict(args: argparse.Namespace, totals: Totals) -> int:
    """Return the exit code that follows from what was received."""
    if totals.received == 0:
        return NOTHING_RECEIVED
    return 0 if options.conditions_hold(args, totals.received, totals.dropped) else NOT_HELD


def _write(receiver: Receiver, batch: Batch, shape: str, out: Output) -> None:
    if out.json:
        out.records("datagram", (_record(one, receiver.port) for one in batch))
    elif shape == "raw":
        out.data(b"".join(batch.payloads()))
    elif out.verbose:
        out.line("\n".join(_described(batch, receiver.port, shape, out)))
    elif shape == "hex":
        out.line("\n".join([payload.hex() for payload in batch.payloads()]))
    else:
        _write_text(batch, out)


def _write_text(batch: Batch, out: Output) -> None:
    """Write the payloads as lines."""
    payloads = batch.payloads()
    if not out.is_terminal:
        # Most often, nothing has to be replaced, and all payloads are checked at once.
        lines = b"\n".join(payloads)
        if lines.count(b"\n") == len(payloads) - 1 and b"\r" not in lines and out.takes_utf8(lines):
            out.data(lines + b"\n")
            return
    out.line("\n".join([_as_line(payload, out) for payload in payloads]))


def _as_line(payload: bytes, out: Output) -> str:
    """Return a payload as one line of text."""
    text = payload.decode("utf-8", "backslashreplace").removesuffix("\n")
    if out.is_terminal:
        return out.printable(text, keep="\t")
    # Inside a line, these would look like the end of it.
    return text.replace("\r", "\\x0d").replace("\n", "\\x0a")


def _described(batch: Batch, port: int, shape: str, out: Output) -> Iterator[str]:
    """Yield a line for each datagram, with its metadata before the payload: columns, or fields separated by tabs."""
    clock = Clock(in_full=not out.is_terminal)
    gap = "  " if out.is_terminal else "\t"
    for one in batch:
        payload = one.data.hex() if shape == "hex" else _as_line(one.data, out)
        fields = (
            clock.time(one.timestamp_ns),
            address(*one.sender),
            address(one.group or "-", port),
            one.interface or "-",
            f"ttl {'-' if one.ttl is None else one.ttl}",
            f"{len(one)} B",
            payload,
        )
        yield gap.join(fields)


def _record(one: Datagram, port: int) -> dict[str, object]:
    data = one.data
    fields: dict[str, object] = {
        "timestamp_ns": one.timestamp_ns,
        "sender": one.sender[0],
        "sender_port": one.sender[1],
        "group": one.group,
        "port": port,
        "interface": one.interface,
        "ttl": one.ttl,
        "length": len(data),
    }
    try:
        fields["text"] = data.decode("utf-8")
    except UnicodeDecodeError:
        fields["base64"] = b2a_base64(data, newline=False).decode("ascii")
    return fields


class Clock:
    """Writes times in the zone of this machine, with microseconds. Those of one second share most of the work.

    Args:
        in_full: write the date and the zone as well, as ISO 8601 has it, and not only the time of the day.
    """

    def __init__(self, *, in_full: bool) -> None:
        self._in_full = in_full
        self._second = -1
        self._before = self._after = ""

    def time(self, timestamp_ns: int | None) -> str:
        """Return a time, given in nanoseconds since 1970."""
        if timestamp_ns is None:
            return "-"
        second, rest = divmod(timestamp_ns, 1_000_000_000)
        if second != self._second:
            self._start(second)
        return f"{self._before}.{rest // 1000:06}{self._after}"

    def _start(self, second: int) -> None:
        from datetime import datetime, timezone  # noqa: PLC0415 - see the top of the package

        moment = datetime.fromtimestamp(second, timezone.utc).astimezone()
        text = moment.isoformat()
        self._second = second
        # Between the seconds and the zone.
        self._before, self._after = (text[:19], text[19:]) if self._in_full else (f"{moment:%H:%M:%S}", "")
