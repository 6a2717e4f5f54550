"""Test `multicast.aio.Receiver`: delivery, in every way to receive, and its arguments."""

import asyncio
import random
import threading

import pytest

from multicast import aio
from multicast._core import Datagram
from multicast.aio import endpoint
from multicast.sync import Sender
from tests.support import loops
from tests.wire.aio_ways import (
    WAYS,
    Run,
    Way,
    by_batch,
    by_iteration,
    ended,
    numbered,
    pair,
)
from tests.wire.exchange import LOOPBACK, PATIENCE


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("gso", [False, True], ids=["plain", "coalesced"])
def test_aio_receiver_datagrams_arrive_in_order(run: Run, way: Way, gso: bool) -> None:
    async def main() -> None:
        async with aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx:
            with LOOPBACK.sender(rx.port, gso=gso) as tx:
                tx.send_many(numbered(300))
                found = await way(rx, 300)
                assert [msg.data for msg in found] == numbered(300)
                assert {msg.group for msg in found} == {LOOPBACK.group}
                assert rx.stats().received == 300

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_aio_receiver_task_waits_for_later_datagrams(run: Run, way: Way) -> None:
    async def main() -> None:
        tx, rx = pair()
        async with rx:
            with tx:
                task = asyncio.ensure_future(way(rx, 40))
                for message in numbered(40):
                    await loops.turns()
                    tx.send(message)
                assert [msg.data for msg in await asyncio.wait_for(task, PATIENCE)] == numbered(40)

    run(main())


def test_aio_receiver_mixed_calls_keep_the_order(run: Run) -> None:
    async def main() -> None:
        chance = random.Random(5)
        tx, rx = pair()
        async with rx:
            with tx:
                tx.send_many(numbered(500))
                found: list[Datagram] = []
                while len(found) < 500:
                    found += await chance.choice(WAYS)(rx, min(chance.randint(1, 9), 500 - len(found)))
                assert [msg.data for msg in found] == numbered(500)

    run(main())


def test_aio_recv_batch_after_left_loop_returns_the_rest() -> None:
    async def main() -> None:
        tx, rx = pair()
        async with rx:
            with tx:
                tx.send_many(numbered(200))
                await by_iteration(rx, 100)
                batch = await rx.recv_batch(limit=20)
                assert batch.payloads() == numbered(20, 100)[: len(batch)]
                assert list(batch.lengths) == [3] * len(batch)
                rest = [msg.data for msg in await by_batch(rx, 100 - len(batch))]
                assert rest == numbered(100 - len(batch), 100 + len(batch))

    asyncio.run(main())


def test_aio_receiver_groups_joined_while_waiting_are_received(run: Run) -> None:
    groups = [f"239.9.9.{number}" for number in range(1, 101)]

    async def main() -> None:
        tx, rx = pair()
        async with rx:
            with tx:
                task = asyncio.ensure_future(rx.recv(PATIENCE))
                await loops.turns()
                for group in groups:
                    rx.join(group, LOOPBACK.interface)
                assert [membership.group for membership in rx.groups] == [LOOPBACK.group, *groups]
                for group in groups:
                    with Sender(group, rx.port, interface=LOOPBACK.interface) as to_group:
                        to_group.send(group.encode())
                    msg = await task
                    assert (msg.data, msg.group) == (group.encode(), group)
                    task = asyncio.ensure_future(rx.recv(PATIENCE))
                    await loops.turns()
                rx.leave(groups[0])
                assert len(rx.groups) == 100
                tx.send(b"the end")
                assert (await task).data == b"the end"

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_aio_receiver_with_ring_delivers_the_same(run: Run, way: Way) -> None:
    async def main() -> None:
        tx, rx = pair(ring=1000)
        async with rx:
            with tx:
                tx.send_many(numbered(200))
                assert [msg.data for msg in await asyncio.wait_for(way(rx, 200), PATIENCE)] == numbered(200)
                task = asyncio.ensure_future(way(rx, 30))
                for message in numbered(30):
                    await loops.turns()
                    tx.send(message)
                assert [msg.data for msg in await asyncio.wait_for(task, PATIENCE)] == numbered(30)
                closing = asyncio.ensure_future(ended(way, rx))
                await loops.turns()
                rx.close()
                assert await asyncio.wait_for(closing, PATIENCE)

    run(main())


def test_aio_receiver_takes_the_arguments_of_the_sync_one() -> None:
    with pytest.raises(ValueError, match="port"):
        aio.Receiver(LOOPBACK.group, 70_000)
    with pytest.raises(TypeError):
        aio.Receiver(LOOPBACK.group, 0, interfaces="lo")  # type: ignore[call-arg]
    rx = aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface, recv_buffer=65_536)
    assert rx.stats().recv_buffer_requested == 65_536
    assert LOOPBACK.group in repr(rx)
    rx.close()
    assert "closed" in repr(rx)


def test_aio_module_lists_its_public_names() -> None:
    assert dir(aio) == aio.__all__ == [
        "InterfaceWatch", "Receiver", "Sender", "create_datagram_endpoint", "watch_interfaces",
    ]  # fmt: skip


def test_aio_receiver_unclosed_warns_when_collected() -> None:
    held = [aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface)]
    with pytest.warns(ResourceWarning, match=f"unclosed <Receiver on port {held[0].port}: {LOOPBACK.group}>"):
        held.clear()


# A packet receiver gets datagrams in blocks, so they are not there at once.
@pytest.mark.udp_sockets
def test_aio_receiver_pending_datagrams_cost_no_future_and_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loops.Watched()
    # On a busy machine a step may take longer than a slice, after which the receiver yields and waits again.
    monkeypatch.setattr(endpoint, "SLICE", PATIENCE)

    async def main() -> None:
        tx, rx = pair()
        async with rx:
            with tx:
                tx.send_many(numbered(2000))
                threads = threading.active_count()
                before = loop.futures, loop.tasks, loop.watches
                assert len(await by_iteration(rx, 2000)) == 2000
                assert (loop.futures, loop.tasks, loop.watches) == before
                # A task that waits repeatedly is registered once.
                task = asyncio.ensure_future(by_iteration(rx, 100))
                for message in numbered(100):
                    await loops.turns()
                    tx.send(message)
                await task
                assert loop.watches - before[2] == 1
                # This task, and one for each loop that was left.
                assert loop.tasks - before[1] <= 1 + 2
                assert threading.active_count() == threads

    loops.run(lambda: loop, main())
