"""Test ``linger``: a receive continues to gather after the first datagram."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from multicast import aio
from multicast.sync import Receiver, Sender
from tests.wire.exchange import LOOPBACK, PATIENCE

LONG = 5.0
"""A time to linger that is never waited out."""

Gather: TypeAlias = Callable[..., list[bytes]]


def gather(rx: Receiver, **options: Any) -> list[bytes]:
    return rx.recv_batch(timeout=PATIENCE, **options).payloads()


def send_slowly(tx: Sender, messages: list[bytes], pause: float) -> threading.Thread:
    """Send one message at a time from a thread."""
    gate = threading.Event()

    def run() -> None:
        for message in messages:
            tx.send(message)
            gate.wait(pause)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


MESSAGES = [b"%d" % number for number in range(20)]


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
@pytest.mark.parametrize("first", [True, False], ids=["waiting", "queued"])
def test_linger_gathers_until_the_limit(ring: int | None, first: bool) -> None:
    with LOOPBACK.pair(ring=ring) as (tx, rx):
        if not first:
            tx.send(b"queued")
        thread = send_slowly(tx, MESSAGES, 0.01)
        start = time.monotonic()
        want = MESSAGES if first else [b"queued", *MESSAGES]
        assert gather(rx, limit=len(want), linger=LONG) == want
        assert time.monotonic() - start < LONG / 2
        thread.join()


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
def test_linger_ends_after_its_time(ring: int | None) -> None:
    with LOOPBACK.pair(ring=ring) as (tx, rx):
        tx.send(b"alone")
        start = time.monotonic()
        assert gather(rx, linger=0.2) == [b"alone"]
        assert 0.19 <= time.monotonic() - start < LONG / 2
        tx.send(b"later")
        assert gather(rx) == [b"later"]


def test_linger_gathers_more_than_one_system_call_returns() -> None:
    messages = [b"%d" % number for number in range(3000)]
    with LOOPBACK.pair(tx_options={"gso": False}) as (tx, rx):
        tx.send_many(messages)
        taken: list[bytes] = []
        batches = 0
        while len(taken) < len(messages):
            taken += gather(rx, limit=3000, linger=0.05)
            batches += 1
        assert taken == messages
        assert batches < 8


def test_linger_while_a_batch_of_the_same_memory_is_held_loses_nothing() -> None:
    with LOOPBACK.pair() as (tx, rx):
        tx.send_many(MESSAGES)
        held = rx.recv_batch(limit=5, timeout=PATIENCE)
        thread = send_slowly(tx, [b"a", b"b"], 0.01)
        rest: list[bytes] = []
        while len(rest) < 17:
            rest += gather(rx, limit=100, linger=0.1)
        assert held.payloads() + rest == [*MESSAGES, b"a", b"b"]
        thread.join()


def test_linger_without_datagram_raises_timeout_error() -> None:
    with LOOPBACK.receiver() as rx:
        start = time.monotonic()
        for timeout in (0, 0.01, 0.01):
            with pytest.raises(TimeoutError):
                rx.recv_batch(timeout=timeout, linger=LONG)
        assert time.monotonic() - start < LONG / 2


@pytest.mark.platform("linux", "darwin")
def test_linger_is_ended_by_an_exception_of_a_signal_handler_and_loses_nothing() -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError("handler")

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with LOOPBACK.pair() as (tx, rx):
            tx.send(b"x")
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            start = time.monotonic()
            with pytest.raises(InterruptedError, match="handler"):
                rx.recv_batch(linger=LONG)
            assert time.monotonic() - start < LONG / 2
            assert gather(rx) == [b"x"]
    finally:
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("linger", [-1, float("nan")])
def test_linger_bad_value_raises_value_error(linger: float) -> None:
    with LOOPBACK.receiver() as rx:
        for call in (rx.recv_batch, rx.batches):
            with pytest.raises(ValueError, match="linger must be a number of seconds from 0"):
                call(linger=linger)


def test_batches_with_linger_gather() -> None:
    with LOOPBACK.pair() as (tx, rx):
        thread = send_slowly(tx, MESSAGES, 0.005)
        assert next(rx.batches(limit=len(MESSAGES), linger=LONG)).payloads() == MESSAGES
        thread.join()


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
def test_aio_linger_gathers_until_the_limit_or_the_end_of_its_time(ring: int | None) -> None:
    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface, ring=ring) as rx:
            with LOOPBACK.sender(rx.port) as tx:
                task = asyncio.ensure_future(rx.recv_batch(len(MESSAGES), PATIENCE, LONG))
                for message in MESSAGES:
                    tx.send(message)
                    await asyncio.sleep(0.002)
                batch = await asyncio.wait_for(task, LONG / 2)
                assert batch.payloads() == MESSAGES
                tx.send(b"alone")
                start = time.monotonic()
                assert (await rx.recv_batch(linger=0.1)).payloads() == [b"alone"]
                assert 0.09 <= time.monotonic() - start < LONG / 2
                with pytest.raises(TimeoutError):
                    await rx.recv_batch(timeout=0.01, linger=LONG)
                with pytest.raises(ValueError, match="linger must be"):
                    await rx.recv_batch(linger=-1)

    asyncio.run(main())


def test_aio_linger_cancelled_loses_nothing() -> None:
    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            with LOOPBACK.sender(rx.port) as tx:
                tx.send(b"x")
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(rx.recv_batch(linger=LONG), 0.05)
                assert (await rx.recv_batch()).payloads() == [b"x"]

    asyncio.run(main())


@pytest.mark.udp_sockets
@pytest.mark.parametrize("options", [{}, {"ring": 1000}], ids=["direct", "ring"])
def test_linger_with_no_room_for_more_ends_early(options: dict[str, Any]) -> None:
    messages = [bytes(1316)] * 500
    with LOOPBACK.pair(tx_options={"gso": False}, **options) as (tx, rx):
        tx.send_many(messages)
        start, taken = time.monotonic(), 0
        # A batch holds about 64 long datagrams. The last one has room left.
        while taken < len(messages) - 64:
            taken += len(rx.recv_batch(limit=4096, timeout=PATIENCE, linger=LONG))
        assert time.monotonic() - start < LONG / 2


@pytest.mark.parametrize("limit", [64, 100])
def test_linger_of_long_datagrams_gathers_to_the_limit(limit: int) -> None:
    messages = [bytes([number]) * (1000 if limit == 64 else 300) for number in range(limit)]
    with LOOPBACK.pair() as (tx, rx):
        thread = send_slowly(tx, messages, 0.001)
        assert gather(rx, limit=limit, linger=LONG) == messages
        thread.join()


def test_linger_of_a_full_ring_ends_early() -> None:
    with LOOPBACK.pair(ring=10) as (tx, rx):
        thread = send_slowly(tx, MESSAGES[:10], 0.001)
        start = time.monotonic()
        assert gather(rx, limit=100, linger=LONG) == MESSAGES[:10]
        assert time.monotonic() - start < LONG / 2
        thread.join()


@pytest.mark.udp_sockets
def test_aio_linger_with_no_room_for_more_ends_early() -> None:
    messages = [bytes(1316)] * 500

    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            with LOOPBACK.sender(rx.port, gso=False) as tx:
                tx.send_many(messages)
                start, taken = time.monotonic(), 0
                while taken < len(messages) - 64:
                    taken += len(await rx.recv_batch(4096, PATIENCE, LONG))
                assert time.monotonic() - start < LONG / 2

    asyncio.run(main())
