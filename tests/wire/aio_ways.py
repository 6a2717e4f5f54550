"""Helpers of the tests of `multicast.aio.Receiver`: a pair of endpoints, and every way to receive. No tests."""

import errno
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from multicast import aio
from multicast._core import Datagram
from multicast.exceptions import ClosedError
from multicast.sync import Sender
from tests.wire.exchange import LOOPBACK, PATIENCE

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


def pair(**options: Any) -> tuple[Sender, aio.Receiver]:
    rx = aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface, **options)
    return LOOPBACK.sender(rx.port), rx


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


async def by_iteration(rx: aio.Receiver, count: int) -> list[Datagram]:
    found: list[Datagram] = []
    async for msg in rx:
        found.append(msg)
        if len(found) == count:
            break
    return found


async def by_next(rx: aio.Receiver, count: int) -> list[Datagram]:
    found: list[Datagram] = []
    while len(found) < count:
        try:
            found.append(await rx.__anext__())
        except StopAsyncIteration:
            break
    return found


async def by_recv(rx: aio.Receiver, count: int) -> list[Datagram]:
    return [await rx.recv(timeout=PATIENCE) for _ in range(count)]


async def by_batch(rx: aio.Receiver, count: int) -> list[Datagram]:
    found: list[Datagram] = []
    while len(found) < count:
        found += await rx.recv_batch(limit=count - len(found), timeout=PATIENCE)
    return found


async def by_batches(rx: aio.Receiver, count: int) -> list[Datagram]:
    found: list[Datagram] = []
    async for batch in rx.batches(limit=1):
        found += batch
        if len(found) == count:
            break
    return found


ITERATIONS = [by_iteration, by_next, by_batches]
"""These end when the receiver is closed; the other ways raise an error."""
WAYS = [by_iteration, by_next, by_recv, by_batch, by_batches]
Way: TypeAlias = Callable[[aio.Receiver, int], Coroutine[Any, Any, list[Datagram]]]


async def ended(way: Way, rx: aio.Receiver) -> bool:
    """Whether receiving on ``rx``, which is closed meanwhile or before, ends as it should."""
    try:
        return await way(rx, 1) == [] and way in ITERATIONS
    except ClosedError as error:
        return way not in ITERATIONS and error.errno == errno.EBADF and str(rx.port) in str(error)
