"""How the asynchronous receiver and sender try, wait in turn, give way to other tasks, and close.

An endpoint wraps its counterpart in `multicast.sync` and never blocks:
it tries at once, and waits for the descriptor if there is nothing to
do. Datagrams that are ready cost no future and no turn of the event
loop, but after `SLICE` seconds other tasks get their turn. The waiting
itself is in ``readiness``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, Generic, TypeVar

from .. import sync
from .closing import AsyncClosing
from .readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

Core = TypeVar("Core", sync.Receiver, sync.Sender)
Owner = TypeVar("Owner")
Result = TypeVar("Result")

SLICE = 0.002
"""Seconds that a task may run without a turn of the event loop while there is always something to do."""

FOREVER = float("inf")

_MAX_STEP = 512
"""The most datagrams between two checks of the clock."""


def with_signature_of(
    counterpart: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[Concatenate[Owner, ...], Result]], Callable[Concatenate[Owner, P], Result]]:
    """Give a method the signature of the method that it passes its arguments to."""
    return functools.wraps(counterpart, assigned=(), updated=())


def with_signature_of_classmethod(
    counterpart: Callable[P, object],
) -> Callable[[Callable[Concatenate[Owner, ...], Result]], Callable[Concatenate[Owner, P], Result]]:
    """Give a class method, below ``@classmethod``, the signature of the one that it passes its arguments to."""
    function: Callable[..., object] = getattr(counterpart, "__func__")  # noqa: B009 - unknown to type checkers
    return functools.wraps(function, assigned=(), updated=())


class AsyncEndpoint(AsyncClosing, Generic[Core]):
    """The base class of the asynchronous receiver and sender."""

    _core: Core

    def _start(self, core: Core, *, writing: bool) -> None:
        self._core = core
        self._ready = Readiness(core.fileno, writing=writing)
        # When to give way, and how many datagrams to handle before the next check of the clock.
        self._due = 0.0
        self._step = 1

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._core.port

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._core.closed

    def fileno(self) -> int:
        """Return the descriptor that the event loop watches. Do not read from it.

        Raises:
            ClosedError: It is closed.
        """
        return self._core.fileno()

    def close(self) -> None:
        """Close it. Waiting tasks get a ClosedError. Closing again does nothing.

        If a thread other than that of the event loop calls this, it takes effect
        at the next iteration of the loop.
        """
        loop = self._ready.loop_elsewhere()
        if loop is not None:
            # This fails if the loop was closed in the meantime. In that case, nothing watches the descriptor.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.close)
                return
        # Stop before the descriptor is closed, because its number can go to another socket at once.
        self._stop_watching()
        self._core.close()

    def _stop_watching(self) -> None:
        self._ready.close()

    def __repr__(self) -> str:
        """Return what it wraps."""
        return f"<multicast.aio {self._core!r}>"

    def _failure(self) -> str:
        """Return the first half of the message of a `TimeoutError`."""
        raise NotImplementedError

    def _begin_slice(self) -> None:
        """Record that the event loop had a turn."""
        self._due = monotonic() + SLICE
        self._step = 1

    def _next_step(self) -> int:
        """Return how many datagrams to handle before the next check of the clock.

        The number doubles each time, so the slice is at most doubled, however long each datagram takes.
        """
        step = self._step
        self._step = min(2 * step, _MAX_STEP)
        return step

    async def _give_way(self) -> None:
        await asyncio.sleep(0)
        self._begin_slice()

    async def _wait(self, timeout: float, *, again: bool) -> None:
        await self._ready.wait(timeout, again=again)
        self._begin_slice()

    async def _retry_until_ready(
        self, attempt: Callable[[], Result], timeout: float | None, deadline: float | None = None
    ) -> Result:
        """Try, wait and try again. After an attempt that succeeds, nothing is awaited."""
        if deadline is None:
            deadline = deadline_after(timeout)
        if monotonic() >= self._due:
            await self._give_way()
        again = False
        while True:
            try:
                return attempt()
            except TimeoutError:
                remaining = deadline - monotonic()
            if remaining <= 0:
                raise TimeoutError(f"{self._failure()} within {timeout:g} s")
            await self._wait(remaining, again=again)
            again = True


def deadline_after(timeout: float | None) -> float:
    """Return the time on the monotonic clock when a timeout expires.

    Raises:
        ValueError: It is below 0 or not a number.
    """
    if timeout is None:
        return FOREVER
    if not timeout >= 0:
        raise ValueError(f"timeout must be a number of seconds from 0, got {timeout}")
    return monotonic() + timeout
