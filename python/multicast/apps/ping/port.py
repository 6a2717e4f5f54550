"""The socket of a ping: it sends, and receives both the group's datagrams and those sent to this host alone."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from typing import TYPE_CHECKING

from ...sync import Receiver, interfaces
from ..groups import one_group

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..._core import Datagram
    from ...endpoints import Endpoint

TTL = 64
"""The TTL of everything that is sent: a receiver computes the number of hops from it."""

_FORBIDDEN = (errno.EPERM, errno.EACCES)


class Port(contextlib.ExitStack):
    """A UDP socket that has joined the group of an endpoint. A context manager, which closes it.

    Attributes:
        version: the IP version, 4 or 6.
        number: the UDP port.
        interface: the name of the interface on which the group is joined; None if the system does not say.

    Args:
        endpoint: the group, and optionally the interface and the sources.
        number: the UDP port to receive on; 0 takes a free one.

    Raises:
        OSError: The group cannot be joined, or the port cannot be bound.
    """

    def __init__(self, endpoint: Endpoint, number: int) -> None:
        super().__init__()
        is_ipv6 = ":" in endpoint.group
        family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        self.version = 6 if is_ipv6 else 4
        with contextlib.ExitStack() as opening:
            self._sock = opening.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if is_ipv6:
                self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._receiver = opening.enter_context(
                Receiver.adopt(
                    self._sock,
                    endpoint.group,
                    number,
                    interface=endpoint.interface,
                    source=endpoint.sources,
                    bind="::" if is_ipv6 else "0.0.0.0",
                    strict=False,
                    recv_buffer="auto",
                )
            )
            self._index: int | None = None
            self._follow_interface()
            self.push(opening.pop_all())
        self.number = self._receiver.port
        self.interface = self._receiver.groups[0].interface

    def _follow_interface(self) -> None:
        """Send by the interface that the group is joined on, with a known TTL."""
        joined = self._receiver.groups
        index = joined[0].interface_index or 0 if joined else self._index
        if index is None or index == self._index:
            return
        if self.version == 6:
            self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, TTL)
            self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
        else:
            self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _interface_option(index))
            self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TTL)
            self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
        self._index = index

    def send(self, data: bytes, host: str, number: int) -> None:
        """Send a datagram to a host or a group.

        Raises:
            OSError: The system refused.
        """
        try:
            # An interface that was deleted and made again has another index.
            self._follow_interface()
            self._sock.sendto(data, (host, number))
        except OSError as error:
            raise OSError(error.errno, f"cannot send to {host}: {error.strerror}") from error

    def advice(self, code: int | None) -> str:
        """Return what to do if nothing can be sent, because of this error code."""
        here = next((one for one in interfaces() if one.name == self.interface), None)
        if here is not None and not here.is_up:
            return f"{here.name} is down: bring it up, or name another interface"
        if code in _FORBIDDEN:
            return "a firewall rule prevents it"
        return "see the addresses of the interfaces with 'multicast interfaces', and the routes"

    def receive(self, timeout: float) -> Datagram | None:
        """Return the next datagram; None if there is none within ``timeout`` seconds."""
        try:
            return self._receiver.recv(timeout=timeout)
        except TimeoutError:
            return None


class Member:
    """A group, and a port that has joined it: both ends of a ping have them. A context manager, which closes the port.

    Args:
        endpoint: the group, and optionally the interface and the sources.
        number: the UDP port to receive on; 0 takes a free one.

    Raises:
        ValueError: The endpoint has several groups.
        OSError: The group cannot be joined.
    """

    def __init__(self, endpoint: Endpoint, number: int) -> None:
        self._group = one_group(endpoint)
        self._port = Port(endpoint, number)

    @property
    def port(self) -> int:
        """The UDP port that it sends from and receives on."""
        return self._port.number

    @property
    def interface(self) -> str | None:
        """The name of the interface on which the group is joined; None if the system does not say."""
        return self._port.interface

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._port.close()


def _interface_option(index: int) -> bytes:
    """Return the value of IP_MULTICAST_IF: an index in network order on Windows, a struct ip_mreqn elsewhere."""
    if sys.platform == "win32":
        return index.to_bytes(4, "big")
    return bytes(8) + index.to_bytes(4, sys.byteorder)
