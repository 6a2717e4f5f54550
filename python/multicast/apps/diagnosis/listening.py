"""Listen to an endpoint for a while, and record what arrives and what the kernel counts meanwhile."""

from __future__ import annotations

import collections
import contextlib
import ipaddress
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...exceptions import ClosedError
from ...sync import Receiver
from . import proc
from .sniffer import Sighting, open_sniffer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ...endpoints import Endpoint
    from .outages import Outages

_PERIOD = 0.05
# A stream that pauses for this many times its usual interval, and for this many seconds, has stopped.
_STOPPED = 10
_LEAST_SILENCE = 0.5


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where datagrams came from, and where they arrived."""

    source: str
    interface: str | None


@dataclass(frozen=True, slots=True)
class Program:
    """A UDP socket of another program on the port, while this one listened."""

    inode: int
    address: str
    drops: int
    """Datagrams that it lost meanwhile because its receive buffer was full."""
    least_waiting: int
    """The fewest bytes that waited in its receive buffer at any time."""


@dataclass(slots=True)
class Observation:
    """The facts of a time of listening."""

    heard: collections.Counter[Arrival]
    """Datagrams that the endpoint received."""
    rises: dict[str, int]
    """Counters of the kernel that rose, and by how much."""
    seen: collections.Counter[Sighting] | None
    """Packets that a packet socket saw; None if this is not permitted."""
    queries: collections.Counter[str] | None
    """IGMP and MLD queries that arrived on each interface; None if they cannot be seen."""
    completed: collections.Counter[tuple[str, str, int | None]]
    """Fragmented datagrams seen whole, by interface, group and port."""
    programs: list[Program]
    """Other sockets on the port."""
    marked: dict[bytes, collections.Counter[int]]
    """Datagrams that begin with the mark: for each payload, how many arrived with which TTL."""
    revivals: list[Revival] = field(default_factory=list["Revival"])
    """Silences that ended when the group was joined again."""

    @property
    def received(self) -> int:
        """The number of datagrams received."""
        return self.heard.total()


@dataclass(frozen=True, slots=True)
class Revival:
    """A stream that stopped, and went on when the group was joined again."""

    before: int
    """Datagrams received from joining to the silence."""
    silence: float
    """Seconds of silence."""
    after: int
    """Datagrams received after joining again."""


class Ear:
    """Receive in a thread, and count what arrives; what begins with ``mark`` is kept."""

    def __init__(self, receiver: Receiver, mark: bytes | None = None) -> None:
        self.marked: dict[bytes, collections.Counter[int]] = {}
        self._mark = mark
        self.heard: collections.Counter[Arrival] = collections.Counter()
        self.total = 0
        self.first = self.last = 0.0
        self._receiver = receiver
        self._thread = threading.Thread(target=self._run, name="multicast-doctor-ear")

    @contextlib.contextmanager
    def listening(self) -> Generator[None, None, None]:
        """Receive during the block, and close the receiver at its end."""
        self._thread.start()
        try:
            yield
        finally:
            self._receiver.close()
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                batch = self._receiver.recv_batch(timeout=None)
            except ClosedError:
                return
            now = time.monotonic()
            self.first = self.first or now
            for datagram in batch:
                self.heard[Arrival(datagram.sender[0].partition("%")[0], datagram.interface)] += 1
                if self._mark is not None and datagram.data.startswith(self._mark):
                    ttls = self.marked.setdefault(datagram.data, collections.Counter())
                    ttls[datagram.ttl or 0] += 1
            self.total += len(batch)
            self.last = now

    def silence(self) -> float:
        """Return for how many seconds a stream has been silent that was not before; 0 if it goes on."""
        if self.total < 2:
            return 0.0
        quiet = time.monotonic() - self.last
        usual = (self.last - self.first) / (self.total - 1)
        return quiet if quiet > max(_STOPPED * usual, _LEAST_SILENCE) else 0.0


def _never() -> bool:
    return False


def observe(
    endpoint: Endpoint,
    duration: float,
    outages: Outages,
    *,
    on_joined: Callable[[], None] | None = None,
    is_over: Callable[[], bool] = _never,
    mark: bytes | None = None,
) -> Observation:
    """Join an endpoint and listen for ``duration`` seconds.

    Args:
        endpoint: a group with its port, and optionally the interface and the sources.
        duration: seconds to listen.
        outages: notices when the interface is away.
        on_joined: called once the group is joined.
        is_over: called often; ends the listening early when it returns true.
        mark: the beginning of datagrams to report one by one.

    Raises:
        OSError: The endpoint cannot be received.
    """
    before = proc.counters()
    with contextlib.ExitStack() as stack:
        sniffer = open_sniffer()
        if sniffer is not None:
            stack.enter_context(sniffer)
        receiver = stack.enter_context(Receiver(endpoint))
        ear = Ear(receiver, mark)
        stack.enter_context(ear.listening())
        if on_joined is not None:
            on_joined()
        programs, revivals = _watch(
            receiver, ear, endpoint, outages, _until(duration, outages.looking(is_over))
        )
    after = proc.counters()
    return Observation(
        heard=ear.heard,
        rises=proc.rises(before, after),
        seen=None if sniffer is None else sniffer.seen,
        queries=None if sniffer is None else sniffer.queries,
        completed=collections.Counter() if sniffer is None else sniffer.fragments.completed,
        programs=programs,
        marked=ear.marked,
        revivals=revivals,
    )


def hear_everywhere(
    endpoint: Endpoint, duration: float, *, is_over: Callable[[], bool] = _never
) -> collections.Counter[Arrival]:
    """Join the group of ``endpoint`` on every usable interface and from any source, and return what arrives.

    A source-specific group cannot be joined for any source: it is joined for those of the endpoint.

    Raises:
        OSError: It cannot be joined on any interface.
    """
    sources = endpoint.sources if _is_source_specific(endpoint.group) else ()
    receiver = Receiver(endpoint.group, endpoint.port, interface="all", source=sources)
    ear = Ear(receiver)
    with ear.listening():
        for _ in _until(duration, is_over):
            pass
    return ear.heard


def _until(duration: float, is_over: Callable[[], bool]) -> Iterator[None]:
    """Yield after each short pause until the time is over."""
    pause = threading.Event()
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline and not is_over():
        pause.wait(_PERIOD)
        yield


def _is_source_specific(group: str) -> bool:
    """Return whether a group is in 232.0.0.0/8 or ff30::/12 (RFC 4607)."""
    address = ipaddress.ip_address(group)
    return address.packed[0] == 232 if address.version == 4 else address.packed[1] >> 4 == 3


def _watch(
    receiver: Receiver, ear: Ear, endpoint: Endpoint, outages: Outages, pauses: Iterator[None]
) -> tuple[list[Program], list[Revival]]:
    """Sample the sockets on the port until the time is over. If a stream stops, join the group again."""
    own = proc.own_sockets()
    first: dict[int, proc.UdpSocket] = {}
    last: dict[int, proc.UdpSocket] = {}
    least: dict[int, int] = {}
    revivals: list[Revival] = []
    rejoined_at: tuple[int, float] | None = None
    for _ in pauses:
        for one in proc.udp_sockets(receiver.port):
            if one.inode not in own:
                first.setdefault(one.inode, one)
                last[one.inode] = one
                least[one.inode] = min(least.get(one.inode, one.waiting), one.waiting)
        if outages.have_begun:
            continue  # the stream may have stopped because of it, and the group cannot always be joined again
        if rejoined_at is None:
            silence = ear.silence()
            if silence:
                rejoined_at = ear.total, silence
                _rejoin(receiver, endpoint)
        elif ear.total > rejoined_at[0] + 1:
            earlier = sum(one.before + one.after for one in revivals)
            revivals.append(Revival(rejoined_at[0] - earlier, rejoined_at[1], ear.total - rejoined_at[0]))
            rejoined_at = None
    programs = [
        Program(inode, one.address, one.drops - first[inode].drops, least[inode])
        for inode, one in last.items()
    ]
    return programs, revivals


def _rejoin(receiver: Receiver, endpoint: Endpoint) -> None:
    """Leave the group and join it again, so that the network hears of this listener."""
    receiver.leave(endpoint.group)
    receiver.join(endpoint)
