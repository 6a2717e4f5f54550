"""What the asynchronous receiver and sender share: trying, waiting in turn, giving way, closing.

An endpoint stands on its twin in `multicast.sync` and never blocks: it tries at once, and waits for the descriptor
where there is nothing to do. What is ready costs no future and no turn of the event loop, but after `SLICE` seconds of
it other tasks get theirs. What is not here: waiting itself, which is in `_readiness`.
"""

from __future__ import annotations

import asyncio
import functools
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, Generic, TypeVar

from .. import sync
from .readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import ParamSpec, Self

    P = ParamSpec("P")

Core = TypeVar("Core", sync.Receiver, sync.Sender)
Result = TypeVar("Result")

SLICE = 0.002
"""Seconds that an endpoint lets a task go on without a turn of the event loop, while something is always ready."""

FOREVER = float("inf")

_MOST = 512
"""The most datagrams between two looks at the clock."""


def with_signature_of(
    twin: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[..., Result]], Callable[Concatenate[Any, P], Result]]:
    """Gives a method that passes its arguments on the signature of the method that it passes them to."""
    return functools.wraps(twin, assigned=(), updated=())


class AsyncEndpoint(Generic[Core]):
    """What a receiver and a sender share: trying, waiting in turn, giving way, closing."""

    def __init__(self, core: Core, timeout_message: str, *, writing: bool) -> None:
        self._core: Core = core
        self._timeout_message = timeout_message
        self._ready = Readiness(core.fileno, writing=writing)
        # When to give way, and how many datagrams to handle before the next look at the clock.
        self._due = 0.0
        self._next = 1

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._core.port

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._core.closed

    def fileno(self) -> int:
        """The descriptor that is waited on; it is not for others to read from.

        Raises:
            ClosedError: it is closed.
        """
        return self._core.fileno()

    def close(self) -> None:
        """Closes. Closing again does nothing. Tasks that wait get a ClosedError.

        Called in another thread than the event loop's, it takes effect at the loop's next turn.
        """
        loop = self._ready.loop_elsewhere()
        if loop is not None:
            loop.call_soon_threadsafe(self.close)
            return
        # First, so that no event loop watches a descriptor that is somebody else's by then.
        self._ready.close()
        self._core.close()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def __repr__(self) -> str:
        """What it stands on."""
        return f"<multicast.aio {self._core!r}>"

    def _begin(self) -> None:
        """Notes that the event loop had a turn."""
        self._due = monotonic() + SLICE
        self._next = 1

    def _some(self) -> int:
        """How many datagrams to handle before the next look at the clock.

        Never more than since the last turn, and one: so however long each takes, the slice is not exceeded by much.
        """
        some = self._next
        self._next = min(2 * some, _MOST)
        return some

    async def _give_way(self) -> None:
        await asyncio.sleep(0)
        self._begin()

    async def _wait(self, timeout: float, *, again: bool) -> None:
        await self._ready.wait(timeout, again=again)
        self._begin()

    async def _retry_until_ready(self, attempt: Callable[[], Result], timeout: float | None) -> Result:
        """Tries, waits and tries again. Nothing is awaited after an attempt that succeeded."""
        deadline = _deadline(timeout)
        if monotonic() >= self._due:
            await self._give_way()
        again = False
        while True:
            try:
                return attempt()
            except TimeoutError:
                remaining = deadline - monotonic()
            if remaining <= 0:
                raise TimeoutError(f"{self._timeout_message} within {timeout:g} s")
            await self._wait(remaining, again=again)
            again = True


def _deadline(timeout: float | None) -> float:
    """When it is over, on the monotonic clock.

    Raises:
        ValueError: it is no time.
    """
    if timeout is None:
        return FOREVER
    if not timeout >= 0:
        raise ValueError(f"a timeout is a number of seconds from 0, not {timeout}")
    return monotonic() + timeout
