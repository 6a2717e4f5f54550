"""Arguments that several commands share: where to listen or send, and when to end."""

from __future__ import annotations

import argparse

from .._common import argument_types
from .._common.constants import _MCAST_DEFAULT_GROUP, _MCAST_DEFAULT_PORT, _MCAST_DEFAULT_TTL
from . import parser as grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ..endpoints import Endpoint


def add_endpoints(parser: argparse.ArgumentParser, verb: str, *, several: bool = True) -> None:
    """Add the positional endpoints, and ``-i`` and ``-p`` for what they do not name.

    Args:
        parser: the parser of the command.
        verb: the action of the command on an endpoint, for the help, such as "listen to".
        several: whether the command takes any number of endpoints, and not at most one.
    """
    parser.add_argument(
        "endpoints",
        nargs="*" if several else "?",
        metavar="ENDPOINT",
        type=argument_types.endpoint,
        help=f"{verb} SOURCE@GROUP:PORT%%INTERFACE, in which only the group is required, such as "
        "239.1.2.3:5000, 239.1.2.3%%eth0 or 10.0.0.1@232.1.2.3 "
        f"(default: {_MCAST_DEFAULT_GROUP}:{_MCAST_DEFAULT_PORT})",
    )
    add_where(parser, several=several)


def add_where(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """Add ``-i`` and ``-p``, for what endpoints do not name."""
    add_interface(parser, several=several)
    parser.add_argument(
        "-p",
        "--port",
        type=argument_types.port,
        help=f"use this port, 1-65535, unless the endpoint has one (default: {_MCAST_DEFAULT_PORT})",
    )


def add_interface(
    parser: argparse.ArgumentParser, *, several: bool = False, has_endpoint: bool = True
) -> None:
    """Add ``-i``.

    Args:
        parser: the parser of the command.
        several: whether ``all`` is accepted.
        has_endpoint: whether the command has an endpoint, which can name the interface as well.
    """
    unless = ", unless the endpoint names one" if has_endpoint else ""
    parser.add_argument(
        "-i",
        "--interface",
        type=argument_types.interface if several else argument_types.one_interface,
        help=f"use this interface, given by name, index or address{unless} (default: the system's choice)",
    )


def add_seconds(
    parser: argparse.ArgumentParser,
    *names: str,
    help: str,  # noqa: A002 - named as argparse names it
    default: float | None = None,
    check: Callable[[str], float] = argument_types.seconds,
) -> None:
    """Add an option for a number of seconds, and its default to the help if there is one."""
    described = help if default is None else f"{help} (default: {default:g})"
    parser.add_argument(*names, metavar="SECONDS", type=check, default=default, help=described)


def add_duration(parser: argparse.ArgumentParser) -> None:
    """Add ``-d``, which ends a command."""
    add_seconds(parser, "-d", "--duration", help="end after this time (default: no limit)")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add ``-c``, ``-t`` and ``-d``, which end a command that receives."""
    parser.add_argument(
        "-c", "--count", type=argument_types.count, help="end after this many datagrams (default: no limit)"
    )
    add_seconds(parser, "-t", "--timeout", help="end after this time without a datagram (default: no limit)")
    add_duration(parser)


def add_receiving(parser: argparse.ArgumentParser, buffer: str = "8 MiB") -> None:
    """Add ``--recv-buffer``, whose default is ``buffer``, and ``--engine``, which say how to receive."""
    parser.add_argument(
        "--recv-buffer",
        metavar="BYTES",
        type=argument_types.buffer,
        help=f"request this receive buffer from the system (default: {buffer})",
    )
    parser.add_argument(
        "--engine",
        choices=("socket", "packet", "auto"),
        default="socket",
        help="socket: receive with UDP sockets; packet: read a ring of packets, which takes less CPU time at high "
        "rates (Linux, with CAP_NET_RAW); auto: packet if permitted, otherwise socket (default: %(default)s)",
    )


def add_ttl(parser: argparse.ArgumentParser) -> None:
    """Add ``--ttl``, for a command that sends."""
    parser.add_argument(
        "--ttl",
        type=argument_types.ttl,
        metavar="HOPS",
        default=_MCAST_DEFAULT_TTL,
        help="let the datagrams travel this many hops, 0-255; 1 crosses no router (default: %(default)s)",
    )


def add_expect(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--expect``, which decides the exit code, for what the command counts."""
    parser.add_argument(
        "--expect", metavar="N", type=argument_types.count, help=f"fail unless this many {what}"
    )


def add_conditions(parser: argparse.ArgumentParser) -> None:
    """Add ``--expect`` and ``--max-loss``, which decide the exit code, and how to receive."""
    add_expect(parser, "datagrams were received")
    parser.add_argument(
        "--max-loss",
        metavar="PERCENT",
        type=argument_types.percent,
        help="fail if the loss exceeds this percentage of --expect or, without --expect, of the datagrams known to "
        "have been sent",
    )
    add_receiving(parser)


def conditions_hold(args: argparse.Namespace, received: int, lost: int) -> bool:
    """Return whether the conditions of `add_conditions` held.

    Args:
        args: the options.
        received: datagrams received.
        lost: datagrams known to be lost.
    """
    if args.expect is None and args.max_loss is None:
        return True
    expected = args.expect or received + lost
    missing = max(lost, expected - received)
    return missing <= expected * (args.max_loss or 0.0) / 100


def endpoints_of(args: argparse.Namespace) -> list[Endpoint]:
    """Return the endpoints of a command, each with its port and, if one is known, its interface.

    Raises:
        UsageError: An endpoint and ``--port`` name different ports; this has been reported.
    """
    from ..endpoints import Endpoint  # noqa: PLC0415 - see the top of the package

    given: list[Endpoint] | Endpoint | None = args.endpoints
    several = [given] if isinstance(given, Endpoint) else given
    return [_complete(one, args) for one in several or [Endpoint(_MCAST_DEFAULT_GROUP)]]


def _complete(endpoint: Endpoint, args: argparse.Namespace) -> Endpoint:
    from dataclasses import replace  # noqa: PLC0415 - see the top of the package

    if None not in (endpoint.port, args.port) and endpoint.port != args.port:
        usage_error(args, f"argument -p/--port: the port is given twice, in {endpoint} and as {args.port}")
    port = next(number for number in (endpoint.port, args.port, _MCAST_DEFAULT_PORT) if number is not None)
    return replace(endpoint, port=port, interface=endpoint.interface or args.interface)


def usage_error(args: argparse.Namespace, message: str) -> NoReturn:
    """Report that the words of the command do not fit together, with its usage.

    Raises:
        UsageError: Always.
    """
    grammar.fail(args.command, message)
