"""``McastServer``: a multicast server with the interface of the standard library's ``socketserver``.

It receives with ``sync.Receiver``, many datagrams at a time, on the server's own socket. ``hear`` exports it, and has
its default handler and the tool around it.
"""

from __future__ import annotations

import collections
import errno
import logging
import select
import socket
import socketserver
import sys
import threading
from typing import TYPE_CHECKING

from .._common.constants import _MCAST_DEFAULT_GROUP
from ..exceptions import ShutdownCommandReceived
from . import replies
from .join_options import is_group, receiver_kwargs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..sync import Receiver

# Datagrams received at a time: enough to spread the cost of a system call, few enough to stay in the caches.
_BATCH = 256
_STOP = b"STOP"


class McastServer(socketserver.UDPServer):
    """A ``socketserver.UDPServer`` that receives multicast on one socket, joined once for the server's life.

    It opens further sockets only if one cannot hold the groups: very many groups, or groups of both IP versions.

    When the socket is readable, the server takes up to 256 datagrams at once and handles them one after the other,
    each with the usual hooks. If it is shut down in between, the rest is handled first when it serves again.

    Args:
        server_address: ``(host, port)``. If the host is a group, the server joins it; None is the default group. If
            it is another address, the server binds to it, joins the default group, and handles everything that the
            system delivers there.
        RequestHandlerClass: the handler, created for each datagram, as in every ``socketserver``.
        bind_and_activate: bind and join at once, instead of when ``server_bind`` is called.
        groups: more groups to join.
        iface: name, index or address of the interface to join on, or ``"all"``. None lets the system's routes decide.
        source: the only senders wanted, one address or several.
        exclude: senders that are not wanted.
        reply: let the default handler answer senders.
        stop: shut down when a handler fails on a datagram that contains ``STOP``.

    Attributes:
        logger: the logger ``multicast.hear.McastServer.<host>``.
        answers: the rate limit for answers.

    Raises:
        OSError: The socket cannot be opened, bound or joined. The message names the group and the interface.
        ValueError: An address, port or interface is invalid.
    """

    allow_reuse_address = True
    allow_reuse_port = False
    # The largest UDP payload over IPv4, for subclasses that read ``socket`` directly.
    max_packet_size = 65507

    def __init__(
        self,
        server_address: tuple[str | None, int],
        RequestHandlerClass: Callable[[Any, Any, McastServer], socketserver.BaseRequestHandler],
        bind_and_activate: bool = True,
        *,
        groups: Iterable[str] = (),
        iface: str | int | None = None,
        source: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        reply: bool = True,
        stop: bool = True,
    ) -> None:
        host, port = server_address[:2]
        self._host = host
        self._groups = list(groups)
        self._iface = iface
        self._source = source
        self._exclude = exclude
        self._receiver: Receiver | None = None
        self._taken: collections.deque[tuple[tuple[bytes, socket.socket], Any]] = collections.deque()
        self._shutdown_requested = False
        self._idle = threading.Event()
        self._idle.set()
        self._serving_thread: int | None = None
        self.reply = reply
        self.stop = stop
        self.answers = replies.TokenBucket(replies.RATE, replies.BURST)
        shown_host = _MCAST_DEFAULT_GROUP if host is None else host
        self.logger = logging.getLogger(f"multicast.hear.McastServer.{shown_host}")
        if ":" in shown_host:
            self.address_family = socket.AF_INET6
        super().__init__((shown_host, port), RequestHandlerClass, bind_and_activate)

    def server_bind(self) -> None:
        """Bind the socket, join the groups, and set ``server_address`` to the bound address."""
        from ..sync import Receiver  # noqa: PLC0415 - imports the compiled core, which the package's import does not need

        if self.allow_reuse_port and hasattr(socket, "SO_REUSEPORT"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._receiver = Receiver.adopt(
            self.socket,
            port=self.server_address[1],
            share=self.allow_reuse_address,
            recv_buffer="auto",
            timestamps=False,
            receive_ttl=False,
            **receiver_kwargs(self._groups, _numeric(self._host), self._iface, self._source, self._exclude),
        )
        self.server_address = self.socket.getsockname()

    def fileno(self) -> int:
        """Return the descriptor to wait on: that of the socket, or one for all sockets if there are several."""
        if self._receiver is not None and self._receiver.stats().sockets > 1:
            return self._receiver.fileno()
        return super().fileno()

    def get_request(self) -> tuple[tuple[bytes, socket.socket], Any]:  # type: ignore[override]
        """Return the next datagram as ``((payload, socket), sender)``.

        Raises:
            TimeoutError: No datagram is available now.
            OSError: The system cannot receive; ``errno`` says why.
        """
        if not self._taken:
            self._take()
        return self._taken.popleft()

    def _take(self) -> None:
        """Take the datagrams that are available, at least one."""
        if self._receiver is None:
            raise OSError(errno.EINVAL, "cannot receive: the server is not bound (call server_bind)")
        sock = self.socket
        batch = self._receiver.recv_batch(_BATCH, 0)
        self._taken.extend([((datagram.data, sock), datagram.sender) for datagram in batch])

    def _handle_request_noblock(self) -> None:
        """Handle one datagram if there is one, like ``socketserver``, which however hides errors of receiving."""
        try:
            request, client_address = self.get_request()
        except TimeoutError:
            return
        if not self.verify_request(request, client_address):
            self.shutdown_request(request)
            return
        try:
            self.process_request(request, client_address)
        except Exception:  # noqa: BLE001 - handle_error decides about any exception of a handler
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:
            self.shutdown_request(request)
            raise

    def _handle_taken(self) -> None:
        """Handle all available datagrams without the hooks of the base class, which do nothing."""
        taken, finish = self._taken, self.finish_request
        if not taken:
            try:
                self._take()
            except TimeoutError:
                return
        while taken and not self._shutdown_requested:
            request, client_address = taken.popleft()
            try:
                finish(request, client_address)
            except Exception:  # noqa: BLE001 - handle_error decides about any exception of a handler
                self.handle_error(request, client_address)

    def _has_own_hooks(self) -> bool:
        """Return whether a subclass, a mix-in or a patch replaces a hook between receiving and ``finish_request``."""
        return any(
            getattr(getattr(self, name), "__func__", None) is not plain for name, plain in _PLAIN_HOOKS
        )

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle datagrams until `shutdown` is called, which is checked every ``poll_interval`` seconds.

        Raises:
            OSError: The system cannot receive; ``errno`` says why.
        """
        self._idle.clear()
        self._serving_thread = threading.get_ident()
        try:
            if not self._shutdown_requested:
                self._serve(poll_interval)
        finally:
            self._shutdown_requested = False
            self._serving_thread = None
            self._idle.set()

    def _serve(self, poll_interval: float) -> None:
        # Calls of hooks that do nothing would be half the cost of a datagram.
        handle = self._handle_request_noblock if self._has_own_hooks() else self._handle_taken
        readable = self._readability()
        taken, act = self._taken, self.service_actions
        while not self._shutdown_requested:
            if taken:
                handle()
            elif readable(poll_interval):
                if self._shutdown_requested:
                    break  # shutdown was called during the wait
                handle()
            act()

    def _readability(self) -> Callable[[float | None], object]:
        """Return a function that waits for datagrams, at most the given seconds, and returns whether to look for any.

        The selectors of the standard library cost more than the system call that they wrap.
        """
        if not hasattr(select, "poll"):
            # Windows has no descriptor that stands for several sockets, so the caller always looks at all of them.
            return lambda seconds: select.select([self.socket], [], [], seconds) and True
        poll = select.poll()
        # The receiver's descriptor also wakes up when it must rejoin on an interface that has come back.
        poll.register(self if self._receiver is None else self._receiver, select.POLLIN)
        return lambda seconds: poll.poll(None if seconds is None else seconds * 1000)

    def handle_request(self) -> None:
        """Handle one datagram; wait for it at most ``timeout`` seconds.

        Raises:
            OSError: The system cannot receive; ``errno`` says why.
        """
        if self._taken:
            self._handle_request_noblock()
        else:
            super().handle_request()

    def shutdown(self) -> None:
        """Make `serve_forever` return, and wait until it has returned.

        If a handler calls it in the serving thread, it does not wait; the thread returns after this datagram. If
        nothing is serving, the next `serve_forever` returns at once.
        """
        self._shutdown_requested = True
        if self._serving_thread != threading.get_ident():
            self._idle.wait()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Shut down if ``request`` contains ``STOP`` and ``stop`` is on; otherwise do what ``UDPServer`` does.

        Args:
            request: ``(payload, socket)``; the payload may be bytes or text.
            client_address: the sender.
        """
        payload = request[0] if request else None
        if isinstance(payload, str):
            payload = payload.encode("utf-8", "surrogatepass")
        if not (self.stop and isinstance(payload, (bytes, bytearray)) and _STOP in payload):
            super().handle_error(request, client_address)
            return
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ShutdownCommandReceived):
            self.logger.error("A handler failed on a datagram that contains STOP.", exc_info=error)
        self.logger.warning("STOP from %s: shutting down.", replies.format_address(client_address))
        self.shutdown()

    def server_close(self) -> None:
        """Close the socket and leave the groups. Do nothing if that was done already."""
        super().server_close()
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None
        self._taken.clear()


_PLAIN_HOOKS = (
    ("get_request", McastServer.get_request),
    ("verify_request", socketserver.BaseServer.verify_request),
    ("process_request", socketserver.BaseServer.process_request),
    ("shutdown_request", socketserver.UDPServer.shutdown_request),
    ("close_request", socketserver.UDPServer.close_request),
    ("service_actions", socketserver.BaseServer.service_actions),
)


def _numeric(host: str | None) -> str | None:
    """Return ``host`` as an address. A name is resolved, as ``bind`` would do; an empty host is the wildcard."""
    if host is None or ":" in host or is_group(host):
        return host
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise OSError(error.errno, f"cannot bind to {host!r}: {error.strerror}") from error
