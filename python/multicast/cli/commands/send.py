"""``multicast send``: send words, a file, standard input, or generated datagrams."""

from __future__ import annotations

import os
import select
import sys
import time
from itertools import islice, repeat

from ..._common import argument_types
from ..._common.constants import _MCAST_DEFAULT_BUFFER_SIZE
from ..._common.text import payload_of
from ...apps.numbered import HEADER
from ...apps.patterns import PATTERNS
from .. import options
from ..errors import NOT_HELD, print_error
from ..output import sentence
from ..progress import Progress
from ..signals import handled
from ..words import address, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from ...apps.sending import LastingSender
    from ...endpoints import Endpoint
    from ...sync import Sender
    from ...types import SenderStats
    from ..output import Output

_STANDARD_INPUT = "-"
_DEFAULT_RATE = 1000.0
# Seconds between two looks for a signal.
_TICK = 0.1
# Messages that are handed to the kernel together.
_MOST_AT_ONCE = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``send``."""
    parser.epilog = (
        "Without words or --file, standard input is sent as it arrives. With a TTL of 1, the default, routers do not "
        "forward the datagrams. The exit code is 1 if datagrams could not be sent because the interface was away for a "
        "time."
    )
    parser.add_argument(
        "endpoints",
        metavar="ENDPOINT",
        type=argument_types.one_endpoint,
        help="send to GROUP:PORT%%INTERFACE, in which only the group is required, such as 239.1.2.3:5000",
    )
    parser.add_argument(
        "words", nargs="*", default=[], metavar="WORD", help="send these words; - means standard input"
    )
    options.add_where(parser, several=False)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "-f",
        "--file",
        type=argument_types.input_file,
        help="send this file, in pieces of --size bytes; - means standard input",
    )
    source.add_argument(
        "--numbered",
        action="store_true",
        help="send datagrams with a number and a send time, for 'multicast measure' "
        f"(default rate: {_DEFAULT_RATE:g})",
    )
    parser.add_argument(
        "--pattern",
        choices=PATTERNS,
        help="send datagrams of zeros, of the bytes 0 to 255 in order, or of random bytes; with --numbered, "
        f"fill the rest of each datagram with these (default rate: {_DEFAULT_RATE:g})",
    )
    parser.add_argument(
        "-c",
        "--count",
        type=argument_types.count,
        help="send the words this many times, or this many numbered or pattern datagrams; with --size alone, datagrams "
        "of zeros (default: 1; no limit for numbered and pattern datagrams)",
    )
    options.add_duration(parser)
    _add_pace(parser)
    _add_header(parser)


def _add_pace(parser: argparse.ArgumentParser) -> None:
    """Add the options for rate and size."""
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--rate", type=argument_types.rate, metavar="N", help="send at most this many datagrams per second"
    )
    pace.add_argument(
        "--bit-rate",
        type=argument_types.rate,
        metavar="BITS",
        help="send at most this many bits of payload per second",
    )
    parser.add_argument(
        "--size",
        type=argument_types.size,
        metavar="BYTES",
        help="make numbered and pattern datagrams and the pieces of a file this long, 1-65507 "
        f"(default: {_MCAST_DEFAULT_BUFFER_SIZE})",
    )


def _add_header(parser: argparse.ArgumentParser) -> None:
    """Add the options for what the headers of the datagrams say."""
    parser.add_argument(
        "--from",
        dest="local",
        metavar="ADDRESS:PORT",
        type=argument_types.local,
        help="send from this local address (which also selects the interface), from this port, or from both "
        "(default: the system's choice)",
    )
    parser.add_argument(
        "--dscp",
        type=argument_types.dscp,
        metavar="CLASS",
        help="set this traffic class, 0-63, such as 46 for expedited forwarding (default: the system's)",
    )
    options.add_ttl(parser)
    parser.add_argument(
        "--no-loopback",
        dest="loopback",
        action="store_false",
        help="do not deliver the datagrams to listeners on this machine",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Send, report what was sent, and return the exit code."""
    from ...apps.sending import LastingSender  # noqa: PLC0415 - see the top of the package
    from ...sync import Sender  # noqa: PLC0415 - see the top of the package

    _check(args)
    (endpoint,) = options.endpoints_of(args)
    begun = time.monotonic()
    paced = not _generates(args)
    file_size = _size_of_file(args.file)

    def report(kind: str) -> None:
        duration = time.monotonic() - begun
        _report(args, out, endpoint, tx.stats(), failed=lasting.failed, kind=kind, duration=duration)

    with (
        handled() as signals,
        Sender(
            str(endpoint),
            local=args.local,
            ttl=args.ttl,
            dscp=args.dscp,
            loopback=args.loopback,
            rate=args.rate if paced else None,
            bit_rate=args.bit_rate if paced else None,
        ) as tx,
    ):
        lasting = LastingSender(tx, _Outage(out).report)
        if out.verbose:
            out.remark(_socket_of(tx))
        try:
            with Progress(
                out, lambda: _progress(args, file_size, tx.stats(), lasting.failed, time.monotonic() - begun)
            ) as progress:
                sender = lasting if _takes_time(args) else tx
                _send(sender, args, out, signals.reporting(lambda: report("interim")), progress)
        except (OSError, SystemExit):
            # The first datagram was refused: the error says enough.
            if tx.stats().sent:
                report("summary")
            raise
        report("summary")
        return signals.exit_code(NOT_HELD if lasting.failed else 0)


class _Outage:
    """Say that the interface went away, and that it came back."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._since = 0.0

    def report(self, error: OSError | None) -> None:
        """Say why datagrams cannot be sent, or that they are sent again if there is no error."""
        now = time.monotonic()
        if error is None:
            text = f"sending again after {now - self._since:.0f} s"
        else:
            self._since, text = now, f"{sentence(error)} (trying again)"
        if not self._out.quiet:
            print_error("send", text)


def _takes_time(args: argparse.Namespace) -> bool:
    """Return whether there is a time for each datagram, so that sending goes on when the interface was away."""
    return _generates(args) or _is_live(args) or (args.rate or args.bit_rate) is not None


def _is_live(args: argparse.Namespace) -> bool:
    """Return whether standard input or a pipe is sent as it arrives."""
    return args.words in ([], [_STANDARD_INPUT]) and not _size_of_file(args.file)


def _generates(args: argparse.Namespace) -> bool:
    """Return whether the datagrams are generated: a number of them and a size say enough."""
    if args.numbered or args.pattern is not None:
        return True
    return None not in (args.count, args.size) and not args.words and args.file is None


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not fit together."""
    if args.words and (args.file or _generates(args)):
        options.usage_error(args, "argument WORD: not allowed with --file, --numbered or --pattern")
    if args.file and args.pattern:
        options.usage_error(args, "argument --pattern: not allowed with --file")
    if args.numbered and args.size is not None and args.size < HEADER.size:
        options.usage_error(
            args, f"argument --size: must be at least {HEADER.size} with --numbered, got {args.size}"
        )
    if args.size is not None and args.words not in ([], [_STANDARD_INPUT]):
        options.usage_error(args, "argument --size: not allowed with words")
    if args.count is not None and not _generates(args) and args.words in ([], [_STANDARD_INPUT]):
        options.usage_error(args, "argument -c/--count: needs words, --size, --numbered or --pattern")


def _send(
    tx: Sender | LastingSender,
    args: argparse.Namespace,
    out: Output,
    is_stopped: Callable[[], bool],
    progress: Progress,
) -> None:
    """Send everything, or what can be sent until the duration or a signal ends it."""
    until = float("inf") if args.duration is None else time.monotonic() + args.duration

    def has_ended() -> bool:
        progress.tick()
        return is_stopped() or time.monotonic() >= until

    size = args.size or _MCAST_DEFAULT_BUFFER_SIZE
    if _generates(args):
        rate = args.bit_rate / (8 * size) if args.bit_rate else args.rate or _DEFAULT_RATE
        from ...apps.sending import Plan, send_generated  # noqa: PLC0415 - see the top of the package

        pattern = args.pattern or PATTERNS[0]
        plan = Plan(rate, size, args.count, args.duration, numbered=args.numbered, pattern=pattern)
        send_generated(tx, plan, has_ended)
        return
    messages = iter(_messages(args, size, has_ended, out.remark))
    most = _most_at_once(args, size)
    while not has_ended() and (together := list(islice(messages, most))):
        failed = len(together) - tx.send_many(together)
        until_due = time.monotonic() + failed * _interval(args, len(together[-1]))
        while not has_ended() and (left := until_due - time.monotonic()) > 0:
            time.sleep(min(left, _TICK))


def _interval(args: argparse.Namespace, size: int) -> float:
    """Return the seconds between datagrams of this many bytes; 0 without a limit."""
    if args.bit_rate:
        return 8 * size / float(args.bit_rate)
    return 1 / float(args.rate) if args.rate else 0.0


def _most_at_once(args: argparse.Namespace, size: int) -> int:
    """Return how many messages to hand over together: what arrives on standard input or a pipe is not held back.

    A limited rate sends no more of them than in the time after which signals are looked for.
    """
    if _is_live(args):
        return 1
    interval = _interval(args, size)
    return max(1, int(min(_MOST_AT_ONCE, _TICK / interval))) if interval else _MOST_AT_ONCE


def _progress(
    args: argparse.Namespace, file_size: int, stats: SenderStats, failed: int, seconds: float
) -> tuple[str, float | None]:
    """Return what was sent in words, and the share of it that is done; None if the end is not known."""
    shares: list[float] = []
    if args.count is not None:
        shares.append((stats.sent + failed) / args.count)
    if args.duration:
        shares.append(seconds / args.duration)
    if file_size:
        shares.append(stats.bytes_sent / file_size)
    return f"sent {number(stats.sent, 'datagram')}", max(shares, default=None)


def _size_of_file(path: str | None) -> int:
    """Return the size of a file in bytes; 0 if it is no regular file, or if it cannot be read, which is found later."""
    if path in (None, _STANDARD_INPUT):
        return 0
    try:
        return os.stat(path).st_size  # noqa: PTH116 - pathlib would be imported for this alone
    except OSError:
        return 0


def _messages(
    args: argparse.Namespace, size: int, has_ended: Callable[[], bool], say: Callable[[str], None]
) -> Iterable[bytes]:
    """Return the payloads to send."""
    if args.words not in ([], [_STANDARD_INPUT]):
        return repeat(payload_of(args.words), args.count or 1)
    if args.file not in (None, _STANDARD_INPUT):
        return _pieces_of_file(args.file, size)
    return _pieces_of_input(size, has_ended, say)


def _pieces_of_file(path: str, size: int) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be imported for this alone
            while piece := file.read(size):
                yield piece
    except OSError as error:
        raise OSError(error.errno, f"cannot read {path}: {error.strerror}") from error


def _pieces_of_input(size: int, has_ended: Callable[[], bool], say: Callable[[str], None]) -> Iterator[bytes]:
    """Yield standard input in pieces, as it arrives; end it if ``has_ended`` returns true."""
    from ..._common import console, splitter  # noqa: PLC0415 - needed for standard input only

    given = console.StandardInput()
    if sys.stdin is not None and sys.stdin.isatty():
        say("sending each line that you type (Ctrl-D ends)")

    def read(room: int, patience: float | None) -> bytes | None:
        if patience is not None or not hasattr(select, "poll"):
            return given.read(room, patience)
        while (block := given.read(room, _TICK)) is None:
            if has_ended():
                return b""
        return block

    return splitter.split(read, size)


def _report(
    args: argparse.Namespace,
    out: Output,
    endpoint: Endpoint,
    stats: SenderStats,
    *,
    failed: int,
    kind: str,
    duration: float,
) -> None:
    from ...apps.routes import interface_name_for  # noqa: PLC0415 - needed after sending only

    interface = endpoint.interface or _interface_with(args.local) or interface_name_for(endpoint.group)
    if out.json:
        fields = {
            "sent": stats.sent,
            "failed": failed,
            "bytes": stats.bytes_sent,
            "group": endpoint.group,
            "port": endpoint.port,
            "interface": interface,
            "ttl": args.ttl,
            "duration_s": round(duration, 6),
        }
        out.record(kind, fields)
        return
    unsent = f"; {failed:,} could not be sent" if failed else ""
    out.remark(
        f"sent {number(stats.sent, 'datagram')}, {number(stats.bytes_sent, 'byte')}, to "
        f"{address(endpoint.group, endpoint.port or 0)} from {interface or 'the default interface'}, "
        f"with TTL {args.ttl}, in {duration:.1f} s{unsent}"
    )
    if out.verbose:
        out.remark(f"{number(stats.coalesced, 'datagram')} handed to the system together with others")


def _socket_of(tx: Sender) -> str:
    """Return in words how the socket sends."""
    loopback = "on" if tx.loopback else "off"
    host, port = tx.local
    # Until something is sent, the system may not have chosen yet.
    where = f"from {address(host, port)} " if port else ""
    return f"sending {where}with TTL {tx.ttl}, DSCP {tx.dscp} and multicast loopback {loopback}"


def _interface_with(local: tuple[str, int] | None) -> str | None:
    """Return the name of the interface that has the address to send from; None if there is none."""
    from ...sync import interfaces  # noqa: PLC0415 - see the top of the package

    if local is None:
        return None
    return next((one.name for one in interfaces() if local[0].partition("%")[0] in one.addresses), None)
