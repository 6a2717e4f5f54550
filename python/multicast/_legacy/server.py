"""``McastServer``: a server of the standard library's ``socketserver`` whose datagrams are multicast.

They come from ``sync.Receiver``, many at a time, on the server's own socket. Its default handler and the documented
tool around it are in ``hear``, which is where users know all of them from.
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

from .._common.constants import _MCAST_DEFAULT_GROUP
from ..exceptions import ShutdownCommandReceived
from . import replies
from .join_options import is_group, receiver_kwargs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..sync import Receiver

# Datagrams taken at a time: enough to spread the cost of a system call thin, few enough to stay in the caches.
_BATCH = 256
_STOP = b"STOP"


class McastServer(socketserver.UDPServer):
    """A ``socketserver.UDPServer`` that receives multicast: one socket, joined once, for the server's life.

    More sockets are opened only where one cannot hold the groups: where they are very many, or of both IP versions.

    Whenever the socket has something, up to 256 datagrams are taken in one go and then handled one after the other,
    each by the usual hooks. Those taken and not handled when the server is told to shut down are handled first when
    it is started again.

    Args:
        server_address: ``(host, port)``. A host that is a group is joined; None is the default group; any other
            address is bound to, the default group joined, and everything handled that the system delivers there.
        RequestHandlerClass: as for every ``socketserver``: made for each datagram.
        bind_and_activate: bind and join at once, rather than when ``server_bind`` is called.
        groups: more groups to join.
        iface: interface to join on, as name, index or address, or ``"all"``; None leaves it to the system's routes.
        source: the only senders wanted, one address or several.
        exclude: senders that are not wanted.
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
        self._shutdown_asked = False
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
        """Bind the socket, join the groups, and set ``server_address`` to what it is bound to."""
        from ..sync import Receiver  # noqa: PLC0415 - loads the compiled core, which importing the package does not

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
        """Return the descriptor to wait on: the socket's, or one that stands for all where there are several."""
        if self._receiver is not None and self._receiver.stats().sockets > 1:
            return self._receiver.fileno()
        return super().fileno()

    def get_request(self) -> tuple[tuple[bytes, socket.socket], Any]:  # type: ignore[override]
        """Return the next datagram as ``((payload, socket), sender)``.

        Raises:
            TimeoutError: there is none now.
            OSError: receiving failed; ``errno`` tells why.
        """
        if not self._taken:
            self._take()
        return self._taken.popleft()

    def _take(self) -> None:
        """Take what has come, one datagram at least."""
        if self._receiver is None:
            raise OSError(errno.EINVAL, "cannot receive: the server is not bound (call server_bind)")
        sock = self.socket
        batch = self._receiver.recv_batch(_BATCH, 0)
        self._taken.extend([((datagram.data, sock), datagram.sender) for datagram in batch])

    def _handle_request_noblock(self) -> None:
        """Handle one datagram if there is one: what ``socketserver`` does here, but for errors, which it drops."""
        try:
            request, client_address = self.get_request()
        except TimeoutError:
            return
        if not self.verify_request(request, client_address):
            self.shutdown_request(request)
            return
        try:
            self.process_request(request, client_address)
        except Exception:  # noqa: BLE001 - whatever a handler raises is for handle_error
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:
            self.shutdown_request(request)
            raise

    def _handle_taken(self) -> None:
        """Handle all that has come by then, where the hooks in between are the base's own, which do nothing."""
        taken, finish = self._taken, self.finish_request
        if not taken:
            try:
                self._take()
            except TimeoutError:
                return
        while taken and not self._shutdown_asked:
            request, client_address = taken.popleft()
            try:
                finish(request, client_address)
            except Exception:  # noqa: BLE001 - whatever a handler raises is for handle_error
                self.handle_error(request, client_address)

    def _has_own_hooks(self) -> bool:
        """Tell whether a subclass, a mix-in or a patch does something between receiving and ``finish_request``."""
        return any(
            getattr(getattr(self, name), "__func__", None) is not plain for name, plain in _PLAIN_HOOKS
        )

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
        # Half of the cost of a datagram would be calls of hooks that do nothing.
        handle = self._handle_request_noblock if self._has_own_hooks() else self._handle_taken
        readable = self._readability()
        taken, act = self._taken, self.service_actions
        while not self._shutdown_asked:
            if taken:
                handle()
            elif readable(poll_interval):
                if self._shutdown_asked:
                    break  # it came while we waited, and nothing is handled after it
                handle()
            act()

    def _readability(self) -> Callable[[float | None], object]:
        """Return a function that waits up to so many seconds (None: for ever), and tells whether to look at what came.

        Ready-made selectors cost more than the system call that they wrap.
        """
        if not hasattr(select, "poll"):
            # Windows has no descriptor that stands for several sockets: the look afterwards is at all of them.
            return lambda seconds: select.select([self.socket], [], [], seconds) and True
        poll = select.poll()
        # The receiver also wakes up to join again on an interface that has come back.
        poll.register(self if self._receiver is None else self._receiver, select.POLLIN)
        return lambda seconds: poll.poll(None if seconds is None else seconds * 1000)

    def handle_request(self) -> None:
        """Handle one datagram, waiting for it as long as ``timeout`` says.

        Raises:
            OSError: receiving failed; ``errno`` tells why.
        """
        if self._taken:
            self._handle_request_noblock()
        else:
            super().handle_request()

    def shutdown(self) -> None:
        """Make `serve_forever` return, and wait until it has.

        Called by a handler, in the thread that serves, it does not wait: that thread returns after this datagram.
        Called while nothing serves, it makes the next `serve_forever` return at once.
        """
        self._shutdown_asked = True
        if self._serving_thread != threading.get_ident():
            self._idle.wait()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Shut down where ``request`` holds ``STOP`` (and ``stop`` is on); else do as every ``socketserver``."""
        payload = request[0] if request else None
        if not (self.stop and isinstance(payload, bytes) and _STOP in payload):
            super().handle_error(request, client_address)
            return
        problem = sys.exc_info()[1]
        if problem is not None and not isinstance(problem, ShutdownCommandReceived):
            self.logger.error("A handler failed on a datagram that holds STOP.", exc_info=problem)
        self.logger.warning("STOP from %s: shutting down.", replies.format_address(client_address))
        self.shutdown()

    def server_close(self) -> None:
        """Close the socket and leave the groups. Closing again does nothing."""
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
    """Return ``host`` as an address: names are looked up, as binding to one would; empty is the wildcard."""
    if host is None or ":" in host or is_group(host):
        return host
    try:
        return socket.gethostbyname(host)
    except OSError as problem:
        raise OSError(problem.errno, f"cannot bind to {host!r}: {problem.strerror}") from problem
