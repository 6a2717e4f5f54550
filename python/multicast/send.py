"""``McastSAY``: the documented tool that sends. The sockets are ``sync.Sender``'s."""

from __future__ import annotations

import contextlib
import logging

from ._common import console
from ._common.constants import (
    _MCAST_DEFAULT_BUFFER_SIZE,
    _MCAST_DEFAULT_GROUP,
    _MCAST_DEFAULT_PORT,
    _MCAST_DEFAULT_TTL,
)
from ._common.text import chunks, payload_of
from ._legacy.join_options import named
from ._legacy.tool import mtool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import Any

    from .sync import Sender

__all__ = ["McastSAY"]

module_logger = logging.getLogger(__name__)

# What is said where nothing else is: the only text that is filled in.
_DEFAULT_MESSAGE = "PING from {name}: group: {group}, port: {port}"
_STANDARD_INPUT = ["-"]


class McastSAY(mtool):
    """Sends one message, or standard input in pieces, to one or more groups."""

    __proc__ = "SAY"
    __prologue__ = "Sends a message to a multicast group."
    __epilogue__ = (
        "With a TTL of 1, the default, no router passes the message on: it stays on the local network."
    )

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of SAY to ``parser``."""
        if parser is None:
            return
        # Loads argparse, which only the command line needs.
        from ._common import argument_types  # noqa: PLC0415
        from ._legacy import options  # noqa: PLC0415

        options.add_port(parser, "the port to send to")
        options.add_destinations(parser, _MCAST_DEFAULT_GROUP)
        parser.add_argument(
            "--ttl",
            type=argument_types.ttl,
            default=_MCAST_DEFAULT_TTL,
            metavar="HOPS",
            help="hops the message may make, 0-255 (the hop limit of IPv6); 1 crosses no router (default: %(default)s)",
        )
        parser.add_argument(
            "--no-loopback",
            dest="loopback",
            action="store_false",
            help="listeners on this machine do not hear it",
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
            help="the rest of the line is the message; a lone - stands for standard input",
        )
        what.add_argument(
            "--pipe",
            dest="data",
            action="store_const",
            const=_STANDARD_INPUT,
            help="send what comes on standard input, in pieces of the buffer size",
        )

    def doStep(
        self,
        *args: Any,  # noqa: ARG002 - the shape that every tool is called in
        group: str | None = None,
        port: int | None = None,
        ttl: int | None = None,
        data: str | bytes | Sequence[str] = _DEFAULT_MESSAGE,
        groups: Iterable[str] | None = None,
        iface: str | int | None = None,
        loopback: bool = True,
        **extra: object,
    ) -> tuple[bool, None]:
        """Send ``data`` and return ``(True, None)``.

        Args:
            args: not used.
            group: the group, or several in one text (``"239.1.2.3+10"``, ``"239.1.2.0/24"``); None is the default
                group, unless ``groups`` names some.
            port: UDP port, 1-65535; None is the default port.
            ttl: hops, 0-255; None is the default.
            data: the message: text, bytes, words to join by spaces, or ``["-"]`` for standard input, which is sent in
                pieces of the buffer size, none of which ends inside a character.
            groups: more groups to send the same to.
            iface: interface to send by, as name, index or address; None leaves it to the system's routes.
            loopback: listeners on this machine hear it (Windows decides that at the receiver).
            extra: not used, but logged.

        Raises:
            OSError: a socket could not be opened, or the message not be sent; ``errno`` tells why.
            ValueError: a group, port, TTL or interface is none. Nothing was sent.
            TypeError: an argument is of a wrong type. Nothing was sent.
        """
        self._tell_ignored(extra)
        from . import endpoints  # noqa: PLC0415 - loads a good deal, which importing the package does not
        from .sync import Sender  # noqa: PLC0415 - loads the compiled core, which importing the package does not

        port = _MCAST_DEFAULT_PORT if port is None else port
        texts = [*([] if group is None else [group]), *named(groups)] or [_MCAST_DEFAULT_GROUP]
        targets = [str(one) for text in texts for one in endpoints.expand(endpoints.Endpoint.parse(text))]
        with contextlib.ExitStack() as opened:
            # All are opened before anything is sent, so that a bad group among good ones leaves nothing half done.
            senders = [
                opened.enter_context(
                    Sender(
                        one,
                        port,
                        interface=iface,
                        ttl=_MCAST_DEFAULT_TTL if ttl is None else ttl,
                        loopback=loopback,
                    )
                )
                for one in dict.fromkeys(targets)
            ]
            self._say(senders, data)
        return True, None

    @staticmethod
    def _say(senders: list[Sender], data: str | bytes | Sequence[str]) -> None:
        if data == _STANDARD_INPUT:
            for piece in chunks(console.standard_input(), _MCAST_DEFAULT_BUFFER_SIZE):
                for sender in senders:
                    sender.send(piece)
            return
        for sender in senders:
            message = data
            if message == _DEFAULT_MESSAGE:
                message = _DEFAULT_MESSAGE.format(name=__package__, group=sender.group, port=sender.port)
            sent = sender.send(payload_of(message))
            module_logger.debug("Sent %d bytes to %s, port %d.", sent, sender.group, sender.port)
