"""``multicast measure``: measure what ``multicast send --numbered`` sends, and RTP."""

from __future__ import annotations

from ..._common import argument_types
from .. import options
from ..errors import NOT_HELD, NOTHING_RECEIVED
from ..receiving import Report, open_listener, summary_fields
from ..signals import handled
from ..words import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ...apps.measuring import Measurement, Result
    from ..output import Output

_HEAD = [
    "SENDER",
    "GROUP",
    "RECEIVED",
    "LOST",
    "NETWORK",
    "KERNEL",
    "PROGRAM",
    "DUPLICATES",
    "REORDERED",
    "GAPS",
    "RATE",
    "JITTER",
    "DELAY P50",
    "DELAY P99",
    "DELAY MAX",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``measure``."""
    parser.epilog = (
        "Times are in microseconds. If sender and receiver have different clocks, delays are relative to the "
        "shortest. The exit code is 0 if the conditions were met, 1 if not, 70 if no datagram arrived, and 130 after "
        "Ctrl-C."
    )
    options.add_endpoints(parser, "measure what is sent to")
    options.add_limits(parser)
    options.add_conditions(parser)
    parser.add_argument(
        "--max-latency",
        metavar="MILLISECONDS",
        type=argument_types.milliseconds,
        help="fail if the 99th percentile of a stream's delay exceeds this",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=argument_types.output_file,
        help="write each gap and the summary to this file, as JSON lines",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Measure until a limit or a signal; return the exit code."""
    from ...apps.listening import Limits  # noqa: PLC0415 - see the top of the package
    from ...apps.measuring import Measurement  # noqa: PLC0415 - see the top of the package

    endpoints = options.endpoints_of(args)
    limits = Limits(args.count, args.timeout, args.duration)
    if args.report is not None:
        # Create the file now, so that a long measurement is not in vain.
        _write_lines(args.report, [])
    with (
        handled() as signals,
        open_listener(args, endpoints, apart=True) as listener,
    ):
        measurement = Measurement(listener.receivers)
        report = Report("measure", out, listener, signals, fields=lambda: _fields(measurement))
        report.memberships()
        for arrived in listener.batches(limits, signals.has_ended):
            if arrived is not None:
                measurement.add(*arrived)
            report.tick()
        results = measurement.results()
        if not out.json:
            _print(results, out)
        totals = report.summary()
        if args.report is not None:
            _write_report(args.report, results, summary_fields(totals))
    if totals.received == 0:
        return signals.exit_code(NOTHING_RECEIVED)
    held = options.conditions_hold(args, totals.received, sum(one.lost for one in results))
    if args.max_latency is not None:
        held = held and all(one.delay is None or one.delay.p99 <= args.max_latency * 1000 for one in results)
    return signals.exit_code(0 if held else NOT_HELD)


def _fields(measurement: Measurement) -> dict[str, object]:
    """Return the fields that the summary has in addition to those of every listener."""
    return {"streams": [_record(one) for one in measurement.results()]}


def _record(one: Result) -> dict[str, object]:
    from dataclasses import asdict  # noqa: PLC0415 - see the top of the package

    return {
        "sender": one.sender,
        "sender_port": one.sender_port,
        "group": one.group,
        "port": one.port,
        "kind": one.kind,
        "received": one.received,
        "lost": one.lost,
        "lost_network": one.lost_network,
        "lost_kernel": one.lost_kernel,
        "lost_program": one.lost_program,
        "duplicates": one.duplicates,
        "reordered": one.reordered,
        "gaps": len(one.gaps),
        "restarts": one.restarts,
        "rate_pps": round(one.rate_pps, 3),
        "jitter_us": None if one.jitter_us is None else round(one.jitter_us, 3),
        "delay_us": None if one.delay is None else asdict(one.delay),
    }


def _print(results: list[Result], out: Output) -> None:
    # On a terminal, for people, the units as well.
    units = ("/s", " us") if out.is_terminal else ("", "")
    rows = [_cells(one, *units) for one in results]
    if out.is_terminal:
        out.table(_HEAD, [[[cell] for cell in row] for row in rows])
    else:
        for row in rows:
            out.line("\t".join(row))


def _cells(one: Result, per_second: str, microseconds: str) -> list[str]:
    delay = one.delay
    times = (one.jitter_us, *((delay.p50, delay.p99, delay.max) if delay else (None, None, None)))
    return [
        address(one.sender, one.sender_port),
        address(one.group or "-", one.port),
        *(
            str(count)
            for count in (
                one.received,
                one.lost,
                one.lost_network,
                one.lost_kernel,
                one.lost_program,
                one.duplicates,
                one.reordered,
                len(one.gaps),
            )
        ),
        f"{one.rate_pps:.1f}{per_second}",
        *("-" if value is None else f"{value:.1f}{microseconds}" for value in times),
    ]


def _write_report(path: str, results: list[Result], summary: dict[str, object]) -> None:
    """Write the gaps of each stream and the summary to a file.

    Raises:
        OSError: The file cannot be written.
    """
    lines: list[dict[str, object]] = [
        {
            "type": "gap",
            "sender": one.sender,
            "sender_port": one.sender_port,
            "group": one.group,
            "port": one.port,
            "first": gap.first,
            "last": gap.last,
            "since_ns": gap.since_ns,
            "until_ns": gap.until_ns,
        }
        for one in results
        for gap in one.gaps
    ]
    lines.append({"type": "summary", **summary, "streams": [_record(one) for one in results]})
    _write_lines(path, lines)


def _write_lines(path: str, lines: list[dict[str, object]]) -> None:
    """Write objects to a file, one a line.

    Raises:
        OSError: The file cannot be written.
    """
    from json import dumps  # noqa: PLC0415 - needed for a report only

    try:
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would be imported for this alone
            file.writelines(dumps(line) + "\n" for line in lines)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error
