"""``Sender``: opening and closing. Every other call goes to the compiled core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _arguments, _core
from ._closing import Closing
from .types import SenderStats

if TYPE_CHECKING:
    from typing import Literal, SupportsIndex

    from .endpoints import Address


class Sender(Closing, _core.Sender):
    """Send datagrams to one group.

    ::

        with multicast.Sender("239.1.2.3:5000", interface="eth0", ttl=1) as tx:
            tx.send(b"one datagram")
            tx.send_many([b"several", b"at once"])
            print(tx.stats().sent)
        assert tx.closed

    The sender opens its socket once, when it is created. You can use it
    from any thread at any time. A ``with`` statement closes it. If its
    interface is deleted and created again under the same name, it uses the
    new one.

    `query` sends a datagram and collects the answers. `recv`, `recv_batch`
    and iteration return answers too. An answer is a unicast datagram to the
    sender's own address and port. Datagrams sent to a group are never
    returned.

    Args:
        group: A group (``"239.1.2.3"``) or an endpoint
            (``"239.1.2.3:5000%eth0"``, ``"[ff02::114%eth0]:5000"``, an
            `Endpoint`, a (group, port) tuple, an ``ipaddress`` object).
        port: UDP port, from 1 to 65535, unless the endpoint contains it.
        interface: Name, index or address of the interface to send from, or
            an `Interface`, unless the endpoint contains it. None leaves the
            choice to the system's routes.
        local: ``(address, port)`` to send from, with a port from 0 to
            65535. The address must be one of this machine's, and selects
            the interface unless ``interface`` is given. ``""`` leaves the
            address to the system, and port 0 takes a free port. Other
            programs may use the same port. None leaves both to the system.
        ttl: Time to live, from 0 to 255: ``ttl=n`` allows up to n - 1
            router hops. 1, the default of RFC 1112 section 6.1, stays on
            the local network. 0 stays on this machine. Linux guarantees
            this only on the loopback interface, so 0 is an error with any
            other interface.
        dscp: Traffic class (DSCP, RFC 2474), from 0 to 63, such as 46 for
            expedited forwarding. None keeps the system's default. Windows
            has no such option.
        loopback: Whether this machine receives what it sends. Windows
            decides this at the receiver.
        send_buffer: Send buffer to request, in bytes, from 1 to
            2,147,483,647. None keeps the system's default.
        recv_buffer: Receive buffer to request for answers, in bytes, as for
            `Receiver`. The first call that receives requests it.
        gso: Whether to hand datagrams of equal size to the kernel together
            (``UDP_SEGMENT``, Linux).
        rate: Datagrams per second to send, above 0, evenly spaced. None
            sends as fast as the kernel accepts them.
        bit_rate: Bits of payload per second to send, above 0, instead of
            ``rate``.

    Raises:
        ValueError: An argument is out of range or is not a group. Nothing
            was opened.
        TypeError: An argument has the wrong type. Nothing was opened.
        UnsupportedError: The system does not support ``dscp``, or cannot
            keep ``ttl=0`` on this machine.
        OSError: The system refused; ``errno`` says why, and the message
            names the group and the interface.
    """

    @_arguments.suggest_keywords
    def __init__(
        self,
        group: _arguments.OneGroup,
        port: SupportsIndex | None = None,
        *,
        interface: _arguments.OneInterface = None,
        local: tuple[str | Address | None, SupportsIndex] | None = None,
        ttl: SupportsIndex = 1,
        dscp: SupportsIndex | None = None,
        loopback: bool = True,
        send_buffer: SupportsIndex | None = None,
        recv_buffer: SupportsIndex | Literal["auto"] | None = "auto",
        gso: bool = True,
        rate: float | None = None,
        bit_rate: float | None = None,
    ) -> None:
        endpoint, on = _arguments.destination(group, port, interface)
        if endpoint.port is None:
            raise _arguments.missing_port(group)
        own, on = _arguments.local_address(local, on)
        self._open(
            endpoint.group,
            endpoint.port,
            interface=on,
            local=own,
            ttl=_arguments.whole_number("ttl", ttl, 0, 255),
            dscp=None if dscp is None else _arguments.whole_number("dscp", dscp, 0, 63),
            loopback=_arguments.flag("loopback", loopback),
            send_buffer=_arguments.buffer("send_buffer", send_buffer),
            recv_buffer=_arguments.recv_buffer(recv_buffer),
            gso=_arguments.flag("gso", gso),
            rate=_arguments.seconds("rate", rate),
            bit_rate=_arguments.seconds("bit_rate", bit_rate),
        )

    @property
    def ttl(self) -> int:
        """Time to live: ``ttl=n`` allows up to n - 1 router hops.

        A change applies to the datagrams that follow.
        """
        return super().ttl

    @ttl.setter
    def ttl(self, ttl: SupportsIndex) -> None:
        self._set_ttl(_arguments.whole_number("ttl", ttl, 0, 255))

    @property
    def dscp(self) -> int:
        """Traffic class (DSCP), from 0 to 63.

        A change applies to the datagrams that follow.
        """
        return super().dscp

    @dscp.setter
    def dscp(self, dscp: SupportsIndex) -> None:
        self._set_dscp(_arguments.whole_number("dscp", dscp, 0, 63))

    @property
    def loopback(self) -> bool:
        """Whether this machine receives what it sends.

        A change applies to the datagrams that follow.
        """
        return super().loopback

    @loopback.setter
    def loopback(self, loopback: bool) -> None:
        self._set_loopback(_arguments.flag("loopback", loopback))

    def stats(self) -> SenderStats:
        """Return the counters. They keep their last values after closing."""
        return SenderStats(**self._counters())
