"""A flood leaves the event loop's other tasks their time, however slow or fast the flooded one is."""

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

# Long enough for more than a hundred timers: of fewer, the 99th percentile would be the worst.
SECONDS = 1.7
TIMER = 0.01
# Sends for a while at full speed, and says when it has begun.
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
    """A body that does nothing."""


def slow() -> None:
    """A body that computes for half a millisecond."""
    end = monotonic() + 0.0005
    while monotonic() < end:
        pass


class Counted:
    """A function that counts its calls."""

    def __init__(self, body: Callable[[], None]) -> None:
        self.calls = 0
        self._body = body

    def __call__(self) -> None:
        self.calls += 1
        self._body()


async def lateness(steps: Callable[[], int], busy: Awaitable[None]) -> list[float]:
    """How late a timer fires, again and again, while another task is busy, which tells how many steps it has done.

    Other programs, and other machines on the same host, take the processor away for longer than what is looked for
    here, and the latter without a trace. So a timer is late by no more than what this thread computed beyond the
    timer's time, nor by more than what the steps of that time take on average: on an idle machine all are the same.
    """
    task = asyncio.ensure_future(busy)
    waits = []
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
def test_a_timer_is_kept_under_a_flood(
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
        # Enough to call it a flood: there was always something to read.
        assert received > (2_000 if body is quick else 50)
        assert late[len(late) * 99 // 100] < 0.010, f"late by {late[-5:]}"

    loops.run(loops.KINDS[kind], main())


async def send_singly(tx: aio.Sender, message: bytes) -> None:
    while True:
        await tx.send(message)


async def send_at_once(tx: aio.Sender, message: bytes) -> None:
    await tx.send_many(itertools.repeat(message))


@pytest.mark.parametrize("size", [10, 60_000])
@pytest.mark.parametrize("send", [send_singly, send_at_once])
@pytest.mark.parametrize("kind", loops.KINDS)
def test_a_timer_is_kept_while_another_task_sends(
    kind: str, send: Callable[[aio.Sender, bytes], Awaitable[None]], size: int
) -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface) as tx:
                late = await lateness(lambda: tx.stats().sent, send(tx, bytes(size)))
                sent = tx.stats().sent
        assert sent > 200
        assert late[len(late) * 99 // 100] < 0.010, f"late by {late[-5:]}"

    loops.run(loops.KINDS[kind], main())
