"""Test how `multicast.aio.Receiver` uses its event loop: what is watched, several loops, and loops that end."""

import asyncio
import errno
import gc
import threading

import pytest

from multicast._core import Datagram
from multicast.exceptions import ClosedError
from tests.support import loops
from tests.wire.aio_ways import (
    Run,
    numbered,
    pair,
)
from tests.wire.exchange import PATIENCE


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
