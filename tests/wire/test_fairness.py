"""Test that a busy socket does not starve the others of its receiver.

The flood never ends: before each call, the busy group gets what the call can take. A quiet group on another
socket must be served all the same. Nothing here depends on the speed of the machine but the test of the latency.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver, Sender
from tests.support.background import running
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.alone, pytest.mark.private_net, pytest.mark.platform("linux")]

BACKLOG = 1000
"""Datagrams of the busy group that are queued at first."""
BATCH = 64
QUIET = b"quiet"


@dataclass(frozen=True)
class Case:
    """The groups of a receiver, the busy one and the quiet one. The two have different sockets."""

    groups: list[str]
    busy: str
    quiet: str


V4, V6 = "239.9.8.1", "ff15::9:8:1"
# A socket holds 20 IPv4 groups.
FORTY = [f"239.9.8.{number}" for number in range(1, 41)]
CASES = {
    "v4-busy-v6-quiet": Case([V4, V6], V4, V6),
    "v6-busy-v4-quiet": Case([V4, V6], V6, V4),
    "first-of-40-busy": Case(FORTY, FORTY[0], FORTY[-1]),
    "last-of-40-busy": Case(FORTY, FORTY[-1], FORTY[0]),
}


# All groups of a packet receiver share one buffer for each IP version.
PARAMETERS = [pytest.param(name, marks=pytest.mark.udp_sockets if "40" in name else ()) for name in CASES]


@pytest.fixture(params=PARAMETERS)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@contextmanager
def senders(case: Case, port: int) -> Generator[tuple[Sender, Sender], None, None]:
    """Open the senders of the busy group, with a backlog, and of the quiet group, with one datagram."""
    with (
        Sender(case.busy, port, interface="lo", gso=False) as busy,
        Sender(case.quiet, port, interface="lo") as quiet,
    ):
        busy.send_many([b"flood"] * BACKLOG)
        quiet.send(QUIET)
        yield busy, quiet


def taken_until_quiet(take: Callable[[], list[bytes]], busy: Sender, limit: int) -> int:
    """Take until the quiet datagram is there. Return how many others came before it, at most about ``limit``."""
    before = 0
    while before < limit:
        payloads = take()
        if QUIET in payloads:
            return before + payloads.index(QUIET)
        before += len(payloads)
        busy.send_many([b"flood"] * len(payloads))
    return before


@pytest.mark.parametrize("ring", [None, BATCH], ids=["direct", "ring"])
def test_fairness_batches_beside_a_flood_contain_the_quiet_group(case: Case, ring: int | None) -> None:
    options: dict[str, Any] = {} if ring is None else {"ring": ring, "ring_policy": "block"}
    with (
        Receiver(case.groups, 0, interface="lo", gro=False, **options) as rx,
        senders(case, rx.port) as (busy, _),
    ):

        def take() -> list[bytes]:
            return rx.recv_batch(BATCH, timeout=PATIENCE).payloads()

        # One turn of every socket, and with a ring what it held before the quiet datagram was sent.
        limit = 4 * BATCH if ring is None else 8 * BATCH
        assert taken_until_quiet(take, busy, 20 * BATCH) <= limit


def test_fairness_single_datagrams_beside_a_flood_contain_the_quiet_group(case: Case) -> None:
    with Receiver(case.groups, 0, interface="lo", gro=False) as rx, senders(case, rx.port) as (busy, _):
        assert taken_until_quiet(lambda: [rx.recv(timeout=PATIENCE).data], busy, 2000) <= 600


def test_fairness_async_batches_beside_a_flood_contain_the_quiet_group(case: Case) -> None:
    async def main() -> None:
        async with aio.Receiver(case.groups, 0, interface="lo", gro=False) as rx:
            with senders(case, rx.port) as (busy, _):
                for _ in range(4):
                    payloads = (await rx.recv_batch(BATCH, timeout=PATIENCE)).payloads()
                    if QUIET in payloads:
                        return
                    busy.send_many([b"flood"] * len(payloads))
        pytest.fail("the quiet group was not served")

    asyncio.run(main())


@contextmanager
def flood(case: Case, port: int) -> Generator[None, None, None]:
    """Send to the busy group all the time, far faster than the consumers here receive."""

    def send(stop: threading.Event) -> None:
        with Sender(case.busy, port, interface="lo", gso=False) as busy:
            while not stop.wait(0.002):
                busy.send_many([b"flood"] * 20)

    with running(send):
        yield


def test_fairness_slow_consumer_beside_a_flood_hears_the_quiet_group_in_full_and_in_time(case: Case) -> None:
    count, pause = 20, 0.025
    late: list[int] = []
    # The flood keeps the small buffer of its own socket full.
    with (
        Receiver(case.groups, 0, interface="lo", recv_buffer=65_536) as rx,
        Sender(case.quiet, rx.port, interface="lo") as quiet,
        flood(case, rx.port),
    ):
        heard, sent, due = 0, 0, time.monotonic()
        work = threading.Event()
        while heard < count:
            if sent < count and time.monotonic() >= due:
                quiet.send(QUIET)
                sent, due = sent + 1, due + pause
            msg = rx.recv(timeout=PATIENCE)
            if msg.data == QUIET:
                assert msg.timestamp_ns is not None
                late.append(time.time_ns() - msg.timestamp_ns)
                heard += 1
            work.wait(0.001)
    # A consumer that had to take a batch of 256 of the flood first would be late by 256 ms or more.
    assert sorted(late)[count // 2] < 20_000_000
