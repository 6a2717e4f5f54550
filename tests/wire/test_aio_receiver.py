"""Test `multicast.aio.Receiver`: delivery, sharing between tasks, cancellation and closing."""

import asyncio
import errno
import gc
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from multicast import aio
from multicast._core import Datagram
from multicast.aio import endpoint
from multicast.exceptions import ClosedError
from multicast.sync import Sender
from tests.support import loops
from tests.wire.exchange import LOOPBACK, PATIENCE

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=loops.KINDS)
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a coroutine, on each kind of loop in turn."""
    return lambda main: loops.run(loops.KINDS[request.param], main)


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


def test_aio_receive_timeout_raises_and_takes_nothing(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        loop = asyncio.get_running_loop()
        async with rx:
            with tx:
                for timeout in (0, 0.05):
                    begin = loop.time()
                    with pytest.raises(TimeoutError, match=rf"nothing was received on port {rx.port} within"):
                        await rx.recv(timeout)
                    with pytest.raises(TimeoutError):
                        await rx.recv_batch(8, timeout)
                    # The clock of uvloop counts milliseconds and does not advance within a turn.
                    assert loop.time() - begin >= 2 * timeout - 0.004
                tx.send(b"after all")
                assert (await rx.recv(timeout=float("inf"))).data == b"after all"

    run(main())


@pytest.mark.parametrize("wrong", [-1, -0.001, float("nan")])
def test_aio_receive_bad_timeout_raises_value_error(wrong: float) -> None:
    async def main() -> None:
        tx, rx = pair()
        with tx:
            async with rx:
                with pytest.raises(ValueError, match="number of seconds from 0"):
                    await rx.recv(wrong)
                with pytest.raises(ValueError, match="limit must be at least 1"):
                    await rx.recv_batch(0)

    asyncio.run(main())


def test_aio_receive_1000_cancelled_or_timed_out_lose_nothing(run: Run) -> None:
    async def main() -> tuple[int, int]:
        chance = random.Random(1000)
        tx, rx = pair()
        found: list[bytes] = []
        cancelled = late = sent = 0

        async def receive(timeout: float | None) -> None:
            way = chance.randrange(3)
            if way == 0:
                found.append((await rx.recv(timeout)).data)
            elif way == 1:
                found.extend((await rx.recv_batch(chance.randint(1, 5), timeout)).payloads())
            else:
                async for msg in rx:
                    found.append(msg.data)
                    break

        async with rx:
            with tx:
                while cancelled + late < 1000:
                    tasks = [
                        asyncio.ensure_future(receive(chance.choice([None, 0, 0.0005, 0.002])))
                        for _ in range(chance.randint(1, 4))
                    ]
                    for _ in range(chance.randint(0, 4)):
                        await asyncio.sleep(chance.choice([0, 0, 0, 0.001]))
                        burst = chance.randint(0, 3)
                        tx.send_many(numbered(burst, sent))
                        sent += burst
                    for task in tasks:
                        await loops.turns(chance.randint(0, 2))
                        task.cancel()
                    for result in await asyncio.gather(*tasks, return_exceptions=True):
                        cancelled += isinstance(result, asyncio.CancelledError)
                        late += isinstance(result, TimeoutError)
                        assert result is None or isinstance(result, (asyncio.CancelledError, TimeoutError))
                while len(found) < sent:
                    found.extend((await rx.recv_batch(timeout=PATIENCE)).payloads())
                with pytest.raises(TimeoutError):
                    await rx.recv(0)
                assert sorted(found, key=int) == numbered(sent)
                assert sent > 300
        return cancelled, late

    cancelled, late = run(main())
    assert cancelled > 100
    assert late > 100


def test_aio_receive_with_wait_for_loses_nothing(run: Run) -> None:
    async def main() -> None:
        tx, rx = pair()
        found: list[bytes] = []
        async with rx:
            with tx:
                for number in range(200):
                    try:
                        found.append((await asyncio.wait_for(rx.recv(), 0.001 * (number % 3))).data)
                    except (TimeoutError, asyncio.TimeoutError):
                        tx.send(b"%d" % number)
                        found.append((await rx.recv(PATIENCE)).data)
                    else:
                        raise AssertionError("nothing had been sent")
                assert found == numbered(200)

    run(main())


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


def test_aio_receiver_is_watched_only_while_a_task_waits() -> None:
    loop = loops.Watched()

    async def main() -> None:
        tx, rx = pair()
        with tx:
            assert loop.reading == set()
            task = asyncio.ensure_future(rx.recv())
            await loops.turns()
            assert loop.reading == {rx.fileno()}
            tx.send(b"one")
            await task
            await loops.turns()
            assert loop.reading == set(), "after a receive"
            with pytest.raises(TimeoutError):
                await rx.recv(0.001)
            await loops.turns()
            assert loop.reading == set(), "after a timeout"
            tasks = [asyncio.ensure_future(rx.recv()) for _ in range(2)]
            await loops.turns()
            tasks[0].cancel()
            await loops.turns()
            assert loop.reading == {rx.fileno()}, "while one task waits"
            tasks[1].cancel()
            await asyncio.wait(tasks)
            await loops.turns()
            assert loop.reading == set(), "after a cancellation"
            task = asyncio.ensure_future(rx.recv())
            await loops.turns()
            rx.close()
            assert loop.reading == set(), "after a close"
            await asyncio.wait([task])
            assert isinstance(task.exception(), ClosedError)

    loops.run(lambda: loop, main())


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


def test_aio_receiver_loop_without_readers_uses_one_thread() -> None:
    async def main() -> None:
        tx, rx = pair()
        threads = threading.active_count()
        async with rx:
            with tx:
                for number in range(100):
                    task = asyncio.ensure_future(rx.recv(PATIENCE))
                    await loops.turns()
                    tx.send(b"%d" % number)
                    assert (await task).data == b"%d" % number
                    assert threading.active_count() == threads + 1
        assert threading.active_count() == threads

    loops.run(loops.WithoutReaders, main())


def test_aio_receiver_error_of_the_system_reaches_one_task() -> None:
    async def main() -> None:
        tx, rx = pair()
        real = rx._core.recv
        errors = [OSError(errno.ENETDOWN, "cannot receive: the network is down")]

        def failing(timeout: float) -> Datagram:
            if errors:
                raise errors.pop()
            return real(timeout)

        async with rx:
            with tx:
                tasks = [asyncio.ensure_future(rx.recv(PATIENCE)) for _ in range(3)]
                await loops.turns()
                vars(rx._core)["recv"] = failing
                tx.send_many(numbered(2))
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert isinstance(results[0], OSError)
                assert results[0].errno == errno.ENETDOWN
                assert [msg.data for msg in results[1:] if isinstance(msg, Datagram)] == numbered(2)

    asyncio.run(main())


def test_aio_receiver_outlives_its_loop(run: Run) -> None:
    tx, rx = pair()

    async def once(message: bytes) -> bytes:
        task = asyncio.ensure_future(rx.recv(PATIENCE))
        await loops.turns()
        tx.send(message)
        return (await task).data

    with tx:
        assert run(once(b"one")) == b"one"
        assert run(once(b"two")) == b"two"
        rx.close()


def test_aio_receiver_loop_closed_during_receive_stays_usable() -> None:
    tx, rx = pair()

    async def abandon() -> None:
        abandoned.append(asyncio.ensure_future(rx.recv()))
        await loops.turns()

    async def once() -> bytes:
        tx.send(b"one")
        return (await rx.recv(PATIENCE)).data

    with tx:
        abandoned: list[asyncio.Future[Datagram]] = []
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _, context: None)
        loop.run_until_complete(abandon())
        loop.close()
        assert asyncio.run(once()) == b"one"
        rx.close()
        # The abandoned task is collected here and must not use its closed loop.
        abandoned.clear()
        gc.collect()


def test_aio_receiver_waiting_in_two_loops_raises_runtime_error() -> None:
    tx, rx = pair()
    waiting, done = threading.Event(), threading.Event()

    async def wait() -> None:
        task = asyncio.ensure_future(rx.recv())
        await loops.turns()
        waiting.set()
        await asyncio.get_running_loop().run_in_executor(None, done.wait, PATIENCE)
        task.cancel()
        await asyncio.wait([task])

    thread = threading.Thread(target=lambda: asyncio.run(wait()))
    with tx:
        thread.start()
        try:
            assert waiting.wait(PATIENCE)
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(rx.recv())
        finally:
            done.set()
            thread.join()
            rx.close()


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
    assert dir(aio) == aio.__all__ == ["Receiver", "Sender", "create_datagram_endpoint"]


def test_aio_receiver_unclosed_warns_when_collected() -> None:
    held = [aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface)]
    with pytest.warns(ResourceWarning, match=f"unclosed <Receiver on port {held[0].port}: {LOOPBACK.group}>"):
        held.clear()
