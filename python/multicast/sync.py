"""``Receiver``: opening, joining and closing. ``Sender`` is in `sending`.

This module makes the policy decisions: it interprets arguments, sets
buffer sizes and writes log messages. Every call after opening goes to
the compiled core, without a Python frame in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _arguments, _core, _small_buffer, endpoints, handlers
from ._closing import Closing
from .sending import Sender
from .types import Membership, ReceiverStats

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Literal, SupportsIndex

    from typing_extensions import Self

    from .endpoints import Address
    from .types import Interface

__all__ = ["Receiver", "Sender", "interfaces"]


class Receiver(Closing, _core.Receiver):
    """Receive the datagrams of one or more groups on one port.

    ::

        with multicast.Receiver("239.1.2.3:5000", interface="eth0") as rx:
            msg = rx.recv(timeout=1.0)
            print(msg.sender, msg.data)
            for batch in rx.batches():
                handle(batch.payloads())

    The receiver opens its sockets and joins its groups once, when it is
    created. You can use it from any thread at any time. Iterate over it to
    get `Datagram` objects until it is closed. A ``with`` statement closes
    it.

    Args:
        group: A group (``"239.1.2.3"``), an endpoint
            (``"239.1.2.3:5000%eth0"``, ``"10.0.0.1@232.1.2.3:5000"``,
            ``"[ff02::114%eth0]:5000"``, an `Endpoint`, a (group, port)
            tuple), several groups at once (``"239.1.2.3+10"`` for ten
            groups starting there, ``"239.1.2.0/24"``), or an iterable of
            these. Addresses may be ``ipaddress`` objects, here and below.
        port: UDP port, from 0 to 65535, unless the endpoint contains it. 0
            takes a free port, which ``port`` then returns.
        interface: Name, index or address of the interface to join on, or an
            `Interface`, unless the endpoint contains it. A list of them or
            ``"all"`` joins on each one that is usable, now or later. None
            leaves the choice to the system's routes.
        source: One or more senders to receive from (source-specific
            multicast, RFC 4607). By default, any sender.
        exclude: Senders not to receive from.
        bind: Address to bind to, instead of the group (for one group) or
            the wildcard address (for several).
        share: Whether other sockets on this machine may use the same port.
        strict: Whether to deliver only datagrams whose group, interface and
            source match a membership.
        loopback: On Windows, whether to receive what this machine sends. On
            other systems, the sender decides this.
        recv_buffer: Receive buffer to request, in bytes, from 1 to
            2,147,483,647. ``"auto"`` requests 8 MiB and logs once if the
            system grants less. None keeps the system's default.
        timestamps: Whether to ask the kernel for the time of each datagram.
        receive_ttl: Whether to ask the kernel for the remaining hops of
            each datagram.
        gro: Whether the kernel may deliver several datagrams in one buffer
            (``UDP_GRO``, Linux).
        rejoin: Seconds between periodic rejoins of all groups, at least
            0.01. Use this for switches that forget listeners because no
            router queries them (IGMP snooping without a querier). None
            disables it.
        ring: Capacity, in datagrams, of a background receive buffer, from 1
            to 16,777,216. A thread moves datagrams from the kernel into it,
            so that they are not dropped while your program is busy.
            Payloads may take 2,048 bytes for each datagram of the capacity,
            and at least 1 MiB. None disables it.
        ring_policy: How to react to a full ring: ``"drop-oldest"``,
            ``"drop-newest"``, or ``"block"``, which lets the kernel's
            buffer fill up.
        engine: ``"socket"`` receives with UDP sockets. ``"packet"`` reads a
            ring of packets in memory that is shared with the kernel, which
            takes a fraction of the CPU time at high rates (Linux, with
            ``CAP_NET_RAW``). It needs ``strict`` and no ``bind``, and
            ignores the firewall. ``"auto"`` uses packets if they are
            permitted and the other arguments allow them, and logs its
            choice.
        packet_delay: Seconds, from 0.001 to 1, rounded up to milliseconds,
            for which the packet engine may hold a datagram back to hand
            over many at once. With a longer delay, the receive buffer lasts
            longer.
        fanout: Receivers in several processes that pass the same number,
            from 0 to 32,767, share the datagrams: each datagram goes to one
            of them. ``(number, "flow")``, the default, keeps the datagrams
            of one sender and port together. ``(number, "round-robin")``
            takes turns. Needs ``engine="packet"``, and the same groups and
            port.
        spin: Seconds, from 0 to 10, to keep polling after the last datagram
            before sleeping. This lowers the latency, but occupies a
            processor core. It has no effect in asyncio.

    Raises:
        ValueError: An argument is out of range or is not a group. Nothing
            was opened.
        TypeError: An argument has the wrong type. Nothing was opened.
        OSError: The system refused; ``errno`` says why, and the message
            names the group and the interface.
    """

    _known_groups: tuple[object, tuple[Membership, ...]] | None = None
    """The tuple that the core returned for the last `groups`, and the memberships made from it."""

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

        The receiver works on a duplicate of the descriptor. Both share one
        kernel socket, which exists until both are closed. Do not read from the
        socket until then. A socket that is not bound yet is bound; otherwise,
        ``port`` and ``bind`` have no effect. All groups are joined on this
        socket. Groups that were already joined on it stay joined as long as it
        exists. A subclass's ``__init__`` is not called.

        Args:
            sock: The socket, or its descriptor.
            group: As for the class; may be empty if the socket is bound or
                ``bind`` is given.
            port: As for the class. A socket that is not bound needs one.
            interface: As for the class.
            source: As for the class.
            exclude: As for the class.
            bind: As for the class.
            share: As for the class, if the socket is not bound yet.
            strict: As for the class.
            loopback: As for the class; None keeps the socket's setting.
            recv_buffer: As for the class, but the default None keeps the
                socket's buffer. A buffer that is already larger is kept.
            timestamps: As for the class.
            receive_ttl: As for the class.
            rejoin: As for the class.
            ring: As for the class.
            ring_policy: As for the class.

        Raises:
            ValueError: ``sock`` is not a UDP socket, or its IP version is not
                that of the groups.
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
        """Join more groups, or add sources to joined groups.

        The call changes all of these groups or, if it raises an error, none.

        Args:
            group: As for the class. If it contains a port, that must be the
                receiver's.
            interface: As for the class. None adds sources wherever the group is
                joined for other sources.
            source: As for the class. If the group is already joined for other
                sources, these are added, without a gap for the others.
            exclude: As for the class.

        Raises:
            ValueError: An argument is not a group, or the group is already
                joined on that interface or for that source.
            OSError: The system refused one of the groups; nothing has changed.
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
        """Leave a group, or all groups that an endpoint stands for.

        The call leaves all of these groups, or none if one of them is not
        joined.

        With sources, stop receiving only from these, without a gap for the
        others. Leaving the last source of a group leaves the group.

        Args:
            group: The group, or an endpoint that contains it. If it contains a
                port, that must be the receiver's.
            interface: Where to leave it. None and ``"all"`` leave it wherever
                it is joined. If the group was joined on several interfaces in
                one call, its sources can only be left on all of them.
            source: One or more sources to leave, unless the endpoint contains
                them.

        Raises:
            ValueError: A group is not joined there, or not for that source;
                nothing has changed.
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
        """Return the counters. They keep their last values after closing."""
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

        The call returns when ``stop`` is set or returns true, which is checked
        after each datagram and at least every 0.1 s, or when any thread or the
        handler closes the receiver. After a stop, you can still receive the
        datagrams that the handler did not get.

        Args:
            handler: Called with each datagram.
            stop: A `threading.Event`, or a function that returns true to end.
            on_error: The reaction to an exception of the handler, after logging it:
                ``"log"`` continues with the next datagram, and ``"raise"``
                raises the exception.
            timeout: Seconds without a datagram, at least 0, after which to
                raise ``TimeoutError``. None waits without a limit.

        Returns:
            The number of datagrams that the handler was called with.

        Raises:
            TimeoutError: No datagram arrived in that time.
            Exception: Any exception of the handler, if ``on_error="raise"``.
        """
        return handlers.run(self, handler, stop=stop, on_error=on_error, timeout=timeout)


def interfaces() -> list[Interface]:
    """Return the network interfaces of this machine, by index.

    Raises:
        OSError: The system refused to list them.
    """
    return _arguments.list_interfaces()
