"""Test how tasks share one `multicast.aio.Receiver`, and how closing it ends them."""

import asyncio
import threading

import pytest

from multicast.exceptions import ClosedError
from tests.support import loops
from tests.wire.aio_ways import (
    WAYS,
    Run,
    by_iteration,
    ended,
    numbered,
    pair,
)
from tests.wire.exchange import PATIENCE


def test_aio_receiver_several_tasks_share_the_datagrams(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        shares: list[list[bytes]] = [[] for _ in range(8)]

        async def take(share: list[bytes], way: int) -> None:
            if way == 0:
                async for msg in rx:
                    share.append(msg.data)
                    await asyncio.sleep(0)
            while True:
                if way == 1:
                    share.append((await rx.recv()).data)
                else:
                    share.extend((await rx.recv_batch(3)).payloads())
                await asyncio.sleep(0)

        async with rx:
            with tx:
                tasks = [asyncio.ensure_future(take(share, i % 3)) for i, share in enumerate(shares)]
                for start in range(0, 2000, 20):
                    tx.send_many(numbered(20, start))
                    await loops.turns()
                deadline = asyncio.get_running_loop().time() + PATIENCE
                while sum(map(len, shares)) < 2000:
                    assert asyncio.get_running_loop().time() < deadline
                    await asyncio.sleep(0.001)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        assert sorted((data for share in shares for data in share), key=int) == numbered(2000)
        assert all(shares), "a task received nothing"

    run(main())


def test_aio_receiver_waiting_tasks_are_served_in_turn(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        served: list[int] = []

        async def take(number: int) -> None:
            await rx.recv(PATIENCE)
            served.append(number)

        async with rx:
            with tx:
                tasks: list[asyncio.Future[None]] = []
                for number in range(10):
                    tasks.append(asyncio.ensure_future(take(number)))
                    await loops.turns()
                for _ in range(5):
                    tx.send(b"one")
                    await asyncio.sleep(0.005)
                tx.send_many([b"more"] * 5)
                await asyncio.gather(*tasks)
        assert served == list(range(10))

    run(main())


# A packet receiver gets datagrams in blocks, so they are not there at once.
@pytest.mark.udp_sockets
def test_aio_receiver_rest_of_one_task_wakes_the_next() -> None:
    # The first task takes everything from the kernel, so the descriptor is not readable for the second.
    async def main() -> None:
        tx, rx = pair()
        async with rx:
            with tx:
                second = asyncio.ensure_future(rx.recv(PATIENCE))
                await loops.turns()
                tx.send_many(numbered(3))
                assert (await rx.recv(0)).data == b"0"
                assert (await second).data == b"1"
                third = asyncio.ensure_future(rx.recv(PATIENCE))
                assert (await third).data == b"2"

    asyncio.run(main())


def test_aio_receiver_cancelled_task_passes_its_turn_on(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        async with rx:
            with tx:
                for number in range(100):
                    first, second = (asyncio.ensure_future(rx.recv(PATIENCE)) for _ in range(2))
                    await loops.turns()
                    tx.send(b"%d" % number)
                    # After this many turns the first task may be waiting, woken or done.
                    await loops.turns(number % 5)
                    first.cancel()
                    await asyncio.wait([first])
                    if first.cancelled():
                        assert (await second).data == b"%d" % number
                    else:
                        assert first.result().data == b"%d" % number
                        second.cancel()
                        await asyncio.wait([second])

    run(main())


def test_aio_receiver_close_wakes_every_task(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        with tx:
            tasks = [asyncio.ensure_future(ended(way, rx)) for way in WAYS for _ in range(3)]
            await loops.turns()
            rx.close()
            rx.close()
            assert all(await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE))
            assert rx.closed
            for way in WAYS:
                assert await ended(way, rx)
            with pytest.raises(ClosedError):
                rx.fileno()

    run(main())


def test_aio_receiver_close_discards_pending_datagrams() -> None:
    async def main() -> None:
        tx, rx = pair()
        with tx:
            tx.send_many(numbered(50))
            await by_iteration(rx, 20)
            rx.close()
            for way in WAYS:
                assert await ended(way, rx)

    asyncio.run(main())


def test_aio_receiver_closed_in_its_loop_ends_the_loop() -> None:
    async def main() -> None:
        tx, rx = pair()
        found: list[bytes] = []

        async def take() -> None:
            async for msg in rx:
                found.append(msg.data)
                if len(found) == 20:
                    rx.close()

        with tx:
            tx.send_many(numbered(50))
            await take()
            assert found == numbered(20)

    asyncio.run(main())


def test_aio_receiver_close_in_thread_wakes_every_task(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        with tx:
            tasks = [asyncio.ensure_future(rx.recv()) for _ in range(3)]
            await loops.turns()
            thread = threading.Thread(target=rx.close)
            thread.start()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
            thread.join()
            assert [type(result) for result in results] == [ClosedError] * 3
            assert rx.closed

    run(main())
