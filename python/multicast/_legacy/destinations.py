"""The groups that SAY sends to, on as few sockets as possible."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from typing import TYPE_CHECKING

from .. import endpoints
from ..sync import Sender

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """The result of one SAY."""

    groups: tuple[str, ...]
    """The addresses of the groups sent to."""
    port: int
    """The UDP port sent to."""
    interfaces: tuple[str | int | None, ...]
    """The interfaces given for them, each once; None if the system's routes decided."""
    ttl: int
    """Hops."""
    datagrams: int
    """Datagrams sent to each group."""
    bytes: int
    """Payload bytes sent to each group; of messages that differ, those of the longest."""


class Destinations:
    """Send datagrams to any number of groups, on one socket for each IP version and interface.

    A context manager that closes the sockets.

    Args:
        texts: the groups, or ranges of groups; each group counts once.
        port: UDP port, 1-65535.
        interface: name, index or address of the interface to send from. None lets the system's routes decide.
        ttl: hops, 0-255; 0 is an error unless the system keeps such datagrams on this machine.
        loopback: deliver to listeners on this machine.

    Attributes:
        groups: the groups, in the order given.
        port: as given.

    Raises:
        OSError: A socket cannot be opened; ``errno`` says why.
        ValueError: A group, port, TTL or interface is invalid.
        TypeError: An argument is of the wrong type.
    """

    def __init__(
        self,
        texts: Iterable[str],
        port: int,
        *,
        interface: str | int | None,
        ttl: int,
        loopback: bool,
    ) -> None:
        self.port = port
        self._interface, self._ttl, self._loopback = interface, ttl, loopback
        self._sockets: dict[tuple[bool, str | None], tuple[socket.socket, tuple[int, ...]]] = {}
        self._opened = contextlib.ExitStack()
        ranges = [endpoints.expand(endpoints.Endpoint.parse(text)) for text in texts]
        self.groups = list(dict.fromkeys(group for one in ranges for group in one))
        with contextlib.ExitStack() as opened:
            opened.push(self)
            # Open before sending anything, so that an invalid group among valid ones leaves nothing half done. If a
            # group of a range is invalid, so is the first or the last one.
            for one in ranges:
                self._check(one[0])
                self._check(one[-1])
            opened.pop_all()

    def send(self, group: endpoints.Endpoint, payload: bytes) -> None:
        """Send one datagram to ``group``, one of `groups`.

        Raises:
            OSError: The system cannot send; ``errno`` says why.
            ValueError: The payload is too long for a datagram.
        """
        sock, scope = self._sockets[_key(group)]
        try:
            sock.sendto(payload, (group.group, self.port, *scope))
        except OSError:
            # A sender of its own explains the failure, or succeeds if the socket's buffer was full.
            pass
        else:
            return
        with self._sender(group) as sender:
            sender.send(payload)

    def _check(self, group: endpoints.Endpoint) -> None:
        """Check that ``group`` can be sent to, and keep the first socket of its kind."""
        key = _key(group)
        with self._sender(group) as sender:
            if key in self._sockets:
                return
            family = socket.AF_INET6 if key[0] else socket.AF_INET
            # A duplicate, with the options that the sender has set.
            sock = self._opened.enter_context(socket.fromfd(sender.fileno(), family, socket.SOCK_DGRAM))
            sock.settimeout(None)
            scope: tuple[int, ...] = ()
            if key[0]:
                # The flow label, and the index of the interface.
                scope = (0, sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF))
            self._sockets[key] = sock, scope

    def _sender(self, group: endpoints.Endpoint) -> Sender:
        return Sender(
            str(group), self.port, interface=self._interface, ttl=self._ttl, loopback=self._loopback
        )

    def close(self) -> None:
        """Close the sockets."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _key(group: endpoints.Endpoint) -> tuple[bool, str | None]:
    """Return what groups on one socket have in common: the IP version, and the interface of the endpoint."""
    return ":" in group.group, group.interface
