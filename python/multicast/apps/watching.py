"""Watch the streams of groups: state, rates, losses, from one look to the next."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from .measuring import drops, with_drops
from .streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    from ..sync import Receiver
    from .listening import Limits, Listener
    from .streams import Key, Stream
    from .wire import Wire

    State = Literal["WAITING", "RECEIVING", "STALLED"]

STALLED_AFTER = 2.0
"""Seconds without a datagram after which a stream counts as stalled."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One stream at one look, or a group without any."""

    group: str | None
    port: int
    interface: str | None
    state: State
    """WAITING for the first datagram, RECEIVING, or STALLED for more than `STALLED_AFTER` seconds."""
    sender: str | None = None
    """Address of the sender; None if the group has no stream."""
    sender_port: int | None = None
    packets_per_s: float = 0.0
    """Datagrams per second since the last look."""
    bits_per_s: float = 0.0
    """Bits of payload per second since the last look."""
    received: int = 0
    """Datagrams received."""
    lost: int | None = None
    """Numbers missing in the stream; None if it has no numbers."""
    lost_network: int | None = None
    """The part of `lost` that did not reach this machine."""
    lost_kernel: int = 0
    """Datagrams that the kernel of this machine dropped because the receive buffer was full."""
    lost_program: int = 0
    """Datagrams that this program dropped because it was too slow."""
    duplicates: int | None = None
    reordered: int | None = None
    restarts: int = 0
    """How often the sender has started again. The numbers between are not lost."""
    jitter_us: float | None = None
    """Interarrival jitter (RFC 3550) in microseconds."""
    ttl: int | None = None
    """Hops that the datagrams have left."""
    dscp: int | None = None
    """Class of traffic of the datagrams; None if the system does not say."""
    kind: str = "unknown"
    """"rtp", "mpegts", "numbered", "iperf" or "unknown"."""
    last_ns: int | None = None
    """When the last datagram arrived, in nanoseconds since 1970; None if the group has no stream."""
    silent_s: float | None = None
    """Seconds since the last datagram arrived; None if the group has no stream."""
    burst_packets: int = 0
    """The most datagrams that arrived within 10 milliseconds."""
    burst_bytes: int = 0
    """Their payload, in bytes."""
    burst_buffer: int = 0
    """The receive buffer to request for this burst to fit, in bytes; computed for Linux."""

    @property
    def lost_here(self) -> int:
        """Datagrams that this machine dropped."""
        return self.lost_kernel + self.lost_program


class _Looks:
    """The rows of streams, with rates since the look before."""

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[int, int]] = {}
        self._looked = time.monotonic()

    def rows(self, streams: list[Stream], kernel_drops: int, ring_drops: int) -> list[Row]:
        """Return a row for each stream of a receiver."""
        now, now_ns = time.monotonic(), time.time_ns()
        seconds, self._looked = max(now - self._looked, 1e-9), now
        before, self._seen = self._seen, {stream.key: (stream.received, stream.bytes) for stream in streams}
        rows: list[Row] = []
        for stream, kernel, program in with_drops(streams, kernel_drops, ring_drops):
            received, size = before.get(stream.key, (0, 0))
            packets_per_s = (stream.received - received) / seconds
            bits_per_s = (stream.bytes - size) * 8 / seconds
            rows.append(
                _row(stream, packets_per_s, bits_per_s, kernel=kernel, program=program, now_ns=now_ns)
            )
        return rows


class Watch:
    """The streams of a listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._streams = {receiver: Streams() for receiver in listener.receivers}
        self._looks = {receiver: _Looks() for receiver in listener.receivers}

    def follow(self, limits: Limits, has_ended: Callable[[], bool]) -> Iterator[None]:
        """Account for what arrives, and yield several times a second, until a limit is reached or it has ended.

        Raises:
            OSError: Receiving failed.
        """
        for arrived in self._listener.batches(limits, has_ended):
            if arrived is not None:
                receiver, batch = arrived
                self._streams[receiver].add(batch, receiver.port, time.time_ns())
            yield

    def rows(self) -> list[Row]:
        """Return a row for each stream, and for each joined group without one. Rates are since the last call."""
        return [row for receiver in self._streams for row in self._rows_of(receiver)]

    def _rows_of(self, receiver: Receiver) -> list[Row]:
        rows = self._looks[receiver].rows(self._streams[receiver].look(), *drops(receiver.stats()))
        heard = {row.group for row in rows}
        for joined in receiver.groups:
            if joined.group not in heard:
                rows.append(Row(joined.group, receiver.port, joined.interface, "WAITING"))
        return rows


class WireWatch:
    """The streams on a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._looks = _Looks()

    def follow(self, limits: Limits, has_ended: Callable[[], bool]) -> Iterator[None]:
        """Account for what arrives, as `Watch.follow` does."""
        return self._wire.looks(limits, has_ended)

    def rows(self) -> list[Row]:
        """Return a row for each stream. Rates are since the last call."""
        return self._looks.rows(self._wire.streams.look(), self._wire.totals().kernel_drops, 0)


def _row(
    stream: Stream, packets_per_s: float, bits_per_s: float, *, kernel: int, program: int, now_ns: int
) -> Row:
    silent = max(0, now_ns - stream.last_ns) / 1e9
    return Row(
        group=stream.group,
        port=stream.port,
        interface=stream.interface,
        state="STALLED" if silent > STALLED_AFTER else "RECEIVING",
        sender=stream.sender,
        sender_port=stream.sender_port,
        packets_per_s=packets_per_s,
        bits_per_s=bits_per_s,
        received=stream.received,
        lost=stream.lost,
        lost_network=None if stream.lost is None else max(0, stream.lost - kernel - program),
        lost_kernel=kernel,
        lost_program=program,
        duplicates=stream.duplicates,
        reordered=stream.reordered,
        restarts=stream.restarts,
        jitter_us=stream.jitter_us,
        ttl=stream.ttl,
        dscp=stream.dscp,
        kind=stream.kind,
        last_ns=stream.last_ns,
        silent_s=silent,
        burst_packets=stream.burst_packets,
        burst_bytes=stream.burst_bytes,
        burst_buffer=stream.burst_buffer,
    )
