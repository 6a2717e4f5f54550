"""``multicast record``: write what arrives into pcapng files."""

from __future__ import annotations

from ..._common import argument_types
from ...apps.listening import Limits
from ...capture.recording import Recorder
from .. import options
from ..errors import NOTHING_RECEIVED
from ..progress import Progress
from ..receiving import Report, left_out, open_listener
from ..signals import handled
from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ...apps.listening import Listener, Totals
    from ...capture.recording import RecorderStats
    from ..output import Output

_SIZES = {
    "--max-size": "end before the total size of all files exceeds this (default: no limit)",
    "--max-rate": "leave out, and count, what exceeds this many bytes of file per second (default: no limit)",
    "--rotate-size": "start another file before the current one exceeds this (default: one file)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``record``."""
    parser.epilog = (
        "Sizes may end in k, M or G. The exit code is 0 if something was recorded, 70 if no datagram arrived, and 130 "
        "after Ctrl-C."
    )
    options.add_endpoints(parser, "record")
    options.add_limits(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="write this pcapng file; it must not exist"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--comment", default="", help="store this comment in the file (default: none)")
    for name, purpose in _SIZES.items():
        parser.add_argument(name, metavar="BYTES", type=argument_types.file_size, help=purpose)
    options.add_seconds(
        parser,
        "--rotate-time",
        check=argument_types.factor,
        help="start another file after this time (default: one file)",
    )
    parser.add_argument(
        "--max-files",
        metavar="N",
        type=argument_types.count,
        help="with rotation, keep only this many of the newest files (default: all)",
    )
    options.add_receiving(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Record what arrives until a limit or a signal; return the exit code."""
    if args.max_files is not None and args.rotate_size is None and args.rotate_time is None:
        options.usage_error(args, "argument --max-files: needs --rotate-size or --rotate-time")
    endpoints = options.endpoints_of(args)
    limits = Limits(args.count, args.timeout, args.duration)
    with handled() as signals, open_listener(args, endpoints) as listener:
        with Recorder(
            args.output,
            listener.receivers,
            comment=args.comment,
            overwrite=args.overwrite,
            rotate_bytes=args.rotate_size,
            rotate_seconds=args.rotate_time,
            max_files=args.max_files,
            max_bytes=args.max_size,
            max_rate=args.max_rate,
        ) as recorder:
            report = Report("record", out, listener, signals)
            report.memberships()
            out.remark(f"recording to {recorder.path}")
            with Progress(out, lambda: _progress(args, recorder.stats(), listener.totals())) as progress:
                for arrived in listener.batches(limits, signals.has_ended):
                    if arrived is None:
                        recorder.tick()
                    elif not recorder.write(arrived[1], arrived[0]):
                        break
                    report.tick()
                    progress.tick()
        totals = _summary(recorder.stats(), listener, out)
        report.advise(totals)
        return signals.exit_code(0 if totals.received else NOTHING_RECEIVED)


def _progress(args: argparse.Namespace, stats: RecorderStats, totals: Totals) -> tuple[str, float | None]:
    """Return what was recorded in words, and the share of the nearest limit; None if there is no limit."""
    limits = (
        (totals.received, args.count),
        (totals.duration, args.duration),
        (stats.file_bytes, args.max_size),
    )
    shares = [done / limit for done, limit in limits if limit]
    text = f"recorded {number(stats.written, 'datagram')}, {number(stats.file_bytes, 'byte')}"
    return text, max(shares, default=None)


def _summary(stats: RecorderStats, listener: Listener, out: Output) -> Totals:
    """Report the counters, and return those of the listener."""
    totals = listener.totals()
    left = totals.received - stats.written - stats.over_rate - stats.unwritten
    if out.json:
        out.record(
            "summary",
            {
                "received": totals.received,
                "written": stats.written,
                "bytes": stats.payload_bytes,
                "file_bytes": stats.file_bytes,
                "files": stats.files,
                "over_rate": stats.over_rate,
                "after_limit": left,
                "lost_here": totals.dropped,
                "kernel_drops": totals.kernel_drops,
                "ring_drops": totals.ring_drops,
                "filtered": totals.filtered,
                "invalid": totals.invalid,
                "unassembled": totals.unassembled,
                "duration_s": round(totals.duration, 6),
            },
        )
    else:
        size, files = number(stats.file_bytes, "byte"), number(stats.files, "file")
        parts = [f"recorded {number(stats.written, 'datagram')}, {size} in {files}"]
        if stats.over_rate:
            parts.append(f"left out {stats.over_rate:,} because of --max-rate")
        if left:
            parts.append(f"left out {left:,} after the limit of size")
        parts += left_out(totals)
        parts.append(f"dropped {totals.dropped:,} here")
        out.remark(f"{', '.join(parts)} in {totals.duration:.1f} s")
    return totals
