"""``watch_interfaces`` for asyncio."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .. import _arguments, _core, watching
from .._closing import Closing
from ..exceptions import ClosedError
from .closing import AsyncClosing
from .endpoint import FOREVER, deadline_after
from .readiness import Readiness

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..types import InterfaceEvent

_PERIOD = 1.0
"""Seconds between two checks if the system does not report changes."""


class InterfaceWatch(AsyncClosing):
    """Wait for changes to the interfaces and routes of this machine, in an event loop.

    ::

        async with multicast.aio.watch_interfaces() as watch:
            async for event in watch:
                print(event.kind, event.interface.name if event.interface else "")
                if event.kind == "removed":
                    break

    Create it with `watch_interfaces`. It is an asynchronous iterator of
    `InterfaceEvent`, which ends when the watch is closed, and an
    asynchronous context manager, which closes the watch. It reports what
    happens after its creation. Use it in the thread of the event loop.

    Args:
        timeout: Seconds to wait for each event of the iteration, at least
            0. None waits without a limit.

    Raises:
        ValueError: The timeout is out of range.
        OSError: The system refused; ``errno`` says why.
    """

    # For `closed` of a watch that could not be opened.
    _opened: _core._InterfaceWatch | None = None

    def __init__(self, *, timeout: float | None = None) -> None:
        self._timeout = _arguments.timeout(timeout)
        self._events: deque[InterfaceEvent] = deque()
        self._opened = self._core = _core._InterfaceWatch()
        self._period = _PERIOD if self._core.fileno() is None else FOREVER
        self._ready = Readiness(self._core.fileno, writing=False)

    async def wait(self, timeout: float | None = None) -> InterfaceEvent:
        """Return the next event.

        Args:
            timeout: Seconds to wait, at least 0. 0 polls; None waits without a
                limit.

        Raises:
            TimeoutError: Nothing has changed in that time.
            ClosedError: The watch is closed, or was closed during the call.
        """
        deadline, again = deadline_after(timeout), False
        while True:
            if not self._events:
                self._events.extend(watching.events(self._core.poll()))
            if self._events:
                event = self._events.popleft()
                if self._events:
                    # For the next task in turn: the descriptor does not report these.
                    self._ready.wake()
                return event
            remaining = deadline - monotonic()
            if remaining <= 0:
                raise TimeoutError(f"no interface has changed within {timeout:g} s")
            await self._ready.wait(min(remaining, self._period), again=again)
            again = True

    @property
    def closed(self) -> bool:
        """Whether the watch is closed."""
        return self._opened is None or self._opened.closed

    def close(self) -> None:
        """End the iteration.

        Waiting tasks get a ClosedError. Closing again does nothing.
        """
        # Stop before the descriptor is closed, because its number can go to another socket at once.
        self._ready.close()
        self._core.close()
        self._events.clear()

    # Warns if it is dropped without having been closed.
    __del__ = Closing.__del__  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]

    def __repr__(self) -> str:
        """Return whether it is closed."""
        return f"<multicast.aio.InterfaceWatch, {'closed' if self.closed else 'open'}>"

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> InterfaceEvent:
        """Return the next event, as `wait` does with the timeout of the watch."""
        try:
            return await self.wait(self._timeout)
        except ClosedError:
            raise StopAsyncIteration from None


def watch_interfaces(*, timeout: float | None = None) -> InterfaceWatch:
    """Watch the interfaces and routes of this machine.

    See `multicast.watch_interfaces`.
    """
    return InterfaceWatch(timeout=timeout)
