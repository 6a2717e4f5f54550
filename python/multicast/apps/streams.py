"""Statistics of streams: loss, duplicates, reordering, gaps, restarts, jitter and delay, from the payloads themselves.

A stream is what one sender sends to one group. Four kinds of payloads carry numbers: RTP (RFC 3550), MPEG transport
streams (ISO 13818-1), the datagrams of ``multicast send --numbered``, and those of iperf 2. Of others, only rates and
bursts are known.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .._core import _Streams

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from .._core import Batch, Datagram, _Wire

    Kind = Literal["rtp", "mpegts", "numbered", "iperf", "unknown"]

_HEADROOM = 2
"""Linux lets the datagrams in a receive buffer occupy twice the size that was requested."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive numbers that have not arrived."""

    first: int
    """The first missing number."""
    last: int
    """The last missing number."""
    since_ns: int
    """When the datagram before the gap arrived, in nanoseconds since 1970."""
    until_ns: int
    """When the datagram that revealed the gap arrived."""


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """The identity of a stream."""

    group: str | None
    """The group that it is sent to; None if the system does not say."""
    port: int
    """The port that it is sent to."""
    sender: str
    """The address of its sender."""
    sender_port: int
    """The port of its sender."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """The statistics of one stream up to now."""

    group: str | None
    port: int
    sender: str
    sender_port: int
    interface: str | None
    """The interface by which the last datagram arrived; None if the system does not say."""
    ttl: int | None
    """The hops that it had left; None if the system does not say."""
    dscp: int | None
    """Its class of traffic (RFC 2474); None if the system does not say."""
    kind: Kind
    """"unknown" while nothing is recognized."""
    received: int
    """Datagrams received."""
    bytes: int
    """Their payload, in bytes."""
    first_ns: int
    """When the first datagram arrived, in nanoseconds since 1970."""
    last_ns: int
    """When the last datagram arrived."""
    lost: int | None
    """Datagrams missing in the sequence; of MPEG-TS, packets of 188 bytes. None if the kind is unknown."""
    duplicates: int | None
    """Datagrams received again; None if the kind is unknown."""
    reordered: int | None
    """Datagrams received after a later one; None if the kind is unknown or does not say (MPEG-TS)."""
    restarts: int
    """How often the sender has started again, with other numbers."""
    jitter_us: float | None
    """The interarrival jitter of RFC 3550 section 6.4.1, in microseconds; None if the times of sending are unknown."""
    burst_packets: int
    """The most datagrams that arrived within 10 milliseconds."""
    burst_bytes: int
    """Their payload, in bytes."""
    burst_memory: int
    """The memory that they occupy in the kernel, in bytes; computed for Linux."""
    delays_ns: tuple[int, int, int] | None
    """The one-way delay of the first datagram, and how much less and more the shortest and the longest were.

    It contains the difference of the clocks of both machines. None if the times of sending are unknown.
    """

    @property
    def key(self) -> Key:
        """The identity of the stream."""
        return Key(self.group, self.port, self.sender, self.sender_port)

    @property
    def burst_buffer(self) -> int:
        """The receive buffer to request for the largest burst to fit, in bytes."""
        return -(-self.burst_memory // _HEADROOM)


class Streams:
    """The streams in the batches of receivers."""

    def __init__(self) -> None:
        self._core = _Streams()

    def add(self, batch: Batch, port: int, now_ns: int) -> None:
        """Account for the datagrams of a batch.

        Args:
            batch: the batch.
            port: the port of its receiver.
            now_ns: the time of datagrams of which the system does not say when they arrived, in nanoseconds since 1970.
        """
        self._core.add(batch, port, now_ns)

    def add_datagram(self, datagram: Datagram, port: int, now_ns: int) -> None:
        """Account for one datagram, as `add` does for a batch.

        Raises:
            ValueError: The datagram has an invalid sender or group.
        """
        self._core.add_datagram(datagram, port, now_ns)

    def take(self, wire: _Wire) -> list[int]:
        """Account for the datagrams that have arrived on the wire since the last call.

        Returns:
            Their number, the bytes of their payload, the packets that were dropped because memory was full, the packets
            with a wrong header or checksum, and the datagrams that lack a fragment.

        Raises:
            OSError: The system refused.
        """
        return wire.read(self._core)

    def look(self) -> list[Stream]:
        """Return the statistics of each stream, in the order in which the streams began."""
        return [Stream(**fields) for fields in self._core.look()]

    def gaps(self, number: int) -> list[Gap]:
        """Return the gaps of the stream that `look` returns at this position, in order; none for MPEG-TS.

        A stream has 10,000 gaps at most: older ones are forgotten, and their numbers stay lost.

        Raises:
            IndexError: There is no such stream.
        """
        return [Gap(*fields) for fields in self._core.gaps(number)]

    def delays(self, number: int, percents: Iterable[float]) -> list[int] | None:
        """Return percentiles of the delay of a stream, less the delay of its first datagram, in nanoseconds.

        They are exact to 0.4 %. None if the times of sending are unknown.

        Raises:
            IndexError: There is no such stream.
        """
        return self._core.delays(number, list(percents))

    @property
    def unlisted(self) -> int:
        """Datagrams of streams beyond the first 65,536, which are not listed."""
        return self._core.unlisted
