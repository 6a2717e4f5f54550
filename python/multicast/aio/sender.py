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
from ..exceptions import ClosedError
from .endpoint import AsyncEndpoint, deadline_after, with_signature_of
from .receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from typing import SupportsIndex

    from typing_extensions import Buffer

    from .._core import Batch, Datagram
    from ..types import SenderStats

_MOST_LATE = 65_536
"""The most answers that a query returns after its timeout has expired: those that arrived earlier."""


class Sender(AsyncEndpoint[sync.Sender]):
    """Send datagrams to one group, in an event loop.

    ::

        async with aio.Sender("239.1.2.3:5000", interface="eth0") as tx:
            await tx.send(b"one datagram")
            await tx.send_many([b"several", b"at once"])
            async for answer in tx.query(b"who is there?", timeout=2.0):
                print(answer.sender, answer.data)

    The arguments and errors are those of `multicast.Sender`. The
    constructor opens the socket at once. A sender is an asynchronous
    context manager, which closes it. While the kernel's send buffer is
    full, the sending task waits and others run.

    Use it in the thread of the event loop. Other threads may only call
    `close`.
    """

    @with_signature_of(sync.Sender.__init__)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._start(sync.Sender(*args, **options), writing=True)
        self._paced = options.get("rate") is not None or options.get("bit_rate") is not None
        # The tasks that send at the rate, in the order of their calls; the first one tries.
        self._line: deque[asyncio.Future[None]] = deque()
        # Receives the answers. None until the first call that needs it.
        self._receiver: Receiver | None = None

    @property
    def group(self) -> str:
        """The group's address."""
        return self._core.group

    @property
    def ttl(self) -> int:
        """Time to live: ``ttl=n`` allows up to n - 1 router hops.

        A change applies to the datagrams that follow.
        """
        return self._core.ttl

    @ttl.setter
    def ttl(self, ttl: SupportsIndex) -> None:
        self._core.ttl = ttl

    @property
    def dscp(self) -> int:
        """Traffic class (DSCP), from 0 to 63.

        A change applies to the datagrams that follow.
        """
        return self._core.dscp

    @dscp.setter
    def dscp(self, dscp: SupportsIndex) -> None:
        self._core.dscp = dscp

    @property
    def loopback(self) -> bool:
        """Whether this machine receives what it sends.

        A change applies to the datagrams that follow.
        """
        return self._core.loopback

    @loopback.setter
    def loopback(self, loopback: bool) -> None:
        self._core.loopback = loopback

    @property
    def local(self) -> tuple[str, int]:
        """``(address, port)`` that datagrams are sent from and answers are sent to.

        See `multicast.Sender.local`.
        """
        return self._core.local

    @property
    def pending(self) -> int:
        """Number of answers that were taken from the kernel but not yet returned."""
        return 0 if self._receiver is None else self._receiver.pending

    def stats(self) -> SenderStats:
        """Return the counters. They keep their last values after closing."""
        return self._core.stats()

    async def send(self, data: Buffer, timeout: float | None = None) -> int:
        """Send one datagram, or nothing if the call is cancelled or times out.

        With a ``rate``, the call may wait before it sends. A timestamp inside
        ``data`` is then that much older than the datagram.

        Args:
            data: The payload, in any buffer: at most 65,507 bytes over IPv4 and
                65,527 over IPv6.
            timeout: Seconds to wait while the kernel's send buffer is full or
                the rate limit is reached. None waits without a limit.

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

        The payloads of an iterable are taken and sent several at a time. Those
        of an asynchronous iterable are sent one by one, as they become
        available. If the iterable raises an error or a payload is invalid, the
        payloads before it are sent first, and then the error is raised. If the
        call is cancelled or times out, ``stats().sent`` says how many payloads
        were sent, beginning with the first.

        Args:
            messages: An iterable or asynchronous iterable of payloads.
            timeout: Seconds to wait each time the kernel's send buffer is full
                or the rate limit is reached. None waits without a limit.

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

    async def query(self, data: Buffer, timeout: float | None) -> AsyncIterator[Datagram]:
        """Send one datagram, then iterate over the answers.

        The iteration ends when the timeout expires or the sender is closed. The
        datagram is sent when the iteration begins. An answer that arrives too
        late is returned by the next receiving call.

        Args:
            data: The payload, as for `send`.
            timeout: Seconds to collect answers, at least 0. None collects until
                the sender is closed.

        Raises:
            ValueError: The payload is too long for a datagram.
            TimeoutError: The datagram could not be sent in that time.
            ClosedError: The sender is closed.
            OSError: The system refused; ``errno`` says why.
        """
        deadline = deadline_after(timeout)
        # Open it before the datagram is sent, so that the first answer has its receive time.
        answers = self._answers()
        await self.send(data, timeout)
        late = 0
        while late < _MOST_LATE:
            remaining = deadline - monotonic()
            # Answers that arrived before the timeout expired are still returned after it.
            late += remaining <= 0
            try:
                answer = await answers.recv(max(remaining, 0))
            except (TimeoutError, ClosedError):
                return
            yield answer

    async def recv(self, timeout: float | None = None) -> Datagram:
        """Return the next answer.

        An answer is a datagram that was sent to this sender's own address and
        port.

        Args:
            timeout: Seconds to wait, at least 0. 0 polls; None waits without a
                limit.

        Raises:
            TimeoutError: No answer arrived in that time.
            ClosedError: The sender is closed, or was closed during the call.
        """
        return await self._answers().recv(timeout)

    async def recv_batch(self, limit: int = 256, timeout: float | None = None, linger: float = 0.0) -> Batch:
        """Wait for an answer, then return everything already queued.

        Args:
            limit: Maximum number of answers to return, at least 1.
            timeout: Seconds to wait for the first answer, at least 0. 0 polls;
                None waits without a limit.
            linger: Seconds to keep collecting after the first answer, until
                there are ``limit`` of them.

        Raises:
            TimeoutError: No answer arrived in that time.
            ClosedError: The sender is closed, or was closed during the call.
        """
        return await self._answers().recv_batch(limit, timeout, linger)

    def __aiter__(self) -> AsyncIterator[Datagram]:
        """Iterate over answers until the sender is closed."""
        return self._answers().__aiter__()

    def _answers(self) -> Receiver:
        if self._receiver is None:
            self._receiver = Receiver._around(self._core._answers())
        return self._receiver

    def _stop_watching(self) -> None:
        super()._stop_watching()
        if self._receiver is not None:
            self._receiver._stop_watching()

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
            # A task whose timeout has expired tries once, and raises the error.
            return await self._retry_until_ready(attempt, timeout, deadline)
        finally:
            was_first = self._line[0] is turn
            self._line.remove(turn)
            if was_first and self._line:
                following = self._line[0]
                if not following.done() and not following.get_loop().is_closed():
                    following.set_result(None)

    async def _wait(self, timeout: float, *, again: bool) -> None:
        pause = self._core._pause or self._core._congestion
        if pause:
            # The rate is used up, or a queue below the socket is full. The socket is writable all the time.
            await self._ready.rest(min(pause, timeout))
            self._begin_slice()
        else:
            await super()._wait(timeout, again=again)

    def _send_some(self, messages: list[Buffer]) -> int:
        """Send from the first message on, without waiting.

        Return how many were sent, which is at least one.
        """
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
    """Return the next messages, and the error that ended the iteration, if any."""
    taken: list[Buffer] = []
    try:
        # Not with list(), which would lose the messages before an error.
        for message in itertools.islice(source, limit):
            taken.append(message)  # noqa: PERF402
    except Exception as error:  # noqa: BLE001 - raised again when the messages are sent
        return taken, error
    return taken, None
