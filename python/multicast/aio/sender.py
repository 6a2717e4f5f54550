"""``Sender`` for asyncio. How it waits, gives way to other tasks and closes is in ``endpoint``."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from .. import sync
from .endpoint import AsyncEndpoint, with_signature_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

    from ..types import SenderStats


class Sender(AsyncEndpoint[sync.Sender]):
    """Sends datagrams to one group, in an event loop.

    It is opened at once, with the arguments and errors of `multicast.Sender`, and is an asynchronous context manager
    that closes it. Where the kernel's send buffer is full, a task waits until there is room, and others run: this is
    the back-pressure of a slow network.

    The event loop runs in one thread, and so does all of this; only `close` may be called in others.
    """

    @with_signature_of(sync.Sender.__new__)
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(sync.Sender(*args, **options), "the send buffer stayed full", writing=True)

    @property
    def group(self) -> str:
        """The group's address."""
        return self._core.group

    @property
    def ttl(self) -> int:
        """Hops."""
        return self._core.ttl

    def stats(self) -> SenderStats:
        """The counters, also after closing."""
        return self._core.stats()

    async def send(self, data: Buffer, timeout: float | None = None) -> int:
        """Sends one datagram. Cancelled, or out of time, it has not been sent.

        Args:
            data: the payload, any buffer: 0 to 65,507 octets over IPv4, 65,527 over IPv6.
            timeout: seconds to wait while the kernel's send buffer is full; None waits for ever.

        Returns:
            The octets sent.

        Raises:
            ValueError: the payload is too long for a datagram.
            TimeoutError: the send buffer stayed full.
            ClosedError: the sender is closed, or was closed meanwhile.
            OSError: the system refused; ``errno`` says why.
        """
        sent = await self._retry_until_ready(functools.partial(self._core.send, data, 0), timeout)
        # There may be room for one more.
        self._ready.wake()
        return sent

    async def send_many(self, messages: Iterable[Buffer], timeout: float | None = None) -> int:
        """Sends many datagrams, in order, in as few system calls as can be.

        Messages are taken from the iterable as they go out, some at a time. When it does not get to the end
        (cancelled, out of time, refused), ``stats().sent`` tells how many went: always the first ones.

        Args:
            messages: an iterable of payloads.
            timeout: seconds to wait each time the kernel's send buffer is full; None waits for ever.

        Returns:
            How many were sent: all of them.

        Raises:
            ValueError: a payload is too long for a datagram; a few before it may not have been sent either.
            TimeoutError: the send buffer stayed full.
            ClosedError: the sender is closed, or was closed meanwhile.
            OSError: the system refused; ``errno`` says why.
        """
        source, total = iter(messages), 0
        while chunk := list(itertools.islice(source, self._some())):
            total += len(chunk)
            while chunk:
                sent = await self._retry_until_ready(functools.partial(self._send_some, chunk), timeout)
                del chunk[:sent]
        self._ready.wake()
        return total

    async def _wait(self, timeout: float, *, again: bool) -> None:
        pause = self._core.pause
        if pause:
            # For the rate, and not for the socket, which could be written all the time.
            await self._ready.rest(min(pause, timeout))
            self._begin()
        else:
            await super()._wait(timeout, again=again)

    def _send_some(self, messages: list[Buffer]) -> int:
        """Sends from the first message on; tells how many went, which is one at least."""
        before = self._core.stats().sent
        try:
            return self._core.send_many(messages, 0)
        except OSError:
            sent = self._core.stats().sent - before
            if not sent:
                raise
            # What stopped it is met again with the rest.
            return sent
