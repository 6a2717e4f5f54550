"""A datagram protocol that counts, on an event loop; here the loop of asyncio."""

import asyncio
import signal
from typing import Any

from bench.receivers.base import Reader, age, joined


class Protocol(Reader, asyncio.DatagramProtocol):
    """Count the datagrams, and stop the loop at the goal."""

    def __init__(self, loop: asyncio.AbstractEventLoop, group: str, port: int) -> None:
        self._loop = loop
        self._got = 0
        self._goal = -1
        self._samples: list[int] | None = None
        loop.run_until_complete(self.connect(group, port))

    async def connect(self, group: str, port: int) -> None:
        """Open a socket for this protocol."""
        await self._loop.create_datagram_endpoint(lambda: self, sock=joined(group, port))

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002
        self._got += 1
        if self._samples is not None:
            self._samples.append(age(data))
        if self._got == self._goal:
            self._loop.stop()

    def take(self, count: int) -> int:
        self._got, self._goal = 0, count
        self._loop.run_forever()
        return self._got

    def listen(self) -> int:
        self._got, self._goal = 0, -1
        self._loop.add_signal_handler(signal.SIGUSR1, self._loop.stop)
        self._loop.run_forever()
        return self._got

    def latency(self) -> list[int]:
        self._samples = []
        self.listen()
        return self._samples


def plain(group: str, port: int) -> Reader:
    """Return a protocol on the loop of the standard library."""
    return Protocol(asyncio.new_event_loop(), group, port)
