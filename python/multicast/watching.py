"""``watch_interfaces``: events when interfaces or routes change."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from . import _arguments
from ._closing import Closing
from ._core import _InterfaceWatch
from .exceptions import ClosedError
from .types import Interface, InterfaceEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from ._core import _Change

_SLICE = 0.05
"""Seconds until a waiting thread looks again: another one may have taken several events at once, and left some."""


class InterfaceWatch(Closing):
    """Wait for changes to the interfaces and routes of this machine.

    ::

        with multicast.watch_interfaces() as watch:
            for event in watch:
                print(event.kind, event.interface.name if event.interface else "")
                if event.kind == "removed":
                    break

    Create it with `watch_interfaces`. It is an iterator of
    `InterfaceEvent`, which ends when the watch is closed, and a context
    manager, which closes the watch. It reports what happens after its
    creation. Any thread may use it at any time.

    Args:
        timeout: Seconds to wait for each event of the iteration, at least
            0. None waits without a limit.

    Raises:
        ValueError: The timeout is out of range.
        OSError: The system refused; ``errno`` says why.
    """

    # For `closed` of a watch that could not be opened.
    _opened: _InterfaceWatch | None = None

    def __init__(self, *, timeout: float | None = None) -> None:
        self._timeout = _arguments.timeout(timeout)
        self._events: deque[InterfaceEvent] = deque()
        self._opened = self._core = _InterfaceWatch()

    def wait(self, timeout: float | None = None) -> InterfaceEvent:
        """Return the next event.

        Args:
            timeout: Seconds to wait, at least 0. 0 polls; None waits without a
                limit.

        Raises:
            TimeoutError: Nothing has changed in that time.
            ClosedError: The watch is closed, or was closed during the call.
        """
        timeout = _arguments.timeout(timeout)
        end = float("inf") if timeout is None else monotonic() + timeout
        while True:
            try:
                return self._events.popleft()
            except IndexError:
                remaining = max(0.0, end - monotonic())
            try:
                self._events.extend(events(self._core.wait(min(remaining, _SLICE))))
            except TimeoutError:
                if not remaining and not self._events:
                    raise TimeoutError(f"no interface has changed within {timeout:g} s") from None

    @property
    def closed(self) -> bool:
        """Whether the watch is closed."""
        return self._opened is None or self._opened.closed

    def close(self) -> None:
        """End the iteration.

        Waiting calls raise ClosedError. Closing again does nothing.
        """
        self._core.close()
        self._events.clear()

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> InterfaceEvent:
        """Return the next event, as `wait` does with the timeout of the watch."""
        try:
            return self.wait(self._timeout)
        except ClosedError:
            raise StopIteration from None

    def __repr__(self) -> str:
        """Return the state."""
        return f"<{type(self).__name__}, {'closed' if self.closed else 'open'}>"


def events(changes: Iterable[_Change]) -> list[InterfaceEvent]:
    """Return the events for the changes that the core reports."""
    return [InterfaceEvent(kind, None if fields is None else Interface(**fields)) for kind, fields in changes]


def watch_interfaces(*, timeout: float | None = None) -> InterfaceWatch:
    """Watch the interfaces and routes of this machine.

    On Linux, the kernel reports each change. On other systems, and if a
    sandbox forbids this, the watch compares the interfaces once a second
    and does not notice changes of routes.

    Args:
        timeout: Seconds to wait for each event of the iteration, at least
            0, before it raises ``TimeoutError``. None waits without a
            limit.

    Returns:
        An iterator of `InterfaceEvent` and context manager.

    Raises:
        ValueError: The timeout is out of range.
        OSError: The system refused; ``errno`` says why.
    """
    return InterfaceWatch(timeout=timeout)
