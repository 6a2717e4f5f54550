"""Test that ``rate`` is held on average, without bursts, also by a delayed sender. All times have upper bounds."""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from multicast import aio
from multicast.sync import Receiver
from tests.wire.exchange import LOOPBACK, PATIENCE

RATE = 1000
COUNT = 700
MESSAGES = [b"%d" % number for number in range(COUNT)]


@contextmanager
def busy_threads(count: int) -> Generator[None, None, None]:
    """Compete for the interpreter, so that every wake-up is late."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(2000))

    threads = [threading.Thread(target=spin) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def sync_singly(rx: Receiver) -> None:
    with LOOPBACK.sender(rx.port, rate=RATE) as tx:
        for message in MESSAGES:
            tx.send(message)


def sync_many(rx: Receiver) -> None:
    with LOOPBACK.sender(rx.port, rate=RATE) as tx:
        assert tx.send_many(MESSAGES) == COUNT


def aio_singly(rx: Receiver) -> None:
    async def main() -> None:
        async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface, rate=RATE) as tx:
            for message in MESSAGES:
                await tx.send(message)

    asyncio.run(main())


def aio_many(rx: Receiver) -> None:
    async def main() -> None:
        async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface, rate=RATE) as tx:
            assert await tx.send_many(MESSAGES) == COUNT

    asyncio.run(main())


WAYS = [sync_singly, sync_many, aio_singly, aio_many]


@pytest.mark.parametrize("busy", [0, 2], ids=["idle", "busy"])
@pytest.mark.parametrize("send", WAYS)
def test_rate_is_held_without_bursts(send: Callable[[Receiver], None], busy: int) -> None:
    with LOOPBACK.receiver() as rx:
        with busy_threads(busy):
            start = time.monotonic()
            send(rx)
            took = time.monotonic() - start
        times = [rx.recv(timeout=PATIENCE).timestamp_ns or 0 for _ in MESSAGES]
    ideal = COUNT / RATE
    # Not faster than the rate, and slower only by the start and by late wake-ups: beside two Python threads that
    # compute without pause, each wait for the interpreter lasts 5 ms or more.
    assert 0.93 * ideal < took < ideal + 0.5
    # At twice the rate, 20 ms are 40 datagrams, after as many at once. Preemption between the clock and the system call
    # can move some more together, but never the 250 of the longest delay that is made up for.
    window = 20_000_000
    first = 0
    for last, moment in enumerate(times):
        while moment - times[first] > window:
            first += 1
        assert last - first < 150, "a burst"


def test_rate_after_idle_time_does_not_burst() -> None:
    with LOOPBACK.receiver() as rx, LOOPBACK.sender(rx.port, rate=100) as tx:
        tx.send(b"first")
        threading.Event().wait(0.5)
        start = time.monotonic()
        tx.send_many([b"x"] * 11)
        # 50 datagrams fitted into the time before: they are not made up for.
        assert 0.08 < time.monotonic() - start < 2.0


def test_rate_timeout_names_the_rate() -> None:
    with LOOPBACK.receiver() as rx, LOOPBACK.sender(rx.port, rate=1) as tx:
        tx.send(b"x")
        with pytest.raises(TimeoutError, match=r"the rate did not allow the next datagram within 0\.01 s"):
            tx.send(b"x", timeout=0.01)


def test_aio_rate_timeout_names_the_rate() -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface, rate=1) as tx:
                await tx.send(b"x")
                for timeout in (0, 0.01):
                    with pytest.raises(TimeoutError, match="the rate did not allow the next datagram within"):
                        await tx.send(b"x", timeout=timeout)

    asyncio.run(main())


def test_aio_rate_is_shared_evenly_by_tasks() -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface, rate=RATE) as tx:

                async def feed(name: bytes) -> None:
                    while True:
                        await tx.send(name)

                tasks = [asyncio.ensure_future(feed(name)) for name in (b"a", b"b", b"c")]
                heard = [await asyncio.to_thread(rx.recv, PATIENCE) for _ in range(300)]
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                counts = {name: sum(msg.data == name for msg in heard) for name in (b"a", b"b", b"c")}
                assert max(counts.values()) - min(counts.values()) <= 3, counts

    asyncio.run(main())


def test_aio_rate_cancelled_or_late_task_gives_its_turn_on() -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface, rate=20) as tx:
                await tx.send(b"first")
                cancelled = asyncio.ensure_future(tx.send(b"cancelled"))
                late = asyncio.ensure_future(tx.send(b"late", timeout=0.001))
                last = asyncio.ensure_future(tx.send(b"last"))
                await asyncio.sleep(0)
                cancelled.cancel()
                results = await asyncio.wait_for(
                    asyncio.gather(cancelled, late, last, return_exceptions=True), PATIENCE
                )
                assert [type(result) for result in results] == [asyncio.CancelledError, TimeoutError, int]
            assert [rx.recv(timeout=PATIENCE).data for _ in range(2)] == [b"first", b"last"]

    asyncio.run(main())


@pytest.mark.parametrize("rate", [None, 1000.0], ids=["unpaced", "paced"])
def test_sender_with_a_wrong_timeout_sends_nothing(rate: float | None) -> None:
    with LOOPBACK.receiver() as rx, LOOPBACK.sender(rx.port, rate=rate) as tx:
        for wrong in (-1.0, float("nan")):
            with pytest.raises(ValueError, match="timeout must be a number of seconds from 0, got "):
                tx.send(b"x", wrong)
            with pytest.raises(ValueError, match="timeout must be a number of seconds from 0, got "):
                tx.send_many([], wrong)
        assert tx.stats().sent == 0
