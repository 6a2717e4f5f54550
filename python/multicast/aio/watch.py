"""Watches one descriptor for an event loop, with a thread if the loop itself cannot watch descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .select_thread import SelectThread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


_NEVER = 10.0 * 365 * 86_400
"""Seconds until a timer that is not meant to expire."""


class Watch:
    """Watches a descriptor for one direction. All methods belong to the thread of the event loop.

    A loop calls back repeatedly while the descriptor is ready. A thread calls back once: call `start` again after that.

    Args:
        loop: The event loop.
        writing: Whether ready means writable instead of readable.
        strong: Whether the loop keeps the owner of the callback alive while a thread watches, as it does when it
            watches itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, writing: bool, strong: bool) -> None:
        self._loop = loop
        self._writing = writing
        self._strong = strong
        self._watched: int | None = None
        self._thread: SelectThread | None = None
        self._on_ready: Callable[[], object] | None = None
        self._anchor: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Whether it watches a descriptor."""
        return self._watched is not None

    def start(self, descriptor: int, on_ready: Callable[[], object]) -> None:
        """Call a method whenever the descriptor is ready, unless it is watched already."""
        if self._watched is not None:
            return
        if self._thread is None:
            add = self._loop.add_writer if self._writing else self._loop.add_reader
            try:
                add(descriptor, on_ready)
            except NotImplementedError:
                # Windows' proactor watches no descriptors.
                self._thread = SelectThread(self._loop, self._call_once, writing=self._writing)
                if self._strong:
                    self._anchor = self._loop.call_later(_NEVER, on_ready)
        if self._thread is not None:
            self._on_ready = on_ready
            self._thread.watch(descriptor)
        self._watched = descriptor

    def stop(self) -> None:
        """Stop watching."""
        watched, self._watched = self._watched, None
        self._on_ready = None
        if watched is None:
            return
        if self._thread is not None:
            self._thread.watch(None)
        elif not self._loop.is_closed():
            remove = self._loop.remove_writer if self._writing else self._loop.remove_reader
            remove(watched)

    def close(self) -> None:
        """Stop watching, and end the thread if there is one."""
        self.stop()
        if self._thread is not None:
            self._thread.close()
            self._thread = None
        if self._anchor is not None:
            self._anchor.cancel()
            self._anchor = None

    def _call_once(self) -> None:
        on_ready, self._on_ready = self._on_ready, None
        self._watched = None
        # None if `stop` was called after the thread saw the descriptor ready.
        if on_ready is not None:
            on_ready()
