"""The asyncio twin of the modern receiver: `async for` on the standard library's loop."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine

from bench.receivers.base import Reader, age
from multicast import aio


class Aio(Reader):
    """Reads on a loop of its own, which runs only while something is to be read."""

    lean = False
    """Told nothing but the sender, which is what the protocols of event loops are told."""

    def __init__(self, group: str, port: int) -> None:
        told = not self.lean
        self._loop = asyncio.new_event_loop()
        self.rx = aio.Receiver(group, port, interface="lo", timestamps=told, receive_ttl=told, gro=told)
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

        self._until_told(read())
        return self._got

    def latency(self) -> list[int]:
        samples: list[int] = []

        async def read() -> None:
            async for msg in self.rx:
                samples.append(age(msg.data))  # noqa: PERF401 - a comprehension cut short would lose them all

        self._until_told(read())
        return samples

    def _until_told(self, reading: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(reading)
        self._loop.add_signal_handler(signal.SIGUSR1, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(task)


class LeanAio(Aio):
    """Told less."""

    lean = True
