"""Receivers of every kind, each with a thread that receives until the receiver is closed."""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import multicast
from multicast import aio
from multicast.types import ReceiverStats
from tests.chaos.model import Arrival

Deliver = Callable[[list[Arrival]], None]
Fail = Callable[[str], None]
POLL_SECONDS = 0.02


def arrivals_of(batch: Iterable[Any]) -> list[Arrival]:
    return [
        Arrival(int(msg.data), msg.group, msg.interface_index, str(msg.sender[0]).partition("%")[0])
        for msg in batch
    ]


class Consumer(ABC):
    """A receiver, and a thread that hands over what it delivers."""

    def __init__(self, deliver: Deliver, fail: Fail, groups: list[str], port: int, **options: Any) -> None:
        self.deliver = deliver
        self._fail = fail
        self.rx = self.open(groups, port, **options)
        self._thread = threading.Thread(target=self._run, name="consumer")

    def start(self) -> None:
        self._thread.start()

    def open(self, groups: list[str], port: int, **options: Any) -> Any:
        return multicast.Receiver(groups, port, **options)

    @abstractmethod
    def receive(self) -> None:
        """Receive until the receiver is closed."""

    def _run(self) -> None:
        try:
            self.receive()
        except multicast.ClosedError:
            return
        except Exception as error:  # noqa: BLE001 - every error is a fault
            self._fail(f"receiving raised {type(error).__name__}: {error}")
        if not self.rx.closed:
            self._fail("receiving ended before the receiver was closed")

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the receiver, in the thread where it has to be called."""
        return getattr(self.rx, method)(*args, **options)

    def close(self) -> None:
        self.call("close")
        self._thread.join(10)
        if self._thread.is_alive():
            self._fail("close() did not end the thread that receives")

    def counted(self) -> int:
        """Return how many datagrams the counters say were dropped."""
        stats: ReceiverStats = self.rx.stats()
        return (stats.kernel_drops or 0) + stats.ring_drops + stats.truncated


class Direct(Consumer):
    """A thread that waits in ``recv_batch``."""

    def receive(self) -> None:
        while True:
            self.deliver(arrivals_of(self.rx.recv_batch()))


class Single(Consumer):
    """A thread that takes one datagram at a time."""

    def receive(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                self.deliver(arrivals_of([self.rx.recv(timeout=0.2)]))


class Ring(Direct):
    """A receiver with a ring, which a thread of the core fills."""

    def open(self, groups: list[str], port: int, **options: Any) -> Any:
        return super().open(groups, port, **{"ring": 2000, **options})


class Poll(Consumer):
    """A thread that never waits in the receiver."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ended = threading.Event()
        super().__init__(*args, **options)

    def receive(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            with contextlib.suppress(TimeoutError):
                while True:
                    self.deliver(arrivals_of(self.rx.recv_batch(256, 0)))

    def close(self) -> None:
        self._ended.set()
        super().close()

    def _run(self) -> None:
        try:
            self.receive()
        except multicast.ClosedError:
            if not self._ended.is_set():
                self._fail("polling ended before the receiver was closed")
        except Exception as error:  # noqa: BLE001 - every error is a fault
            self._fail(f"polling raised {type(error).__name__}: {error}")


class Async(Consumer):
    """A task in an event loop of its own."""

    def open(self, groups: list[str], port: int, **options: Any) -> Any:
        return aio.Receiver(groups, port, **options)

    def receive(self) -> None:
        asyncio.run(self._receive())

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        # Once this task waits for datagrams, it needs no more descriptors.
        loop.call_soon(self._loop.set_result, loop)
        async for batch in self.rx.batches():
            self.deliver(arrivals_of(batch))

    def start(self) -> None:
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        super().start()
        self._loop.result(10)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        async def do() -> Any:
            return getattr(self.rx, method)(*args, **options)

        return asyncio.run_coroutine_threadsafe(do(), self._loop.result(10)).result(10)


KINDS: dict[str, type[Consumer]] = {
    "direct": Direct,
    "single": Single,
    "ring": Ring,
    "poll": Poll,
    "aio": Async,
}
