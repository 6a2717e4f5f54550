"""The 2.x tool that listens, ``McastHEAR``, with ``McastServer`` and its default handler ``HearUDPHandler``.

The server is implemented in ``_legacy.server``, the policy for answers in ``_legacy.replies``.
"""

from __future__ import annotations

import functools
import logging
import socketserver
import sys
from typing import TYPE_CHECKING

from ._common import console
from ._common.constants import _MCAST_DEFAULT_BIND_IP, _MCAST_DEFAULT_GROUPS, _MCAST_DEFAULT_PORT
from ._common.text import decode_for_display
from ._legacy import replies
from ._legacy.drops import Dropped, DropWatch
from ._legacy.join_options import as_list, is_group
from ._legacy.server import McastServer
from ._legacy.tool import mtool
from .exceptions import ShutdownCommandReceived

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["HearUDPHandler", "McastHEAR", "McastServer"]

module_logger = logging.getLogger(__name__)

_STOP = "STOP"
# The rate limit for handlers whose server has none.
_answers = replies.TokenBucket(replies.RATE, replies.BURST)


class HearUDPHandler(socketserver.BaseRequestHandler):
    """Log each datagram, answer its sender, and request a shutdown if the text contains ``STOP``.

    ``self.request`` is ``(payload, socket)`` and ``self.client_address`` the sender. If the server's attribute
    ``reply`` is false, the handler sends no answers; if its attribute ``stop`` is false, it ignores ``STOP``.
    """

    def handle(self) -> None:
        """Handle one datagram; ignore it if it is not UTF-8 text.

        Raises:
            ShutdownCommandReceived: The text contains ``STOP``.
        """
        payload, sock = self.request
        if payload is None or sock is None:
            return
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            module_logger.debug("Ignored %d bytes that are not text.", len(payload))
            return
        if module_logger.isEnabledFor(logging.INFO):
            module_logger.info("%s SAID %s", replies.format_address(self.client_address), text)
        if getattr(self.server, "reply", True):
            self._answer(text, sock)
        if _STOP in text and getattr(self.server, "stop", True):
            raise ShutdownCommandReceived(f"{_STOP} from {replies.format_address(self.client_address)}")

    def _answer(self, text: str, sock: socket.socket) -> None:
        if not replies.may_answer(text, self.client_address):
            return
        if not getattr(self.server, "answers", _answers).take():
            if module_logger.isEnabledFor(logging.DEBUG):
                module_logger.debug(
                    "Rate limit reached: no answer to %s.", replies.format_address(self.client_address)
                )
            return
        try:
            message = replies.answer(text, self.client_address, sock.getsockname())
            sock.sendto(message.encode("utf-8"), self.client_address)
        except OSError as error:
            # Answers are optional: an unreachable sender must not stop the listener.
            module_logger.warning("Cannot answer %s: %s", replies.format_address(self.client_address), error)


class _PrintingHandler(HearUDPHandler):
    """Print each datagram, whatever its bytes, and then handle it like the default handler."""

    server: _ListeningServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle(self) -> None:
        payload, sock = self.request
        if payload is not None and sock is not None:
            self.server.payloads.append(payload)
        super().handle()


class _ListeningServer(McastServer):
    """The server of HEAR. It prints and looks for drops once for all datagrams that have arrived.

    It ends on an error of a handler.

    Attributes:
        payloads: what to print.
    """

    def __init__(
        self, *args: Any, on_dropped: Callable[[Dropped], object], raw: bool, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.payloads: list[bytes] = []
        self._raw = raw
        self._drops = DropWatch(self._bound_receiver().stats, on_dropped)

    def listen(self) -> None:
        """Serve until STOP or an error, print all messages that were handled, and report drops."""
        try:
            self.serve_forever()
        finally:
            try:
                self._print()
            finally:
                self._drops.finish()

    def _round_done(self) -> None:
        self._print()
        self._drops.look()

    def _print(self) -> None:
        if self.payloads:
            payloads, self.payloads = self.payloads, []
            if self._raw and not console.is_terminal():
                console.write(b"".join(payloads))
            else:
                console.show(*map(decode_for_display, payloads))

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ShutdownCommandReceived):
            raise error
        super().handle_error(request, client_address)


def _report_drops(report: Callable[[Dropped], object] | None, dropped: Dropped) -> None:
    module_logger.warning(
        "The system dropped %d datagrams, %d in total, and %d were received.",
        dropped.new,
        dropped.total,
        dropped.received,
    )
    if report is not None:
        report(dropped)


class McastHEAR(mtool):
    """Listen until a datagram contains ``STOP`` or the process is interrupted."""

    __proc__ = "HEAR"
    __prologue__ = "Receive one message, like RECV; with --daemon, keep listening until stopped."
    __epilogue__ = "Anyone on the network can stop a listener by sending STOP, unless --no-stop is given."

    @classmethod
    def setupArgs(cls, parser: argparse.ArgumentParser | None) -> None:
        """Add the options of HEAR to ``parser``."""
        if parser is None:
            return
        from .recv import McastRECV  # noqa: PLC0415 - only the command line needs it

        McastRECV.setupArgs(parser)
        parser.add_argument(
            "--no-reply", dest="reply", action="store_false", help="do not answer senders (with --daemon)"
        )
        parser.add_argument(
            "--no-stop", dest="stop", action="store_false", help="ignore STOP (with --daemon)"
        )
        parser.add_argument(
            "--raw",
            action="store_true",
            help="print messages byte for byte, unless at a terminal (with --daemon and --use-std)",
        )

    def doStep(
        self,
        *args: Any,  # noqa: ARG002 - every tool accepts positional arguments
        group: str | None = None,
        groups: Iterable[str] | None = None,
        port: int | None = None,
        iface: str | int | None = None,
        is_daemon: bool = True,  # noqa: ARG002 - an option that RECV and HEAR share
        is_std: bool = False,
        source: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        reply: bool = True,
        stop: bool = True,
        raw: bool = False,
        on_dropped: Callable[[Dropped], object] | None = None,
        **extra: object,
    ) -> tuple[bool, None]:
        """Listen until a datagram contains ``STOP`` or SIGINT arrives, and return ``(True, None)``.

        Args:
            args: not used.
            group: the primary group. If neither it nor ``groups`` are given, the default groups.
            groups: more groups.
            port: UDP port, 1-65535. None is the default port.
            iface: name, index or address of the interface to join on, or ``"all"``. None lets the system's routes
                decide.
            is_daemon: not used.
            is_std: print each message on standard output as it arrives.
            source: the only senders to receive from, one address or several (source-specific multicast).
            exclude: senders not to receive from.
            reply: answer senders.
            stop: end when a message contains ``STOP``.
            raw: with ``is_std``, print the bytes of each message and nothing else. On a terminal, messages are always
                printed as lines of text.
            on_dropped: called with a `Dropped` about once a second while the system drops datagrams because they
                arrive faster than they are handled, and at the end if it dropped any. Drops are logged in any case.
            extra: logged and not used.

        Raises:
            OSError: The socket cannot be opened, bound or joined, or standard output cannot be written; ``errno``
                says why.
            ValueError: A group, port, interface or source is invalid.
            TypeError: An argument is of the wrong type.
        """
        self._log_unused(extra)
        wanted = as_list(groups)
        if not wanted and group is None:
            wanted = list(_MCAST_DEFAULT_GROUPS)
        # If the environment names an address to bind to, it takes the place of the first group.
        host = group
        if host is None:
            host = wanted[0] if is_group(_MCAST_DEFAULT_BIND_IP) else _MCAST_DEFAULT_BIND_IP
        try:
            with _ListeningServer(
                (host, _MCAST_DEFAULT_PORT if port is None else port),
                _PrintingHandler if is_std else HearUDPHandler,
                groups=wanted,
                iface=iface,
                source=source,
                exclude=exclude,
                reply=reply,
                stop=stop,
                raw=raw,
                on_dropped=functools.partial(_report_drops, on_dropped),
            ) as server:
                server.listen()
        except KeyboardInterrupt:
            # The documented way to end a listener that runs in a process of its own, also while it starts.
            module_logger.info("Interrupted: shutting down.")
        return True, None
