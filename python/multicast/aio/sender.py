"""``Sender`` for asyncio. How it waits, gives way to other tasks and closes is in ``endpoint``."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import deque
from collections.abc import AsyncIterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import sync
from .endpoint import AsyncEndpoint, deadline_after, with_signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Buffer

    from ..types import SenderStats


class Sender(AsyncEndpoint[sync.Sender]):
    """Send datagrams to one group, in an event loop.

    ::

        async with multicast.aio.Sender("239.1.2.3:5000", interface="eth0") as tx:
            await tx.send(b"one datagram")
            await tx.send_many([b"several", b"at once"])
            print(tx.stats().sent)
        assert tx.closed

    The arguments and errors are those of `multicast.Sender`; the socket is opened at once. It is an asynchronous
    context manager, which closes it. While the kernel's send buffer is full, a task waits and others run.

    Use it in the thread of the event loop; only `close` may be called in others.
    """

    @with_signature_of(sync.Sender.__init__)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._start(sync.Sender(*args, **options), writing=True)
        self._paced = options.get("rate") is not None or options.get("bit_rate") is not None
        # The tasks that send at the rate, in the order of their calls; the first one tries.
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def group(self) -> str:
        """The group's address."""
        return self._core.group

    @property
    def ttl(self) -> int:
        """Time to live: ``ttl=n`` allows up to n - 1 router hops."""
        return self._core.ttl

    def stats(self) -> SenderStats:
        """Return the counters. After closing, they stay as they were."""
        return self._core.stats()

    async def send(self, data: Buffer, timeout: float | None = None) -> int:
        """Send one datagram. If this is cancelled or times out, it has not been sent.

        With a ``rate``, this waits before it sends: a timestamp inside ``data`` is older than the datagram by that
        wait.

        Args:
            data: The payload, any buffer: 0 to 65,507 bytes over IPv4, 65,527 over IPv6.
            timeout: Seconds to wait while the kernel's send buffer is full or the rate is used up; None waits without
                a limit.

        Returns:
            The number of bytes sent.

        Raises:
            ValueError: The payload is too long for a datagram.
            TimeoutError: The datagram could not be sent in that time.
            ClosedError: The sender is closed, or was closed during the call.
            OSError: The system refused; ``errno`` says why.
        """
        sent = await self._in_turn(functools.partial(self._core.send, data, 0), timeout)
        # There may be room for one more.
        self._ready.wake()
        return sent

    async def send_many(
        self, messages: Iterable[Buffer] | AsyncIterable[Buffer], timeout: float | None = None
    ) -> int:
        """Send many datagrams, in order, in as few system calls as possible.

        Messages are taken from the iterable as they are sent, some at a time; those of an asynchronous iterable are
        sent one by one, as they come. If the iterable raises an error or a message is wrong, the messages before are
        sent, and the error is raised then. If this is cancelled or times out, ``stats().sent`` counts the messages
        that were sent, which are the first ones.

        Args:
            messages: An iterable or asynchronous iterable of payloads.
            timeout: Seconds to wait each time the kernel's send buffer is full or the rate is used up; None waits
                without a limit.

        Returns:
            The number of datagrams sent, which is all of them.

        Raises:
            ValueError: A payload is too long for a datagram.
            TimeoutError: The datagrams could not be sent in that time.
            ClosedError: The sender is closed, or was closed during the call.
            OSError: The system refused; ``errno`` says why.
        """
        total = 0
        if isinstance(messages, AsyncIterable):
            async for message in messages:
                await self.send(message, timeout)
                total += 1
            return total
        source, failure = iter(messages), None
        while failure is None:
            chunk, failure = _take(source, self._next_step())
            if not chunk:
                break
            total += len(chunk)
            while chunk:
                sent = await self._in_turn(functools.partial(self._send_some, chunk), timeout)
                del chunk[:sent]
        self._ready.wake()
        if failure is not None:
            raise failure
        return total

    def _failure(self) -> str:
        if self._core._pause:
            return "the rate did not allow the next datagram"
        return "the send buffer stayed full"

    async def _in_turn(self, attempt: Callable[[], int], timeout: float | None) -> int:
        """Try until it succeeds; with a rate, the tasks of this sender take turns."""
        if not self._paced:
            return await self._retry_until_ready(attempt, timeout)
        deadline = deadline_after(timeout)
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            if self._line[0] is not turn:
                await asyncio.wait((turn,), timeout=None if timeout is None else deadline - monotonic())
            # A task whose time is over tries once, and raises the error.
            return await self._retry_until_ready(attempt, timeout, deadline)
        finally:
            was_first = self._line[0] is turn
            self._line.remove(turn)
            if was_first and self._line:
                following = self._line[0]
                if not following.done() and not following.get_loop().is_closed():
                    following.set_result(None)

    async def _wait(self, timeout: float, *, again: bool) -> None:
        pause = self._core._pause
        if pause:
            # The rate is used up. The socket is writable all the time.
            await self._ready.rest(min(pause, timeout))
            self._begin_slice()
        else:
            await super()._wait(timeout, again=again)

    def _send_some(self, messages: list[Buffer]) -> int:
        """Send from the first message on, without waiting. Return how many were sent, which is at least one."""
        before = self._core.stats().sent
        try:
            return self._core.send_many(messages, 0)
        except OSError:
            sent = self._core.stats().sent - before
            if not sent:
                raise
            # The next call meets the same obstacle.
            return sent


def _take(source: Iterator[Buffer], limit: int) -> tuple[list[Buffer], Exception | None]:
    """Return the next messages, and the error that ended them if one did."""
    taken: list[Buffer] = []
    try:
        # Not by list(), which would lose what came before an error.
        for message in itertools.islice(source, limit):
            taken.append(message)  # noqa: PERF402
    except Exception as error:  # noqa: BLE001 - raised again when the messages are sent
        return taken, error
    return taken, None
