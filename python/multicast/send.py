"""The 2.x tool that sends: ``McastSAY``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._common import console
from ._common.constants import (
    _MCAST_DEFAULT_BUFFER_SIZE,
    _MCAST_DEFAULT_GROUP,
    _MCAST_DEFAULT_PORT,
    _MCAST_DEFAULT_TTL,
)
from ._common.splitter import split
from ._common.text import payload_of
from ._legacy.join_options import as_list
from ._legacy.tool import mtool

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ._legacy.destinations import Destinations, Sent

__all__ = ["McastSAY"]

module_logger = logging.getLogger(__name__)

# The message if no other is given. Its fields are filled in; those of other messages are not.
_DEFAULT_MESSAGE = "PING from {name}: group: {group}, port: {port}"
_STANDARD_INPUT = ["-"]


class McastSAY(mtool):
    """Send one message, or standard input in pieces, to one or more groups."""

    __proc__ = "SAY"
    __prologue__ = "Send a message to a multicast group."
    __epilogue__ = (
        "With a TTL of 1, the default, routers do not forward the message: it stays on the local network."
    )

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of SAY to ``parser``."""
        if parser is None:
            return
        # These import argparse, which only the command line needs.
        from ._common import argument_types  # noqa: PLC0415
        from ._legacy import options  # noqa: PLC0415

        options.add_port(parser, "send to this port")
        options.add_destinations(parser, _MCAST_DEFAULT_GROUP)
        parser.add_argument(
            "--ttl",
            type=argument_types.ttl,
            default=_MCAST_DEFAULT_TTL,
            metavar="HOPS",
            help="let the message travel this many hops, 0-255 (the hop limit of IPv6); 1 crosses no router "
            "(default: %(default)s)",
        )
        parser.add_argument(
            "--no-loopback",
            dest="loopback",
            action="store_false",
            help="do not deliver the message to listeners on this machine",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "-m",
            "--message",
            dest="data",
            nargs="...",
            action=options.Words,
            default=_DEFAULT_MESSAGE,
            metavar="WORD",
            help="send the rest of the command line; a lone - means standard input",
        )
        what.add_argument(
            "--pipe",
            dest="data",
            action="store_const",
            const=_STANDARD_INPUT,
            help="send standard input as it arrives, in pieces of at most the buffer size",
        )

    def doStep(
        self,
        *args: Any,  # noqa: ARG002 - every tool accepts positional arguments
        group: str | None = None,
        port: int | None = None,
        ttl: int | None = None,
        data: str | bytes | Sequence[str] = _DEFAULT_MESSAGE,
        groups: Iterable[str] | None = None,
        iface: str | int | None = None,
        loopback: bool = True,
        on_sent: Callable[[Sent], object] | None = None,
        **extra: object,
    ) -> tuple[bool, None]:
        """Send ``data`` and return ``(True, None)``.

        Args:
            args: not used.
            group: the group, or a range of groups (``"239.1.2.3+10"``, ``"239.1.2.0/24"``). None is the default
                group, unless ``groups`` names some.
            port: UDP port, 1-65535. None is the default port.
            ttl: hops, 0-255. None is the default.
            data: the message: text, bytes, words to join by spaces, or ``["-"]`` for standard input, which is sent as
                it arrives, in pieces of at most the buffer size. Text is never split within a character. A stream
                that is not UTF-8 is split at multiples of the buffer size.
            groups: more groups to send the same to.
            iface: name, index or address of the interface to send from. None lets the system's routes decide.
            loopback: deliver the message to listeners on this machine (on Windows the receiver decides).
            on_sent: called with a `Sent` once everything has been sent.
            extra: logged and not used.

        Raises:
            OSError: A socket cannot be opened or the message cannot be sent; ``errno`` says why.
            ValueError: A group, port, TTL or interface is invalid. Nothing was sent.
            TypeError: An argument is of the wrong type. Nothing was sent.
        """
        self._log_unused(extra)
        from ._legacy.destinations import Destinations, Sent  # noqa: PLC0415 - imports the compiled core

        hops = _MCAST_DEFAULT_TTL if ttl is None else ttl
        texts = [*([] if group is None else [group]), *as_list(groups)] or [_MCAST_DEFAULT_GROUP]
        with Destinations(
            texts,
            _MCAST_DEFAULT_PORT if port is None else port,
            interface=iface,
            ttl=hops,
            loopback=loopback,
        ) as destinations:
            datagrams, size = self._say(destinations, data)
        if on_sent is not None:
            groups = tuple(dict.fromkeys(one.group for one in destinations.groups))
            ways = dict.fromkeys(
                iface if one.interface is None else one.interface for one in destinations.groups
            )
            on_sent(Sent(groups, destinations.port, tuple(ways), hops, datagrams, size))
        return True, None

    @staticmethod
    def _say(destinations: Destinations, data: str | bytes | Sequence[str]) -> tuple[int, int]:
        """Send ``data`` and return how many datagrams and bytes went to each group."""
        datagrams = size = 0
        if data == _STANDARD_INPUT:
            for piece in split(console.StandardInput().read, _MCAST_DEFAULT_BUFFER_SIZE):
                for one in destinations.groups:
                    destinations.send(one, piece)
                datagrams += 1
                size += len(piece)
            return datagrams, size
        for one in destinations.groups:
            message = data
            if isinstance(message, str) and message == _DEFAULT_MESSAGE:
                message = _DEFAULT_MESSAGE.format(name=__package__, group=one.group, port=destinations.port)
            payload = payload_of(message)
            destinations.send(one, payload)
            module_logger.debug("Sent %d bytes to %s, port %d.", len(payload), one.group, destinations.port)
            size = max(size, len(payload))
        return 1, size
