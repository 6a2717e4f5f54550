"""Test that receivers in several processes share the datagrams of a group: each one gets to one of them."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import pytest

from multicast import aio
from multicast.sync import Receiver, Sender
from tests.wire.exchange import PATIENCE, nothing_more
from tests.wire.faults import open_descriptors

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

PROCESSES = 4
SENT = 4_000

# Print the port; after a line of input, print the numbers and the senders of what arrived.
RECEIVE = """
import json, sys
from multicast.sync import Receiver
group, port, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
received = []
with Receiver(group, port, interface="lo", engine="packet", fanout=(7, way)) as rx:
    print(rx.port, flush=True)
    sys.stdin.readline()
    try:
        while True:
            received += [(int(msg.data), msg.sender[1]) for msg in rx.recv_batch(timeout=1.0)]
    except TimeoutError:
        assert rx.stats().kernel_drops == 0, rx.stats()
json.dump(received, sys.stdout)
"""


class Process:
    """A process that receives its share."""

    def __init__(self, group: str, port: int, way: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RECEIVE, group, str(port), way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())


@contextmanager
def processes(group: str, way: str) -> Generator[list[Process], None, None]:
    """Start processes that share the datagrams of a group on one port."""
    with ExitStack() as stack:
        started: list[Process] = []
        for _ in range(PROCESSES):
            one = Process(group, started[0].port if started else 0, way)
            stack.enter_context(one.process)
            started.append(one)
        yield started


def shares(started: list[Process]) -> list[list[tuple[int, int]]]:
    """End the processes; return the number and the sender's port of each datagram that each one received."""
    for one in started:
        assert one.process.stdin is not None
        one.process.stdin.close()
    found: list[list[tuple[int, int]]] = []
    for one in started:
        assert one.process.stdout is not None
        found.append([(number, port) for number, port in json.loads(one.process.stdout.read())])
        assert one.process.wait(PATIENCE) == 0
    return found


@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_fanout_round_robin_gives_each_process_a_quarter(group: str) -> None:
    with processes(group, "round-robin") as started:
        with Sender(group, started[0].port, interface="lo", gso=False) as tx:
            tx.send_many([str(number).encode() for number in range(SENT)])
        received = shares(started)
    assert sorted(number for share in received for number, _ in share) == list(range(SENT))
    quarter = SENT // PROCESSES
    assert all(abs(len(share) - quarter) < quarter // 10 for share in received), [
        len(one) for one in received
    ]


def test_fanout_by_flow_keeps_senders_together_and_uses_each_process() -> None:
    senders, each = 400, 10
    with processes("239.9.8.7", "flow") as started:
        for sender in range(senders):
            with Sender("239.9.8.7", started[0].port, interface="lo", gso=False) as tx:
                tx.send_many([str(sender * each + number).encode() for number in range(each)])
        received = shares(started)
    assert sorted(number for share in received for number, _ in share) == list(range(senders * each))
    found = [Counter(port for _, port in share) for share in received]
    assert sum(len(ports) for ports in found) == len({port for ports in found for port in ports})
    # A hundred senders each, give or take five standard deviations.
    assert all(abs(len(share) / each - senders / PROCESSES) < 45 for share in received)


def test_fanout_of_both_ip_versions_receives_both() -> None:
    with Receiver(["239.9.8.7", "ff15::9:8:7"], 0, interface="lo", engine="packet", fanout=8) as rx:
        for group in ("239.9.8.7", "ff15::9:8:7"):
            with Sender(group, rx.port, interface="lo") as tx:
                nothing_more(rx, tx)


def test_fanout_number_used_in_another_mode_is_refused() -> None:
    with (
        Receiver("239.9.8.7", 0, interface="lo", engine="packet", fanout=(9, "flow")) as rx,
        pytest.raises(OSError, match=r"cannot share packets with other receivers: .*in another mode"),
    ):
        Receiver("239.9.8.7", rx.port, interface="lo", engine="packet", fanout=(9, "round-robin"))


def test_fanout_in_an_event_loop_receives() -> None:
    async def receive() -> bytes:
        async with aio.Receiver("239.9.8.7", 0, interface="lo", engine="packet", fanout=10) as rx:
            async with aio.Sender("239.9.8.7", rx.port, interface="lo") as tx:
                await tx.send(b"shared")
            return (await rx.recv(timeout=PATIENCE)).data

    assert asyncio.run(receive()) == b"shared"


def test_fanout_that_refuses_a_join_leaves_nothing_joined() -> None:
    with (
        Receiver("ff15::9:8:7", 0, interface="lo", engine="packet", fanout=(9, "round-robin")),
        Receiver("239.9.8.7", 0, interface="lo", engine="packet", fanout=(9, "flow")) as rx,
    ):
        before = open_descriptors(), rx.groups, rx.stats().sockets
        with pytest.raises(OSError, match="another program uses this fanout number in another mode"):
            rx.join(["239.9.8.8", "ff15::9:8:8"], "lo")
        assert (open_descriptors(), rx.groups, rx.stats().sockets) == before
        with (
            Sender("239.9.8.8", rx.port, interface="lo") as other,
            Sender("239.9.8.7", rx.port, interface="lo") as tx,
        ):
            other.send(b"not joined any more")
            nothing_more(rx, tx)
