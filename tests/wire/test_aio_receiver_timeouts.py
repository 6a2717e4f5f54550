"""Test that timeouts and cancellations of `multicast.aio.Receiver` lose nothing."""

import asyncio
import random

import pytest

from tests.support import loops
from tests.wire.aio_ways import (
    Run,
    numbered,
    pair,
)
from tests.wire.exchange import PATIENCE


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
