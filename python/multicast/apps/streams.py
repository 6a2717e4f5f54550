"""Statistics of streams: loss, duplicates, reordering, gaps, restarts, jitter and delay, from the payloads themselves.

A stream is what one sender sends to one group. Three kinds of payloads carry numbers: RTP (RFC 3550), MPEG transport
streams (ISO 13818-1) and the datagrams of ``multicast send --numbered``. Of others, only the rate is known.
"""

from __future__ import annotations

import dataclasses
from itertools import repeat
from typing import TYPE_CHECKING

from .numbered import HEADER, MAGIC
from .sequences import Extender, Gap, Histogram, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    from typing_extensions import Buffer

    from .._core import Batch

    Kind = Literal["rtp", "mpegts", "numbered", "unknown"]

_NANOSECONDS = 1_000_000_000
# Payload types of RTP with a fixed clock (RFC 3551), in ticks per second.
_RTP_CLOCKS = {
    **dict.fromkeys((0, 3, 4, 8, 9, 18), 8000),
    **dict.fromkeys((10, 11), 44100),
    **dict.fromkeys((14, 25, 26, 28, 31, 32, 33, 34), 90000),
}
# RFC 3550, appendix A.1.
_MAX_DROPOUT, _MAX_MISORDER = 3000, 100
_RTP_HEADER = 12
_TS_PACKET, _TS_SYNC, _TS_NULL = 188, 0x47, 0x1FFF
# The most datagrams of one stream whose kind is still open.
_PROBATION = 4


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


class Stream:
    """The statistics of one stream.

    Attributes:
        kind: "rtp", "mpegts", "numbered", or "unknown" while nothing is recognized.
        interface: the interface by which it arrives; None if the system does not say.
        ttl: the hops that its datagrams have left; None if the system does not say.
        received: datagrams received.
        bytes: their payload, in bytes.
        restarts: how often the sender has started again, with other numbers.
        first_ns: when the first datagram arrived, in nanoseconds since 1970.
        last_ns: when the last datagram arrived.
        delays: the one-way delays of numbered datagrams, in nanoseconds, less `delay_base_ns`.
        delay_base_ns: the delay of the first numbered datagram, in nanoseconds. It contains the difference of the
            clocks of both machines.
    """

    def __init__(self) -> None:
        self.kind: Kind = "unknown"
        self.interface: str | None = None
        self.ttl: int | None = None
        self.received = self.bytes = self.restarts = 0
        self.first_ns = self.last_ns = 0
        self.delays = Histogram()
        self.delay_base_ns = 0
        self._ended: list[Sequence] = []
        self._sequence = Sequence()
        self._extender = Extender(16)
        self._run: int | None = None
        self._bad: int | None = None
        self._counters: dict[int, _Continuity] = {}
        self._jitter = 0.0
        self._transit: float | None = None
        self._take: Callable[[Buffer, int, int, int], None] = self._recognize
        self._tried = 0

    def add(self, data: Buffer, offset: int, length: int, time_ns: int) -> None:
        """Account for a datagram: ``length`` bytes of ``data`` at ``offset``, received at ``time_ns``."""
        if self.received == 0:
            self.first_ns = time_ns
        self.received += 1
        self.bytes += length
        self.last_ns = time_ns
        self._take(data, offset, length, time_ns)

    @property
    def lost(self) -> int | None:
        """Datagrams missing in the sequence; of MPEG-TS, packets of 188 bytes. None if the kind is unknown."""
        return self._total("lost")

    @property
    def duplicates(self) -> int | None:
        """Datagrams received again; None if the kind is unknown."""
        return self._total("duplicates")

    @property
    def reordered(self) -> int | None:
        """Datagrams received after a later one; None if the kind is unknown or does not say (MPEG-TS)."""
        return None if self.kind == "mpegts" else self._total("reordered")

    @property
    def gaps(self) -> list[Gap]:
        """The missing numbers, in order; none for MPEG-TS and unknown kinds."""
        return [gap for one in (*self._ended, self._sequence) for gap in one.gaps]

    @property
    def jitter_us(self) -> float | None:
        """The interarrival jitter of RFC 3550 section 6.4.1, in microseconds; None if the times are unknown."""
        return None if self._transit is None else self._jitter / 1000

    def _total(self, name: Literal["lost", "duplicates", "reordered"]) -> int | None:
        if self.kind == "unknown":
            return None
        counted = self._counters.values() if self.kind == "mpegts" else (*self._ended, self._sequence)
        return sum(int(getattr(one, name)) for one in counted)

    def _restart(self) -> None:
        self.restarts += 1
        self._ended.append(self._sequence)
        self._sequence, self._extender = Sequence(), Extender(16)
        self._transit = None if self.kind == "rtp" else self._transit

    def _recognize(self, data: Buffer, offset: int, length: int, time_ns: int) -> None:
        """Find out the kind of the stream from its first datagrams."""
        view = memoryview(data)[offset : offset + length]
        if length >= HEADER.size and bytes(view[:4]) == MAGIC:
            self.kind, self._take = "numbered", self._add_numbered
        elif length and length % _TS_PACKET == 0 and all(byte == _TS_SYNC for byte in view[::_TS_PACKET]):
            self.kind, self._take = "mpegts", self._add_mpegts
        elif length >= _RTP_HEADER and view[0] >> 6 == 2 and not 72 <= view[1] & 0x7F <= 76:
            self._probe_rtp(view, time_ns)
            return
        else:
            self._tried += 1
            if self._tried >= _PROBATION:
                self._take = _ignore
            return
        self._take(data, offset, length, time_ns)

    def _probe_rtp(self, view: memoryview, time_ns: int) -> None:
        """Take a datagram that may be RTP. Two in sequence, with one source, are (RFC 3550, appendix A.1)."""
        number = int.from_bytes(view[2:4], "big")
        source = int.from_bytes(view[8:12], "big")
        if self._bad == number and self._run == source:
            self.kind, self._take = "rtp", self._add_rtp
            # The first of both counts, too. Its time is not known any more, and matters for gaps only.
            self._sequence.add(self._extender.extend((number - 1) & 0xFFFF), time_ns)
            self._bad = None
            self._add_rtp(view, 0, len(view), time_ns)
            return
        self._bad, self._run = (number + 1) & 0xFFFF, source
        self._tried += 1
        if self._tried >= 4 * _PROBATION:
            self._take = _ignore

    def _add_rtp(self, data: Buffer, offset: int, length: int, time_ns: int) -> None:
        view = memoryview(data)[offset : offset + length]
        if length < _RTP_HEADER or view[0] >> 6 != 2:
            return
        number, source = int.from_bytes(view[2:4], "big"), int.from_bytes(view[8:12], "big")
        if source != self._run:
            self._run, self._bad = source, None
            self._restart()
        elif self._sequence.received:
            ahead = (number - self._sequence.highest) & 0xFFFF
            if _MAX_DROPOUT <= ahead <= 0x10000 - _MAX_MISORDER:
                # A large jump: if the next datagram continues it, the sender has started again.
                if number != self._bad:
                    self._bad = (number + 1) & 0xFFFF
                    return
                self._restart()
                self._sequence.add(self._extender.extend((number - 1) & 0xFFFF), time_ns)
            self._bad = None
        self._sequence.add(self._extender.extend(number), time_ns)
        clock = _RTP_CLOCKS.get(view[1] & 0x7F)
        if clock:
            stamp = int.from_bytes(view[4:8], "big")
            self._add_transit(time_ns, stamp * _NANOSECONDS / clock, 2**32 * _NANOSECONDS / clock)

    def _add_numbered(self, data: Buffer, offset: int, length: int, time_ns: int) -> None:
        if length < HEADER.size:
            return
        magic, run, number, sent_ns = HEADER.unpack_from(data, offset)
        if magic != MAGIC:
            return
        if run != self._run:
            if self._run is not None:
                self._restart()
            self._run = run
        self._sequence.add(number, time_ns)
        delay = time_ns - sent_ns
        if not len(self.delays):
            self.delay_base_ns = delay
        delay -= self.delay_base_ns
        self.delays.add(delay)
        # As `_add_transit`, for a time that does not wrap around.
        if self._transit is not None:
            self._jitter += (abs(delay - self._transit) - self._jitter) / 16
        self._transit = delay

    def _add_transit(self, time_ns: int, sent_ns: float, turn_ns: float) -> None:
        transit = time_ns - sent_ns
        if self._transit is not None:
            difference = (transit - self._transit + turn_ns / 2) % turn_ns - turn_ns / 2
            self._jitter += (abs(difference) - self._jitter) / 16
        self._transit = transit

    def _add_mpegts(self, data: Buffer, offset: int, length: int, _time_ns: int) -> None:
        view = memoryview(data)[offset : offset + length]
        for at in range(0, length - _TS_PACKET + 1, _TS_PACKET):
            if view[at] != _TS_SYNC:
                return
            pid = int.from_bytes(view[at + 1 : at + 3], "big") & 0x1FFF
            if pid != _TS_NULL:
                if pid not in self._counters:
                    self._counters[pid] = _Continuity()
                self._counters[pid].add(view[at : at + _TS_PACKET])


class _Continuity:
    """The continuity counter of one PID (ISO 13818-1, 2.4.3.3): four bits, one step for each packet with a payload."""

    __slots__ = ("_last", "_repeated", "duplicates", "lost")

    def __init__(self) -> None:
        self.lost = self.duplicates = 0
        self._last: int | None = None
        self._repeated = False

    def add(self, packet: memoryview) -> None:
        counter, control = packet[3] & 0x0F, packet[3] >> 4 & 0x03
        if control & 2 and packet[4] and packet[5] & 0x80:
            self._last = None  # the discontinuity indicator
        if not control & 1:
            return
        if self._last is not None:
            ahead = (counter - self._last) & 0x0F
            if ahead == 0 and not self._repeated:
                self.duplicates += 1  # a packet may be sent twice
                self._repeated = True
                return
            self.lost += (ahead - 1) & 0x0F
        self._last, self._repeated = counter, False


def _ignore(_data: Buffer, _offset: int, _length: int, _time_ns: int) -> None:
    """Take a datagram of a stream without numbers."""


class Streams:
    """The streams in the batches of receivers.

    Attributes:
        streams: the statistics of each stream.
    """

    def __init__(self) -> None:
        self.streams: dict[Key, Stream] = {}
        self._found: dict[tuple[tuple[str, int], str | None, int], Stream] = {}

    def add(self, batch: Batch, port: int, now_ns: int) -> None:
        """Account for the datagrams of a batch.

        Args:
            batch: the batch.
            port: the port of its receiver.
            now_ns: the time of datagrams of which the system does not say when they arrived, in nanoseconds since 1970.
        """
        data = batch.data
        times: Iterable[int] = repeat(now_ns) if batch.timestamps_ns is None else batch.timestamps_ns
        known: dict[tuple[int, int], Stream] = {}
        # Columns have the same length, but the substitute for times has no end.
        rows = zip(batch.offsets, batch.lengths, times, batch.sender_ids, batch.group_ids, strict=False)
        for row, (offset, length, time_ns, sender, group) in enumerate(rows):
            stream = known.get((sender, group))
            if stream is None:
                stream = known[sender, group] = self._stream(batch, row, port)
            stream.add(data, offset, length, time_ns)

    def _stream(self, batch: Batch, row: int, port: int) -> Stream:
        datagram = batch[row]
        # Found by what the datagram has anyway: a key for each batch and stream would cost more than the rest.
        place = datagram.sender, datagram.group, port
        stream = self._found.get(place)
        if stream is None:
            stream = self._found[place] = self.streams[Key(datagram.group, port, *datagram.sender)] = Stream()
        stream.interface, stream.ttl = datagram.interface, datagram.ttl
        return stream
