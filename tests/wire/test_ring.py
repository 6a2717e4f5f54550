"""Test a receiver with a ring: what it holds and drops, which waiters it wakes, and that its counters add up."""

import asyncio
import contextlib
import functools
import select
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from multicast import _core, aio
from multicast._arguments import MAX_RING_CAPACITY
from multicast.apps.listening import Limits, Listener
from multicast.endpoints import Endpoint
from multicast.exceptions import ClosedError
from multicast.sync import Receiver, Sender
from tests.support import waiting
from tests.wire.counters import accounted, settled
from tests.wire.exchange import LOOPBACK, PATIENCE, TAKES, Link, Take, name, nothing_more
from tests.wire.frames import Wrapping

POLICIES = ["drop-oldest", "drop-newest", "block"]


def numbered(count: int, size: int = 4) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


def holds_more_than(rx: Receiver, held: int) -> bool:
    return rx.pending > held


def drain(rx: Receiver) -> list[bytes]:
    """Return all payloads that are pending."""
    taken: list[bytes] = []
    while rx.pending:
        taken += rx.recv_batch(limit=1000, timeout=0).payloads()
    return taken


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("take", TAKES, ids=name)
def test_ring_delivers_the_same_datagrams_as_direct(link: Link, take: Take, policy: str) -> None:
    messages = [bytes([n % 256]) * (n * 37 % 1400) for n in range(300)]
    with link.receiver() as plain, link.receiver(plain.port, ring=1000, ring_policy=policy) as rx:
        with link.sender(rx.port) as tx:
            tx.send_many(messages)
            ringed, direct = take(rx, len(messages)), take(plain, len(messages))
            assert [msg.data for msg in ringed] == messages

            def origin(msg: Any) -> tuple[Any, ...]:
                return (msg.sender, msg.group, msg.interface, msg.ttl, msg.truncated)

            assert [origin(msg) for msg in ringed] == [origin(msg) for msg in direct]
            assert [msg.timestamp_ns is None for msg in ringed] == [
                msg.timestamp_ns is None for msg in direct
            ]
            nothing_more(rx, tx)
        stats = rx.stats()
        assert (stats.received, stats.bytes_received) == (301, sum(map(len, messages)) + len(b"the end"))
        assert (stats.ring_drops, stats.filtered, stats.truncated) == (0, 0, 0)
        assert 1 <= stats.ring_high_water <= 301


def test_ring_largest_datagrams_arrive_whole(link: Link) -> None:
    with link.pair(ring=1) as (tx, rx):
        for byte in (b"a", b"b"):
            tx.send(byte * link.largest)
            assert rx.recv(timeout=PATIENCE).data == byte * link.largest


def test_ring_full_drop_oldest_drops_the_oldest() -> None:
    with LOOPBACK.pair(ring=100) as (tx, rx):
        messages = numbered(1000)
        tx.send_many(messages)
        stats = settled(rx, 1000)
        assert (stats.received, stats.bytes_received) == (100, 400)
        assert (stats.ring_drops, stats.ring_high_water) == (900, 100)
        assert rx.pending == 100
        assert drain(rx) == messages[900:]
        assert settled(rx, 1000) == stats


def test_ring_full_drop_newest_drops_the_newest() -> None:
    with LOOPBACK.pair(ring=100, ring_policy="drop-newest") as (tx, rx):
        messages = numbered(1000)
        tx.send_many(messages)
        stats = settled(rx, 1000)
        assert (stats.received, stats.ring_drops, stats.ring_high_water) == (100, 900, 100)
        assert drain(rx) == messages[:100]
        tx.send(b"there is room again")
        assert rx.recv(timeout=PATIENCE).data == b"there is room again"


@pytest.mark.platform("linux")
def test_ring_full_block_leaves_the_rest_to_the_kernel() -> None:
    with LOOPBACK.pair({"gso": False}, ring=10, ring_policy="block", recv_buffer=4096, gro=False) as (tx, rx):
        messages = numbered(1000)
        # One at a time: this small buffer does not hold ten if the thread is late.
        for message in messages[:10]:
            held = rx.pending
            tx.send(message)
            waiting.until(functools.partial(holds_more_than, rx, held), "the ring to take it")
        tx.send_many(messages[10:])
        heard: list[bytes] = []
        while True:
            try:
                heard += rx.recv_batch(timeout=0.2).payloads()
            except TimeoutError:
                break
        stats = rx.stats()
        assert stats.kernel_drops is not None
        assert stats.kernel_drops > 0
        assert (stats.ring_drops, stats.ring_high_water) == (0, 10)
        assert (stats.received, accounted(stats)) == (len(heard), 1000)
        # The datagrams received are in order.
        assert heard == sorted(heard)


def test_ring_large_datagrams_fill_it_by_bytes() -> None:
    # The ring has room for at least 1 MiB: 17 of these datagrams.
    with LOOPBACK.pair(ring=100, ring_policy="drop-newest") as (tx, rx):
        for _ in range(50):
            tx.send(bytes(60_000))
        stats = settled(rx, 50)
        assert (stats.received, stats.ring_drops, stats.ring_high_water) == (17, 33, 17)
        assert [len(payload) for payload in drain(rx)] == [60_000] * 17


def test_ring_close_counts_pending_datagrams_as_dropped() -> None:
    with LOOPBACK.pair(ring=1000) as (tx, rx):
        tx.send_many(numbered(500))
        settled(rx, 500)
        assert rx.recv(timeout=0).data == numbered(1)[0]
        assert len(rx.recv_batch(limit=9, timeout=0)) == 9
        rx.close()
        stats = rx.stats()
        assert (stats.received, stats.bytes_received, stats.ring_drops) == (10, 40, 490)
        assert stats.ring_high_water == 500


def test_ring_memory_stays_within_the_documented_limit() -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096

    with LOOPBACK.pair(ring=20_000, gro=False) as (tx, rx):
        # Warm up first: the receiver always has 64 slots of 64 KiB for one system call.
        tx.send_many([bytes(60_000)] * 16)
        settled(rx, 16)
        drain(rx)
        before = resident()
        for _ in range(60):
            tx.send_many([bytes(1400)] * 500)
            settled(rx, tx.stats().sent)
        grown = resident() - before
        assert rx.pending == 20_000
        # No lower bound: the process may reuse memory that it had before.
        assert grown < 20_000 * 2048 + (4 << 20)


def test_ring_descriptor_is_readable_while_datagrams_are_pending() -> None:
    def readable(seconds: float) -> bool:
        return bool(select.select([rx], [], [], seconds)[0])

    with LOOPBACK.pair(ring=1000) as (tx, rx):
        assert not readable(0)
        tx.send_many([b"a", b"b", b"c"])
        settled(rx, 3)
        for left in (3, 2, 1):
            assert readable(0)
            assert rx.pending == left
            rx.recv(timeout=0)
        assert not readable(0)
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        tx.send(b"later")
        assert readable(PATIENCE)
        assert rx.recv_batch(timeout=0).payloads() == [b"later"]
        assert not readable(0)
    with pytest.raises(ClosedError):
        rx.fileno()


def test_ring_datagrams_wake_every_waiting_thread() -> None:
    with LOOPBACK.pair(ring=1000) as (tx, rx):
        heard: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: heard.append(rx.recv(timeout=PATIENCE).data)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        tx.send_many(numbered(8))
        for thread in threads:
            thread.join()
        assert sorted(heard) == numbered(8)


def test_ring_datagram_wakes_an_event_loop() -> None:
    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface, ring=10_000) as rx:
            with LOOPBACK.sender(rx.port) as tx:
                first = asyncio.create_task(rx.recv(timeout=PATIENCE))
                await asyncio.sleep(0)
                tx.send(b"first")
                assert (await first).data == b"first"
                tx.send_many(numbered(3000))
                heard: list[bytes] = []
                async for msg in rx:
                    heard.append(msg.data)
                    if len(heard) == 3000:
                        break
                assert heard == numbered(3000)
                with pytest.raises(TimeoutError):
                    await rx.recv(timeout=0.01)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("waits", "error"), [("recv", ClosedError), ("recv_batch", ClosedError), ("__next__", StopIteration)]
)
def test_ring_close_wakes_waiting_threads(waits: str, error: type[Exception]) -> None:
    errors: list[Exception] = []

    def wait() -> None:
        try:
            getattr(rx, waits)()
        except error as caught:
            errors.append(caught)

    with LOOPBACK.receiver(ring=10) as rx:
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        rx.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(errors) == 3
        assert rx.closed
        rx.close()


def test_ring_close_ends_its_blocked_thread() -> None:
    with LOOPBACK.pair(ring=1, ring_policy="block") as (tx, rx):
        tx.send_many(numbered(100))
        waiting.until(lambda: rx.pending == 1, "a full ring")
        # The fixture no_leaks fails the test if the thread stays.
        rx.close()
        stats = rx.stats()
        assert (stats.received, stats.ring_high_water) == (0, 1)


def test_ring_join_and_leave_at_run_time_take_effect() -> None:
    with (
        LOOPBACK.pair(ring=100) as (tx, rx),
        Sender("239.9.8.100", rx.port, interface=LOOPBACK.interface) as other,
    ):
        rx.join("239.9.8.100", LOOPBACK.interface)
        other.send(b"joined")
        assert rx.recv(timeout=PATIENCE).group == "239.9.8.100"
        rx.leave("239.9.8.100")
        other.send(b"left")
        nothing_more(rx, tx)
        assert [membership.group for membership in rx.groups] == [LOOPBACK.group]


def test_ring_adopted_socket_is_received_from_and_detached() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind((LOOPBACK.group, 0))
        rx = Receiver.adopt(plain, LOOPBACK.group, interface=LOOPBACK.interface, ring=100)
    with rx, LOOPBACK.sender(rx.port) as tx:
        tx.send(b"to the ring")
        assert rx.recv(timeout=PATIENCE).data == b"to the ring"
        with socket.socket(fileno=rx.detach()) as own:
            assert rx.closed
            tx.send(b"to the socket")
            own.settimeout(PATIENCE)
            assert own.recv(100) == b"to the socket"


REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"ring": 0}, ValueError),
    ({"ring": -1}, ValueError),
    ({"ring": MAX_RING_CAPACITY + 1}, ValueError),
    ({"ring": 1 << 70}, ValueError),
    ({"ring": True}, TypeError),
    ({"ring": 10.0}, TypeError),
    ({"ring": 10, "ring_policy": "drop"}, ValueError),
    ({"ring_policy": "drop"}, ValueError),
]


@pytest.mark.parametrize(("options", "error"), REFUSED, ids=str)
def test_ring_bad_capacity_or_policy_is_rejected(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="ring"):
        LOOPBACK.receiver(**options)


@pytest.mark.parametrize("capacity", [0, MAX_RING_CAPACITY + 1])
def test_ring_capacity_out_of_range_is_rejected_by_the_core(capacity: int) -> None:
    with pytest.raises(ValueError, match="must be from 1 to 16777216 datagrams, got"):
        _core.Receiver()._open([(LOOPBACK.group, LOOPBACK.interface, [], [])], 0, ring=capacity)


def test_ring_of_largest_capacity_opens_and_receives() -> None:
    with LOOPBACK.pair(ring=MAX_RING_CAPACITY) as (tx, rx):
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).data == b"x"


def test_ring_counters_without_ring_are_zero() -> None:
    with LOOPBACK.pair() as (tx, rx):
        tx.send(b"x")
        rx.recv(timeout=PATIENCE)
        stats = rx.stats()
        assert (stats.ring_drops, stats.ring_high_water) == (0, 0)


def ring_threads() -> list[Path]:
    found: list[Path] = []
    for task in Path("/proc/self/task").iterdir():
        # A thread may end between the listing and the reading.
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().strip() == "multicast-ring":
                found.append(task)
    return found


def until_started() -> Path:
    """Wait until the thread of the ring has set its name, and return its folder in ``/proc``."""
    (thread,) = waiting.until(ring_threads, "the thread of a ring")
    return thread


@pytest.mark.platform("linux")
def test_ring_thread_blocks_all_signals_but_its_own_faults() -> None:
    with LOOPBACK.receiver(ring=10):
        lines = (until_started() / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines)
        blocked = {number for number in range(1, 32) if int(status["SigBlk"], 16) >> (number - 1) & 1}
        # ILL TRAP ABRT BUS FPE SEGV are faults of the thread itself. KILL and STOP cannot be blocked.
        assert set(range(1, 32)) - blocked == {4, 5, 6, 7, 8, 11, 9, 19}


@pytest.mark.platform("linux")
@pytest.mark.parametrize("ended", ["closed", "dropped"])
def test_ring_thread_ends_with_the_receiver(ended: str) -> None:
    rx: Receiver | None = LOOPBACK.receiver(ring=10)
    assert rx is not None
    until_started()
    if ended == "closed":
        rx.close()
    else:
        with pytest.warns(ResourceWarning, match="unclosed <Receiver on port"):
            rx = None
    waiting.until(lambda: not ring_threads(), "the end of the ring's thread", 1.0)


@pytest.mark.udp_sockets
@pytest.mark.parametrize("engine", ["socket", "packet"])
def test_listener_that_ends_yields_what_has_arrived_before(engine: Any, free_port: int) -> None:
    messages = numbered(3)
    with (
        Listener([Endpoint("239.9.7.1", free_port, "lo")], engine=engine) as listener,
        Sender("239.9.7.1", free_port, interface="lo") as tx,
    ):
        for _ in range(50):
            for message in messages:
                tx.send(message)
            # It ends at once, while the thread of the ring may not have run yet.
            batches = [found[1] for found in listener.batches(Limits(), lambda: True) if found]
            assert [payload for batch in batches for payload in batch.payloads()] == messages


@pytest.mark.udp_sockets
@pytest.mark.private_net
def test_listener_that_ends_yields_what_its_socket_has_beside_a_flood_of_packets(free_port: int) -> None:
    group, own, over = "239.9.7.1", [b"own"] * 300, threading.Event()
    frames = list(Wrapping("192.0.2.77", group, free_port, bytes(100)).frames())

    def flood() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind(("veth1", 0))
            while not over.is_set():
                raw.send(frames[0])

    thread = threading.Thread(target=flood)
    # The packet engine receives what this host sends from a socket, and the rest from a packet ring.
    with (
        Listener([Endpoint(group, free_port, "veth0")], engine="packet") as listener,
        Sender(group, free_port, interface="veth0", gso=False) as tx,
    ):
        thread.start()
        try:
            for _ in range(60):
                tx.send_many(own)
                batches = [found[1] for found in listener.batches(Limits(), lambda: True) if found]
                found = sum(payload == b"own" for batch in batches for payload in batch.payloads())
                totals = listener.totals()
                assert found == len(own) or totals.dropped
        finally:
            over.set()
            thread.join()
