"""``Receiver`` for asyncio. How it waits, gives way to other tasks and closes is in ``endpoint``."""

from __future__ import annotations

import collections
import functools
import inspect
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .. import _core, handlers, sync
from .endpoint import FOREVER, AsyncEndpoint, with_signature_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from typing_extensions import Self

    from ..types import Membership, ReceiverStats


class Receiver(AsyncEndpoint[sync.Receiver]):
    """Receives the datagrams of one or more groups on one port, in an event loop.

    It is opened at once, with the arguments and errors of `multicast.Receiver`, and is an asynchronous iterator of
    `Datagram` that never ends by itself, and an asynchronous context manager that closes it. Several tasks may receive
    at once: each datagram goes to one of them, and those that wait are served in turn. A receive that is cancelled or
    times out has taken nothing.

    The event loop runs in one thread, and so does all of this; only `close` may be called in others.
    """

    @with_signature_of(sync.Receiver.__new__)
    def __init__(self, *args: Any, **options: Any) -> None:
        core = sync.Receiver(*args, **options)
        super().__init__(core, f"nothing was received on port {core.port}", writing=False)
        # What an `async for` took from the core and has not handed out yet. Everybody takes from here first, so that
        # the loop may be left at any time.
        self._part: Sequence[_core.Datagram] | _core.Batch = ()
        self._rest: Iterator[_core.Datagram] = iter(())

    async def recv(self, timeout: float | None = None) -> _core.Datagram:
        """The next datagram.

        Args:
            timeout: seconds to wait; 0 takes what is there, None waits for ever.

        Raises:
            TimeoutError: nothing came in that time.
            ClosedError: the receiver is closed, or was closed meanwhile.
        """
        msg = await self._retry_until_ready(self._take, timeout)
        self._hand_on()
        return msg

    async def recv_batch(self, max: int = 256, timeout: float | None = None) -> _core.Batch:  # noqa: A002 - sync's name
        """The next datagrams: waits for one, then takes what is there.

        Args:
            max: the most to take, from 1.
            timeout: seconds to wait for the first; 0 takes what is there, None waits for ever.

        Raises:
            TimeoutError: nothing came in that time.
            ClosedError: the receiver is closed, or was closed meanwhile.
        """
        batch = await self._retry_until_ready(functools.partial(self._take_batch, max), timeout)
        self._hand_on()
        return batch

    def batches(self, max: int = 256) -> AsyncIterator[_core.Batch]:  # noqa: A002 - sync's name
        """Iterates over batches of at most ``max`` datagrams, for ever; see `recv_batch`."""
        return _Batches(self, max)

    async def __aiter__(self) -> AsyncIterator[_core.Datagram]:
        """Datagrams for ever.

        The loop may be left and taken up again: what it has not handed out waits here. Leaving it costs a task, so
        to take one datagram and go, use `recv`.
        """
        # A generator, because of all that an ``async for`` can run on it costs least for a datagram.
        again = False
        while True:
            rest = self._rest
            for msg in rest:
                yield msg
            if rest is not self._rest:
                # Meanwhile another task found its end, and began the next.
                continue
            if monotonic() >= self._due:
                await self._give_way()
                continue
            try:
                self._fetch()
            except TimeoutError:
                await self._wait(FOREVER, again=again)
                again = True
            else:
                self._hand_on()
                again = False

    async def __anext__(self) -> _core.Datagram:
        """The next datagram; see `recv`."""
        return await self.recv()

    @with_signature_of(sync.Receiver.join)
    def join(self, *args: Any, **options: Any) -> None:
        """Joins more groups; see `multicast.Receiver.join`."""
        self._core.join(*args, **options)

    @with_signature_of(sync.Receiver.leave)
    def leave(self, *args: Any, **options: Any) -> None:
        """Leaves groups; see `multicast.Receiver.leave`."""
        self._core.leave(*args, **options)

    @property
    def groups(self) -> tuple[Membership, ...]:
        """What is joined now."""
        return self._core.groups

    def stats(self) -> ReceiverStats:
        """The counters, also after closing."""
        return self._core.stats()

    def close(self) -> None:
        """Leaves all groups and closes. Closing again does nothing. Tasks that wait get a ClosedError.

        Called in another thread than the event loop's, it takes effect at the loop's next turn.
        """
        super().close()
        if self.closed:
            # A loop that is running holds on to this iterator: it finds it at its end.
            collections.deque(self._rest, maxlen=0)
            self._drop()

    async def run(
        self,
        handler: Callable[[_core.Datagram], object],
        *,
        stop: handlers.Stop = None,
        on_error: handlers.OnError = "log",
        timeout: float | None = None,
    ) -> int:
        """Hands each datagram to a function, or to a coroutine function which is awaited, one after the other.

        It ends when ``stop`` says so, which is looked at after each datagram and at least every 0.1 s, when the
        receiver is closed, and by cancellation.

        Args:
            handler: what to call with each datagram.
            stop: a `threading.Event`, an `asyncio.Event`, or a function that says true to end it.
            on_error: what follows an exception in the handler, which is logged with the datagram's origin: ``"log"``
                goes on, ``"raise"`` ends with it.
            timeout: seconds without a datagram that are an error; None waits for ever.

        Returns:
            How many datagrams the handler was given.

        Raises:
            TimeoutError: nothing came in that time.
            Exception: what the handler raised, with ``on_error="raise"``.
        """
        handler_loop = handlers.HandlerLoop(stop, on_error, timeout)
        while not handler_loop.stopped():
            try:
                msg = await self.recv(handler_loop.wait)
            except _core.ClosedError:
                break
            except TimeoutError:
                handler_loop.record_timeout()
                continue
            with handler_loop.handing(msg):
                result = handler(msg)
                if inspect.isawaitable(result):
                    await result
        return handler_loop.handled

    def _take(self) -> _core.Datagram:
        for msg in self._rest:
            return msg
        return self._core.recv(0)

    def _take_batch(self, most: int) -> _core.Batch:
        if most < 1:
            raise ValueError(f"a batch holds at least 1 datagram, not {most}")
        left = len(list(self._rest))
        part = self._part
        self._drop()
        if not left:
            return self._core.recv_batch(most, 0)
        start = len(part) - left
        self._keep(part[start + most :])
        # A slice in steps of one is a batch.
        return cast("_core.Batch", part[start : start + most])

    def _fetch(self) -> None:
        # First, so that the core finds its buffer free to be used again.
        self._drop()
        self._keep(self._core.recv_batch(self._some(), 0))

    def _hand_on(self) -> None:
        """Wakes the next task for what is left: the kernel does not tell of what was taken from it already."""
        if self._ready.waiting and (self._part or self._core.pending):
            self._ready.wake()

    def _keep(self, part: Sequence[_core.Datagram] | _core.Batch) -> None:
        self._part, self._rest = part, iter(part)

    def _drop(self) -> None:
        self._keep(())


class _Batches:
    """Iterates over the batches of a receiver."""

    def __init__(self, receiver: Receiver, most: int) -> None:
        self._receiver = receiver
        self._most = most

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _core.Batch:
        return await self._receiver.recv_batch(self._most)
