"""``Sender`` for asyncio. How it waits, gives way to other tasks and closes is in ``endpoint``."""

from __future__ import annotations

import functools
import itertools
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

from .. import sync
from .endpoint import AsyncEndpoint, with_signature_of

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        self._start(sync.Sender(*args, **options), "the send buffer stayed full", writing=True)

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
        sent = await self._retry_until_ready(functools.partial(self._core.send, data, 0), timeout)
        # There may be room for one more.
        self._ready.wake()
        return sent

    async def send_many(
        self, messages: Iterable[Buffer] | AsyncIterable[Buffer], timeout: float | None = None
    ) -> int:
        """Send many datagrams, in order, in as few system calls as possible.

        Messages are taken from the iterable as they are sent, some at a time; those of an asynchronous iterable are
        sent one by one, as they come. If this is cancelled, times out or fails, ``stats().sent`` counts the messages
        that were sent, which are the first ones.

        Args:
            messages: An iterable or asynchronous iterable of payloads.
            timeout: Seconds to wait each time the kernel's send buffer is full or the rate is used up; None waits
                without a limit.

        Returns:
            The number of datagrams sent, which is all of them.

        Raises:
            ValueError: A payload is too long for a datagram; some messages before it may not have been sent either.
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
        source = iter(messages)
        while chunk := list(itertools.islice(source, self._next_step())):
            total += len(chunk)
            while chunk:
                sent = await self._retry_until_ready(functools.partial(self._send_some, chunk), timeout)
                del chunk[:sent]
        self._ready.wake()
        return total

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
