"""The model: which datagrams a receiver must get, may get and must not get, and whether it did.

The model makes no system calls and has no clock of its own. The driver reports every change to it before the change
happens, and every arrival. Rules:

- A datagram that is sent to a settled membership must arrive, or a counter of the receiver must count it as dropped.
- A membership is settled from its join on. A fault of its interface makes it unsettled. When the interface works
  again, the driver sends probes. Once one of each source has arrived, the membership is settled. That has a limit of
  time.
- A receiver that rejoins periodically does so without a gap for the sources that it has heard. A datagram of another
  source may be lost. So it is with any receiver after a fault of an interface: when the interface gets its first IPv4
  address, the group is reported once more.
- Without a membership of its group, interface and source, a datagram must not arrive.
- Counters exceed what is missing only for IPv6 groups on several interfaces: the kernel queues copies.
- Nothing arrives twice, changed, or out of the order of its stream (interface, source and group).
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field, replace


class FaultError(AssertionError):
    """The product broke a rule of the model."""


class Verdict(enum.Enum):
    """The expectation of the model about a datagram at one receiver."""

    MUST = "must arrive"
    MAY = "may arrive"
    MUST_NOT = "must not arrive"


@dataclass(frozen=True)
class Datagram:
    """A datagram that was sent. ``number`` grows with every datagram."""

    number: int
    port: int
    group: str
    interface: str
    index: int
    source: str

    @property
    def stream(self) -> tuple[str, int, str, str]:
        """Datagrams of the same stream arrive in order."""
        return self.interface, self.index, self.source, self.group

    def __str__(self) -> str:
        return f"#{self.number} from {self.source} to {self.group}:{self.port} on {self.interface} ({self.index})"


@dataclass(frozen=True)
class Arrival:
    """A datagram as a receiver delivered it."""

    number: int
    group: str | None
    index: int | None
    source: str


@dataclass
class Interface:
    """An interface as the driver left it."""

    name: str
    kind: str
    index: int = 0
    exists: bool = True
    is_up: bool = True
    has_carrier: bool = True
    has_ipv6: bool = True

    @property
    def works(self) -> bool:
        return self.exists and self.is_up and self.has_carrier

    def works_for(self, group: str) -> bool:
        return self.works and (self.has_ipv6 or ":" not in group)

    def can_join(self, group: str) -> bool:
        return self.exists and (self.has_ipv6 or ":" not in group)


NOWHERE = Interface("", "none", exists=False)
"""The interface of a membership that the routes lead to an interface outside of the model."""
NAME, ADDRESS, ALL, ROUTE = "name", "address", "all", "route"
"""How the interface of a membership was given: ROUTE means that none was given."""


@dataclass
class Membership:
    """A joined group on an interface, for these sources, or for all but the excluded ones."""

    group: str
    interface: str
    sources: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    where: str = NAME
    settled: bool = True
    arrivals: int = 0
    """The number of the last datagram that arrived for it."""
    heard: set[str] = field(default_factory=set[str])
    """The sources of which something has arrived."""
    was_disturbed: bool = False
    """It may be joined while its interface has no address, and reported again once there is one."""

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.interface

    def accepts(self, source: str) -> bool:
        return source in self.sources if self.sources else source not in self.excluded

    def __str__(self) -> str:
        chosen = f" only {','.join(self.sources)}" if self.sources else ""
        chosen += f" not {','.join(self.excluded)}" if self.excluded else ""
        return f"{self.group}%{self.interface}{chosen} (by {self.where})"

    def moved_to(self, interface: str) -> Membership:
        """Return the membership of the same group on another interface, not settled yet."""
        return replace(self, interface=interface, settled=False, arrivals=0, heard=set(), was_disturbed=True)


class Ledger:
    """The datagrams that one receiver should have received, and did."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.port_name = name
        """The receiver that opened the port first: several may share it."""
        self.is_rejoining = False
        """It rejoins periodically."""
        self.memberships: dict[tuple[str, str], Membership] = {}
        self.fading: set[tuple[str, str]] = set()
        """Memberships that the receiver is about to give up, because the routes lead elsewhere now."""
        self.expected: dict[int, Verdict] = {}
        self.missing: dict[int, Datagram] = {}
        """Datagrams that must arrive and have not yet."""
        self.received: set[int] = set()
        self.required = 0
        self.copies = 0
        """Datagrams queued once more, on a socket for another interface: a counter may count these drops too."""
        self._last: dict[tuple[str, int, str, str], int] = {}

    @property
    def optional(self) -> int:
        """The number of datagrams that did not have to arrive and did not: a counter may count them."""
        return sum(
            verdict is not Verdict.MUST and number not in self.received
            for number, verdict in self.expected.items()
        )

    def verdict(self, datagram: Datagram, interface: Interface) -> Verdict:
        """Return what is expected of a datagram that is sent now."""
        membership = self.memberships.get((datagram.group, datagram.interface))
        if membership is None and (datagram.group, datagram.interface) in self.fading:
            return Verdict.MAY
        if membership is None or not membership.accepts(datagram.source):
            return Verdict.MUST_NOT
        is_reported_again = self.is_rejoining or membership.was_disturbed
        is_certain = membership.settled and (not is_reported_again or datagram.source in membership.heard)
        return Verdict.MUST if is_certain and interface.works_for(datagram.group) else Verdict.MAY

    def expect(self, datagram: Datagram, verdict: Verdict, outside: int = 0) -> None:
        """Enter a datagram that is sent now. ``outside`` is the number of interfaces that are not in the model."""
        self.expected[datagram.number] = verdict
        if ":" in datagram.group:
            # One IPv6 group on several interfaces needs a socket for each, and the kernel sorts by the group alone.
            joined = [one for one in self.memberships.values() if one.group == datagram.group]
            sockets = len(joined) + (outside if any(one.where == ALL for one in joined) else 0)
            self.copies += max(0, sockets - 1)
        if verdict is Verdict.MUST:
            self.required += 1
            self.missing[datagram.number] = datagram

    def excuse(self, interface: str | None = None, *, only_ipv6: bool = False) -> None:
        """Let datagrams that are on the way, by this interface or any, be lost without a count."""
        for number, datagram in list(self.missing.items()):
            is_concerned = ":" in datagram.group or not only_ipv6
            if is_concerned and interface in (None, datagram.interface):
                del self.missing[number]
                self.required -= 1
                self.expected[number] = Verdict.MAY

    def arrived(self, datagram: Datagram, arrival: Arrival) -> None:
        """Check an arrival against all rules.

        Raises:
            FaultError: It breaks one.
        """
        verdict = self.expected.get(datagram.number)
        if verdict is None or verdict is Verdict.MUST_NOT:
            raise FaultError(f"{self.name} received {datagram}, which it has not joined")
        if datagram.number in self.received:
            raise FaultError(f"{self.name} received {datagram} twice")
        found = (arrival.group, arrival.index, arrival.source)
        if found != (datagram.group, datagram.index, datagram.source):
            raise FaultError(f"{self.name} received {datagram} as {found}")
        last = self._last.get(datagram.stream, 0)
        if datagram.number < last:
            raise FaultError(f"{self.name} received {datagram} after #{last} of the same stream")
        self._last[datagram.stream] = datagram.number
        self.received.add(datagram.number)
        self.missing.pop(datagram.number, None)
        membership = self.memberships.get((datagram.group, datagram.interface))
        if membership is not None:
            membership.arrivals = max(membership.arrivals, datagram.number)
            membership.heard.add(datagram.source)

    def check_counted(self, counted: int, missing: list[Datagram]) -> None:
        """Check the counters of the receiver: what is missing was counted, and nothing else was.

        Raises:
            FaultError: They are wrong.
        """
        if counted < len(missing):
            raise FaultError(
                f"{self.name} lost {len(missing)} of {self.required} datagrams and counted {counted}: "
                f"{', '.join(map(str, missing[:3]))}"
            )
        if counted > len(self.missing) + self.optional + self.copies:
            raise FaultError(
                f"{self.name} counted {counted} dropped datagrams, but only {len(self.missing)} are missing, "
                f"{self.optional} more did not arrive, and {self.copies} were queued twice"
            )


class Model:
    """All interfaces, all receivers, all datagrams."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.arrival = threading.Condition(self.lock)
        """Notified when something arrives."""
        self.interfaces: dict[str, Interface] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.datagrams: dict[int, Datagram] = {}
        self.faults: list[FaultError] = []
        self.outside = 0
        """The most interfaces that are not in the model: a group that is joined on all is joined there too."""
        self.route = ""
        """The interface to which the routes of IPv4 groups lead, or nothing if they lead out of the model."""

    def place(self, interface: str) -> Interface:
        return self.interfaces.get(interface, NOWHERE)

    def send(self, port: int, group: str, interface: str, source: str) -> Datagram:
        """Record a datagram that is about to be sent, and what every receiver must do with it."""
        with self.lock:
            place = self.place(interface)
            datagram = Datagram(len(self.datagrams) + 1, port, group, interface, place.index, source)
            self.datagrams[datagram.number] = datagram
            for ledger in self.ledgers.values():
                if ledger.port == port:
                    ledger.expect(datagram, ledger.verdict(datagram, place), self.outside)
            return datagram

    def arrive(self, receiver: str, arrivals: list[Arrival]) -> None:
        """Record what a receiver delivered. Any fault is kept for `check`, as this runs in threads of consumers."""
        with self.lock:
            ledger = self.ledgers[receiver]
            for arrival in arrivals:
                datagram = self.datagrams.get(arrival.number)
                if datagram is None:
                    self.fail(f"{receiver} received {arrival}, which was never sent")
                    continue
                try:
                    ledger.arrived(datagram, arrival)
                except FaultError as fault:
                    self.faults.append(fault)
            self.arrival.notify_all()

    def fail(self, message: str) -> None:
        """Record a fault that a thread noticed."""
        with self.lock:
            self.faults.append(FaultError(message))

    def check(self) -> None:
        """Raise the first fault that was recorded."""
        with self.lock:
            if self.faults:
                raise self.faults[0]

    def disturb(self, interface: str, *, only_ipv6: bool = False) -> None:
        """Record that an interface is about to be disturbed.

        Its memberships are unsettled until a probe arrives. Datagrams that are on the way by it may be lost.
        """
        with self.lock:
            for membership in self.on(interface):
                if ":" in membership.group or not only_ipv6:
                    membership.settled = False
                    membership.was_disturbed = True
                    membership.heard.clear()
            for ledger in self.ledgers.values():
                ledger.excuse(interface, only_ipv6=only_ipv6)

    def follow_route(self, interface: str) -> None:
        """Record that the routes of IPv4 groups lead to another interface from now on."""
        with self.lock:
            self.route = interface
            for ledger in self.ledgers.values():
                for key, membership in list(ledger.memberships.items()):
                    if membership.where == ROUTE and membership.interface != interface:
                        ledger.excuse(membership.interface)
                        ledger.fading.add(key)
                        del ledger.memberships[key]
                        moved = membership.moved_to(interface)
                        ledger.memberships[moved.key] = moved

    def appear(self, interface: Interface) -> None:
        """Record an interface that did not exist before: groups that are joined on all are joined there, too."""
        with self.lock:
            self.interfaces[interface.name] = interface
            for ledger in self.ledgers.values():
                for membership in list(ledger.memberships.values()):
                    if membership.where == ALL:
                        added = membership.moved_to(interface.name)
                        ledger.memberships.setdefault(added.key, added)

    def on(self, interface: str) -> list[Membership]:
        """Return the memberships on an interface."""
        return [
            membership
            for ledger in self.ledgers.values()
            for membership in ledger.memberships.values()
            if membership.interface == interface
        ]

    def unsettled(self) -> list[tuple[Ledger, Membership]]:
        """Return the memberships that have to settle now, because their interface works."""
        with self.lock:
            return [
                (ledger, membership)
                for ledger in self.ledgers.values()
                for membership in ledger.memberships.values()
                if not membership.settled and self.place(membership.interface).works_for(membership.group)
            ]
