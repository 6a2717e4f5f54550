"""Test floods: nothing is lost, changed, duplicated or reordered, and drops are counted.

`MULTICAST_FULL_LOAD=1` runs the sizes for a release. Without it they are a tenth or less.
"""

import contextlib
import os
import random
import resource
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.wire.exchange import LOOPBACK, PATIENCE

FULL = os.environ.get("MULTICAST_FULL_LOAD") == "1"
BLOCK = random.Random(7).randbytes(1 << 17)
"""Every payload is a slice of this, so both sides can compute it from its number."""
OUTSTANDING = 2 << 20
"""Bytes in flight, far below the size of the receive buffer."""


def payloads(count: int, seed: int) -> Iterator[bytes]:
    """Yield runs of equal sizes and single payloads of 0 to 65,507 bytes, most of them small."""
    dice = random.Random(seed)
    made = 0
    while made < count:
        size = dice.choice((0, 1, 64, 100, 100, 100, 188, 1316, 1316, 1472, 1473, 9000, 65_507))
        run = 1 if size > 1500 else dice.choice((1, 1, 3, 40, 70))
        for _ in range(min(run, count - made)):
            start = made * 7919 % (len(BLOCK) - size)
            yield BLOCK[start : start + size]
            made += 1


class Credit:
    """Block a sender while too many bytes are in flight."""

    def __init__(self) -> None:
        self._free = OUTSTANDING
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._free >= size, PATIENCE), "the receiver has stopped"
            self._free -= size

    def give(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify()


def cost(payload: bytes) -> int:
    """Return an upper bound of the receive buffer that a payload uses, with the kernel's overhead."""
    return 2 * len(payload) + 1024


@pytest.mark.parametrize("gso", [True, False], ids=["gso", "plain"])
def test_flood_of_mixed_sizes_arrives_exact_and_in_order(gso: bool) -> None:
    count = 1_000_000 if FULL else 60_000
    credit = Credit()
    problems: list[BaseException] = []

    def send() -> None:
        try:
            chunk: list[bytes] = []
            for payload in payloads(count, 1):
                credit.take(cost(payload))
                chunk.append(payload)
                if len(chunk) == 128:
                    tx.send_many(chunk)
                    chunk.clear()
            tx.send_many(chunk)
        except BaseException as problem:  # noqa: BLE001 - handed to the thread that asserts
            problems.append(problem)

    with LOOPBACK.pair({"gso": gso}) as (tx, rx):
        me = None
        thread = threading.Thread(target=send)
        thread.start()
        expected = payloads(count, 1)
        got = 0
        while got < count:
            for msg in rx.recv_batch(timeout=PATIENCE):
                want = next(expected)
                assert msg.data == want, f"datagram {got}: {len(msg)} bytes, not {len(want)}"
                me = me or msg.sender
                assert (msg.sender, msg.group, msg.ttl, msg.truncated) == (me, LOOPBACK.group, 1, False)
                credit.give(cost(want))
                got += 1
        thread.join(PATIENCE)
        assert not problems
        stats, sent = rx.stats(), tx.stats()
    assert (stats.received, stats.kernel_drops, stats.filtered, stats.truncated) == (count, 0, 0, 0)
    assert (sent.sent, sent.bytes_sent) == (count, stats.bytes_received)
    assert (sent.coalesced > count // 2) is gso


@pytest.mark.private_net
def test_flood_kernel_drops_equal_the_gaps() -> None:
    # Without coalescing: the kernel counts a dropped coalesced buffer once, however many datagrams it holds.
    count = 200_000 if FULL else 30_000
    with LOOPBACK.pair({"gso": False}, recv_buffer=65_536, gro=False) as (tx, rx):
        seen: list[int] = []
        for first in range(0, count, 1000):
            tx.send_many([n.to_bytes(4, "big") for n in range(first, first + 1000)])
            with contextlib.suppress(TimeoutError):
                while batch := rx.recv_batch(timeout=0):
                    seen += [int.from_bytes(data, "big") for data in batch.payloads()]
        stats = rx.stats()
    assert seen == sorted(set(seen))
    assert stats.received == len(seen)
    assert stats.kernel_drops == count - len(seen) > 0


@pytest.mark.private_net
def test_flood_coalesced_is_received_or_counted_as_dropped() -> None:
    count = 2_000_000 if FULL else 200_000
    size, burst = 1316, 49 * 20
    template = np.zeros((burst, size), dtype=np.uint8)
    with LOOPBACK.pair() as (tx, rx):
        done = threading.Event()

        def send() -> None:
            for first in range(0, count, burst):
                template[:, :8] = (
                    np.arange(first, first + burst, dtype=">u8").view(np.uint8).reshape(burst, 8)
                )
                tx.send_many([row.tobytes() for row in template[: count - first]])
            done.set()

        thread = threading.Thread(target=send)
        thread.start()
        got, last = 0, -1
        while got < count:
            try:
                batch = rx.recv_batch(timeout=1.0)
            except TimeoutError:
                assert done.is_set()
                break
            data = np.asarray(batch.data)
            heads = np.asarray(batch.offsets)[:, None] + np.arange(8)
            numbers = data[heads].copy().view(">u8").ravel().astype(np.int64)
            assert numbers[0] > last
            assert (np.diff(numbers) > 0).all()
            last = int(numbers[-1])
            got += len(batch)
        thread.join(PATIENCE)
        stats = rx.stats()
    assert stats.received == got
    assert stats.bytes_received == got * size
    # The kernel counts each dropped coalesced buffer once, so any loss shows in the counter.
    assert (got == count) == (stats.kernel_drops == 0)


# The buffer of a packet receiver is memory of the process.
@pytest.mark.udp_sockets
@pytest.mark.private_net
def test_flood_memory_stays_flat() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as figures:  # noqa: PTH123 - cheap, because it is read in a loop
            return int(figures.read().split()[1]) * resource.getpagesize()

    count = 10_000_000 if FULL else 400_000
    messages = [bytes(100)] * 6400
    before = resident()
    with LOOPBACK.pair() as (tx, rx):
        grown: list[int] = []
        got = 0
        while got < count:
            tx.send_many(messages)
            here = 0
            while here < len(messages):
                here += len(rx.recv_batch(timeout=PATIENCE))
            got += here
            grown.append(resident() - before)
        assert rx.stats().kernel_drops == 0
    assert grown[0] <= 8 << 20
    assert grown[-1] - grown[len(grown) // 10] <= 256 << 10


# While nothing is read, the blocks of a packet receiver are used up in 64 ms.
@pytest.mark.udp_sockets
@pytest.mark.alone
@pytest.mark.parametrize(("rate", "bit_rate"), [(2000.0, None), (None, 1_600_000.0)])
def test_send_many_rate_is_kept_without_bursts(rate: float | None, bit_rate: float | None) -> None:
    count = 600
    with LOOPBACK.pair({"rate": rate, "bit_rate": bit_rate}) as (tx, rx):
        started = time.monotonic()
        assert tx.send_many([bytes(100)] * count) == count
        took = time.monotonic() - started
        times = [rx.recv(timeout=PATIENCE).timestamp_ns for _ in range(count)]
    assert took >= (count - 3) / 2000
    known = [moment for moment in times if moment is not None]
    # At no time were more sent than the rate allows, with a millisecond to catch up.
    for number, moment in enumerate(known):
        assert number <= (moment - known[0]) / 1e9 * 2000 + 4


@pytest.mark.alone
def test_send_with_rate_close_and_timeout_end_the_wait() -> None:
    with LOOPBACK.pair({"rate": 0.01}) as (tx, rx):
        tx.send(b"first")
        with pytest.raises(TimeoutError):
            tx.send(b"second", timeout=0.05)
        closer = threading.Timer(0.1, tx.close)
        closer.start()
        started = time.monotonic()
        with pytest.raises(OSError, match="closed"):
            tx.send(b"third")
        assert time.monotonic() - started < 1
        closer.join()
        assert rx.recv(timeout=PATIENCE).data == b"first"
