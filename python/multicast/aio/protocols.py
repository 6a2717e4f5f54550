"""Protocols of asyncio on the sockets of this package."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, TypeVar

from .. import _core, sync
from .transport import DatagramTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, SupportsIndex, TypedDict

    from typing_extensions import Unpack

    from .. import _arguments
    from ..endpoints import Address

    class ReceiverOptions(TypedDict, total=False):
        """The options of `multicast.Receiver`, without those for metadata that a protocol does not get."""

        interface: _arguments.Interfaces
        source: _arguments.Sources
        exclude: _arguments.Sources
        bind: str | Address | None
        share: bool
        strict: bool
        loopback: bool
        recv_buffer: SupportsIndex | Literal["auto"] | None
        gro: bool
        rejoin: float | None
        ring: SupportsIndex | None
        ring_policy: _arguments.RingPolicy
        engine: _arguments.Engine
        packet_delay: float


Protocol = TypeVar("Protocol", bound=asyncio.BaseProtocol)


async def create_datagram_endpoint(
    protocol_factory: Callable[[], Protocol],
    endpoint: _arguments.Group | None = None,
    *,
    sock: socket.socket | None = None,
    **options: Unpack[ReceiverOptions],
) -> tuple[asyncio.DatagramTransport, Protocol]:
    """Run an ``asyncio.DatagramProtocol`` on a group, or on a socket that you opened.

    ::

        transport, protocol = await multicast.aio.create_datagram_endpoint(
            Protocol, "239.1.2.3:5000", interface="eth0"
        )
        transport.sendto(b"hello", ("239.1.2.3", 5000))
        transport.close()

    The transport calls the protocol as the transport of
    ``loop.create_datagram_endpoint`` does, but reads many datagrams with
    each system call. While datagrams keep arriving, other tasks run at
    least every 2 ms.

    Args:
        protocol_factory: Called without arguments; returns the protocol.
        endpoint: The group and the port to receive from, or several groups,
            as for `multicast.Receiver`. If all groups are joined on one
            interface, datagrams to a group are sent from it.
        sock: Instead of an endpoint, an IPv4 or IPv6 datagram socket:
            bound, connected or neither. Its options stay as they are, and
            nothing is filtered. The transport takes ownership of it.
        **options: These options of `multicast.Receiver`, for ``endpoint``
            only: ``interface``, ``source``, ``exclude``, ``bind``,
            ``share``, ``strict``, ``loopback``, ``recv_buffer``, ``gro``,
            ``rejoin``, ``ring``, ``ring_policy``, ``engine`` and
            ``packet_delay``.

    Returns:
        The transport and the protocol, after ``connection_made`` was
        called.

    Raises:
        ValueError: Not exactly one of ``endpoint`` and ``sock`` is given,
            or an argument is out of range.
        TypeError: An argument has the wrong type.
        OSError: The system refused; ``errno`` says why.
    """
    loop = asyncio.get_running_loop()
    if (endpoint is None) == (sock is None):
        raise ValueError("either endpoint or sock must be given")
    if sock is not None:
        _check_socket(sock, options)
        sock.setblocking(False)
        protocol, opened = protocol_factory(), loop.create_future()
        transport = DatagramTransport(loop, sock, protocol, sock, opened)
        return await _connected(transport, opened), protocol
    for unused in ("timestamps", "receive_ttl"):
        if unused in options:
            raise TypeError(f"a protocol gets no {unused}: its methods have no place for it")
    with contextlib.ExitStack() as stack:
        rx = stack.enter_context(
            sync.Receiver(endpoint, timestamps=False, receive_ttl=False, **options)  # type: ignore[arg-type]
        )
        protocol, opened = protocol_factory(), loop.create_future()
        sending = stack.enter_context(socket.socket(fileno=_core._sending_socket(rx)))
        sending.setblocking(False)
        transport = DatagramTransport(loop, sending, protocol, rx, opened)
        # From now on, the transport closes them.
        stack.pop_all()
    return await _connected(transport, opened), protocol


def _check_socket(sock: object, options: ReceiverOptions) -> None:
    if not isinstance(sock, socket.socket):
        raise TypeError(f"sock must be a socket, got {type(sock).__name__}")
    if sock.type != socket.SOCK_DGRAM or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        raise ValueError(f"sock must be an IPv4 or IPv6 datagram socket, got {sock!r}")
    if options:
        raise ValueError(f"{next(iter(options))} must not be given with sock: set up the socket yourself")


async def _connected(transport: DatagramTransport, opened: asyncio.Future[None]) -> DatagramTransport:
    try:
        await opened
    except BaseException:
        transport.close()
        raise
    return transport
