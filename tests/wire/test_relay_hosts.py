"""Relays on three hosts over a NATS server: everything arrives once, or is counted, whatever happens on the way.

``MULTICAST_FULL_LOAD=1`` sends 2,000,000 datagrams through. Without it, some thousands.
"""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import multicast
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.places import on
from tests.wire.relaying import NatsServer, RelayProgram, add_up, cut_off

FULL = os.environ.get("MULTICAST_FULL_LOAD") == "1"

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.private_net,
    pytest.mark.timeout(900 if FULL else 60),
]

HERE, THERE = "239.4.18.1", "239.4.18.2"
PORT = 49_418
COUNT = 2_000_000 if FULL else 20_000
RATE = 25_000.0 if FULL else 10_000.0
CONFIG = """
[nats]
ping_interval = 1
max_outstanding_pings = 1
[[relay]]
from = "{source}"
to = "{to}"
"""


def payload(number: int) -> bytes:
    return number.to_bytes(4, "big") * 25


class Path3:
    """A group on the first host, NATS on the second, another group on the third, and the programs at both ends."""

    def __init__(
        self, hosts: list[Host], folder: Path, stack: ExitStack, config: str = "", rate: float = RATE
    ) -> None:
        self.hosts = hosts
        file = folder / "nats.conf"
        file.write_text(config)
        self.server = NatsServer(hosts[1], file)
        stack.callback(self.server.kill)
        place = f"{self.server.url}/feeds"
        self.there = self._relay(stack, folder / "there.toml", hosts[2], place, f"{THERE}:{PORT}%eth0")
        self.here = self._relay(stack, folder / "here.toml", hosts[0], f"{HERE}:{PORT}%eth0", place)
        self.here.until_joined(HERE)
        self.here.until_connected()
        self.there.until_connected()
        with on(hosts[0]):
            self.tx = stack.enter_context(multicast.Sender(HERE, PORT, interface="eth0", rate=rate))
        with on(hosts[2]):
            self.rx = stack.enter_context(
                multicast.Receiver(THERE, PORT, interface="eth0", ring=1 << 18, gro=False)
            )
        self._sent = 0

    @staticmethod
    def _relay(stack: ExitStack, file: Path, host: Host, source: str, to: str) -> RelayProgram:
        file.write_text(CONFIG.format(source=source, to=to))
        return stack.enter_context(RelayProgram(host, "--config", os.fspath(file)))

    def send(self, count: int) -> None:
        """Send the next datagrams, and wait until the first relay has received them."""
        self.tx.send_many(payload(self._sent + n) for n in range(count))
        self._sent += count

        def is_received() -> bool:
            leg = self.here.leg()
            return leg.received + leg.lost_here == self._sent

        until(is_received, f"the relay to receive {self._sent}", 30.0)

    def catch_up(self) -> None:
        """Wait until each datagram that the first relay has sent was received or is known to be lost."""

        def is_settled() -> bool:
            here, there = self.here.leg(), self.there.leg()
            return not here.buffered and there.received + there.lost == here.sent

        try:
            until(is_settled, "all to be accounted for", 40.0)
        except TimeoutError as error:
            raise AssertionError(
                f"{error}: {self.here.leg()}, {self.there.leg()}, {self.here.err}"
            ) from error

    def settle(self) -> None:
        """Wait until everything is accounted for, end the relays, and check all sums."""
        self.catch_up()
        here, there = self.here.stop(), self.there.stop()
        assert here.received + here.lost_here == self._sent
        assert add_up(here) == here.received
        assert add_up(there) == there.received
        assert there.received + there.lost == here.sent
        assert (there.copies, there.failed, there.invalid) == (0, 0, 0)
        assert here.connected
        assert there.connected

    def received(self) -> list[bytes]:
        """Return all that arrived at the end of the path."""
        found: list[bytes] = []
        expected = self.there.leg().sent
        while len(found) < expected:
            found += self.rx.recv_batch(4096, timeout=10.0).payloads()
        return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def in_order(found: list[bytes]) -> bool:
    return all(a < b for a, b in itertools.pairwise(found))


def test_relay_across_hosts_passes_every_datagram_on_in_order(
    hosts: list[Host], stack: ExitStack, tmp_path: Path
) -> None:
    path = Path3(hosts, tmp_path, stack)
    found: list[bytes] = []
    for start in range(0, COUNT, 20_000):
        count = min(20_000, COUNT - start)
        path.send(count)
        while len(found) < start + count:
            found += path.rx.recv_batch(4096, timeout=10.0).payloads()
    path.settle()
    assert found == [payload(n) for n in range(COUNT)]


def test_relay_counts_what_a_server_loses_that_is_killed_and_started(
    hosts: list[Host], stack: ExitStack, tmp_path: Path
) -> None:
    path = Path3(hosts, tmp_path, stack)
    path.send(5000)
    path.server.kill()
    path.send(10_000)
    path.server.start()
    path.send(5000)
    path.settle()
    found = path.received()
    assert in_order(found)
    assert found[-1] == payload(19_999)


@pytest.mark.parametrize("side", [0, 2])
def test_relay_counts_what_a_partition_loses_and_goes_on_after_it(
    side: int, hosts: list[Host], tool: Callable[[str], str], stack: ExitStack, tmp_path: Path
) -> None:
    tool("nft")
    path = Path3(hosts, tmp_path, stack)
    path.send(5000)
    relay = path.there if side else path.here
    with cut_off(hosts[side], path.server.port):
        path.send(5000)
        until(lambda: relay.leg().connected is False, "the relay to notice", 15.0)
        path.send(5000)
    relay.until_connected()
    path.send(5000)
    path.settle()
    found = path.received()
    # The kernel can still deliver what the old connection held, after what the new one has carried.
    assert len(set(found)) == len(found)
    assert payload(19_999) in found


def test_relay_counts_what_a_slow_consumer_misses(
    hosts: list[Host], stack: ExitStack, tmp_path: Path
) -> None:
    path = Path3(hosts, tmp_path, stack, 'write_deadline: "1s"\nmax_pending: 1MB\n', 30_000.0)
    path.send(1000)
    # The kernel would hold 32 MB for a program that does not read.
    done = hosts[2].run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 131072 262144")
    assert done.returncode == 0, done.stderr
    path.there.interrupt(signal.SIGSTOP)
    # More than the server and both sockets hold: the server drops the connection.
    path.send(60_000)
    path.there.interrupt(signal.SIGCONT)
    path.catch_up()
    path.send(1000)
    path.settle()
    assert path.there.leg().lost > 0
    found = path.received()
    assert in_order(found)
    assert found[-1] == payload(61_999)
