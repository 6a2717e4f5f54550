"""``multicast replay``: send the datagrams of capture files again."""

from __future__ import annotations

import time

from ..._common import argument_types
from .. import options
from ..errors import NOTHING_RECEIVED
from ..progress import Progress
from ..signals import handled
from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ...capture.replaying import Player
    from ..output import Output
    from ..signals import Signals

_SECONDS_BETWEEN_REPORTS = 1.0
_REASONS = {
    "other": "not UDP",
    "filtered": "not selected, or not sent to a group",
    "cut": "cut when captured",
    "incomplete": "fragments missing",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``replay``."""
    parser.epilog = (
        "The exit code is 0 if anything was sent, 70 if the files have no datagram to send, "
        "and 130 after Ctrl-C."
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        type=argument_types.input_file,
        help="send this pcap or pcapng file; several are sent in the order of their times; - means standard input",
    )
    options.add_interface(parser, has_endpoint=False)
    options.add_ttl(parser)
    timing = parser.add_mutually_exclusive_group()
    timing.add_argument(
        "--speed",
        type=argument_types.factor,
        default=1.0,
        help="multiply the speed of the capture by this factor (default: 1)",
    )
    timing.add_argument(
        "--rate",
        metavar="N",
        type=argument_types.rate,
        help="send this many datagrams per second (default: with the timing of the capture)",
    )
    timing.add_argument(
        "--flat-out", action="store_true", help="send as fast as the system accepts the datagrams"
    )
    parser.add_argument(
        "--loop",
        metavar="N",
        type=argument_types.loops,
        default=1,
        help="send the files this many times, 0 until stopped (default: 1)",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="GROUP[:PORT]",
        help="send only the datagrams of this group; may be repeated (default: all groups)",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=argument_types.mapping,
        metavar="FROM=TO",
        help="send to another group, such as 239.4.4.4:5000=239.9.9.9:6000; may be repeated",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Send the files; return the exit code."""
    from ...capture.replaying import Player  # noqa: PLC0415 - see the top of the package

    try:
        player = Player(
            args.files,
            interface=args.interface,
            ttl=args.ttl,
            speed=None if args.flat_out else args.speed,
            rate=args.rate,
            loops=args.loop or None,
            groups=args.group,
            map=dict(args.map),
        )
    except ValueError as error:
        if str(error).startswith("cannot read"):
            raise
        options.usage_error(args, str(error))
    with handled() as signals, player:
        report = _Report(player, out, signals)
        try:
            with Progress(out, report.progress) as progress:
                player.run(stop=lambda: report.tick(progress))
        except (OSError, ValueError):
            # Without a datagram sent, the error says enough.
            if player.stats().sent:
                report.write("summary")
            raise
        report.write("summary")
        stats = player.stats()
        if stats.is_file_cut:
            what = "a file" if len(args.files) > 1 else args.files[0]
            out.remark(f"{what} ends in the middle of a packet")
        return signals.exit_code(0 if stats.sent else NOTHING_RECEIVED)


class _Report:
    """Reports what a player has sent."""

    def __init__(self, player: Player, out: Output, signals: Signals) -> None:
        self._player, self._out, self._signals = player, out, signals
        self._begun = self._reported = time.monotonic()

    def progress(self) -> tuple[str, float | None]:
        """Return what was sent in words, and the share of the files that was read."""
        return f"sent {number(self._player.stats().sent, 'datagram')}", self._player.progress

    def tick(self, progress: Progress) -> bool:
        """Report if it is time to. Return whether a signal asks the command to end."""
        progress.tick()
        is_due = self._out.verbose and time.monotonic() >= self._reported + _SECONDS_BETWEEN_REPORTS
        if self._signals.take_summary_request() or is_due:
            self._reported = time.monotonic()
            self.write("interim")
        return self._signals.has_ended()

    def write(self, kind: str) -> None:
        """Write the counters."""
        stats, duration = self._player.stats(), time.monotonic() - self._begun
        left_out = {
            "other": stats.other,
            "filtered": stats.filtered,
            "cut": stats.cut,
            "incomplete": stats.incomplete,
        }
        if self._out.json:
            fields: dict[str, object] = {
                "read": stats.packets,
                "written": stats.sent,
                "bytes": stats.bytes_sent,
                # Datagrams that were read ahead are not lost before the end.
                "lost_here": stats.unsent if kind == "summary" else 0,
                **left_out,
                "loops": stats.loops,
                "file_cut": stats.is_file_cut,
                "destinations": list(self._player.destinations),
                "duration_s": round(duration, 6),
            }
            self._out.record(kind, fields)
            return
        parts = [f"sent {number(stats.sent, 'datagram')}, {number(stats.bytes_sent, 'byte')}"]
        parts += [f"left out {count:,} ({_REASONS[name]})" for name, count in left_out.items() if count]
        if stats.unsent and kind == "summary" and not self._signals.has_ended():
            parts.append(f"did not send {stats.unsent:,} that it had read")
        self._out.remark(f"{', '.join(parts)} in {duration:.1f} s")
