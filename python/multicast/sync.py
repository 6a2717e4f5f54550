"""The modern face: ``Sender`` and ``Receiver``.

Policy lives here (what an endpoint means, how large a buffer to ask for, what to log); every call after
opening goes to the compiled core, without a Python frame in between.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import _core, endpoints, handlers
from .types import Interface, Membership, ReceiverStats, SenderStats

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, Literal, TypeAlias

    from typing_extensions import Self

    Interfaces: TypeAlias = str | int | Sequence[str | int] | None

    RingPolicy: TypeAlias = Literal["drop-oldest", "drop-newest", "block"]

_logger = logging.getLogger("multicast")

AUTO_RECV_BUFFER = 8 * 1024 * 1024
"""Octets of receive buffer that ``recv_buffer="auto"`` asks for. The kernel takes the memory only while
datagrams wait; with its bookkeeping this holds some 20,000 small datagrams."""

MAX_RING_CAPACITY = 1 << 24
"""Datagrams that a ring may have room for: their payloads may take 32 GiB. A larger number is a slip, such as octets
for datagrams, and as good as no bound: the system would end the program when the memory is used up."""


class Receiver(_core.Receiver):
    """Receives the datagrams of one or more groups on one port.

    One set of sockets, opened and joined once, serves for the object's life. Any thread may use it at any
    time. It is an iterator of `Datagram` that never ends by itself, and a context manager that closes it.

    Args:
        group: a group (``"239.1.2.3"``), an endpoint (``"239.1.2.3:5000"``, ``"10.0.0.1@232.1.2.3:5000"``,
            ``"[ff02::114%eth0]:5000"``), several at once (``"239.1.2.3+10"`` for ten from there on,
            ``"239.1.2.0/24"``), or a list of these.
        port: UDP port, where no endpoint names it; 0 takes a free one, which ``port`` tells.
        interface: name, index or address of the interface to join on, where no endpoint names it; a list of
            them, or ``"all"``, for every one that is usable now or later; None leaves it to the system's routes.
        source: the only senders wanted, one address or several (source-specific multicast, RFC 4607).
        exclude: senders that are not wanted.
        bind: address to bind to, instead of the group (one group) or the wildcard (several).
        fd: descriptor of a socket to receive on, which is duplicated; see `adopt`.
        share: other programs on this machine may listen on the same port too.
        strict: deliver only what was joined, by group, interface and source.
        loopback: hear what this machine sends (Windows decides that here; elsewhere the sender does).
        recv_buffer: octets of receive buffer to ask for; ``"auto"`` asks for a large one and logs once what
            was granted when it is less; None leaves the system's default.
        timestamps: ask the kernel when each datagram came.
        ttl: ask the kernel how many hops each datagram has left.
        gro: let the kernel hand over several datagrams in one buffer, where it can (``UDP_GRO``, Linux).
        rejoin: leave and join everything every so many seconds, for switches that forget their listeners because
            no router asks for them (IGMP snooping without a querier); None does not.
        ring: a thread empties the kernel's buffer into a ring for this many datagrams, from 1 to 16,777,216,
            whatever this program is doing; None has none. Their payloads may have 2,048 octets each on average,
            and 1 MiB together at least. With a ring, `fileno` can be read while there is something to take.
        ring_policy: what happens when the ring is full: ``"drop-oldest"``, ``"drop-newest"``, or ``"block"``,
            which lets the kernel's buffer fill instead.

    Raises:
        ValueError: an argument is out of its range, or is no group; nothing was opened.
        TypeError: an argument is of the wrong type.
        OSError: the system refused; ``errno`` says why, and the message on which group and interface.
    """

    def __new__(  # noqa: D102 - the class docstring tells
        cls,
        group: str | Iterable[str],
        port: int | None = None,
        *,
        interface: Interfaces = None,
        source: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        bind: str | None = None,
        fd: int | None = None,
        share: bool = True,
        strict: bool = True,
        loopback: bool = True,
        recv_buffer: int | Literal["auto"] | None = "auto",
        timestamps: bool = True,
        ttl: bool = True,
        gro: bool = True,
        rejoin: float | None = None,
        ring: int | None = None,
        ring_policy: RingPolicy = "drop-oldest",
    ) -> Self:
        groups, number = _groups(group, port, interface, source, exclude)
        if number is None and fd is None:
            raise _no_port(group)
        self = super().__new__(
            cls,
            groups,
            _port(0 if number is None else number),
            bind=bind,
            fd=fd,
            share=share,
            strict=strict,
            loopback=loopback,
            recv_buffer=_recv_buffer(recv_buffer),
            timestamps=timestamps,
            ttl=ttl,
            gro=gro,
            rejoin=rejoin,
            ring=_ring(ring),
            ring_policy=ring_policy,
        )
        if recv_buffer == "auto":
            _tell_buffer(self)
        return self

    @classmethod
    def adopt(
        cls,
        sock: socket.socket | int,
        group: str | Iterable[str] = (),
        port: int | None = None,
        **options: Any,
    ) -> Self:
        """Receives on a UDP socket that somebody else opened.

        The receiver works on a duplicate of the descriptor: one kernel socket, which lives until both are
        closed. It is bound unless it is bound already (then ``port`` and ``bind`` count for nothing), all
        groups are joined on it, and until it is closed nobody else should read from it. Coalescing
        (``gro``) stays off, a larger buffer than is asked for is kept, and what was joined stays joined for as
        long as the socket lives.

        Args:
            sock: the socket, or its descriptor.
            group: as for the class; may be empty where ``bind`` is given.
            port: as for the class.
            options: the other arguments of the class.

        Raises:
            ValueError: it is no UDP socket, or of another IP version than the groups.
            OSError: the system refused; ``errno`` says why.
        """
        if isinstance(sock, bool) or not (isinstance(sock, int) or hasattr(sock, "fileno")):
            raise TypeError(f"a socket or its descriptor (int) is adopted, not {type(sock).__name__}")
        descriptor = sock if isinstance(sock, int) else sock.fileno()
        return cls(group, port, fd=descriptor, **options)

    def join(
        self,
        group: str | Iterable[str],
        interface: Interfaces = None,
        *,
        source: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
    ) -> None:
        """Joins more groups: all of them, or none.

        Args:
            group: as for the class; a port in it must be the receiver's.
            interface: as for the class.
            source: as for the class.
            exclude: as for the class.

        Raises:
            ValueError: it is no group, or it is joined already on that interface.
            OSError: the system refused; nothing has changed.
        """
        groups, _ = _groups(group, self.port, interface, source, exclude)
        self.join_groups(groups)

    def leave(self, group: str, interface: str | int | None = None) -> None:
        """Leaves a group, or several at once: all of them, or none where one is not joined.

        Args:
            group: the group, or an endpoint with it, or several in one text (see the class); a port in it must
                be the receiver's.
            interface: where to leave it; None and ``"all"`` leave it wherever it was joined.

        Raises:
            ValueError: it is not joined there, or for other sources than those that the text names.
            OSError: the system refused.
        """
        endpoint = endpoints.parse(group)
        _one_port(self.port, endpoint.port)
        on = interface if endpoint.interface is None else endpoint.interface
        groups = [one.group for one in endpoints.expand(endpoint)]
        if endpoint.sources:
            self._check_sources(groups, endpoint.sources)
        self.leave_groups(groups, None if on == "all" else on)

    def _check_sources(self, groups: Iterable[str], sources: Iterable[str]) -> None:
        """Refuses groups that are joined, but not for these sources."""
        wanted, named = set(map(endpoints.address, groups)), set(map(endpoints.address, sources))
        for joined in self.groups:
            if (
                endpoints.address(joined.group) in wanted
                and set(map(endpoints.address, joined.sources)) != named
            ):
                whom = ", ".join(joined.sources) or "any source"
                raise ValueError(
                    f"{joined.group} is joined for {whom}; a group is left as a whole, so name all or none of them"
                )

    @property
    def groups(self) -> tuple[Membership, ...]:
        """What is joined now."""
        return tuple(
            Membership(group, index, tuple(sources), tuple(excluded))
            for group, index, sources, excluded in self.joined()
        )

    def stats(self) -> ReceiverStats:
        """The counters, also after closing."""
        return ReceiverStats(**self.counters())

    def run(
        self,
        handler: Callable[[_core.Datagram], object],
        *,
        stop: handlers.Stop = None,
        on_error: handlers.OnError = "log",
        timeout: float | None = None,
    ) -> int:
        """Hands each datagram to a function, one after the other.

        It ends when ``stop`` says so, which is looked at after each datagram and at least every 0.1 s, and when
        the receiver is closed, by the handler or any thread. What was received and not handed over then can be
        received as ever.

        Args:
            handler: what to call with each datagram.
            stop: a `threading.Event`, or a function that says true to end it.
            on_error: what follows an exception in the handler, which is logged with the datagram's origin:
                ``"log"`` goes on, ``"raise"`` ends with it.
            timeout: seconds without a datagram that are an error; None waits for ever.

        Returns:
            How many datagrams the handler was given.

        Raises:
            TimeoutError: nothing came in that time.
            Exception: what the handler raised, with ``on_error="raise"``.
        """
        return handlers.run(self, handler, stop=stop, on_error=on_error, timeout=timeout)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def __del__(self) -> None:
        """Warns where it was not closed."""
        _warn_unclosed(self)

    def __repr__(self) -> str:
        """What it receives."""
        try:
            joined = _shortened([membership.group for membership in self.groups])
        except _core.UnsupportedError:
            joined = "inherited by a fork"
        state = "closed" if self.closed else joined
        return f"<{type(self).__name__} on port {self.port}: {state}>"


class Sender(_core.Sender):
    """Sends datagrams to one group.

    One socket, opened once, serves for the object's life. Any thread may use it at any time. It is a context
    manager that closes it.

    Args:
        group: a group (``"239.1.2.3"``) or an endpoint (``"239.1.2.3:5000"``, ``"[ff02::114%eth0]:5000"``).
        port: UDP port, 1 to 65535, where the endpoint does not name it.
        interface: name, index or address of the interface to send by, where the endpoint does not name it;
            None leaves it to the system's routes.
        ttl: hops, 0 to 255: 0 stays on this machine, 1 (the default of RFC 1112 section 6.1) on the link;
            more crosses as many routers less one.
        loopback: this machine hears what it sends (Windows decides that at the receiver).
        send_buffer: octets of send buffer to ask for; None leaves the system's default.
        gso: let the kernel cut several messages of equal size apart, where it can (``UDP_SEGMENT``, Linux).
        rate: datagrams a second to send at most, evenly spread; None sends as fast as the kernel takes it.
        bit_rate: bits of payload a second to send at most, instead of ``rate``.

    Raises:
        ValueError: an argument is out of its range, or is no group; nothing was opened.
        TypeError: an argument is of the wrong type.
        OSError: the system refused; ``errno`` says why, the message to which group and by which interface.
    """

    _group: str
    _port: int
    _ttl: int

    def __new__(  # noqa: D102 - the class docstring tells
        cls,
        group: str,
        port: int | None = None,
        *,
        interface: str | int | None = None,
        ttl: int = 1,
        loopback: bool = True,
        send_buffer: int | None = None,
        gso: bool = True,
        rate: float | None = None,
        bit_rate: float | None = None,
    ) -> Self:
        endpoint = endpoints.parse(group)
        if endpoint.sources:
            raise ValueError(f"{group!r} names a source; a sender's source is this machine")
        on = interface if endpoint.interface is None else endpoint.interface
        if on == "all":
            raise ValueError("a sender sends by one interface; open one for each of interfaces()")
        if "+" in endpoint.group or "/" in endpoint.group:
            raise ValueError(f"{endpoint.group!r} stands for several groups; a sender sends to one")
        port = _one_port(port, endpoint.port)
        if port is None:
            raise _no_port(group)
        number = _port(port)
        if isinstance(ttl, bool) or not isinstance(ttl, int):
            raise TypeError(f"a TTL is a number of hops (int), not {type(ttl).__name__}")
        if not 0 <= ttl <= 255:
            raise ValueError(f"a TTL is a number of hops from 0 to 255, not {ttl}")
        self = super().__new__(
            cls,
            endpoint.group,
            number,
            interface=on,
            ttl=ttl,
            loopback=loopback,
            send_buffer=_buffer(send_buffer),
            gso=gso,
            rate=rate,
            bit_rate=bit_rate,
        )
        self._group, self._port, self._ttl = endpoint.group, number, ttl
        return self

    @property
    def group(self) -> str:
        """The group's address."""
        return self._group

    @property
    def port(self) -> int:
        """The UDP port sent to."""
        return self._port

    @property
    def ttl(self) -> int:
        """Hops."""
        return self._ttl

    def stats(self) -> SenderStats:
        """The counters, also after closing."""
        return SenderStats(**self.counters())

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def __del__(self) -> None:
        """Warns where it was not closed."""
        _warn_unclosed(self)

    def __repr__(self) -> str:
        """Where it sends."""
        state = ", closed" if self.closed else ""
        return f"<{type(self).__name__} to {endpoints.Endpoint(self.group, self.port)}{state}>"


def interfaces() -> tuple[Interface, ...]:
    """The network interfaces of this machine, by index.

    Raises:
        OSError: the system did not tell.
    """
    return tuple(Interface(**interface) for interface in _core.interfaces())


# Its default arguments are there still when the interpreter ends and takes a module's names away.
def _warn_unclosed(
    endpoint: Receiver | Sender, warn: Callable[..., None] = warnings.warn, kind: type = ResourceWarning
) -> None:
    """Warns as a socket does, which nobody sees who did not ask for it (``-X dev``, ``-W default``)."""
    if not endpoint.closed:
        # The place where it was dropped.
        warn(f"unclosed {endpoint!r}", kind, stacklevel=3, source=endpoint)


def _groups(
    group: str | Iterable[str],
    port: int | None,
    interface: Interfaces,
    source: str | Iterable[str],
    exclude: str | Iterable[str],
) -> tuple[list[_core._Group], int | None]:
    """The groups as the core takes them, and the one port of them all."""
    parsed = [endpoints.parse(text) for text in _as_list(group, "a group")]
    for endpoint in parsed:
        port = _one_port(port, endpoint.port)
    only, without = _as_list(source, "a source"), _as_list(exclude, "an excluded source")
    groups: list[_core._Group] = []
    for endpoint in endpoints.merge(parsed):
        on = interface if endpoint.interface is None else endpoint.interface
        sources, on = _without_zones([*endpoint.sources, *only], on)
        excluded, on = _without_zones(without, on)
        groups += [(one.group, on, sources, excluded) for one in endpoints.expand(endpoint)]
    return groups, port


def _without_zones(sources: list[str], on: Interfaces) -> tuple[list[str], Interfaces]:
    """The sources without zones, and the interface to join on, which their zones may be the first to name.

    The kernel is told the interface once, with the group: a zone can only say the same.
    """
    plain = []
    for source in sources:
        # What is no text is for the core to refuse.
        address, _, zone = source.partition("%") if isinstance(source, str) else (source, "", "")
        plain.append(address)
        if not zone:
            continue
        if on is None:
            on = zone
        elif on != zone and _interface_indexes(on).isdisjoint(_interface_indexes(zone)):
            raise ValueError(
                f"the source {source} is on {zone}, and its group joined on {on}: it is never heard there"
            )
    return plain, on


def _interface_indexes(interface: Interfaces) -> set[int]:
    """The indexes of the interfaces that these words mean now."""
    if not isinstance(interface, (str, int)) and interface is not None:
        return set().union(*map(_interface_indexes, interface))
    return {
        here.index
        for here in interfaces()
        if interface in ("all", here.index, str(here.index), here.name, *here.addresses)
    }


def _one_port(port: int | None, named: int | None) -> int | None:
    if port is not None and named is not None and port != named:
        raise ValueError(f"the port is given twice, as {port} and as {named}")
    return named if port is None else port


def _as_list(texts: str | Iterable[str], what: str) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    # Octets would iterate as numbers.
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"{what} is text, or several of them are, not {type(texts).__name__}")
    return list(texts)


def _no_port(group: str | Iterable[str]) -> ValueError:
    """The error where nothing names a port."""
    example = "239.1.2.3:5000"
    for text in _as_list(group, "a group"):
        address, colon, digits = text.rpartition(":")
        if colon and digits.isdigit() and "[" not in text:
            # Read as a part of the address, which it may be.
            example = f"[{address}]:{digits}"
    return ValueError(f"no port was given: name it, or write it behind the group, as in {example!r}")


def _shortened(groups: list[str]) -> str:
    """The groups, each once, and of many the first few."""
    each = list(dict.fromkeys(groups))
    more = [f"{len(each) - 3} more"] if len(each) > 4 else []
    return ", ".join((each[:3] if more else each) + more) or "nothing"


def _port(port: int) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"a port is a number (int), not {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise ValueError(f"a UDP port is a number from 0 to 65535, not {port}")
    return port


def _ring(capacity: int | None) -> int | None:
    if capacity is None:
        return None
    if isinstance(capacity, bool) or not isinstance(capacity, int):
        raise TypeError(f"a ring has a number of datagrams (int) or is None, not {type(capacity).__name__}")
    if not 1 <= capacity <= MAX_RING_CAPACITY:
        raise ValueError(f"a ring has room for 1 to {MAX_RING_CAPACITY} datagrams, not {capacity}")
    return capacity


def _recv_buffer(asked: int | Literal["auto"] | None) -> int | None:
    if isinstance(asked, str):
        if asked != "auto":
            raise ValueError(f"recv_buffer is a number of octets, 'auto' or None, not {asked!r}")
        return AUTO_RECV_BUFFER
    return _buffer(asked)


def _buffer(octets: int | None) -> int | None:
    if octets is None:
        return None
    if isinstance(octets, bool) or not isinstance(octets, int):
        raise TypeError(f"a buffer is a number of octets (int) or None, not {type(octets).__name__}")
    # The system takes a C int.
    if not 1 <= octets < 2**31:
        raise ValueError(f"a buffer is a number of octets from 1 to 2147483647, not {octets}")
    return octets


_told_buffer = False


def _tell_buffer(receiver: Receiver) -> None:
    """Says, once, that the kernel granted less than was asked, and what would grant it."""
    global _told_buffer  # noqa: PLW0603 - once for the process is the point
    granted = receiver.stats().buffer_granted
    if granted < AUTO_RECV_BUFFER and not _told_buffer:
        _told_buffer = True
        setting = _core.receive_buffer_setting()
        _logger.info(
            "The system grants a receive buffer of %d octets where %d were asked for; "
            "bursts beyond it are dropped, and counted. To grant all of it: sysctl -w %s=%d",
            granted,
            AUTO_RECV_BUFFER,
            setting,
            AUTO_RECV_BUFFER,
        )
