"""Test that a flooded task leaves time to the other tasks of the event loop, however slow or fast it is."""

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from time import monotonic, thread_time

import pytest

from multicast import aio
from tests.support import loops
from tests.support.programs import Program
from tests.wire.exchange import LOOPBACK, PATIENCE

pytestmark = pytest.mark.alone

SECONDS = 1.7
TIMER = 0.01
# Nine of ten timers are late by less. A virtual machine that loses its processor for a moment delays a few more.
LIMIT = 0.010
# Send for a while at full speed, and print when it has begun.
FLOOD = """
import sys, time
from multicast.sync import Sender
with Sender(sys.argv[1], int(sys.argv[2]), interface=sys.argv[3], gso=False) as tx:
    messages, end = [b"x" * 100] * 512, time.monotonic() + float(sys.argv[4])
    tx.send_many(messages)
    print("begun", flush=True)
    while time.monotonic() < end:
        tx.send_many(messages)
"""


async def iterate(rx: aio.Receiver, body: Callable[[], None]) -> None:
    async for _ in rx:
        body()


async def receive(rx: aio.Receiver, body: Callable[[], None]) -> None:
    while True:
        await rx.recv()
        body()


async def batches(rx: aio.Receiver, body: Callable[[], None]) -> None:
    async for _ in rx.batches():
        body()


async def handle(rx: aio.Receiver, body: Callable[[], None]) -> None:
    await rx.run(lambda _: body())


def quick() -> None:
    """Do nothing."""


def slow() -> None:
    """Compute for half a millisecond."""
    end = monotonic() + 0.0005
    while monotonic() < end:
        pass


class Counted:
    """Call a function and count the calls."""

    def __init__(self, body: Callable[[], None]) -> None:
        self.calls = 0
        self._body = body

    def __call__(self) -> None:
        self.calls += 1
        self._body()


async def lateness(steps: Callable[[], int], busy: Awaitable[None]) -> list[float]:
    """Return how late a repeated timer fires while another task is busy. ``steps`` returns the steps of that task.

    Other programs and other virtual machines of the host take the processor away for longer than the lateness
    measured here, and the latter leave no trace. So the lateness is limited to what this thread computed beyond
    the time of the timer, and to the average time of the steps done: on an idle machine, all three are the same.
    """
    task = asyncio.ensure_future(busy)
    waits: list[list[float]] = []
    end = monotonic() + SECONDS - 0.2
    while monotonic() < end:
        before = monotonic(), thread_time(), steps()
        await asyncio.sleep(TIMER)
        after = monotonic(), thread_time(), steps()
        waits.append([now - then for now, then in zip(after, before, strict=True)])
    task.cancel()
    await asyncio.wait([task])
    _, computed, done = (sum(column) for column in zip(*waits, strict=True))
    step = computed / done
    return sorted(max(0.0, min(wall, cpu, count * step) - TIMER) for wall, cpu, count in waits)


@pytest.mark.parametrize("body", [quick, slow])
@pytest.mark.parametrize("reader", [iterate, receive, batches, handle])
@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_timer_during_flood_is_on_time(
    kind: str,
    reader: Callable[[aio.Receiver, Callable[[], None]], Awaitable[None]],
    body: Callable[[], None],
) -> None:
    async def main() -> None:
        rx = aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface)
        arguments = [LOOPBACK.group, str(rx.port), LOOPBACK.interface, str(SECONDS)]
        async with rx:
            with Program([sys.executable, "-c", FLOOD, *arguments]) as flood:
                await asyncio.get_running_loop().run_in_executor(None, flood.line_with, "begun", PATIENCE)
                counted, before = Counted(body), rx.stats().received
                late = await lateness(lambda: counted.calls, reader(rx, counted))
                received = rx.stats().received - before
        # Enough for a flood: there was always something to read.
        assert received > (2_000 if body is quick else 50)
        assert late[len(late) * 9 // 10] < LIMIT, f"late by {late}"

    loops.run(loops.KINDS[kind], main())


async def send_singly(tx: aio.Sender, message: bytes) -> None:
    while True:
        await tx.send(message)


async def send_at_once(tx: aio.Sender, message: bytes) -> None:
    await tx.send_many(itertools.repeat(message))


@pytest.mark.parametrize("size", [10, 60_000])
@pytest.mark.parametrize("send", [send_singly, send_at_once])
@pytest.mark.parametrize("kind", loops.KINDS)
def test_aio_timer_while_task_sends_is_on_time(
    kind: str, send: Callable[[aio.Sender, bytes], Awaitable[None]], size: int
) -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface) as tx:
                late = await lateness(lambda: tx.stats().sent, send(tx, bytes(size)))
                sent = tx.stats().sent
        assert sent > 200
        assert late[len(late) * 9 // 10] < LIMIT, f"late by {late}"

    loops.run(loops.KINDS[kind], main())
