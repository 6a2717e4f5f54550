"""Tasks that wait in turn for an endpoint's descriptor. Closing and timeouts wake them too.

This module does not receive or send. A task that was woken makes its own attempt, so a task can be cancelled at any
moment without losing a datagram.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable


class Readiness:
    """The queue of one endpoint for one direction.

    The event loop watches the descriptor only while a task waits. It serves one event loop at a time; all methods
    but `loop_elsewhere` belong to that loop's thread.

    Args:
        descriptor: returns the descriptor to watch, or None; then only a timeout or `wake` ends a wait.
        writing: whether to wait until the descriptor is writable instead of readable.
    """

    def __init__(self, descriptor: Callable[[], int | None], *, writing: bool) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        """The waiting tasks, in order. This object is never replaced, so looking at it is cheap."""
        self._resting: set[asyncio.Future[None]] = set()
        self._descriptor = descriptor
        self._writing = writing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: Watch | None = None
        # At most one woken task is about to try. It wakes the next one if it leaves something.
        self._woken: asyncio.Future[None] | None = None
        # A woken task has tried in this turn of the loop, so what the loop saw before that is out of date.
        self._looked = False

    async def wait(self, timeout: float, *, again: bool) -> None:
        """Wait to be woken. There may be nothing to do afterwards.

        Args:
            timeout: seconds after which the wait ends in any case; infinity sets no limit.
            again: whether the task has waited before and found nothing, so that it keeps its place in the queue.

        Raises:
            RuntimeError: tasks of another event loop wait.
        """
        loop = self._bind()
        self._watch_descriptor()
        turn: asyncio.Future[None] = loop.create_future()
        if again:
            self.waiting.appendleft(turn)
        else:
            self.waiting.append(turn)
        timer = None if timeout == float("inf") else loop.call_later(timeout, _wake, turn)
        try:
            await turn
        except BaseException:
            if self._woken is turn and not loop.is_closed():
                # It leaves without having tried, so the next one must.
                self._woken = None
                self.wake()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if self._woken is turn:
                self._woken = None
                self._looked = True
            else:
                with contextlib.suppress(ValueError):
                    self.waiting.remove(turn)
            # Not at once, so that a task that comes back for more finds the descriptor still watched.
            if not loop.is_closed():
                loop.call_soon(self._settle)

    async def rest(self, seconds: float) -> None:
        """Wait for ``seconds``, or until the endpoint is closed."""
        loop = self._bind()
        end: asyncio.Future[None] = loop.create_future()
        self._resting.add(end)
        timer = loop.call_later(seconds, _wake, end)
        try:
            await end
        finally:
            timer.cancel()
            self._resting.discard(end)

    def wake(self) -> None:
        """Wake the first waiting task, unless one has already been woken."""
        while self._woken is None and self.waiting:
            turn = self.waiting.popleft()
            # A task that was cancelled, that timed out or whose loop was closed needs no waking.
            if not turn.done() and not turn.get_loop().is_closed():
                self._woken = turn
                turn.set_result(None)

    def loop_elsewhere(self) -> asyncio.AbstractEventLoop | None:
        """Return the event loop that this serves if it runs in another thread, otherwise None."""
        loop = self._loop
        if loop is None or not loop.is_running():
            return None
        try:
            return None if asyncio.get_running_loop() is loop else loop
        except RuntimeError:
            return loop

    def close(self) -> None:
        """Stop watching, and wake all tasks."""
        self._release()
        turns = [*self.waiting, *self._resting]
        self.waiting.clear()
        if self._loop is not None and not self._loop.is_closed():
            for turn in turns:
                _wake(turn)

    def _bind(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            busy = self.waiting or self._resting
            if busy and self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("tasks of another event loop wait on it already")
            self._release()
            self.waiting.clear()
            self._resting.clear()
            self._woken, self._looked = None, False
            self._loop = loop
            self._watch = Watch(loop, writing=self._writing, strong=False)
        return loop

    def _watch_descriptor(self) -> None:
        if self._watch is not None and not self._watch.active:
            descriptor = self._descriptor()
            if descriptor is not None:
                self._watch.start(descriptor, self._on_ready)

    def _release(self) -> None:
        if self._watch is not None:
            self._watch.close()

    def _on_ready(self) -> None:
        if not self._looked:
            self.wake()

    def _settle(self) -> None:
        """Watch the descriptor if a task waits; otherwise stop watching."""
        self._looked = False
        if self._watch is None:
            return
        if self.waiting:
            self._watch_descriptor()
        else:
            self._watch.stop()


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
