"""`multicast.aio.Receiver`: `async for` on the loop of the standard library."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine

from bench.receivers.base import Reader, age
from multicast import aio


class Aio(Reader):
    """Read on a loop of its own, which runs only during a measurement."""

    lean = False
    """Whether to request no metadata but the sender, which is all that a protocol of asyncio gets."""

    def __init__(self, group: str, port: int) -> None:
        full = not self.lean
        self._loop = asyncio.new_event_loop()
        self.rx = aio.Receiver(group, port, interface="lo", timestamps=full, receive_ttl=full, gro=full)
        self._loop.run_until_complete(self.rx.__aenter__())
        self._got = 0

    def take(self, count: int) -> int:
        async def read() -> None:
            left = count
            async for msg in self.rx:
                _data, _sender = msg.data, msg.sender
                left -= 1
                if not left:
                    return

        self._loop.run_until_complete(read())
        return count

    def listen(self) -> int:
        self._got = 0

        async def read() -> None:
            async for msg in self.rx:
                _data, _sender = msg.data, msg.sender
                self._got += 1

        self._until_signalled(read())
        return self._got

    def latency(self) -> list[int]:
        samples: list[int] = []

        async def read() -> None:
            async for msg in self.rx:
                samples.append(age(msg.data))  # noqa: PERF401 - cancellation would discard the list of a comprehension

        self._until_signalled(read())
        return samples

    def _until_signalled(self, reading: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(reading)
        self._loop.add_signal_handler(signal.SIGUSR1, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(task)


class LeanAio(Aio):
    """The same without metadata."""

    lean = True
