"""A slow model of the statistics of streams, to compare the core with. It keeps everything, and checks nothing."""

from __future__ import annotations

import dataclasses

from multicast.apps.numbered import HEADER, MAGIC

CLOCKS = {
    **dict.fromkeys((0, 3, 4, 8, 9, 18), 8000),
    **dict.fromkeys((10, 11), 44100),
    **dict.fromkeys((14, 25, 26, 28, 31, 32, 33, 34), 90000),
}


@dataclasses.dataclass
class Run:
    """The numbers since a sender started, in the order of arrival."""

    numbers: list[int] = dataclasses.field(default_factory=list[int])

    def counts(self) -> tuple[int, int, int]:
        """Return how many are lost, duplicates and reordered."""
        seen: set[int] = set()
        duplicates = reordered = 0
        for number in self.numbers:
            if number in seen:
                duplicates += 1
            elif seen and number < max(seen):
                reordered += 1
            seen.add(number)
        lost = max(seen) - min(seen) + 1 - len(seen) if seen else 0
        return lost, duplicates, reordered


class Model:
    """The statistics of one stream whose kind is known."""

    def __init__(self) -> None:
        self.runs = [Run()]
        self.jitter: float | None = None
        self._source: int | None = None
        self._jump: int | None = None
        self._last: tuple[int, int] | None = None

    def counts(self) -> tuple[int, int, int, int]:
        """Return how many are lost, duplicates, reordered, and how often the sender has started again."""
        lost, duplicates, reordered = (
            sum(column) for column in zip(*(run.counts() for run in self.runs), strict=True)
        )
        return lost, duplicates, reordered, len(self.runs) - 1

    def add_numbered(self, payload: bytes, time_ns: int) -> None:
        magic, source, number, sent_ns = HEADER.unpack_from(payload)
        assert magic == MAGIC
        if self._source not in (None, source):
            self.runs.append(Run())
        self._source = source
        self.runs[-1].numbers.append(number)
        if self._last is None:
            self.jitter = 0.0
        else:
            self._smooth(time_ns - self._last[0] - (sent_ns - self._last[1]))
        self._last = time_ns, sent_ns

    def add_rtp(self, payload: bytes, time_ns: int) -> None:
        """Account for a datagram. The first two must be in sequence."""
        number, source = int.from_bytes(payload[2:4], "big"), int.from_bytes(payload[8:12], "big")
        stamp = int.from_bytes(payload[4:8], "big")
        numbers = self.runs[-1].numbers
        if source != self._source:
            if numbers:
                self._restart()
            self._source, self._jump = source, None
        elif numbers and 3000 <= (number - max(numbers)) % 65536 <= 65536 - 100:
            if number != self._jump:
                self._jump = (number + 1) % 65536
                return
            self._restart()
            self.runs[-1].numbers.append(65536 + (number - 1) % 65536)
        self._jump = None
        numbers = self.runs[-1].numbers
        highest = max(numbers, default=65536 + number)
        numbers.append(highest + (number - highest + 32768) % 65536 - 32768)
        clock = CLOCKS.get(payload[1] & 0x7F)
        # The core sees the time of the first datagram only when the second one has shown that this is RTP.
        if clock is None or (len(self.runs) == 1 and len(numbers) == 1):
            return
        if self._last is None:
            self.jitter = self.jitter or 0.0
        else:
            ticks = (stamp - self._last[1] + 2**31) % 2**32 - 2**31
            self._smooth(time_ns - self._last[0] - ticks * 1e9 / clock)
        self._last = time_ns, stamp

    def _restart(self) -> None:
        self.runs.append(Run())
        self._last = None

    def _smooth(self, difference: float) -> None:
        assert self.jitter is not None
        self.jitter += (abs(difference) - self.jitter) / 16
