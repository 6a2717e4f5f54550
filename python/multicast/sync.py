"""``Receiver`` and ``Sender``: opening, joining and closing.

Policy lives here: what an argument means, how large a buffer to request, what to log. Every call after opening goes to
the compiled core, without a Python frame in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _arguments, _core, _small_buffer, endpoints, handlers
from ._closing import Closing
from .types import Membership, ReceiverStats, SenderStats

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Literal, SupportsIndex

    from typing_extensions import Self

    from .endpoints import Address
    from .types import Interface


class Receiver(Closing, _core.Receiver):
    """Receive the datagrams of one or more groups on one port.

    ::

        with multicast.Receiver("239.1.2.3:5000", interface="eth0") as rx:
            msg = rx.recv(timeout=1.0)
            print(msg.sender, msg.data)
            for batch in rx.batches():
                handle(batch.payloads())

    The receiver opens its sockets and joins its groups once, when it is created. You can use it from any thread at any
    time. Iterate over it to get `Datagram` objects until it is closed. A ``with`` statement closes it.

    Args:
        group: A group (``"239.1.2.3"``), an endpoint (``"239.1.2.3:5000%eth0"``, ``"10.0.0.1@232.1.2.3:5000"``,
            ``"[ff02::114%eth0]:5000"``, an `Endpoint`, a (group, port) tuple), several groups at once
            (``"239.1.2.3+10"`` for ten groups starting there, ``"239.1.2.0/24"``), or an iterable of these. Addresses
            may be ``ipaddress`` objects, here and below.
        port: UDP port, from 0 to 65535, unless the endpoint has it. 0 takes a free port; read it from ``port``.
        interface: Name, index or address of the interface to join on, or an `Interface`, unless the endpoint has it. A
            list of them or ``"all"`` joins on each that is usable now or later. None leaves the choice to the routes
            of the system.
        source: The senders to receive from, one or more (source-specific multicast, RFC 4607). By default, any sender.
        exclude: Senders not to receive from.
        bind: Address to bind to, instead of the group (for one group) or the wildcard address (for several).
        share: Whether other sockets on this machine may use the same port.
        strict: Whether to deliver only datagrams whose group, interface and source match a membership.
        loopback: Whether to receive what this machine sends, on Windows. Other systems decide it at the sender.
        recv_buffer: Receive buffer to request, in bytes, from 1 to 2,147,483,647. ``"auto"`` requests 8 MiB and logs
            once if the system grants less. None keeps the system's default.
        timestamps: Whether to ask the kernel for the time of each datagram.
        receive_ttl: Whether to ask the kernel for the remaining hops of each datagram.
        gro: Whether the kernel may deliver several datagrams in one buffer (``UDP_GRO``, Linux).
        rejoin: Seconds between periodic rejoins of all groups, at least 0.01. Use this for switches that forget
            listeners because no router queries them (IGMP snooping without a querier). None disables it.
        ring: Capacity, in datagrams, of a background receive buffer, from 1 to 16,777,216. A thread moves datagrams
            from the kernel into it, so that they are not dropped while your program is busy. Payloads may take
            2,048 bytes for each datagram of the capacity, and at least 1 MiB. None disables it.
        ring_policy: The reaction to a full ring: ``"drop-oldest"``, ``"drop-newest"``, or ``"block"``, which lets
            the kernel's buffer fill.
        engine: How datagrams get here: ``"socket"`` by UDP sockets; ``"packet"`` by a ring of packets in memory that
            is shared with the kernel, which costs a fraction of the CPU time at high rates (Linux, with
            ``CAP_NET_RAW``); ``"auto"`` by packets if they are permitted and the other arguments allow them, and the
            log has the choice. Packets need ``strict`` and no ``bind``, and arrive before the firewall.
        packet_delay: Seconds, from 0.001 to 1, rounded up to milliseconds, for which a packet engine may hold a
            datagram back so that many are handed over at once. The receive buffer lasts longer with a longer delay.
        fanout: A number from 0 to 32,767 that receivers in several processes have in common, to share the datagrams:
            each one gets to one of them. ``(number, "flow")``, the default, keeps those of one sender and port
            together; ``(number, "round-robin")`` takes turns. Needs ``engine="packet"``, and the same groups and port.
        spin: Seconds, from 0 to 10, to look for datagrams again and again after the last one, before sleeping. This
            lowers the latency and occupies a processor. It has no effect on waiting in asyncio.

    Raises:
        ValueError: An argument is out of range or is not a group. Nothing was opened.
        TypeError: An argument has the wrong type. Nothing was opened.
        OSError: The system refused; ``errno`` says why, and the message names the group and the interface.
    """

    _known_groups: tuple[object, tuple[Membership, ...]] | None = None
    """The tuple of the core for the last `groups`, and the memberships that were made of it."""

    @_arguments.suggest_keywords
    def __init__(
        self,
        group: _arguments.Group,
        port: SupportsIndex | None = None,
        *,
        interface: _arguments.Interfaces = None,
        source: _arguments.Sources = (),
        exclude: _arguments.Sources = (),
        bind: str | Address | None = None,
        share: bool = True,
        strict: bool = True,
        loopback: bool = True,
        recv_buffer: SupportsIndex | Literal["auto"] | None = "auto",
        timestamps: bool = True,
        receive_ttl: bool = True,
        gro: bool = True,
        rejoin: float | None = None,
        ring: SupportsIndex | None = None,
        ring_policy: _arguments.RingPolicy = "drop-oldest",
        engine: _arguments.Engine = "socket",
        packet_delay: float = 0.004,
        fanout: _arguments.Fanout | None = None,
        spin: float = 0.0,
    ) -> None:
        groups, number = _arguments.core_groups(group, port, interface, source, exclude)
        if number is None:
            raise _arguments.missing_port(group)
        self._open(
            groups,
            number,
            bind=_arguments.bind_address(bind),
            share=_arguments.flag("share", share),
            strict=_arguments.flag("strict", strict),
            loopback=_arguments.flag("loopback", loopback),
            recv_buffer=_arguments.recv_buffer(recv_buffer),
            timestamps=_arguments.flag("timestamps", timestamps),
            receive_ttl=_arguments.flag("receive_ttl", receive_ttl),
            gro=_arguments.flag("gro", gro),
            rejoin=_arguments.seconds("rejoin", rejoin),
            ring=_arguments.ring_capacity(ring),
            ring_policy=_arguments.ring_policy(ring_policy),
            engine=_arguments.engine(engine),
            packet_delay=_arguments.number("packet_delay", packet_delay),
            fanout=_arguments.fanout(fanout),
            spin=_arguments.number("spin", spin),
        )
        if recv_buffer == "auto":
            _small_buffer.log(self)

    @classmethod
    @_arguments.suggest_keywords
    def adopt(
        cls,
        sock: socket.socket | int,
        group: _arguments.Group = (),
        port: SupportsIndex | None = None,
        *,
        interface: _arguments.Interfaces = None,
        source: _arguments.Sources = (),
        exclude: _arguments.Sources = (),
        bind: str | Address | None = None,
        share: bool = True,
        strict: bool = True,
        loopback: bool | None = None,
        recv_buffer: SupportsIndex | Literal["auto"] | None = None,
        timestamps: bool = True,
        receive_ttl: bool = True,
        rejoin: float | None = None,
        ring: SupportsIndex | None = None,
        ring_policy: _arguments.RingPolicy = "drop-oldest",
    ) -> Self:
        """Receive on a UDP socket that is already open.

        The receiver works on a duplicate of the descriptor, so both share one kernel socket, which lives until both
        are closed. Do not read from the socket until then. The socket is bound unless it already is (then ``port`` and
        ``bind`` have no effect), and all groups are joined on it. Groups joined on it before stay joined while the
        socket lives. A subclass's ``__init__`` is not called.

        Args:
            sock: The socket, or its descriptor.
            group: As for the class; may be empty if the socket is bound or ``bind`` is given.
            port: As for the class. A socket that is not bound needs one.
            interface: As for the class.
            source: As for the class.
            exclude: As for the class.
            bind: As for the class.
            share: As for the class, if the socket is not bound yet.
            strict: As for the class.
            loopback: As for the class; None keeps what the socket has.
            recv_buffer: As for the class, but the default None keeps what the socket has. A buffer that is already
                larger is kept.
            timestamps: As for the class.
            receive_ttl: As for the class.
            rejoin: As for the class.
            ring: As for the class.
            ring_policy: As for the class.

        Raises:
            ValueError: It is not a UDP socket, or its IP version is not that of the groups.
            TypeError: An argument has the wrong type.
            OSError: The system refused; ``errno`` says why.
        """
        descriptor = _arguments.descriptor(sock)
        groups, number = _arguments.core_groups(group, port, interface, source, exclude)
        self = cls.__new__(cls)
        self._open(
            groups,
            number,
            fd=descriptor,
            bind=_arguments.bind_address(bind),
            share=_arguments.flag("share", share),
            strict=_arguments.flag("strict", strict),
            loopback=None if loopback is None else _arguments.flag("loopback", loopback),
            recv_buffer=_arguments.recv_buffer(recv_buffer),
            timestamps=_arguments.flag("timestamps", timestamps),
            receive_ttl=_arguments.flag("receive_ttl", receive_ttl),
            gro=False,
            rejoin=_arguments.seconds("rejoin", rejoin),
            ring=_arguments.ring_capacity(ring),
            ring_policy=_arguments.ring_policy(ring_policy),
        )
        if recv_buffer == "auto":
            _small_buffer.log(self)
        return self

    @_arguments.suggest_keywords
    def join(
        self,
        group: _arguments.Group,
        interface: _arguments.Interfaces = None,
        *,
        source: _arguments.Sources = (),
        exclude: _arguments.Sources = (),
    ) -> None:
        """Join more groups, or add sources to joined ones: all or none of them.

        Args:
            group: As for the class; a port in it must be the receiver's.
            interface: As for the class. None adds sources wherever the group is joined for other sources.
            source: As for the class. If the group is joined for other sources already, these are added, without a gap
                for the others.
            exclude: As for the class.

        Raises:
            ValueError: It is not a group, or it is already joined on that interface, or for that source.
            OSError: The system refused; nothing has changed.
        """
        groups, _ = _arguments.core_groups(group, self.port, interface, source, exclude)
        self._join_groups(groups)

    @_arguments.suggest_keywords
    def leave(
        self,
        group: _arguments.OneGroup,
        interface: _arguments.OneInterface = None,
        *,
        source: _arguments.Sources = (),
    ) -> None:
        """Leave a group, or several that one text stands for: all of them, or none if one is not joined.

        With sources, leave only these, without a gap for the others. A group whose last source is left is left.

        Args:
            group: The group or an endpoint with it; a port in it must be the receiver's.
            interface: Where to leave it; None and ``"all"`` leave it wherever it is joined. Sources can only be left on
                all interfaces that the group was joined on together.
            source: The sources to leave, unless the endpoint has them: one address or several.

        Raises:
            ValueError: It is not joined there, or not for that source.
            OSError: The system refused.
        """
        endpoint = endpoints.from_argument(group)
        _arguments.one_port(self.port, endpoint.port)
        on = _arguments.one_interface(interface if endpoint.interface is None else endpoint.interface)
        groups = [one.group for one in endpoints.expand(endpoint)]
        sources = _arguments.sources_to_leave(endpoint, source)
        self._leave_groups(groups, None if on == "all" else on, sources)

    @property
    def groups(self) -> tuple[Membership, ...]:
        """The current memberships."""
        joined = self._joined()
        known = self._known_groups
        # It is the same tuple as long as nothing has changed.
        if known is None or known[0] is not joined:
            groups = tuple(
                Membership(group, name, index, tuple(sources), tuple(excluded))
                for group, name, index, sources, excluded in joined
            )
            self._known_groups = known = joined, groups
        return known[1]

    def stats(self) -> ReceiverStats:
        """Return the counters. After closing, they stay as they were."""
        return ReceiverStats(**self._counters())

    def run(
        self,
        handler: Callable[[_core.Datagram], object],
        *,
        stop: handlers.Stop = None,
        on_error: handlers.OnError = "log",
        timeout: float | None = None,
    ) -> int:
        """Call a function with each datagram, one after the other.

        This ends when ``stop`` says so, which is checked after each datagram and at least every 0.1 s, and when any
        thread, or the handler, closes the receiver. You can still receive what was not handed over.

        Args:
            handler: Called with each datagram.
            stop: A `threading.Event`, or a function that returns true to end.
            on_error: The reaction after logging an exception of the handler: ``"log"`` goes on with the next datagram,
                ``"raise"`` raises it.
            timeout: Seconds without a datagram, from 0, after which to raise an error. None waits without a limit.

        Returns:
            The number of datagrams that the handler was called with.

        Raises:
            TimeoutError: Nothing was received in that time.
            Exception: Any exception of the handler, if ``on_error="raise"``.
        """
        return handlers.run(self, handler, stop=stop, on_error=on_error, timeout=timeout)


class Sender(Closing, _core.Sender):
    """Send datagrams to one group.

    ::

        with multicast.Sender("239.1.2.3:5000", interface="eth0", ttl=1) as tx:
            tx.send(b"one datagram")
            tx.send_many([b"several", b"at once"])
            print(tx.stats().sent)
        assert tx.closed

    The sender opens its socket once, when it is created. You can use it from any thread at any time. A ``with``
    statement closes it. If its interface is deleted and created again under the same name, it uses the new one.

    `query` sends a datagram and collects the answers; `recv` and `recv_batch` return answers too, and the sender is an
    iterator of them. An answer is a unicast datagram to the sender's own address and port. Datagrams sent to a group
    are never returned.

    Args:
        group: A group (``"239.1.2.3"``) or an endpoint (``"239.1.2.3:5000%eth0"``, ``"[ff02::114%eth0]:5000"``, an
            `Endpoint`, a (group, port) tuple, an ``ipaddress`` object).
        port: UDP port, from 1 to 65535, unless the endpoint has it.
        interface: Name, index or address of the interface to send by, or an `Interface`, unless the endpoint has it.
            None leaves the choice to the routes of the system.
        local: ``(address, port)`` to send from, port 0 to 65535. The address must be one of this machine's, and
            chooses the interface unless that is given; ``""`` leaves it to the system. Port 0 takes a free one. Other
            programs may use the same port. None leaves both to the system.
        ttl: Time to live, from 0 to 255: ``ttl=n`` allows up to n - 1 router hops. 1, the default of RFC 1112
            section 6.1, stays on the local network. 0 stays on this machine; Linux guarantees that on the loopback
            interface only, so 0 is an error with any other.
        dscp: Class of traffic (DSCP, RFC 2474), from 0 to 63, such as 46 for expedited forwarding. None keeps the
            system's default. Windows has no such option.
        loopback: Whether this machine receives what it sends. Windows decides this at the receiver.
        send_buffer: Send buffer to request, in bytes, from 1 to 2,147,483,647. None keeps the system's default.
        recv_buffer: Receive buffer to request for answers, in bytes, as for `Receiver`. It is requested by the first
            call that receives.
        gso: Whether to hand messages of equal size to the kernel together (``UDP_SEGMENT``, Linux).
        rate: Datagrams per second to send, above 0, evenly spaced. None sends as fast as the kernel accepts them.
        bit_rate: Bits of payload per second to send, above 0, instead of ``rate``.

    Raises:
        ValueError: An argument is out of range or is not a group. Nothing was opened.
        TypeError: An argument has the wrong type. Nothing was opened.
        UnsupportedError: The system does not support ``dscp``, or cannot keep ``ttl=0`` on this machine.
        OSError: The system refused; ``errno`` says why, and the message names the group and the interface.
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
        """Time to live: ``ttl=n`` allows up to n - 1 router hops. Set it for the datagrams that follow."""
        return super().ttl

    @ttl.setter
    def ttl(self, ttl: SupportsIndex) -> None:
        self._set_ttl(_arguments.whole_number("ttl", ttl, 0, 255))

    @property
    def dscp(self) -> int:
        """Class of traffic (DSCP), from 0 to 63. Set it for the datagrams that follow."""
        return super().dscp

    @dscp.setter
    def dscp(self, dscp: SupportsIndex) -> None:
        self._set_dscp(_arguments.whole_number("dscp", dscp, 0, 63))

    @property
    def loopback(self) -> bool:
        """Whether this machine receives what it sends. Set it for the datagrams that follow."""
        return super().loopback

    @loopback.setter
    def loopback(self, loopback: bool) -> None:
        self._set_loopback(_arguments.flag("loopback", loopback))

    def stats(self) -> SenderStats:
        """Return the counters. After closing, they stay as they were."""
        return SenderStats(**self._counters())


def interfaces() -> list[Interface]:
    """Return the network interfaces of this machine, by index.

    Raises:
        OSError: The system refused to list them.
    """
    return _arguments.list_interfaces()
