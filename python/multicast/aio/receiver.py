"""``Receiver`` for asyncio. How it waits, gives way to other tasks and closes is in ``endpoint``."""

from __future__ import annotations

import functools
import inspect
import sys
from operator import length_hint
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .. import _core, handlers, sync
from ..exceptions import ClosedError
from .endpoint import FOREVER, AsyncEndpoint, deadline_after, with_signature_of, with_signature_of_classmethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from typing_extensions import Buffer, Self

    from ..types import Membership, ReceiverStats


_NOTHING = _core.BatchIterator()

_FIRST_NAP = 0.0002
"""Seconds that a lingering receive sleeps before it first checks whether it has enough. The next sleeps are longer."""

_LONGEST_NAP = 0.01

_FULL_NAP = 0.001
"""Seconds between two attempts to reply while the send buffer is full."""


class Receiver(AsyncEndpoint[sync.Receiver]):
    """Receive the datagrams of one or more groups on one port, in an event loop.

    ::

        async with aio.Receiver("239.1.2.3:5000", interface="eth0") as rx:
            msg = await rx.recv(timeout=1.0)
            print(msg.sender, msg.data)
            async for msg in rx:
                await handle(msg)

    The arguments and errors are those of `multicast.Receiver`. The
    constructor opens the sockets at once. A receiver is an asynchronous
    iterator of `Datagram`, which ends when the receiver is closed, and an
    asynchronous context manager, which closes it. Several tasks may receive
    at once: each datagram goes to one of them, and waiting tasks are served
    in turn. A receive call that is cancelled or times out consumes no
    datagram.

    Use it in the thread of the event loop. Other threads may only call
    `close`.
    """

    @with_signature_of(sync.Receiver.__init__)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._wrap(sync.Receiver(*args, **options))

    @classmethod
    @with_signature_of_classmethod(sync.Receiver.adopt)
    def adopt(cls, *args: Any, **options: Any) -> Self:
        """Receive on a UDP socket that is already open.

        See `multicast.Receiver.adopt`.
        """
        self = cls.__new__(cls)
        self._wrap(sync.Receiver.adopt(*args, **options))
        return self

    @classmethod
    def _around(cls, core: _core.Receiver) -> Receiver:
        """Wrap a receiver of the core that has no groups: that of the answers of a sender."""
        self = cls.__new__(cls)
        self._wrap(cast("sync.Receiver", core))
        return self

    def _wrap(self, core: sync.Receiver) -> None:
        self._start(core, writing=False)
        # Datagrams that an ``async for`` took and has not handed out yet. All calls take from here first, so
        # that such a loop may be left at any time.
        self._rest = _NOTHING

    @property
    def pending(self) -> int:
        """Number of datagrams that were taken from the kernel but not yet returned."""
        return self._core.pending + length_hint(self._rest)

    async def recv(self, timeout: float | None = None) -> _core.Datagram:
        """Return the next datagram.

        Args:
            timeout: Seconds to wait, at least 0. 0 polls; None waits without a
                limit.

        Raises:
            TimeoutError: No datagram arrived in that time.
            ClosedError: The receiver is closed, or was closed during the call.
        """
        msg = await self._retry_until_ready(self._take, timeout)
        self._wake_next()
        return msg

    async def recv_batch(
        self, limit: int = 256, timeout: float | None = None, linger: float = 0.0
    ) -> _core.Batch:
        """Wait for a datagram, then return everything already queued.

        Args:
            limit: Maximum number of datagrams to return, at least 1.
            timeout: Seconds to wait for the first datagram, at least 0. 0
                polls; None waits without a limit.
            linger: Seconds to keep collecting after the first datagram, until
                there are ``limit`` of them or no more fit. Fewer, larger
                batches cost less CPU time.

        Raises:
            TimeoutError: No datagram arrived in that time.
            ClosedError: The receiver is closed, or was closed during the call.
        """
        if not linger >= 0:
            raise ValueError(f"linger must be a number of seconds from 0, got {linger}")
        if linger:
            batch = await self._gather(limit, timeout, linger)
        else:
            batch = await self._retry_until_ready(functools.partial(self._take_batch, limit), timeout)
        self._wake_next()
        return batch

    def batches(
        self, limit: int = 256, timeout: float | None = None, linger: float = 0.0
    ) -> AsyncIterator[_core.Batch]:
        """Iterate over batches until the receiver is closed.

        The arguments are those of `recv_batch`.

        Raises:
            TimeoutError: No datagram arrived within ``timeout``.
        """
        return _Batches(functools.partial(self.recv_batch, limit, timeout, linger))

    async def __aiter__(self) -> AsyncIterator[_core.Datagram]:
        """Iterate over datagrams until the receiver is closed.

        You may leave the loop and start another one: no datagram is lost in between. When you leave it, asyncio starts
        a task to close the iterator, so to take a single datagram, use `recv`.
        """
        # A generator, because that is the cheapest iterator for an ``async for``.
        waited = False
        while True:
            rest = self._rest
            for msg in rest:
                yield msg
            if rest is not self._rest:
                # Another task found its end in the meantime, and fetched more.
                continue
            if monotonic() >= self._due:
                await self._give_way()
                continue
            # It keeps the buffer, which the core can reuse.
            del rest
            try:
                self._fetch()
                waited = False
            except TimeoutError:
                try:
                    await self._wait(FOREVER, again=waited)
                except ClosedError:
                    return
                waited = True
            except ClosedError:
                return
            # Wake it before anything is taken, because the body of the loop may take long.
            self._wake_next()

    async def __anext__(self) -> _core.Datagram:
        """Return the next datagram.

        See `recv`. The iteration ends when the receiver is closed.
        """
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None

    async def reply(self, msg: _core.Datagram, data: Buffer, timeout: float | None = None) -> int:
        """Send a reply to the sender of a datagram; see `multicast.Receiver.reply`."""
        deadline = deadline_after(timeout)
        while True:
            try:
                return self._core.reply(msg, data, 0)
            except TimeoutError:
                remaining = deadline - monotonic()
                if remaining <= 0:
                    raise
            # The event loop watches the descriptor for datagrams, and a full send buffer is empty soon.
            await self._ready.rest(min(_FULL_NAP, remaining))

    @with_signature_of(sync.Receiver.join)
    def join(self, *args: Any, **options: Any) -> None:
        """Join more groups; see `multicast.Receiver.join`."""
        self._core.join(*args, **options)

    @with_signature_of(sync.Receiver.leave)
    def leave(self, *args: Any, **options: Any) -> None:
        """Leave groups; see `multicast.Receiver.leave`."""
        self._core.leave(*args, **options)

    @property
    def groups(self) -> tuple[Membership, ...]:
        """The current memberships."""
        return self._core.groups

    def stats(self) -> ReceiverStats:
        """Return the counters. After closing, they stay as they were."""
        return self._core.stats()

    def detach(self) -> int:
        """Close the receiver and return a descriptor of its socket.

        See `multicast.Receiver.detach`.
        """
        # Before the descriptor is closed, so that no event loop watches it any more.
        self._ready.close()
        descriptor = self._core.detach()
        self._drop_rest()
        return descriptor

    def close(self) -> None:
        """Leave all groups and close the sockets.

        Waiting tasks get a ClosedError. Closing again does nothing.

        If a thread other than that of the event loop calls this, it takes effect
        at the next iteration of the loop.
        """
        super().close()
        if self.closed:
            self._drop_rest()

    async def run(
        self,
        handler: Callable[[_core.Datagram], object],
        *,
        stop: handlers.Stop = None,
        on_error: handlers.OnError = "log",
        timeout: float | None = None,
    ) -> int:
        """Call a function, or await a coroutine function, with each datagram.

        The call returns when ``stop`` is set or returns true, which is checked
        after each datagram and at least every 0.1 s, or when the receiver is
        closed. You can also cancel it.

        Args:
            handler: Called with each datagram.
            stop: A `threading.Event`, an `asyncio.Event`, or a function or
                coroutine function that returns true to end.
            on_error: The reaction to an exception of the handler, after logging it:
                ``"log"`` continues with the next datagram, and ``"raise"``
                raises the exception.
            timeout: Seconds without a datagram, at least 0, after which to
                raise ``TimeoutError``. None waits without a limit.

        Returns:
            The number of datagrams that the handler was called with.

        Raises:
            TimeoutError: No datagram arrived in that time.
            Exception: Any exception of the handler, if ``on_error="raise"``.
        """
        handler_loop = handlers.HandlerLoop(stop, on_error, timeout)
        while not await _result(handler_loop.stopped()):
            try:
                msg = await self.recv(handler_loop.wait)
            except ClosedError:
                break
            except TimeoutError:
                handler_loop.record_timeout()
                continue
            with handler_loop.handling(msg):
                await _result(handler(msg))
        return handler_loop.handled

    def _failure(self) -> str:
        return f"nothing was received on port {self.port}"

    def _take(self) -> _core.Datagram:
        for msg in self._rest:
            return msg
        return self._core.recv(0)

    def _take_batch(self, limit: int) -> _core.Batch:
        return self._rest._take(limit) or self._core.recv_batch(limit, 0)

    def _fetch(self) -> None:
        # Dropped first, so that the core can use its buffer again.
        self._rest = _NOTHING
        self._rest = iter(self._core.recv_batch(self._next_step(), 0))

    async def _gather(self, limit: int, timeout: float | None, linger: float) -> _core.Batch:
        """Wait for a datagram, and then until there is enough in hand or the time of ``linger`` is over."""
        deadline = deadline_after(timeout)
        look = functools.partial(self._look, limit)
        while True:
            await self._retry_until_ready(look, timeout, deadline)
            end, nap = monotonic() + linger, _FIRST_NAP
            # The rest of an ``async for`` is a batch of its own, which cannot be added to.
            while not length_hint(self._rest) and self._core._gather(limit) < limit:
                remaining = end - monotonic()
                if remaining <= 0:
                    break
                await self._ready.rest(min(nap, remaining))
                nap = min(2 * nap, _LONGEST_NAP)
            try:
                return self._take_batch(limit)
            except TimeoutError:
                # Another task has taken everything in the meantime.
                continue

    def _look(self, limit: int) -> None:
        if not length_hint(self._rest) and not self._core._gather(limit):
            raise TimeoutError

    def _wake_next(self) -> None:
        """Wake the next task for what is in hand, because the kernel does not report that."""
        if self._ready.waiting and self.pending:
            self._ready.wake()

    def _drop_rest(self) -> None:
        # An ``async for`` that is running keeps this iterator, so empty it too.
        self._rest._take(sys.maxsize)
        self._rest = _NOTHING


async def _result(returned: object) -> object:
    """Return what a function returned, or what the coroutine that it returned returns."""
    return await returned if inspect.isawaitable(returned) else returned


class _Batches:
    """Iterates over the batches of a receiver."""

    def __init__(self, receive: Callable[[], Awaitable[_core.Batch]]) -> None:
        self._receive = receive

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _core.Batch:
        try:
            return await self._receive()
        except ClosedError:
            raise StopAsyncIteration from None
