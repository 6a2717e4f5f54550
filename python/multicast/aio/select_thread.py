"""A thread that waits on a descriptor for an event loop that cannot, such as the proactor of Windows.

One thread serves one endpoint, from its first wait until the endpoint is closed or collected.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class SelectThread:
    """Call back in the thread of the event loop, once for each call of `watch`.

    The thread keeps neither this object nor the owner of ``on_ready`` alive, so that a forgotten endpoint is collected.

    Args:
        loop: The event loop.
        on_ready: The method to call in it when the descriptor is ready. Then it is no longer watched.
        writing: Whether ready means writable instead of readable.
    """

    # Whether there is a thread to end. There is none if the construction failed.
    _running = False

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], object], *, writing: bool
    ) -> None:
        # Each order is the descriptor to watch from now on, or None. The bell reports a new order.
        self._orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._bell, self._button = socket.socketpair()
        self._button.setblocking(False)
        event = selectors.EVENT_WRITE if writing else selectors.EVENT_READ
        self._thread = threading.Thread(
            target=_run,
            args=(loop, weakref.WeakMethod(on_ready), event, self._orders, self._closed, self._bell),
            name="multicast-select",
            daemon=True,
        )
        try:
            self._thread.start()
        except BaseException:
            self._bell.close()
            self._button.close()
            raise
        self._running = True

    def watch(self, descriptor: int | None) -> None:
        """Watch this descriptor, or none, instead of the one before.

        It must stay open until another is watched, or this is closed.
        """
        self._orders.put(descriptor)
        # If the buffer is full, the thread is about to look anyway. If the other end is closed, the thread has ended.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            self._button.send(b"\0")

    def close(self) -> None:
        """End the thread, and wait until it has ended, which takes only a moment. Closing again does nothing."""
        if not self._running:
            return
        self._running = False
        self._closed.set()
        self.watch(None)
        # The thread itself may drop the last reference to an endpoint.
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._button.close()

    def __del__(self) -> None:
        """End the thread of an endpoint that was not closed."""
        self.close()


def _run(  # noqa: PLR0917 - the thread must not hold the object
    loop: asyncio.AbstractEventLoop,
    on_ready: weakref.WeakMethod[Callable[[], object]],
    event: int,
    orders: queue.SimpleQueue[int | None],
    closed: threading.Event,
    bell: socket.socket,
) -> None:
    watched: int | None = None
    with bell:
        while not closed.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(bell, selectors.EVENT_READ)
                if watched is not None:
                    selector.register(watched, event)
                ready = {key.fd for key, _ in selector.select()}
            if bell.fileno() in ready:
                bell.recv(4096)
                with contextlib.suppress(queue.Empty):
                    while True:
                        watched = orders.get_nowait()
                continue
            watched = None
            method = on_ready()
            if method is not None:
                # A closed loop has no task to wake.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(method)
            # The method keeps its object alive.
            del method
