"""``multicast record``: write what arrives into pcapng files."""

from __future__ import annotations

import argparse
import time

from ..._common import argument_types
from .. import options
from ..errors import NOTHING_RECEIVED
from ..progress import Progress
from ..receiving import Report, left_out, open_listener
from ..signals import handled
from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...apps.listening import Listener, Totals
    from ...capture.recording import Recorder
    from ..output import Output
    from ..signals import Signals

_SECONDS_BETWEEN_REPORTS = 1.0
_SIZES = {
    "--max-size": "end before the total size of all files exceeds this (default: no limit)",
    "--max-rate": "write at most this many bytes per second; leave out and count the rest (default: no limit)",
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
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        type=_file,
        help="write this pcapng file; it must not exist",
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
    from ...apps.listening import Limits  # noqa: PLC0415 - see the top of the package
    from ...capture.recording import Recorder, reader_of_pipe  # noqa: PLC0415 - see the top of the package

    is_rotated = args.rotate_size is not None or args.rotate_time is not None
    if args.max_files is not None and not is_rotated:
        options.usage_error(args, "argument --max-files: needs --rotate-size or --rotate-time")
    endpoints = options.endpoints_of(args)
    limits = Limits(args.count, args.timeout, args.duration)
    # Before `handled`, so that a signal ends the wait, and before the group is joined.
    pipe = reader_of_pipe(args.output, is_opened=args.overwrite and not is_rotated)
    with pipe, handled() as signals, open_listener(args, endpoints) as listener:
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
            report = _Report(recorder, listener, out, signals)
            report.memberships()
            out.remark(f"recording to {recorder.path}")
            try:
                with Progress(out, lambda: report.progress(args)) as progress:
                    for arrived in listener.batches(limits, signals.has_ended):
                        if arrived is None:
                            recorder.tick()
                        elif not recorder.write(arrived[1], arrived[0]):
                            break
                        report.tick()
                        progress.tick()
                recorder.close()
            except OSError:
                # The error says why, and the summary what became of each datagram.
                listener.close()
                report.summary()
                raise
        totals = report.summary()
        return signals.exit_code(0 if totals.received else NOTHING_RECEIVED)


def _file(text: str) -> str:
    """Return ``text`` as the name of a file to write."""
    if text in {"", "-"}:
        raise argparse.ArgumentTypeError(
            f"must be the name of a file, got {text!r} (for a pipe: -o /dev/stdout --overwrite)"
        )
    return text


class _Report(Report):
    """Reports on a recording."""

    def __init__(self, recorder: Recorder, listener: Listener, out: Output, signals: Signals) -> None:
        super().__init__("record", out, listener, signals)
        self._recorder = recorder
        self._reported = time.monotonic()

    def tick(self) -> None:
        """Report what is due."""
        super().tick()
        if self._out.verbose and time.monotonic() >= self._reported + _SECONDS_BETWEEN_REPORTS:
            self._reported = time.monotonic()
            self._summary("interim")

    def progress(self, args: argparse.Namespace) -> tuple[str, float | None]:
        """Return what was recorded in words, and the share of the nearest limit; None if there is no limit."""
        stats, totals = self._recorder.stats(), self._listener.totals()
        limits = (
            (totals.received, args.count),
            (totals.duration, args.duration),
            (stats.file_bytes, args.max_size),
        )
        shares = [done / limit for done, limit in limits if limit]
        text = f"recorded {number(stats.written, 'datagram')}, {number(stats.file_bytes, 'byte')}"
        return text, max(shares, default=None)

    def _write(self, kind: str, totals: Totals) -> None:
        """Write the counters."""
        stats = self._recorder.stats()
        left = totals.received - stats.written - stats.over_rate - stats.unwritten
        if self._out.json:
            self._out.record(
                kind,
                {
                    "read": totals.received,
                    "written": stats.written,
                    "bytes": stats.payload_bytes,
                    "file_bytes": stats.file_bytes,
                    "files": stats.files,
                    "over_rate": stats.over_rate,
                    "after_limit": left,
                    "unwritten": stats.unwritten,
                    "lost_here": totals.dropped,
                    "kernel_drops": totals.kernel_drops,
                    "ring_drops": totals.ring_drops,
                    "filtered": totals.filtered,
                    "invalid": totals.invalid,
                    "unassembled": totals.unassembled,
                    "duration_s": round(totals.duration, 6),
                },
            )
            return
        size, files = number(stats.file_bytes, "byte"), number(stats.files, "file")
        parts = [f"recorded {number(stats.written, 'datagram')}, {size} in {files}"]
        for count, why in (
            (stats.over_rate, "because of --max-rate"),
            (left, "after the limit of size"),
            (stats.unwritten, "because of the error"),
        ):
            if count:
                parts.append(f"left out {count:,} {why}")
        parts += left_out(totals)
        self._out.remark(f"{', '.join(parts)} in {totals.duration:.1f} s")
