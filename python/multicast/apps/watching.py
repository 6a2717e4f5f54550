"""Watch the streams of groups: state, rates, losses, from one look to the next."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from .measuring import share
from .streams import Streams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from .._core import Batch
    from ..sync import Receiver
    from .listening import Listener
    from .streams import Key, Stream

    State = Literal["WAITING", "RECEIVING", "STALLED"]

STALLED_AFTER = 2.0
"""Seconds without a datagram after which a stream counts as stalled."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One stream at one look, or a group without any."""

    group: str | None
    port: int
    sender: str | None
    """Address of the sender; None if the group has no stream."""
    sender_port: int | None
    interface: str | None
    state: State
    """WAITING for the first datagram, RECEIVING, or STALLED for more than `STALLED_AFTER` seconds."""
    packets_per_s: float
    """Datagrams per second since the last look."""
    bits_per_s: float
    """Bits of payload per second since the last look."""
    received: int
    """Datagrams received."""
    lost: int | None
    """Numbers missing in the stream; None if it has no numbers."""
    lost_here: int
    """Datagrams that this machine dropped."""
    duplicates: int | None
    reordered: int | None
    jitter_us: float | None
    """Interarrival jitter (RFC 3550) in microseconds."""
    ttl: int | None
    """Hops that the datagrams have left."""
    kind: str
    """"rtp", "mpegts", "numbered" or "unknown"."""


class Watch:
    """The streams of a listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._streams = {receiver: Streams() for receiver in listener.receivers}
        self._seen: dict[tuple[Receiver, Key], tuple[int, int]] = {}
        self._looked = time.monotonic()

    def add(self, receiver: Receiver, batch: Batch) -> None:
        """Account for a batch of one of the receivers."""
        self._streams[receiver].add(batch, receiver.port, time.time_ns())

    def rows(self) -> list[Row]:
        """Return a row for each stream, and for each joined group without one. Rates are since the last call."""
        now = time.monotonic()
        seconds, self._looked = max(now - self._looked, 1e-9), now
        return [row for receiver in self._streams for row in self._rows_of(receiver, seconds)]

    def _rows_of(self, receiver: Receiver, seconds: float) -> Iterator[Row]:
        streams, stats, now_ns = self._streams[receiver].streams, receiver.stats(), time.time_ns()
        weights = [stream.lost or 0 for stream in streams.values()]
        if not any(weights):
            weights = [stream.received for stream in streams.values()]
        dropped = share((stats.kernel_drops or 0) + stats.ring_drops, weights)
        for (key, stream), lost_here in zip(streams.items(), dropped, strict=True):
            before = self._seen.get((receiver, key), (0, 0))
            self._seen[receiver, key] = stream.received, stream.bytes
            yield _row(key, stream, before, seconds, now_ns=now_ns, lost_here=lost_here)
        heard = {key.group for key in streams}
        for joined in receiver.groups:
            if joined.group not in heard:
                yield Row(
                    group=joined.group,
                    port=receiver.port,
                    sender=None,
                    sender_port=None,
                    interface=joined.interface,
                    state="WAITING",
                    packets_per_s=0.0,
                    bits_per_s=0.0,
                    received=0,
                    lost=None,
                    lost_here=0,
                    duplicates=None,
                    reordered=None,
                    jitter_us=None,
                    ttl=None,
                    kind="unknown",
                )


def _row(
    key: Key, stream: Stream, before: tuple[int, int], seconds: float, *, now_ns: int, lost_here: int
) -> Row:
    silent = (now_ns - stream.last_ns) / 1e9
    return Row(
        group=key.group,
        port=key.port,
        sender=key.sender,
        sender_port=key.sender_port,
        interface=stream.interface,
        state="STALLED" if silent > STALLED_AFTER else "RECEIVING",
        packets_per_s=(stream.received - before[0]) / seconds,
        bits_per_s=(stream.bytes - before[1]) * 8 / seconds,
        received=stream.received,
        lost=stream.lost,
        lost_here=lost_here,
        duplicates=stream.duplicates,
        reordered=stream.reordered,
        jitter_us=stream.jitter_us,
        ttl=stream.ttl,
        kind=stream.kind,
    )
