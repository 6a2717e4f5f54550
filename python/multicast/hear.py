"""What listens for longer: ``McastHEAR``, the documented tool, and the default handler of its ``McastServer``.

The server itself is in ``_server``, whom the handler answers in ``_replies``.
"""

from __future__ import annotations

import logging
import socketserver
import sys

from ._common import console
from ._common.constants import _MCAST_DEFAULT_BIND_IP, _MCAST_DEFAULT_GROUPS, _MCAST_DEFAULT_PORT
from ._common.text import decode_for_display
from ._legacy import replies
from ._legacy.join_options import is_group, named
from ._legacy.server import McastServer
from ._legacy.tool import mtool
from .exceptions import ShutdownCommandReceived

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Iterable
    from typing import Any

__all__ = ["HearUDPHandler", "McastHEAR", "McastServer"]

module_logger = logging.getLogger(__name__)

_STOP = "STOP"
# Answers of handlers whose server keeps no count of its own.
_answers = replies.TokenBucket(replies.RATE, replies.BURST)


class HearUDPHandler(socketserver.BaseRequestHandler):
    """Logs what was received, answers the sender, and asks for a shutdown where the text holds ``STOP``.

    ``self.request`` is ``(payload, socket)``, ``self.client_address`` the sender. A server with ``reply`` or ``stop``
    false gets no answers sent, or goes on in spite of ``STOP``.
    """

    def handle(self) -> None:
        """Handle one datagram; what is no UTF-8 text is let pass.

        Raises:
            ShutdownCommandReceived: the text holds ``STOP``.
        """
        payload, sock = self.request
        if payload is None or sock is None:
            return
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            module_logger.debug("Let pass %d bytes that are no text.", len(payload))
            return
        module_logger.info("%s SAID %s", replies.format_address(self.client_address), text)
        if getattr(self.server, "reply", True):
            self._answer(text, sock)
        if _STOP in text and getattr(self.server, "stop", True):
            raise ShutdownCommandReceived(f"{_STOP} from {replies.format_address(self.client_address)}")

    def _answer(self, text: str, sock: socket.socket) -> None:
        if not replies.may_answer(text, self.client_address):
            return
        if not getattr(self.server, "answers", _answers).take():
            module_logger.debug("Too many answers: none for %s.", replies.format_address(self.client_address))
            return
        try:
            message = replies.answer(text, self.client_address, sock.getsockname())
            sock.sendto(message.encode("utf-8"), self.client_address)
        except OSError as problem:
            # The answer is a courtesy: a sender that cannot be reached must not end the listening.
            module_logger.warning(
                "No answer for %s: %s", replies.format_address(self.client_address), problem
            )


class _PrintingHandler(HearUDPHandler):
    """Prints what comes, whatever the bytes, and then does as the default handler."""

    def handle(self) -> None:
        payload, sock = self.request
        if payload is not None and sock is not None:
            console.show(decode_for_display(payload))
        super().handle()


class _ListeningServer(McastServer):
    """The server of HEAR, which ends on an error: its handlers fail only where the output does."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        problem = sys.exc_info()[1]
        if problem is not None and not isinstance(problem, ShutdownCommandReceived):
            raise problem
        super().handle_error(request, client_address)


class McastHEAR(mtool):
    """Listens until somebody sends ``STOP`` or the process is interrupted."""

    __proc__ = "HEAR"
    __prologue__ = (
        "Listens for messages: with --daemon until stopped, without it for one message, as RECV does."
    )
    __epilogue__ = "Anybody on the network can stop a listener by sending STOP, unless --no-stop is given."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of HEAR to ``parser``."""
        if parser is None:
            return
        from .recv import McastRECV  # noqa: PLC0415

        McastRECV.setupArgs(parser)
        parser.add_argument(
            "--no-reply", dest="reply", action="store_false", help="do not answer the senders (with --daemon)"
        )
        parser.add_argument(
            "--no-stop", dest="stop", action="store_false", help="go on in spite of STOP (with --daemon)"
        )

    def doStep(
        self,
        *args: Any,  # noqa: ARG002 - the shape that every tool is called in
        group: str | None = None,
        groups: Iterable[str] | None = None,
        port: int | None = None,
        iface: str | int | None = None,
        is_daemon: bool = True,  # noqa: ARG002 - part of the options that listeners share
        is_std: bool = False,
        source: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        reply: bool = True,
        stop: bool = True,
        **extra: object,
    ) -> tuple[bool, None]:
        """Listen until ``STOP`` comes or SIGINT does, and return ``(True, None)``.

        Args:
            args: not used.
            group: the primary group; None and no ``groups`` are the default groups.
            groups: more groups.
            port: UDP port, 1-65535; None is the default port.
            iface: interface to join on, as name, index or address, or ``"all"``; None leaves it to the system's routes.
            is_daemon: not used.
            is_std: print each message on standard output as it comes.
            source: the only senders wanted, one address or several (source-specific multicast).
            exclude: senders that are not wanted.
            reply: answer the senders.
            stop: end where a message holds ``STOP``.
            extra: not used, but logged.

        Raises:
            OSError: the socket cannot be had, bound or joined, or a message not be printed; ``errno`` tells why.
            ValueError: a group, port, interface or source is none.
            TypeError: an argument is of a wrong type.
        """
        self._tell_ignored(extra)
        wanted = named(groups)
        if not wanted and group is None:
            wanted = list(_MCAST_DEFAULT_GROUPS)
        # An address to bind to, where the environment names one, rather than the first group.
        host = group
        if host is None:
            host = wanted[0] if is_group(_MCAST_DEFAULT_BIND_IP) else _MCAST_DEFAULT_BIND_IP
        with _ListeningServer(
            (host, _MCAST_DEFAULT_PORT if port is None else port),
            _PrintingHandler if is_std else HearUDPHandler,
            groups=wanted,
            iface=iface,
            source=source,
            exclude=exclude,
            reply=reply,
            stop=stop,
        ) as server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                # The documented way to end a listener that runs in a process of its own.
                server.logger.info("Interrupted: shutting down.")
        return True, None
