"""Event loops of every kind that ``multicast.aio`` supports, and one that records its calls. No tests."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from typing_extensions import TypeVarTuple, Unpack

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
MakeLoop = Callable[[], asyncio.AbstractEventLoop]


class WithoutReaders(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, like the proactor loop of Windows."""

    def add_reader(
        self, fd: Any, callback: Callable[[Unpack[Arguments]], Any], *args: Unpack[Arguments]
    ) -> None:
        raise NotImplementedError

    def add_writer(
        self, fd: Any, callback: Callable[[Unpack[Arguments]], Any], *args: Unpack[Arguments]
    ) -> None:
        raise NotImplementedError

    def remove_reader(self, fd: Any) -> bool:
        raise NotImplementedError

    def remove_writer(self, fd: Any) -> bool:
        raise NotImplementedError


class Watched(asyncio.SelectorEventLoop):
    """A loop that records the descriptors it watches, and counts futures, tasks and registrations."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: set[int] = set()
        self.writing: set[int] = set()
        self.watches = self.futures = self.tasks = 0

    def add_reader(
        self, fd: Any, callback: Callable[[Unpack[Arguments]], Any], *args: Unpack[Arguments]
    ) -> None:
        self.watches += 1
        self.reading.add(fd)
        super().add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        self.reading.discard(fd)
        return super().remove_reader(fd)

    def add_writer(
        self, fd: Any, callback: Callable[[Unpack[Arguments]], Any], *args: Unpack[Arguments]
    ) -> None:
        self.watches += 1
        self.writing.add(fd)
        super().add_writer(fd, callback, *args)

    def remove_writer(self, fd: Any) -> bool:
        self.writing.discard(fd)
        return super().remove_writer(fd)

    def create_future(self) -> "asyncio.Future[Any]":
        self.futures += 1
        return super().create_future()

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        self.tasks += 1
        return super().create_task(coro, **options)


def uvloop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop, which supports every system but Windows."""
    import uvloop as package

    return package.new_event_loop()


KINDS: dict[str, MakeLoop] = {
    "asyncio": asyncio.SelectorEventLoop,
    "without-readers": WithoutReaders,
}
if sys.platform != "win32":
    KINDS["uvloop"] = uvloop
    # The first loop of uvloop opens a pipe for signals that stays open. Open it before a test counts descriptors.
    uvloop().close()


def run(make: MakeLoop, main: Coroutine[Any, Any, Result]) -> Result:
    """Run ``main`` in a new loop, as `asyncio.run` does, and return its result.

    Raises:
        AssertionError: The exception handler of the loop was called.
    """
    loop = make()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    assert complaints == []
    return result


async def turns(count: int = 3) -> None:
    """Let the other tasks run for ``count`` turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
