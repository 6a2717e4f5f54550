"""``multicast relay``: pass datagrams on, between groups, unicast UDP and NATS."""

from __future__ import annotations

import contextlib
import errno
import logging

from ..._common import argument_types
from .. import options
from ..errors import print_error
from ..signals import handled
from ..words import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator
    from typing import Any

    from ...relay import LegStats, Relay
    from ..output import Output
    from ..signals import Signals

HINT_FOR_MORE_WORDS = "write --to before each destination"

_TICK = 0.1
# The fields of a leg that `record` and `replay` have as well go by the same names there.
_RENAMED = (("from", "source"), ("to", "to"), ("read", "received"), ("written", "sent"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``relay``."""
    parser.epilog = (
        "FROM and TO are endpoints, such as 239.1.2.3:5000%eth0, or addresses of the form udp://HOST:PORT or "
        "nats://HOST[:PORT]/SUBJECT. "
        "The exit code is 0 after --duration, 69 if a NATS server or subject was never reached, and 130 after Ctrl-C."
    )
    parser.add_argument(
        "source", nargs="?", metavar="FROM", help="receive from this group, UDP address or NATS subject"
    )
    parser.add_argument(
        "--to",
        action="append",
        metavar="TO",
        help="send to this group, UDP address or NATS subject, or to original%%INTERFACE for the original group of "
        "each datagram; may be repeated",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=argument_types.input_file,
        help="read the routes from this TOML file instead (default: none)",
    )
    parser.add_argument(
        "--ttl",
        metavar="HOPS",
        type=argument_types.ttl,
        default=1,
        help="let datagrams to groups travel this many hops, 1-255, or fewer if the original has fewer left "
        "(default: 1)",
    )
    parser.add_argument(
        "--link-scope",
        action="store_true",
        help="also relay groups that routers never forward, such as 224.0.0.251",
    )
    parser.add_argument(
        "--buffer",
        metavar="BYTES",
        type=argument_types.buffer,
        default=8 * 1024 * 1024,
        help="hold up to this many bytes for each slow or unreachable destination (default: 8 MiB)",
    )
    options.add_seconds(
        parser,
        "--stats",
        check=argument_types.factor,
        help="report the counters of each leg at this interval (default: at the end)",
    )
    options.add_duration(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Relay until a signal or the end of the duration; return the exit code."""
    import asyncio  # noqa: PLC0415 - see the top of the package

    from ...relay import Relay, Route, read_config  # noqa: PLC0415 - see the top of the package
    from ...relay.places import without_password  # noqa: PLC0415 - see the top of the package

    if (args.config is None) == (args.source is None) or (args.to is None) != (args.source is None):
        options.usage_error(args, "needs FROM and --to, or --config")
    nats: dict[str, Any] = {}
    try:
        if args.config is None:
            routes = [Route(args.source, tuple(args.to), args.ttl, args.link_scope, args.buffer)]
        else:
            routes, nats = read_config(args.config)
        relay = Relay(routes, nats=nats)
    except ValueError as error:
        options.usage_error(args, str(error))
    legs_of_routes = [(route.source, to) for route in routes for to in route.to]

    def say_opened() -> None:
        # A place that cannot be opened has ended the relay with an error.
        if len(relay.stats()) == len(legs_of_routes):
            for source, to in legs_of_routes:
                out.remark(f"relaying from {without_password(source)} to {without_password(to)}")

    with handled() as signals, _warnings_shown(out):
        asyncio.run(_relay(relay, args, out, signals, say_opened))
        legs = relay.stats()
        _report(legs, out)
        if out.json:
            out.record(
                "summary",
                {
                    "legs": len(legs),
                    "read": sum(leg.received for leg in legs),
                    "written": sum(leg.sent for leg in legs),
                    "lost": sum(leg.lost for leg in legs),
                    "lost_here": sum(
                        leg.lost_here + leg.dropped + leg.failed + leg.too_long + leg.buffered for leg in legs
                    ),
                },
            )
        if not signals.has_ended():
            _check_connections(relay)
        return signals.exit_code(0)


def _check_connections(relay: Relay) -> None:
    """Raise ConnectionError if a NATS server or subject was never reached: that leg has never worked."""
    for place, reason in relay.unreached.items():
        cause = reason or "no answer before the end"
        raise ConnectionError(
            errno.ENOTCONN,
            f"cannot reach {place}: {cause} (check the address, the server and the credentials)",
        )


class _Warnings(logging.Handler):
    """Writes the warnings of the relay on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one warning."""
        print_error("relay", record.getMessage())


@contextlib.contextmanager
def _warnings_shown(out: Output) -> Generator[None, None, None]:
    """Show why something cannot be sent or a server cannot be reached, unless quiet."""
    logger, handler = logging.getLogger("multicast"), _Warnings(logging.WARNING)
    if not out.quiet:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def _relay(
    relay: Relay, args: argparse.Namespace, out: Output, signals: Signals, on_opened: Callable[[], None]
) -> None:
    """Run the relay, and end it when a signal or the duration says so."""
    import asyncio  # noqa: PLC0415 - see the top of the package

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    running = asyncio.ensure_future(relay.run(stop))
    end = float("inf") if args.duration is None else loop.time() + args.duration
    report = float("inf") if args.stats is None else loop.time() + args.stats
    # The first step of the relay opens its sockets.
    await asyncio.sleep(0)
    on_opened()
    while not running.done():
        await asyncio.wait([running], timeout=_TICK)
        if signals.has_ended() or loop.time() >= end:
            stop.set()
            break
        if loop.time() >= report or signals.take_summary_request():
            _report(relay.stats(), out)
            report = float("inf") if args.stats is None else loop.time() + max(args.stats, _TICK)
    await running


def _report(legs: tuple[LegStats, ...], out: Output) -> None:
    from dataclasses import asdict  # noqa: PLC0415 - see the top of the package

    for leg in legs:
        if out.json:
            fields = asdict(leg)
            renamed = {name: fields.pop(attribute) for name, attribute in _RENAMED}
            out.record("leg", {**renamed, **fields})
        else:
            out.remark(_sentence(leg))


def _sentence(leg: LegStats) -> str:
    parts = [f"{leg.source} to {leg.to}: relayed {number(leg.sent, 'datagram')} of {leg.received:,}"]
    for count, what in (
        (leg.echoes, "skipped after coming back"),
        (leg.copies, "already received"),
        (leg.invalid, "without an envelope"),
        (leg.dropped, "dropped because the buffer was full"),
        (leg.failed, "failed"),
        (leg.too_long, "too long"),
        (leg.buffered, "waiting"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    parts.append(f"lost {leg.lost:,} on the way here and {leg.lost_here:,} on this machine")
    if leg.connected is False:
        parts.append("not connected")
    return ", ".join(parts)
