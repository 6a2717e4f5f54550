"""Test `multicast.aio.Sender`: what it sends, in which order, and how it waits for a slow network."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from multicast import aio
from multicast.exceptions import ClosedError
from multicast.sync import Receiver
from tests.support import loops
from tests.wire.aio_ways import Run
from tests.wire.exchange import LOOPBACK, PATIENCE, Link

VETH = Link("239.9.8.7", "veth0", 65_507)


@pytest.fixture
def slow_link(tool: Callable[[str], str]) -> Iterator[Link]:
    """Limit an interface to a megabyte per second, so that a send buffer fills at once.

    The copy of a datagram that this machine itself receives is not limited.
    """
    command = [tool("tc"), "qdisc", "replace", "dev", VETH.interface, "root"]
    subprocess.run([*command, *["tbf", "rate", "8mbit", "burst", "5kb", "limit", "10mb"]], check=True)
    yield VETH
    subprocess.run([*command, "pfifo"], check=True)
    subprocess.run([tool("tc"), "qdisc", "delete", "dev", VETH.interface, "root"], check=True)


def open_pair(link: Link, **options: Any) -> tuple[aio.Sender, Receiver]:
    rx = link.receiver()
    return aio.Sender(link.group, rx.port, interface=link.interface, **options), rx


def numbered(count: int, size: int = 0) -> list[bytes]:
    return [(b"%d " % number).ljust(size, b".") for number in range(count)]


async def fill(tx: aio.Sender) -> None:
    while True:
        await tx.send(b"." * 1000, timeout=0)


def heard(rx: Receiver, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        found += rx.recv_batch(timeout=PATIENCE).payloads()
    return found


def is_silent(rx: Receiver) -> bool:
    try:
        rx.recv(timeout=0)
    except TimeoutError:
        return True
    return False


def test_aio_sender_messages_arrive_in_order(run: Run) -> None:
    async def main() -> None:
        tx, rx = open_pair(LOOPBACK)
        with rx:
            async with tx:
                assert await tx.send(b"one") == 3
                assert await tx.send(bytearray(b""), timeout=0) == 0
                assert await tx.send_many(numbered(1000)) == 1000
                assert await tx.send_many(message for message in numbered(7, 100)) == 7
                assert await tx.send_many([]) == 0
                assert heard(rx, 1009) == [b"one", b"", *numbered(1000), *numbered(7, 100)]
                assert tx.stats().sent == 1009
                assert (tx.group, tx.port, tx.ttl, tx.closed) == (LOOPBACK.group, rx.port, 1, False)
            assert tx.closed

    run(main())


@pytest.mark.alone
@pytest.mark.private_net
def test_aio_sender_slow_network_blocks_only_its_task(run: Run, slow_link: Link) -> None:
    async def main() -> None:
        tx, rx = open_pair(slow_link, send_buffer=20_000)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        with rx:
            async with tx:
                ticking = asyncio.ensure_future(tick())
                begin = monotonic()
                assert await tx.send_many(numbered(300, 1000)) == 300
                # The interface takes 0.3 s for them. The send buffer hides the end of it.
                assert monotonic() - begin > 0.1
                assert ticks > 20
                ticking.cancel()
                await asyncio.wait([ticking])
                assert heard(rx, 300) == numbered(300, 1000)

    run(main())


@pytest.mark.private_net
def test_aio_sender_full_buffer_raises_timeout_error_in_time(run: Run, slow_link: Link) -> None:
    async def main() -> None:
        tx, rx = open_pair(slow_link, send_buffer=20_000, gso=False)
        with rx:
            async with tx:
                with pytest.raises(TimeoutError, match="the send buffer stayed full within 0 s"):
                    await fill(tx)
                with pytest.raises(TimeoutError, match=r"within 0\.0001 s"):
                    await tx.send_many([b"late" * 1000] * 1000, timeout=0.0001)
                went = tx.stats().sent
                assert await tx.send(b"in time", timeout=PATIENCE) == 7
                assert tx.stats().sent == went + 1
                assert heard(rx, went + 1)[-1] == b"in time"
                with pytest.raises(ValueError, match="number of seconds from 0"):
                    await tx.send(b"never", timeout=-1)

    run(main())


@pytest.mark.private_net
def test_aio_sender_cancelled_send_many_counts_what_was_sent(run: Run, slow_link: Link) -> None:
    messages = numbered(1000, 1000)

    async def main() -> None:
        tx, rx = open_pair(slow_link, send_buffer=20_000)
        with rx:
            async with tx:
                for round_ in range(10):
                    before = tx.stats().sent
                    task = asyncio.ensure_future(tx.send_many(messages))
                    await asyncio.sleep(0.004 * round_)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    went = tx.stats().sent - before
                    assert went < 1000
                    assert (heard(rx, went) if went else []) == messages[:went]
                    assert is_silent(rx)

    run(main())


@pytest.mark.private_net
def test_aio_sender_several_tasks_keep_their_order(run: Run, slow_link: Link) -> None:
    async def main() -> None:
        tx, rx = open_pair(slow_link, send_buffer=20_000)
        with rx:
            async with tx:
                many = [[b"%d %d " % (task, n) + b"." * 500 for n in range(50)] for task in range(4)]
                one = [[b"%d %d" % (task, n) for n in range(20)] for task in range(4, 8)]

                async def singly(messages: list[bytes]) -> None:
                    for message in messages:
                        await tx.send(message)

                await asyncio.wait_for(
                    asyncio.gather(*map(tx.send_many, many), *map(singly, one)), timeout=PATIENCE
                )
                found = heard(rx, 280)
                for task, messages in enumerate([*many, *one]):
                    assert [data for data in found if data.startswith(b"%d " % task)] == messages

    run(main())


@pytest.mark.private_net
def test_aio_sender_close_wakes_waiting_tasks(run: Run, slow_link: Link) -> None:
    async def main(close_elsewhere: bool) -> None:
        tx, rx = open_pair(slow_link, send_buffer=20_000)
        with rx:
            tasks = [asyncio.ensure_future(tx.send_many(numbered(1000, 1000))) for _ in range(3)]
            await asyncio.sleep(0.02)
            assert not any(task.done() for task in tasks)
            thread = threading.Thread(target=tx.close)
            if close_elsewhere:
                thread.start()
            else:
                tx.close()
                tx.close()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
            assert [type(result) for result in results] == [ClosedError] * 3
            if close_elsewhere:
                thread.join()
            for call in (tx.send(b"late"), tx.send_many([b"late"])):
                with pytest.raises(ClosedError):
                    await call

    run(main(close_elsewhere=False))
    run(main(close_elsewhere=True))


@pytest.mark.private_net
def test_aio_sender_is_watched_only_while_a_task_waits(slow_link: Link) -> None:
    loop = loops.Watched()

    async def main() -> None:
        tx, rx = open_pair(slow_link, send_buffer=20_000)
        with rx:
            async with tx:
                await tx.send_many(numbered(5))
                assert (loop.writing, loop.watches) == (set(), 0)
                task = asyncio.ensure_future(tx.send_many(numbered(300, 1000)))
                await asyncio.sleep(0.02)
                assert loop.writing == {tx.fileno()}
                await task
                await loops.turns()
                assert (loop.writing, loop.reading) == (set(), set())

    loops.run(lambda: loop, main())


def test_aio_sender_message_too_long_raises_value_error(run: Run) -> None:
    async def main() -> None:
        tx, rx = open_pair(LOOPBACK)
        with rx:
            async with tx:
                too_long = bytes(LOOPBACK.largest + 1)
                with pytest.raises(ValueError, match="got 65508 bytes"):
                    await tx.send(too_long)
                with pytest.raises(ValueError, match="got 65508 bytes"):
                    await tx.send_many([*numbered(200), too_long, *numbered(200)])
                went = tx.stats().sent
                assert went <= 200
                assert heard(rx, went) == numbered(200)[:went]
                with pytest.raises(TypeError):
                    await tx.send("text")  # type: ignore[arg-type]
                assert is_silent(rx)

    run(main())


def test_aio_sender_error_in_iterable_is_raised() -> None:
    def messages() -> Iterator[bytes]:
        yield from numbered(10)
        raise ZeroDivisionError("no more")

    async def main() -> None:
        tx, rx = open_pair(LOOPBACK)
        with rx:
            async with tx:
                with pytest.raises(ZeroDivisionError, match="no more"):
                    await tx.send_many(messages())
                went = tx.stats().sent
                assert heard(rx, went) == numbered(10)[:went]

    asyncio.run(main())


@pytest.mark.private_net
def test_aio_sender_error_of_the_system_is_raised(tool: Callable[[str], str]) -> None:
    ip = tool("ip")

    async def main() -> None:
        link = Link("239.9.8.7", "brief0", 65_507)
        subprocess.run([ip, *["link", "add", "brief0", "type", "veth", "peer", "name", "brief1"]], check=True)
        try:
            for name in ("brief0", "brief1"):
                subprocess.run([ip, "link", "set", name, "up"], check=True)
            subprocess.run([ip, *["addr", "add", "198.51.100.1/24", "dev", "brief0"]], check=True)
            tx, rx = open_pair(link)
        finally:
            subprocess.run([ip, "link", "delete", "brief0"], check=True)
        with rx:
            async with tx:
                for call in (tx.send(b"nowhere"), tx.send_many([b"nowhere"] * 5)):
                    with pytest.raises(OSError, match=r"send to 239\.9\.8\.7") as failure:
                        await call
                    assert failure.value.errno is not None
                assert tx.stats().sent == 0

    asyncio.run(main())


@pytest.mark.alone
def test_aio_sender_rate_is_kept_without_blocking_the_loop(run: Run) -> None:
    async def main() -> None:
        tx, rx = open_pair(LOOPBACK, rate=1000)
        loop = asyncio.get_running_loop()
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1

        with rx:
            async with tx:
                begin = monotonic()
                task = asyncio.ensure_future(tx.send_many(numbered(100)))
                while not task.done():
                    loop.call_soon(turn)
                    await asyncio.sleep(0.001)
                assert monotonic() - begin > 0.09
                assert turns > 20
                assert heard(rx, 100) == numbered(100)
                for message in numbered(20):
                    await tx.send(message)
                assert monotonic() - begin > 0.11
                with pytest.raises(TimeoutError):
                    await tx.send_many(numbered(100), timeout=0)
                task = asyncio.ensure_future(tx.send_many(numbered(10_000)))
                await loops.turns(10)
                tx.close()
                with pytest.raises(ClosedError):
                    await task

    run(main())
