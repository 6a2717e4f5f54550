"""Carry out steps on the real network and the real receivers, and keep the model informed."""

import contextlib
import os
import random
import resource
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from multicast import UnsupportedError
from tests.chaos import consumers
from tests.chaos.consumers import Consumer
from tests.chaos.model import FaultError, Interface, Ledger, Membership, Model
from tests.chaos.network import Network
from tests.chaos.steps import Step, accepted_source

HEALING_SECONDS = float(os.environ.get("CHAOS_HEALING_SECONDS", "2.0"))
"""Within this time a membership settles after its interface works again."""
DELIVERY_SECONDS = 3.0
"""Within this time a datagram arrives or is counted. Far more than it takes, as the machine may be busy."""
PROBE_SECONDS = 0.02
CHILD_SECONDS = 5
DISTURBING = {
    *("down", "up", "flap", "unplug", "plug", "delete", "create", "recreate", "same_index", "restore"),
    *(
        "readdress",
        "add_address",
        "routes",
        "stranger",
        "open",
        "join",
        "leave",
        "rejoin",
        "close",
        "exhaust",
    ),
}
"""Actions during which the other memberships must go on receiving."""


class Driver:
    """One run: a network, a model of it, and receivers."""

    def __init__(self, network: Network, kinds: dict[str, type[Consumer]] | None = None) -> None:
        self.network = network
        self.kinds = kinds or consumers.KINDS
        self.model = Model()
        self.consumers: dict[str, Consumer] = {}
        self._sending = threading.Lock()
        self.trace: list[str] = []
        self.healing: list[float] = []
        self.sent = self.received = self.counted = 0
        self._begun = time.monotonic()

    def perform(self, step: Step) -> bool:
        """Carry out a step, unless an earlier one made it impossible. Return whether it was possible.

        Raises:
            FaultError: The product broke a rule of the model.
        """
        action: Callable[..., bool | None] = getattr(self, step.action)
        self.note(str(step))
        with self._traffic() if step.action in DISTURBING else contextlib.nullcontext():
            possible = action(**step.arguments) is not False
        if not possible:
            self.note("  not possible now")
        self.model.check()
        return possible

    @contextlib.contextmanager
    def _traffic(self) -> Iterator[None]:
        """Send to all settled memberships during the block: they must not lose anything by what happens there."""
        ended = threading.Event()
        dice = random.Random(len(self.trace))

        def send() -> None:
            while not ended.wait(0.001):
                with self.model.lock:
                    targets = [target for target in self.targets() if target[1].settled]
                for ledger, membership in dice.sample(targets, min(len(targets), 5)):
                    # The interface may be gone by now, which the model knows.
                    with contextlib.suppress(OSError):
                        self._send(
                            ledger.port, membership.group, membership.interface, accepted_source(membership)
                        )

        thread = threading.Thread(target=send, name="traffic")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def targets(self) -> list[tuple[Ledger, Membership]]:
        """Return all memberships whose interface works."""
        return [
            (ledger, one)
            for ledger in self.model.ledgers.values()
            for one in ledger.memberships.values()
            if self.model.interfaces[one.interface].works
        ]

    def note(self, text: str) -> None:
        self.trace.append(f"{time.monotonic() - self._begun:8.3f} {text}")

    # Interfaces

    def add(self, interface: str, kind: str) -> bool:
        if interface in self.model.interfaces:
            return False
        self.network.add(interface, kind)
        self.model.interfaces[interface] = Interface(interface, kind)
        self._look_up(interface)
        return True

    def _look_up(self, interface: str) -> None:
        # This process may be out of descriptors, but the shell is not.
        index = int(self.network.shell.run(f"ip -oneline link show {interface}").partition(":")[0])
        self.model.interfaces[interface].index = index

    def _disturb(self, interface: str, possible: bool) -> bool:
        if possible:
            self.model.disturb(interface)
        return possible

    def down(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not self._disturb(interface, state.exists and state.is_up):
            return False
        state.is_up = False
        self.network.links[interface].set_up(False)
        return True

    def up(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not state.exists or state.is_up:
            return False
        self.network.links[interface].set_up(True)
        state.is_up = True
        return True

    def flap(self, interface: str) -> bool:
        return self.down(interface) and self.up(interface)

    def unplug(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not self._disturb(interface, state.exists and state.has_carrier and state.kind != "tun"):
            return False
        state.has_carrier = False
        self.network.links[interface].set_carrier(False)
        return True

    def plug(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not state.exists or state.has_carrier:
            return False
        self.network.links[interface].set_carrier(True)
        state.has_carrier = True
        return True

    def delete(self, interface: str) -> bool:
        state = self.model.interfaces[interface]
        if not self._disturb(interface, state.exists):
            return False
        state.exists = False
        self.network.links[interface].delete()
        return True

    def create(self, interface: str, index: int = 0) -> bool:
        state = self.model.interfaces[interface]
        if state.exists:
            return False
        self.network.links[interface].create(index)
        state.exists = state.is_up = state.has_carrier = True
        self._look_up(interface)
        return True

    def recreate(self, interface: str) -> bool:
        return self.delete(interface) and self.create(interface)

    def same_index(self, interface: str) -> bool:
        """Delete an interface, and create it again with the index that it had."""
        state = self.model.interfaces[interface]
        return state.kind != "tun" and self.delete(interface) and self.create(interface, state.index)

    def restore(self) -> None:
        """Let every interface work."""
        for interface in self.model.interfaces:
            _ = self.create(interface), self.up(interface), self.plug(interface)

    # Changes that concern no membership

    def readdress(self, interface: str) -> bool:
        """Remove the addresses of an interface, and add them again."""
        if not self.model.interfaces[interface].exists:
            return False
        ipv4, ipv6 = self.network.links[interface].addresses
        self.network.shell.run(f"""
            ip addr del {ipv4} dev {interface} 2>/dev/null || true
            ip -6 addr del {ipv6} dev {interface} 2>/dev/null || true
            ip addr add {ipv4} dev {interface}
            ip -6 addr replace {ipv6} dev {interface} nodad
        """)
        return True

    def add_address(self, interface: str) -> bool:
        """Add another address to an interface, and remove it again."""
        if not self.model.interfaces[interface].exists:
            return False
        self.network.shell.run(
            f"ip addr add 10.67.0.1/32 dev {interface}; ip addr del 10.67.0.1/32 dev {interface}"
        )
        return True

    def routes(self, count: int) -> None:
        """Add and remove routes to places where no group is."""
        lines = [
            f"route {verb} unreachable 198.18.{n // 250}.{n % 250}/32"
            for verb in ("add", "del")
            for n in range(count)
        ]
        self.network.shell.run("ip -batch - <<'END'\n" + "\n".join(lines) + "\nEND")

    def stranger(self, count: int) -> None:
        """Let an interface without memberships come and go."""
        for _ in range(min(count, 20)):
            self.network.shell.run("""
                ip link add stranger type veth peer name stranger1
                ip addr add 10.68.0.1/24 dev stranger; ip link set stranger up; ip link del stranger
            """)

    # Receivers

    def open(
        self,
        receiver: str,
        kind: str,
        share: str | None,
        memberships: list[dict[str, Any]],
        options: dict[str, Any],
    ) -> bool:
        owner = self.consumers.get(share) if share else None
        joined = self._joinable(memberships, None)
        if not joined:
            return False
        # Groups without sources come by the constructor as endpoints, the others by join().
        first, *rest = joined
        first.settled = self.model.interfaces[first.interface].works
        deliver, fail = self._reports(receiver)
        endpoint = f"{first.group}%{first.interface}"
        chosen = {"source": list(first.sources), "exclude": list(first.excluded)}
        port = owner.rx.port if owner else 0
        consumer = self.kinds[kind](deliver, fail, [endpoint], port, **chosen, **options)
        ledger = Ledger(receiver, consumer.rx.port)
        ledger.port_name = self.model.ledgers[share].port_name if owner and share else receiver
        with self.model.lock:
            self.model.ledgers[receiver] = ledger
            ledger.memberships[first.key] = first
        self.consumers[receiver] = consumer
        consumer.start()
        self._join(receiver, rest)
        return True

    def _reports(self, receiver: str) -> tuple[consumers.Deliver, consumers.Fail]:
        return (
            lambda arrivals: self.model.arrive(receiver, arrivals),
            lambda message: self.model.fail(f"{receiver}: {message}"),
        )

    def _joinable(self, memberships: list[dict[str, Any]], ledger: Ledger | None) -> list[Membership]:
        found: dict[tuple[str, str], Membership] = {}
        for one in memberships:
            membership = Membership(
                one["group"], one["interface"], tuple(one["sources"]), tuple(one["excluded"])
            )
            interface = self.model.interfaces.get(membership.interface)
            if interface and interface.exists and not (ledger and membership.key in ledger.memberships):
                found[membership.key] = membership
        return list(found.values())

    def join(self, receiver: str, memberships: list[dict[str, Any]]) -> bool:
        ledger = self.model.ledgers.get(receiver)
        joined = self._joinable(memberships, ledger) if ledger else []
        self.drain()
        self._join(receiver, joined)
        return bool(joined)

    def _join(self, receiver: str, memberships: list[Membership]) -> None:
        ledger = self.model.ledgers[receiver]
        for membership in memberships:
            with self.model.lock:
                # From here until join() returns, it may arrive.
                membership.settled = False
                ledger.memberships[membership.key] = membership
            self.consumers[receiver].call(
                "join",
                membership.group,
                membership.interface,
                source=list(membership.sources),
                exclude=list(membership.excluded),
            )
            membership.settled = self.model.interfaces[membership.interface].works

    def leave(self, receiver: str, groups: list[list[str]]) -> bool:
        ledger = self.model.ledgers.get(receiver)
        if ledger is None:
            return False
        left = [key for group, interface in groups if (key := (group, interface)) in ledger.memberships]
        with self.model.lock:
            for key in left:
                ledger.memberships[key].settled = False
        self.drain()
        left_any = False
        for key in left:
            group, interface = key
            if self.model.interfaces[interface].exists:
                self.consumers[receiver].call("leave", group, interface)
            elif all(other == key or other[0] != group for other in ledger.memberships):
                # Only without an interface can a group be left where the interface is gone.
                self.consumers[receiver].call("leave", group)
            else:
                continue
            left_any = True
            with self.model.lock:
                del ledger.memberships[key]
        return left_any

    def rejoin(self, receiver: str, groups: list[list[str]]) -> bool:
        ledger = self.model.ledgers.get(receiver)
        if ledger is None:
            return False
        before = [ledger.memberships.get((group, interface)) for group, interface in groups]
        kept = [one for one in before if one and self.model.interfaces[one.interface].exists]
        possible = self.leave(receiver, [list(one.key) for one in kept])
        self._join(receiver, kept)
        return possible

    def close(self, receiver: str) -> bool:
        if receiver not in self.consumers:
            return False
        self.drain()
        self._finish(receiver)
        return True

    def _finish(self, receiver: str) -> None:
        self.consumers.pop(receiver).close()
        with self.model.lock:
            ledger = self.model.ledgers.pop(receiver)
        self.sent += ledger.required
        self.received += ledger.required - len(ledger.missing)
        self.counted += len(ledger.missing)

    # Datagrams

    def send(self, targets: list[list[str]], count: int) -> bool:
        """Send ``count`` datagrams to each target in turn: port of a receiver, group, interface, source."""
        drops = softnet_drops()
        possible = False
        for _ in range(count):
            for port_name, group, interface, source in targets:
                ports = [one.port for one in self.model.ledgers.values() if one.port_name == port_name]
                state = self.model.interfaces.get(interface)
                if ports and state and state.works:
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
                ledger.excuse(set(ledger.missing))

    def drain(self) -> None:
        """Wait until everything that must arrive has arrived or was counted, and check the counters."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        for name, consumer in self.consumers.items():
            ledger = self.model.ledgers[name]
            with self.model.lock:
                # Others may be sent meanwhile.
                awaited = set(ledger.missing)
            while True:
                counted = consumer.counted()
                with self.model.lock:
                    awaited &= ledger.missing
                    if counted >= len(awaited) or time.monotonic() > deadline:
                        ledger.check_counted(counted, awaited)
                        break
                    self.model.arrival.wait(0.005)
        self.model.check()

    def settle(self) -> None:
        """Send probes until every membership whose interface works has received one, and check the groups."""
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
                source = accepted_source(membership)
                # An interface that has just come up may refuse a packet.
                with contextlib.suppress(OSError):
                    number = self._send(ledger.port, membership.group, membership.interface, source)
                    first.setdefault(id(membership), number)
            with self.model.lock:
                self.model.arrival.wait(PROBE_SECONDS)
            self.model.check()
        if first:
            self.healing.append(time.monotonic() - begun)
            self.note(f"  settled after {self.healing[-1]:.3f} s")
        self.drain()
        self._check_groups()

    def _unsettled(self, first: dict[int, int]) -> list[tuple[Ledger, Membership]]:
        """Settle the memberships that have received a probe, and return the others."""
        with self.model.lock:
            waiting = []
            for ledger, membership in self.model.unsettled():
                if membership.arrivals >= first.get(id(membership), 1 << 60):
                    membership.settled = True
                else:
                    waiting.append((ledger, membership))
            return waiting

    def _check_groups(self) -> None:
        if not all(interface.works for interface in self.model.interfaces.values()):
            return
        for name, consumer in self.consumers.items():
            found = sorted((one.group, one.interface) for one in consumer.rx.groups)
            wanted = sorted(
                (group, self.model.interfaces[interface].index)
                for group, interface in self.model.ledgers[name].memberships
            )
            if found != wanted:
                raise FaultError(f"{name} says it has joined {found}, but it should be {wanted}")

    # The process

    def fork(self, receiver: str, call: str) -> bool:
        """Fork a child that uses a receiver once and ends: it must not disturb the receivers of this process."""
        if receiver not in self.consumers:
            return False
        self.drain()
        rx = self.consumers[receiver].rx
        core = getattr(rx, "_core", rx)
        with warnings.catch_warnings():
            # Python warns of forking with threads, which is the point here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(CHILD_SECONDS)
                use_in_child(core, call)
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 0:
            raise FaultError(f"{call} of {receiver} in a forked child ended with {code}")
        return True

    def exhaust(self, interface: str, fault: str) -> bool:
        """Disturb an interface while this process can open no descriptor, and send on the others meanwhile."""
        if not self.model.interfaces[interface].works:
            return False
        with no_descriptors():
            possible: bool = getattr(self, fault)(interface)
            self.send(self._everywhere_but(interface), 3)
            for consumer in self.consumers.values():
                consumer.rx.stats()
        return possible

    def _everywhere_but(self, interface: str) -> list[list[str]]:
        return [
            [ledger.port_name, one.group, one.interface, accepted_source(one)]
            for ledger in self.model.ledgers.values()
            for one in ledger.memberships.values()
            if one.interface != interface
        ]

    def end(self) -> None:
        """Close the receivers, after the last checks."""
        self.drain()
        for receiver in list(self.consumers):
            self._finish(receiver)
        self.model.check()

    def abandon(self) -> None:
        """Close the receivers without any check, after a fault."""
        for consumer in self.consumers.values():
            with contextlib.suppress(Exception):
                consumer.close()


def use_in_child(core: Any, call: str) -> None:
    try:
        if call == "stats":
            core.stats()
        elif call == "poll":
            with contextlib.suppress(TimeoutError):
                core.recv_batch(1, 0)
        elif call == "close":
            core.close()
    except UnsupportedError:
        # A receiver with a ring says that it cannot be used in a child.
        return


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open no descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    free = next(number for number in range(soft) if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def softnet_drops() -> int:
    """Return how many packets the kernel has dropped between an interface and the sockets, on any interface."""
    lines = os.pread(_SOFTNET, 1 << 16, 0).splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


# Open for good: it is read when this process is out of descriptors.
_SOFTNET = os.open("/proc/net/softnet_stat", os.O_RDONLY | os.O_CLOEXEC)
