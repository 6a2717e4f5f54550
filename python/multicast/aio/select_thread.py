"""A thread that waits on a descriptor for an event loop that cannot: Windows' proactor.

What is not here: who waits and why. One thread serves one endpoint, from its first wait until it is closed.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class SelectThread:
    """Calls back in the event loop's thread, once for each time it was asked to watch.

    Args:
        loop: the event loop.
        on_ready: what to call in it when the descriptor is ready; then it is not watched any more.
        writing: ready means that it can be written instead of read.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], object], *, writing: bool
    ) -> None:
        self._loop = loop
        self._on_ready = on_ready
        self._event = selectors.EVENT_WRITE if writing else selectors.EVENT_READ
        # What to watch from now on, if anything; the bell tells that an order was put there.
        self._orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._closed = False
        self._bell, self._button = socket.socketpair()
        self._button.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="multicast-select", daemon=True)
        self._thread.start()

    def watch(self, descriptor: int | None) -> None:
        """Watches this one, or none, instead of what was watched before.

        It stays open until another is watched, or this is closed.
        """
        self._orders.put(descriptor)
        # A bell that cannot be rung any more has been rung often enough.
        with contextlib.suppress(BlockingIOError):
            self._button.send(b"\0")

    def close(self) -> None:
        """Ends the thread and waits for its end, which is at once."""
        self._closed = True
        self.watch(None)
        self._thread.join()
        self._bell.close()
        self._button.close()

    def _run(self) -> None:
        watched: int | None = None
        while not self._closed:
            with selectors.DefaultSelector() as selector:
                selector.register(self._bell, selectors.EVENT_READ)
                if watched is not None:
                    selector.register(watched, self._event)
                ready = {key.fd for key, _ in selector.select()}
            if self._bell.fileno() in ready:
                self._bell.recv(4096)
                with contextlib.suppress(queue.Empty):
                    while True:
                        watched = self._orders.get_nowait()
            else:
                watched = None
                # A closed loop has nobody left to tell.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._on_ready)
