"""What listens for longer: ``McastServer``, its default handler, and ``McastHEAR``, the documented tool.

The server is one of the standard library's ``socketserver``; its datagrams come from ``sync.Receiver``, many at a
time, on the server's own socket.
"""

import collections
import errno
import logging
import selectors
import socket
import socketserver
import sys
import threading

from . import _console, _replies, _text
from ._defaults import _MCAST_DEFAULT_GROUP, _MCAST_DEFAULT_GROUPS, _MCAST_DEFAULT_PORT
from ._mtool import mtool
from ._targets import listening
from .exceptions import ShutdownCommandReceived

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from typing import Any

    from .sync import Receiver

__all__ = ["HearUDPHandler", "McastHEAR", "McastServer"]

module_logger = logging.getLogger(__name__)

_STOP = "STOP"
# Answers of handlers whose server keeps no count of its own.
_answers = _replies.TokenBucket(_replies.RATE, _replies.BURST)


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
        module_logger.info("%s SAID %s", _replies.place(self.client_address), text)
        if getattr(self.server, "reply", True):
            self._answer(text, sock)
        if _STOP in text and getattr(self.server, "stop", True):
            raise ShutdownCommandReceived(f"{_STOP} from {_replies.place(self.client_address)}")

    def _answer(self, text: str, sock: socket.socket) -> None:
        if not _replies.may_answer(text, self.client_address):
            return
        if not getattr(self.server, "answers", _answers).take():
            module_logger.debug("Too many answers: none for %s.", _replies.place(self.client_address))
            return
        try:
            message = _replies.answer(text, self.client_address, sock.getsockname())
            sock.sendto(message.encode("utf-8"), self.client_address)
        except OSError as problem:
            # The answer is a courtesy: a sender that cannot be reached must not end the listening.
            module_logger.warning("No answer for %s: %s", _replies.place(self.client_address), problem)


class McastServer(socketserver.UDPServer):
    """A ``socketserver.UDPServer`` that receives multicast: one socket, joined once, for the server's life.

    Whenever the socket has something, up to 256 datagrams are taken in one go and then handled one after the other,
    each by the usual hooks. Those taken and not handled when the server is told to shut down are handled first when
    it is started again.

    Args:
        server_address: ``(host, port)``. A host that is a group is joined; None is the default group; any other
            address is bound to, the default group joined, and everything handled that the system delivers there.
        RequestHandlerClass: as for every ``socketserver``: made for each datagram.
        bind_and_activate: bind and join at once, rather than when ``server_bind`` is called.
        groups: more groups to join.
        iface: interface to join on, as name, index or address; None leaves it to the system's routes.
        reply: the default handler answers senders.
        stop: a datagram that holds ``STOP`` and makes its handler fail shuts the server down.

    Attributes:
        logger: ``multicast.hear.McastServer.<host>``.
        answers: how many answers may still be sent.

    Raises:
        OSError: the socket cannot be had, bound or joined; ``errno`` tells why, the message what and where.
        ValueError: an address, port or interface is none.
    """

    allow_reuse_address = True
    allow_reuse_port = False
    # Nothing is cut: the largest UDP payload over IPv4. For those who read ``socket`` themselves.
    max_packet_size = 65507

    _batch_size = 256

    def __init__(
        self,
        server_address: "tuple[str | None, int]",
        RequestHandlerClass: "Callable[[Any, Any, McastServer], socketserver.BaseRequestHandler]",
        bind_and_activate: bool = True,
        *,
        groups: "Iterable[str]" = (),
        iface: str | int | None = None,
        reply: bool = True,
        stop: bool = True,
    ) -> None:
        host, port = server_address[:2]
        self._host = host
        self._groups = list(groups)
        self._iface = iface
        self._receiver: Receiver | None = None
        self._taken: collections.deque[tuple[tuple[bytes, socket.socket], Any]] = collections.deque()
        self._failure: OSError | None = None
        self._shutdown_asked = False
        self._idle = threading.Event()
        self._idle.set()
        self._serving_thread: int | None = None
        self.reply = reply
        self.stop = stop
        self.answers = _replies.TokenBucket(_replies.RATE, _replies.BURST)
        shown_host = _MCAST_DEFAULT_GROUP if host is None else host
        self.logger = logging.getLogger(f"{__name__}.{McastServer.__name__}.{shown_host}")
        if ":" in shown_host:
            self.address_family = socket.AF_INET6
        super().__init__((shown_host, port), RequestHandlerClass, bind_and_activate)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        """Bind the socket, join the groups, and set ``server_address`` to what it is bound to."""
        from .sync import Receiver  # noqa: PLC0415 - loads the compiled core, which importing the package does not

        if self.allow_reuse_port and hasattr(socket, "SO_REUSEPORT"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._receiver = Receiver.adopt(
            self.socket,
            port=self.server_address[1],
            share=self.allow_reuse_address,
            gro=False,  # a handler that reads the socket by itself expects one datagram a call
            timestamps=False,
            **listening(self._groups, _numeric(self._host), self._iface),
        )
        self.server_address = self.socket.getsockname()

    def get_request(self) -> "tuple[tuple[bytes, socket.socket], Any]":  # type: ignore[override]
        """Return the next datagram as ``((payload, socket), sender)``.

        Raises:
            TimeoutError: there is none now.
            OSError: receiving failed; ``errno`` tells why.
        """
        if not self._taken:
            self._take()
        return self._taken.popleft()

    def _take(self) -> None:
        if self._receiver is None:
            raise OSError(errno.EINVAL, "cannot receive: the server is not bound (call server_bind)")
        try:
            batch = self._receiver.recv_batch(self._batch_size, 0)
        except TimeoutError:
            raise
        except OSError as problem:
            # The standard library's loop drops what is raised here; ours looks at this afterwards.
            self._failure = problem
            raise
        sock = self.socket
        self._taken.extend(((datagram.data, sock), datagram.sender) for datagram in batch)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle datagrams until `shutdown` is called, looking for that every ``poll_interval`` seconds.

        Raises:
            OSError: receiving failed; ``errno`` tells why.
        """
        self._idle.clear()
        self._serving_thread = threading.get_ident()
        try:
            if not self._shutdown_asked:
                self._serve(poll_interval)
        finally:
            self._shutdown_asked = False
            self._serving_thread = None
            self._idle.set()

    def _serve(self, poll_interval: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while not self._shutdown_asked:
                if self._taken or selector.select(poll_interval):
                    # bpo-35017: nothing is handled after shutdown() was called.
                    if self._shutdown_asked:
                        break
                    self._handle_request_noblock()
                    self._raise_failure()
                self.service_actions()

    def handle_request(self) -> None:
        """Handle one datagram, waiting for it as long as ``timeout`` says.

        Raises:
            OSError: receiving failed; ``errno`` tells why.
        """
        if self._taken:
            self._handle_request_noblock()
        else:
            super().handle_request()
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def shutdown(self) -> None:
        """Make `serve_forever` return, and wait until it has.

        Called by a handler, in the thread that serves, it does not wait: that thread returns after this datagram.
        Called while nothing serves, it makes the next `serve_forever` return at once.
        """
        self._shutdown_asked = True
        if self._serving_thread != threading.get_ident():
            self._idle.wait()

    def handle_error(self, request: "Any", client_address: "Any") -> None:
        """Shut down where ``request`` holds ``STOP`` (and ``stop`` is on); else do as every ``socketserver``."""
        payload = request[0] if request else None
        if not (self.stop and isinstance(payload, bytes) and _STOP.encode() in payload):
            super().handle_error(request, client_address)
            return
        problem = sys.exc_info()[1]
        if problem is not None and not isinstance(problem, ShutdownCommandReceived):
            self.logger.error("A handler failed on a datagram that holds %s.", _STOP, exc_info=problem)
        self.logger.warning("%s from %s: shutting down.", _STOP, _replies.place(client_address))
        self.shutdown()

    def server_close(self) -> None:
        """Close the socket and leave the groups. Closing again does nothing."""
        super().server_close()
        if self._receiver is not None:
            self._receiver.close()
        self._taken.clear()


def _numeric(host: str | None) -> str | None:
    """Return ``host`` as an address: names are looked up, as binding to one would; empty is the wildcard."""
    if host is None or ":" in host:
        return host
    try:
        return socket.gethostbyname(host)
    except OSError as problem:
        raise OSError(problem.errno, f"cannot bind to {host!r}: {problem.strerror}") from problem


class _PrintingHandler(HearUDPHandler):
    """Prints what comes, whatever the bytes, and then does as the default handler."""

    def handle(self) -> None:
        payload, sock = self.request
        if payload is not None and sock is not None:
            _console.show(_text.shown(payload))
        super().handle()


class _ListeningServer(McastServer):
    """The server of HEAR, which ends on an error: its handlers fail only where the output does."""

    def handle_error(self, request: "Any", client_address: "Any") -> None:
        problem = sys.exc_info()[1]
        if problem is not None and not isinstance(problem, ShutdownCommandReceived):
            raise problem
        super().handle_error(request, client_address)


class McastHEAR(mtool):
    """Listens until somebody sends ``STOP`` or the process is interrupted."""

    __proc__ = "HEAR"
    __prologue__ = "Listens for messages: with --daemon until stopped, without it for one message, as RECV does."
    __epilogue__ = "Anybody on the network can stop a listener by sending STOP, unless --no-stop is given."

    @classmethod
    def setupArgs(cls, parser: "argparse.ArgumentParser | None") -> None:
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
        *args: "Any",  # noqa: ARG002 - the shape that every tool is called in
        group: str | None = None,
        groups: "Iterable[str] | None" = None,
        port: int | None = None,
        iface: str | int | None = None,
        is_daemon: bool = True,  # noqa: ARG002 - part of the options that listeners share
        is_std: bool = False,
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
            iface: interface to join on, as name, index or address; None leaves it to the system's routes.
            is_daemon: not used.
            is_std: print each message on standard output as it comes.
            reply: answer the senders.
            stop: end where a message holds ``STOP``.
            extra: not used, but logged.

        Raises:
            OSError: the socket cannot be had, bound or joined, or a message not be printed; ``errno`` tells why.
            ValueError: a group, port or interface is none.
            TypeError: an argument is of a wrong type.
        """
        self._tell_ignored(extra)
        wanted = [groups] if isinstance(groups, str) else list(groups or ())
        if not wanted and group is None:
            wanted = list(_MCAST_DEFAULT_GROUPS)
        host = group if group is not None else wanted[0]
        with _ListeningServer(
            (host, _MCAST_DEFAULT_PORT if port is None else port),
            _PrintingHandler if is_std else HearUDPHandler,
            groups=wanted,
            iface=iface,
            reply=reply,
            stop=stop,
        ) as server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                # The documented way to end a listener that runs in a process of its own.
                server.logger.info("Interrupted: shutting down.")
        return True, None
