"""Datagram endpoints of asyncio and of `multicast.aio`, and a protocol that records its calls. No tests."""

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from multicast import aio
from tests.support import loops
from tests.wire.exchange import PATIENCE

LOCALHOST = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
SENDS_EMPTY = sys.version_info >= (3, 13)


class Recorder(asyncio.DatagramProtocol):
    """Record the calls of the transport, with their arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.transport: Any = None
        self._changed = asyncio.Event()

    def _record(self, name: str, argument: object = None) -> None:
        self.calls.append((name, argument))
        self._changed.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._record("connection_made", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._record("datagram_received", (data, addr))

    def error_received(self, exc: Exception) -> None:
        self._record("error_received", exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._record("connection_lost", exc)

    def pause_writing(self) -> None:
        self._record("pause_writing")

    def resume_writing(self) -> None:
        self._record("resume_writing")

    def of(self, name: str) -> list[Any]:
        """Return the arguments of the calls of this name."""
        return [argument for called, argument in self.calls if called == name]

    @property
    def payloads(self) -> list[bytes]:
        return [data for data, _ in self.of("datagram_received")]

    async def until(self, count: int, name: str = "datagram_received") -> list[Any]:
        """Wait until a method was called ``count`` times, and return the arguments."""
        while len(self.of(name)) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), PATIENCE)
        return self.of(name)


Create = Callable[..., Coroutine[Any, Any, tuple[Any, Any]]]


async def asyncios_own(factory: Callable[[], Any], sock: socket.socket) -> tuple[Any, Any]:
    return await asyncio.get_running_loop().create_datagram_endpoint(factory, sock=sock)


async def ours(factory: Callable[[], Any], sock: socket.socket) -> tuple[Any, Any]:
    return await aio.create_datagram_endpoint(factory, sock=sock)


@dataclass(frozen=True)
class Side:
    """One implementation on one kind of loop."""

    create: Create
    make_loop: loops.MakeLoop

    def run(self, main: Callable[[Create], Coroutine[Any, Any, Any]]) -> list[dict[str, Any]]:
        """Run ``main``; return what was reported to the exception handler of the loop."""
        loop = self.make_loop()
        reports: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        try:
            loop.run_until_complete(main(self.create))
        finally:
            loop.close()
        return reports


SIDES = {
    "asyncio": Side(asyncios_own, asyncio.SelectorEventLoop),
    **{f"ours-{name}": Side(ours, make_loop) for name, make_loop in loops.KINDS.items()},
}


class Reluctant(socket.socket):
    """A socket whose send buffer is full while ``full`` is set."""

    full = False

    def sendto(self, *arguments: Any) -> int:
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "full")
        return super().sendto(*arguments)


def bound(family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((LOCALHOST[socket.AddressFamily(family)], 0))
    return sock


def reluctant() -> Reluctant:
    sock = Reluctant(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOCALHOST[socket.AF_INET], 0))
    return sock


def closed_port() -> Any:
    with bound() as sock:
        return sock.getsockname()
