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
from ..progress import Progress
from ..signals import handled
from ..words import address, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

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
        "forward the datagrams."
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
        "-f", "--file", help="send this file, in pieces of --size bytes; - means standard input"
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
    from ...sync import Sender  # noqa: PLC0415 - see the top of the package

    _check(args)
    (endpoint,) = options.endpoints_of(args)
    begun = time.monotonic()
    paced = not _generates(args)
    file_size = _size_of_file(args.file)

    def report(kind: str) -> None:
        _report(args, out, endpoint, tx.stats(), kind=kind, duration=time.monotonic() - begun)

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
        if out.verbose:
            out.remark(_socket_of(tx))
        try:
            with Progress(
                out, lambda: _progress(args, file_size, tx.stats(), time.monotonic() - begun)
            ) as progress:
                _send(tx, args, out, signals.reporting(lambda: report("interim")), progress)
        except (OSError, SystemExit):
            # The first datagram was refused: the error says enough.
            if tx.stats().sent:
                report("summary")
            raise
        report("summary")
        return signals.exit_code(0)


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
    tx: Sender,
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
        tx.send_many(together)


def _most_at_once(args: argparse.Namespace, size: int) -> int:
    """Return how many messages to hand over together: what arrives on standard input or a pipe is not held back.

    A limited rate sends no more of them than in the time after which signals are looked for.
    """
    if args.words in ([], [_STANDARD_INPUT]) and not _size_of_file(args.file):
        return 1
    rate = args.bit_rate / (8 * size) if args.bit_rate else args.rate or float("inf")
    return max(1, int(min(_MOST_AT_ONCE, rate * _TICK)))


def _progress(
    args: argparse.Namespace, file_size: int, stats: SenderStats, seconds: float
) -> tuple[str, float | None]:
    """Return what was sent in words, and the share of it that is done; None if the end is not known."""
    shares: list[float] = []
    if args.count is not None:
        shares.append(stats.sent / args.count)
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
    kind: str,
    duration: float,
) -> None:
    from ...apps.routes import interface_name_for  # noqa: PLC0415 - needed after sending only

    interface = endpoint.interface or _interface_with(args.local) or interface_name_for(endpoint.group)
    if out.json:
        fields = {
            "sent": stats.sent,
            "bytes": stats.bytes_sent,
            "group": endpoint.group,
            "port": endpoint.port,
            "interface": interface,
            "ttl": args.ttl,
            "duration_s": round(duration, 6),
        }
        out.record(kind, fields)
        return
    out.remark(
        f"sent {number(stats.sent, 'datagram')}, {number(stats.bytes_sent, 'byte')}, to "
        f"{address(endpoint.group, endpoint.port or 0)} from {interface or 'the default interface'}, "
        f"with TTL {args.ttl}, in {duration:.1f} s"
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
