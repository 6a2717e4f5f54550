"""Test several tasks on one asynchronous receiver or sender, failing feeds, and endpoints that are forgotten."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver
from tests.support import loops
from tests.wire.aio_ways import Run
from tests.wire.exchange import LOOPBACK, PATIENCE


def open_receiver(**options: Any) -> aio.Receiver:
    return aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface, **options)


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
@pytest.mark.parametrize("way", ["iteration", "recv"])
def test_aio_tasks_with_long_bodies_share_every_burst(run: Run, way: str, ring: int | None) -> None:
    """No task may wait while datagrams are in hand: before, eight of ten jobs waited for the first two to end."""

    async def main() -> None:
        async with open_receiver(ring=ring) as rx:
            with LOOPBACK.sender(rx.port) as tx:
                for first, second in [(1, 9), (2, 8), (3, 7), (4, 6), (5, 5), (7, 3), (9, 1), (10, 0)]:
                    begun = 0
                    release = asyncio.Event()

                    async def work(release: asyncio.Event = release) -> None:
                        nonlocal begun
                        if way == "recv":
                            await rx.recv()
                            begun += 1
                            await release.wait()
                            return
                        async for _ in rx:
                            begun += 1
                            await release.wait()
                            return

                    tasks = [asyncio.ensure_future(work()) for _ in range(10)]
                    await loops.turns()
                    tx.send_many([b"x"] * first)
                    await loops.turns()
                    if second:
                        tx.send_many([b"x"] * second)
                    deadline = time.monotonic() + PATIENCE
                    while begun < 10 and time.monotonic() < deadline:
                        await asyncio.sleep(0.001)
                    assert begun == 10, f"{begun} of 10 jobs begun after bursts of {first} and {second}"
                    release.set()
                    await asyncio.wait(tasks)

    run(main())


def test_aio_recv_batch_wrong_limit_keeps_what_an_iteration_left(run: Run) -> None:
    async def main() -> None:
        async with open_receiver() as rx:
            with LOOPBACK.sender(rx.port) as tx:
                tx.send_many([b"%d" % number for number in range(50)])
                left = 0
                async for _ in rx:
                    left += 1
                    if left == 10:
                        break
                for wrong, error in [(2.5, TypeError), ("2", TypeError), (0, ValueError), (-1, ValueError)]:
                    with pytest.raises(error):
                        await rx.recv_batch(wrong)  # type: ignore[arg-type]
                rest: list[bytes] = []
                while len(rest) < 40:
                    rest += (await rx.recv_batch(2**70)).payloads()
                assert rest == [b"%d" % number for number in range(10, 50)]

    run(main())


def test_aio_run_coroutine_function_as_stop_is_awaited(run: Run) -> None:
    async def main() -> None:
        async with open_receiver() as rx:
            with LOOPBACK.sender(rx.port) as tx:
                tx.send_many([b"x"] * 5)
                seen: list[bytes] = []

                async def stop() -> bool:
                    return len(seen) == 3

                handled = await asyncio.wait_for(
                    rx.run(lambda msg: seen.append(msg.data), stop=stop), PATIENCE
                )
                assert (handled, len(seen)) == (3, 3)

    run(main())


@pytest.mark.parametrize("argument", ["stop", "handler"])
def test_sync_run_coroutine_function_raises_type_error(argument: str) -> None:
    async def wrong(*_: object) -> bool:
        return True

    calls: dict[str, Any] = {"stop": ([print], {"stop": wrong}), "handler": ([wrong], {})}
    with (
        LOOPBACK.receiver() as rx,
        pytest.raises(TypeError, match=f"{argument} must not be a coroutine function"),
    ):
        rx.run(*calls[argument][0], **calls[argument][1])


def test_aio_close_in_thread_while_the_loop_ends_closes() -> None:
    """The loop may be closed between the look at it and the call in it."""
    rx = open_receiver()
    loop = asyncio.new_event_loop()

    async def wait() -> None:
        with pytest.raises(TimeoutError):
            await rx.recv(timeout=0.001)

    loop.run_until_complete(wait())
    loop.close()
    # As it looked a moment before.
    rx._ready.loop_elsewhere = lambda: loop  # type: ignore[method-assign]
    thread = threading.Thread(target=rx.close)
    thread.start()
    thread.join(PATIENCE)
    assert rx.closed


def test_aio_forgotten_receiver_is_collected_with_a_warning(run: Run) -> None:
    async def main() -> None:
        rx = open_receiver()
        with pytest.raises(TimeoutError):
            await rx.recv(timeout=0.01)
        gone = weakref.ref(rx)
        with pytest.warns(ResourceWarning, match="unclosed <Receiver on port"):  # noqa: PT031
            del rx
            await loops.turns()
            gc.collect()
        assert gone() is None
        assert not [thread for thread in threading.enumerate() if thread.name == "multicast-select"]

    run(main())


FAILS: dict[str, type[Exception]] = {"error": LookupError, "text": TypeError, "long": ValueError}


def feed(kind: str) -> Iterator[Any]:
    for number in range(30):
        yield b"%d" % number
    if kind == "error":
        raise LookupError("no more")
    yield "text" if kind == "text" else bytes(70_000)


@pytest.mark.parametrize("kind", FAILS)
def test_aio_send_many_failing_feed_sends_what_came_before(run: Run, kind: str) -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface) as tx:
                with pytest.raises(FAILS[kind]):
                    await tx.send_many(feed(kind))
                assert tx.stats().sent == 30
            assert [rx.recv(timeout=PATIENCE).data for _ in range(30)] == [
                b"%d" % number for number in range(30)
            ]

    run(main())


@pytest.mark.parametrize("kind", FAILS)
def test_sync_send_many_failing_feed_sends_what_came_before(kind: str) -> None:
    with LOOPBACK.pair() as (tx, rx):
        with pytest.raises(FAILS[kind]):
            tx.send_many(feed(kind))
        assert tx.stats().sent == 30
        assert [rx.recv(timeout=PATIENCE).data for _ in range(30)] == [b"%d" % number for number in range(30)]


@pytest.mark.parametrize("kind", FAILS)
def test_aio_send_many_asynchronous_feed_is_sent_as_it_comes(run: Run, kind: str) -> None:
    async def main() -> None:
        with LOOPBACK.receiver() as rx:
            async with aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface) as tx:

                async def live() -> AsyncIterator[Any]:
                    for number, message in enumerate(feed(kind)):
                        await asyncio.sleep(0)
                        yield message
                        # Sent before the next one is requested.
                        assert tx.stats().sent == number + 1

                with pytest.raises(FAILS[kind]):
                    await tx.send_many(live())
                assert tx.stats().sent == 30

                async def few() -> AsyncIterator[bytes]:
                    yield b"one"
                    yield b"two"

                assert await tx.send_many(few()) == 2
            assert len([rx.recv(timeout=PATIENCE) for _ in range(32)]) == 32

    run(main())


@pytest.mark.private_net
def test_leave_with_sources_looks_at_that_interface_only() -> None:
    with Receiver(["10.0.0.1@232.9.8.7%lo", "10.0.0.2@232.9.8.7%veth0"], 0) as rx:
        with pytest.raises(ValueError, match=r"10\.0\.0\.2@232\.9\.8\.7 on lo: not joined"):
            rx.leave("10.0.0.2@232.9.8.7", "lo")
        rx.leave("10.0.0.1@232.9.8.7", "lo")
        assert [(one.interface, one.sources) for one in rx.groups] == [("veth0", ("10.0.0.2",))]


@pytest.mark.alone
@pytest.mark.parametrize("ring", [None, 100], ids=["direct", "ring"])
@pytest.mark.parametrize("way", ["waiting", "polling"])
def test_aio_rejoin_keeps_its_rate(run: Run, way: str, ring: int | None) -> None:
    """The timer of a loop and the schedule differ by microseconds: every second rejoin was missed."""

    async def main() -> None:
        async with open_receiver(rejoin=0.05, ring=ring) as rx:
            begun = time.monotonic()
            while time.monotonic() - begun < 1.0:
                with pytest.raises(TimeoutError):
                    await rx.recv(timeout=0.3 if way == "waiting" else 0)
                if way == "polling":
                    await asyncio.sleep(0.05)
            expected = (time.monotonic() - begun) / 0.05
            assert 0.75 * expected <= rx.stats().rejoins <= expected + 1

    run(main())
