"""Receive from several endpoints in batches, until a limit is reached, and account for every datagram."""

from __future__ import annotations

import contextlib
import dataclasses
import selectors
import time
from typing import TYPE_CHECKING

from ..endpoints import expand
from ..sync import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Literal

    from typing_extensions import Self

    from .._arguments import Engine
    from .._core import Batch
    from ..endpoints import Endpoint
    from ..types import Membership, ReceiverStats

TICK = 0.1
"""The longest wait, in seconds, before a caller of `Listener.batches` regains control."""

RING = 65536
"""Datagrams that a background thread keeps while the program writes."""

_BATCH = 4096

# Seconds for which a packet ring may keep back what has arrived: its timer ends a block after one or two periods of the
# default packet_delay.
_PACKET_DELAY = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """When to stop receiving. None stands for no limit."""

    count: int | None = None
    """Datagrams to receive."""
    silence: float | None = None
    """Seconds without a datagram."""
    duration: float | None = None
    """Seconds since the start."""


@dataclasses.dataclass(frozen=True, slots=True)
class Totals:
    """The counters of a listener: the sums over its receivers."""

    received: int
    """Datagrams handed to the program."""
    bytes: int
    """Payload bytes of these datagrams."""
    kernel_drops: int
    """Datagrams that the kernel dropped because the receive buffer was full."""
    ring_drops: int
    """Datagrams dropped because the program was too slow to take them."""
    filtered: int
    """Datagrams of groups, interfaces or senders that were not joined."""
    truncated: int
    """Datagrams received without their end."""
    invalid: int
    """Datagrams with a wrong header or checksum, which the packet engine left out."""
    unassembled: int
    """Datagrams of which the packet engine did not get all fragments."""
    duration: float
    """Seconds since the start."""
    is_least: bool = False
    """Whether the kernel may have dropped more: in a packet ring, several coalesced datagrams count as one drop."""

    @property
    def dropped(self) -> int:
        """Datagrams lost on this machine."""
        return self.kernel_drops + self.ring_drops


class Listener:
    """Receivers for a number of endpoints, one for each port.

    A background thread of each receiver empties the kernel's buffer, so that short pauses of the program lose nothing.
    With sockets, the kernel does not coalesce datagrams, so that its counter of drops is exact.

    Args:
        endpoints: where to listen; each has a port.
        recv_buffer: the receive buffer to request, in bytes, as for `Receiver`.
        linger: seconds for which to gather datagrams after the first of a batch.
        apart: whether each group gets a receiver of its own, so that drops are counted for each group.
        engine: how datagrams get here, as for `Receiver`.

    Raises:
        ValueError: An endpoint is invalid.
        OSError: The system refused.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        recv_buffer: int | Literal["auto"] = "auto",
        linger: float = 0.0,
        apart: bool = False,
        engine: Engine = "socket",
    ) -> None:
        together: dict[object, list[Endpoint]] = {}
        for endpoint in endpoints:
            if apart:
                together.update({one: [one] for one in expand(endpoint)})
            else:
                together.setdefault(endpoint.port, []).append(endpoint)
        self._received = self._bytes = 0
        self._linger, self._uses_rings = linger, engine != "socket"
        self._begun = time.monotonic()
        self._resources = contextlib.ExitStack()
        self._selector: selectors.BaseSelector | None = None
        with contextlib.ExitStack() as opened:
            self.receivers = tuple(
                opened.enter_context(
                    Receiver(several, recv_buffer=recv_buffer, gro=False, ring=RING, engine=engine)
                )
                for several in together.values()
            )
            if len(self.receivers) > 1:
                self._selector = opened.enter_context(selectors.DefaultSelector())
                for receiver in self.receivers:
                    self._selector.register(receiver, selectors.EVENT_READ, receiver)
            self._resources = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the receivers."""
        self._resources.close()

    @property
    def memberships(self) -> list[tuple[Membership, int]]:
        """The current memberships, each with its port."""
        return [(joined, receiver.port) for receiver in self.receivers for joined in receiver.groups]

    def stats(self) -> list[ReceiverStats]:
        """Return the counters of each receiver."""
        return [receiver.stats() for receiver in self.receivers]

    def totals(self) -> Totals:
        """Return the counters up to now."""
        stats = self.stats()
        kernel_drops = sum(one.kernel_drops or 0 for one in stats)
        return Totals(
            received=self._received,
            bytes=self._bytes,
            kernel_drops=kernel_drops,
            ring_drops=sum(one.ring_drops for one in stats),
            filtered=sum(one.filtered for one in stats),
            truncated=sum(one.truncated for one in stats),
            invalid=sum(one.invalid for one in stats),
            unassembled=sum(one.unassembled for one in stats),
            duration=time.monotonic() - self._begun,
            is_least=self._uses_rings and kernel_drops > 0,
        )

    def batches(
        self, limits: Limits, has_ended: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Receiver, Batch] | None]:
        """Yield each batch with its receiver, and None at least every `TICK` seconds, until a limit is reached.

        Args:
            limits: when to stop.
            has_ended: called at least every `TICK` seconds; if it returns true, the listener yields what has arrived
                by then, and stops.

        Raises:
            OSError: Receiving failed.
        """
        self._begun = heard = time.monotonic()
        until = time_after(self._begun, limits.duration)
        while not has_ended():
            now = time.monotonic()
            left = min(until, time_after(heard, limits.silence)) - now
            if left <= 0:
                break
            for arrived in self._receive(min(left, TICK), limits.count):
                heard = time.monotonic()
                yield arrived
            if self._received == limits.count:
                return
            yield None
        if self._uses_rings:
            time.sleep(_PACKET_DELAY)
        ended = time.monotonic()
        for receiver in self.receivers:
            receiver._settle(time.monotonic() - ended)
            left = receiver.pending
            while left > 0 and self._received != limits.count:
                before = self._received
                yield from self._read(receiver, 0.0, min(left, _BATCH), limits.count)
                # The ring may have dropped what was left.
                left = left - (self._received - before) if self._received > before else 0

    def _receive(self, timeout: float, count: int | None) -> Iterator[tuple[Receiver, Batch]]:
        """Yield what arrives within ``timeout`` seconds: at most one batch of each receiver."""
        if self._selector is None:
            yield from self._read(self.receivers[0], timeout, _BATCH, count, linger=self._linger)
            return
        if self._selector.select(timeout) and self._linger:
            # Once for all receivers: one after the other would take too long.
            time.sleep(self._linger)
        for key, _ in self._selector.select(0):
            if self._received != count:
                yield from self._read(key.data, 0.0, _BATCH, count)

    def _read(
        self, receiver: Receiver, timeout: float, most: int, count: int | None, *, linger: float = 0.0
    ) -> Iterator[tuple[Receiver, Batch]]:
        limit = most if count is None else min(most, count - self._received)
        try:
            batch = receiver.recv_batch(limit, timeout=timeout, linger=linger)
        except TimeoutError:
            return
        self._received += len(batch)
        self._bytes += sum(batch.lengths)
        yield receiver, batch


def time_after(begun: float, seconds: float | None) -> float:
    """Return the time this many seconds after another; infinite without a limit."""
    return float("inf") if seconds is None else begun + seconds
