"""``McastServer``: a multicast server with the interface of the standard library's ``socketserver``.

It receives with ``sync.Receiver``, many datagrams at a time, on the server's own socket. ``hear`` exports it,
and has its default handler and the tool around it.
"""

from __future__ import annotations

import collections
import errno
import logging
import os
import select
import socket
import socketserver
import sys
import time
from typing import TYPE_CHECKING

from .._common.constants import _MCAST_DEFAULT_GROUP
from ..exceptions import ShutdownCommandReceived, UnsupportedError
from . import replies
from .join_options import is_group, receiver_kwargs
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..sync import Receiver

# Datagrams received at a time: enough to spread the cost of a system call, few enough to stay in the caches.
_BATCH = 256
_STOP = b"STOP"
# Seconds to wait for one of several sockets if no descriptor stands for all of them.
_BRIEFLY = 0.05


class McastServer(socketserver.UDPServer):
    """A ``socketserver.UDPServer`` that receives multicast on one socket, joined once for the server's life.

    It opens further sockets only if one cannot hold the groups: very many groups, or groups of both IP versions.

    When the socket is readable, the server takes up to 256 datagrams at once and handles them one after the
    other, each with the usual hooks. If it is shut down in between, it handles the rest first when it serves
    again.

    Args:
        server_address: ``(host, port)``, or for IPv6 ``(host, port, flowinfo, scope_id)``, as the attribute
            ``server_address`` has it. If the host is a group, the server joins it; None is the default group. If it
            is another address, the server binds to it, joins the default group, and handles everything that the
            system delivers there. The scope is the index of the interface, unless ``iface`` is given.
        RequestHandlerClass: the handler, created for each datagram, as in every ``socketserver``.
        bind_and_activate: bind and join at once, instead of when ``server_bind`` is called.
        groups: more groups to join.
        iface: name, index or address of the interface to join on, or ``"all"``. None lets the system's routes
            decide.
        source: the only senders to receive from, one address or several.
        exclude: senders not to receive from.
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
        server_address: tuple[str | None, int] | tuple[str | None, int, int, int],
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
        host, port, *scope = server_address
        self._host = host
        if iface is None and scope[1:] and scope[1]:
            iface = scope[1]
        self._groups = list(groups)
        self._iface = iface
        self._source = source
        self._exclude = exclude
        self._receiver: Receiver | None = None
        self._taken: collections.deque[tuple[tuple[bytes, socket.socket], Any]] = collections.deque()
        self._service = Service()
        self.reply = reply
        self.stop = stop
        self.answers = replies.TokenBucket(replies.RATE, replies.BURST)
        shown_host = _MCAST_DEFAULT_GROUP if host is None else host
        self.logger = logging.getLogger(f"multicast.hear.McastServer.{shown_host}")
        if ":" in shown_host:
            self.address_family = socket.AF_INET6
        address: Any = (shown_host, port, *server_address[2:])
        super().__init__(address, RequestHandlerClass, bind_and_activate)

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
        given: Any = self.server_address
        self.server_address = self.socket.getsockname()
        if len(given) == 4 and not self.socket.getsockname()[3]:
            # The system reports the scope of link-local addresses only.
            self.server_address = (*self.socket.getsockname()[:3], given[3])

    def fileno(self) -> int:
        """Return the descriptor to wait on, for a selector or an event loop.

        Once the server is bound, this is not the descriptor of ``socket``: it stands for all sockets, and also
        becomes readable when the server must rejoin its groups, which `handle_request` does.
        """
        if self._receiver is None:
            return super().fileno()
        try:
            return self._receiver.fileno()
        except UnsupportedError:
            # Windows has no descriptor that stands for several sockets.
            return super().fileno()

    def get_request(self) -> tuple[tuple[bytes, socket.socket], Any]:  # type: ignore[override]
        """Return the next datagram as ``((payload, socket), sender)``.

        Raises:
            TimeoutError: No datagram is available now.
            OSError: The system cannot receive; ``errno`` says why.
        """
        while True:
            if not self._taken:
                self._take()
            try:
                return self._taken.popleft()
            except IndexError:
                continue  # another serving thread has taken it

    def _take(self) -> None:
        """Take the datagrams that are available, at least one."""
        sock = self.socket
        batch = self._bound_receiver().recv_batch(_BATCH, 0)
        self._taken.extend([((datagram.data, sock), datagram.sender) for datagram in batch])

    def _bound_receiver(self) -> Receiver:
        """Return the receiver of a server that is bound.

        Raises:
            OSError: The server is not bound.
        """
        if self._receiver is None:
            raise OSError(errno.EINVAL, "cannot receive: the server is not bound (call server_bind)")
        return self._receiver

    def _handle_request_noblock(self) -> bool:
        """Handle one datagram if there is one, and return whether there was.

        ``socketserver`` does the same, but hides errors of receiving.
        """
        try:
            request, client_address = self.get_request()
        except TimeoutError:
            return False
        if not self.verify_request(request, client_address):
            self.shutdown_request(request)
            return True
        try:
            self.process_request(request, client_address)
        except Exception:  # noqa: BLE001 - handle_error decides about any exception of a handler
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:
            self.shutdown_request(request)
            raise
        return True

    def _handle_taken(self) -> None:
        """Handle all available datagrams without the hooks of the base class, which do nothing.

        A hook that a handler sets on the server is called from the next datagram on: any new attribute ends the round.
        """
        taken, service, finish = self._taken, self._service, self.finish_request
        attributes = vars(self)
        count = len(attributes)
        if not taken:
            try:
                self._take()
            except TimeoutError:
                return
        while not service.is_ending and len(attributes) == count:
            try:
                request, client_address = taken.popleft()
            except IndexError:
                return  # all are handled, perhaps by other serving threads
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

        Several threads may serve at the same time; each datagram is handled once.

        Raises:
            OSError: The system cannot receive; ``errno`` says why.
        """
        if self._service.process != os.getpid():
            self._service = Service()  # the other one belongs to the parent of this process
        with self._service.thread():
            self._serve(poll_interval)

    def _serve(self, poll_interval: float) -> None:
        readable, service = self._readability(), self._service
        while not service.is_ending:
            if self._taken or readable(poll_interval):
                if service.is_ending:
                    break  # shutdown was called during the wait
                # Calls of hooks that do nothing would be half the cost of a datagram.
                if self._has_own_hooks():
                    self._handle_request_noblock()
                else:
                    self._handle_taken()
            self.service_actions()
            self._round_done()

    def _round_done(self) -> None:
        """Do nothing. Servers that do some work once for many datagrams override it.

        It is called after each wait and the handling of all or some of the datagrams that arrived.
        """

    def _readability(self) -> Callable[[float | None], bool]:
        """Return a function that waits for datagrams, at most the given seconds, and returns whether to look for any.

        The selectors of the standard library cost more than the system call that they wrap.
        """
        if not hasattr(select, "poll"):
            # Windows has no descriptor that stands for several sockets, so the caller always looks at all of them.
            return self._wait_briefly
        poll = select.poll()
        # The receiver's descriptor also wakes up when it must rejoin on an interface that has come back.
        poll.register(self if self._receiver is None else self._receiver, select.POLLIN)
        service, stop = self._service, self._service.stop_descriptor
        if stop is not None:
            poll.register(stop, select.POLLIN)

        def readable(seconds: float | None) -> bool:
            ready = poll.poll(None if seconds is None else seconds * 1000)
            for descriptor, _ in ready:
                if descriptor == stop:
                    service.is_ending = True
            return bool(ready)

        return readable

    def _wait_briefly(self, seconds: float | None) -> bool:
        limit = _BRIEFLY if seconds is None else min(seconds, _BRIEFLY)
        select.select([self.socket], [], [], limit)
        return True

    def handle_request(self) -> None:
        """Handle one datagram; wait for it at most ``timeout`` seconds, and then call ``handle_timeout``.

        If the descriptor of `fileno` is readable already, the call does not wait: it handles the datagram, or only
        rejoins the groups.

        Raises:
            OSError: The system cannot receive; ``errno`` says why.
        """
        readable = self._readability()
        if (self._taken or readable(0)) and (self._handle_request_noblock() or hasattr(select, "poll")):
            return
        limits = [limit for limit in (self.socket.gettimeout(), self.timeout) if limit is not None]
        deadline = time.monotonic() + min(limits) if limits else None
        rest = None
        while deadline is None or (rest := deadline - time.monotonic()) > 0:
            if readable(rest) and self._handle_request_noblock():
                return
        self.handle_timeout()

    def shutdown(self) -> None:
        """Make `serve_forever` return, and wait until it has returned in every thread.

        If a handler calls it in a serving thread, it does not wait; the thread returns after this datagram. If a
        handler calls it in a forked process, it shuts down the server of the parent without waiting. If no thread is
        serving, the next `serve_forever` returns at once.
        """
        self._service.end()

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
