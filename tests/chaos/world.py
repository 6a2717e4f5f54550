"""The network, the receivers and the model of one run: sending, and waiting for what has to arrive."""

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Generator
from typing import Any

from tests.chaos import consumers
from tests.chaos.consumers import Consumer
from tests.chaos.model import FaultError, Ledger, Membership, Model
from tests.chaos.network import Network
from tests.chaos.steps import accepted_source, unheard_source
from tests.support.background import running

HEALING_SECONDS = float(os.environ.get("CHAOS_HEALING_SECONDS", "2.0"))
"""Within this time a membership settles after its interface works again."""
DELIVERY_SECONDS = 3.0
"""Within this time a datagram arrives or is counted. Far more than it takes, as the machine may be busy."""
PROBE_SECONDS = 0.02
PORTS_AND_STRANGERS = 7
"""The ports of five bridges, and the two interfaces without memberships that come and go."""


class World:
    """A network, a model of it, and receivers."""

    def __init__(self, network: Network, kinds: dict[str, type[Consumer]] | None = None) -> None:
        self.network = network
        self.kinds = kinds or consumers.KINDS
        self.model = Model()
        self.model.outside = len(socket.if_nameindex()) + PORTS_AND_STRANGERS
        self.consumers: dict[str, Consumer] = {}
        self.trace: list[str] = []
        self.healing: list[float] = []
        self.sent = self.received = self.counted = 0
        self._sending = threading.Lock()
        self._begun = time.monotonic()

    def note(self, text: str) -> None:
        self.trace.append(f"{time.monotonic() - self._begun:8.3f} {text}")

    @contextlib.contextmanager
    def traffic(self) -> Generator[None, None, None]:
        """Send to all settled memberships during the block: they must not lose anything by what happens there."""
        dice = random.Random(len(self.trace))

        def send(ended: threading.Event) -> None:
            while not ended.wait(0.001):
                with self.model.lock:
                    targets = [target for target in self.targets() if target[1].settled]
                for ledger, membership in dice.sample(targets, min(len(targets), 5)):
                    # The interface may be gone by now, which the model knows.
                    with contextlib.suppress(OSError):
                        self._send(
                            ledger.port, membership.group, membership.interface, accepted_source(membership)
                        )

        with running(send):
            yield

    def targets(self) -> list[tuple[Ledger, Membership]]:
        """Return all memberships whose interface works."""
        return [
            (ledger, one)
            for ledger in self.model.ledgers.values()
            for one in ledger.memberships.values()
            if self.model.place(one.interface).works_for(one.group)
        ]

    def send(self, targets: list[list[str]], count: int) -> bool:
        """Send ``count`` datagrams to each target in turn: port of a receiver, group, interface, source."""
        drops = softnet_drops()
        possible = False
        for _ in range(count):
            for port_name, group, interface, source in targets:
                ports = [one.port for one in self.model.ledgers.values() if one.port_name == port_name]
                if ports and self.model.place(interface).works_for(group):
                    self._send(ports[0], group, interface, source)
                    possible = True
        if softnet_drops() != drops:
            self._excuse_all()
        self.drain()
        return possible

    def _send(self, port: int, group: str, interface: str, source: str) -> int:
        # Together, so that the datagrams of a stream are sent in the order of their numbers.
        with self._sending:
            datagram = self.model.send(port, group, interface, source)
            self.network.links[interface].inject(source, group, port, b"%d" % datagram.number)
        return datagram.number

    def _excuse_all(self) -> None:
        """The kernel dropped packets before any socket, perhaps some of ours."""
        self.note("  the kernel dropped packets before they reached a socket")
        with self.model.lock:
            for ledger in self.model.ledgers.values():
                ledger.excuse()

    def drain(self) -> None:
        """Wait until everything that must arrive has arrived or was counted, and check the counters."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        for name, consumer in self.consumers.items():
            ledger = self.model.ledgers[name]
            with self.model.lock:
                # Others may be sent in the meantime.
                awaited = set(ledger.missing)
            while True:
                counted = consumer.counted()
                with self.model.lock:
                    awaited &= ledger.missing.keys()
                    if counted >= len(awaited) or time.monotonic() > deadline:
                        # The cause of a loss, if it is known, says more than the loss.
                        self.model.check()
                        ledger.check_counted(counted, [ledger.missing[n] for n in sorted(awaited)])
                        break
                    self.model.arrival.wait(0.005)
        self.model.check()

    def settle(self) -> None:
        """Send probes until every membership whose interface works has received them, and check the groups."""
        begun = time.monotonic()
        first: dict[int, int] = {}
        while waiting := self._unsettled(first):
            if time.monotonic() - begun > HEALING_SECONDS:
                ledger, membership = waiting[0]
                raise FaultError(
                    f"{ledger.name} receives nothing for {membership} within {HEALING_SECONDS:g} s, "
                    f"and for {len(waiting) - 1} other memberships"
                )
            for ledger, membership in waiting:
                source = unheard_source(membership) or accepted_source(membership)
                # An interface that has just come up may refuse a packet.
                with contextlib.suppress(OSError):
                    number = self._send(ledger.port, membership.group, membership.interface, source)
                    first.setdefault(id(membership), number)
            with self.model.lock:
                self.model.arrival.wait(PROBE_SECONDS)
            self.model.check()
        self._await_fading(begun)
        if first:
            self.healing.append(time.monotonic() - begun)
            self.note(f"  settled after {self.healing[-1]:.3f} s")
        self.drain()
        self._check_groups()

    def _unsettled(self, first: dict[int, int]) -> list[tuple[Ledger, Membership]]:
        """Settle the memberships that have received a probe, and return the others."""
        with self.model.lock:
            waiting: list[tuple[Ledger, Membership]] = []
            for ledger, membership in self.model.unsettled():
                is_probed = membership.arrivals >= first.get(id(membership), 1 << 60)
                if is_probed and unheard_source(membership) is None:
                    membership.settled = True
                else:
                    waiting.append((ledger, membership))
            return waiting

    def _await_fading(self, begun: float) -> None:
        """Wait until the receivers have given up what the routes no longer lead to."""
        for name, consumer in self.consumers.items():
            ledger = self.model.ledgers[name]
            fading = {(group, self.model.place(one).index) for group, one in ledger.fading}
            fading -= {(group, self.model.place(one).index) for group, one in ledger.memberships}
            while fading & {(one.group, one.interface_index or 0) for one in consumer.rx.groups}:
                if time.monotonic() - begun > HEALING_SECONDS:
                    raise FaultError(f"{name} still has {sorted(fading)}, to which no route leads")
                with self.model.lock:
                    self.model.arrival.wait(PROBE_SECONDS)
            ledger.fading.clear()

    def _check_groups(self) -> None:
        indexes = {one.index for one in self.model.interfaces.values() if one.works and one.has_ipv6}
        if len(indexes) < len(self.model.interfaces):
            return
        for name, consumer in self.consumers.items():
            # Groups on all interfaces, or where the routes lead, may be joined on others than those of the model.
            found = {
                (one.group, one.interface_index)
                for one in consumer.rx.groups
                if one.interface_index in indexes
            }
            wanted = {
                (group, self.model.interfaces[interface].index)
                for group, interface in self.model.ledgers[name].memberships
                if interface
            }
            if found != wanted:
                raise FaultError(
                    f"{name} lists {sorted(found - wanted)}, which it should not, "
                    f"and does not list {sorted(wanted - found)}"
                )

    def call(self, receiver: str, method: str, *args: Any, **options: Any) -> None:
        """Call a method of a receiver, which must not fail.

        Raises:
            FaultError: It failed.
        """
        try:
            self.consumers[receiver].call(method, *args, **options)
        except Exception as error:
            raise FaultError(
                f"{method}{args} of {receiver} raised {type(error).__name__}: {error}"
            ) from error

    def finish(self, receiver: str) -> None:
        """Close a receiver, and add what it did to the totals."""
        consumer = self.consumers.pop(receiver)
        counted = consumer.counted()
        consumer.close()
        with self.model.lock:
            ledger = self.model.ledgers.pop(receiver)
        self.sent += ledger.required
        self.received += ledger.required - len(ledger.missing)
        # The counters also count datagrams that did not have to arrive.
        self.counted += min(counted, len(ledger.missing))

    def end(self) -> None:
        """Close the receivers, after the last checks."""
        self.drain()
        for receiver in list(self.consumers):
            self.finish(receiver)
        self.model.check()

    def abandon(self) -> None:
        """Close the receivers without any check, after a fault."""
        for consumer in self.consumers.values():
            with contextlib.suppress(Exception):
                consumer.close()


def softnet_drops() -> int:
    """Return how many packets the kernel has dropped between an interface and the sockets, on any interface."""
    lines = os.pread(_SOFTNET, 1 << 16, 0).splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


# Always open, because it is read when this process is out of descriptors.
_SOFTNET = os.open("/proc/net/softnet_stat", os.O_RDONLY | os.O_CLOEXEC)
