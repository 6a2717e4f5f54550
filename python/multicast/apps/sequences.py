"""Account for numbered items that may be lost, repeated or out of order. No clock and no input."""

from __future__ import annotations

import bisect
import dataclasses

MAX_GAPS = 10_000
"""The most gaps of one sequence that are remembered. Numbers in older gaps stay lost."""


@dataclasses.dataclass(slots=True)
class Gap:
    """Consecutive numbers that have not arrived."""

    first: int
    """The first missing number."""
    last: int
    """The last missing number."""
    since_ns: int
    """When the item before the gap arrived, in nanoseconds since 1970."""
    until_ns: int
    """When the item that revealed the gap arrived."""

    @property
    def size(self) -> int:
        """How many numbers are missing."""
        return self.last - self.first + 1


class Sequence:
    """The numbers that have arrived, and those that are missing between them.

    Attributes:
        received: items that arrived, duplicates included.
        lost: numbers between the lowest and the highest that have not arrived.
        duplicates: items whose number had arrived before.
        reordered: items that arrived for the first time after one with a higher number.
        highest: the highest number; -1 if none has arrived.
        gaps: the missing numbers, in order.
    """

    __slots__ = ("_lowest", "_time", "duplicates", "gaps", "highest", "lost", "received", "reordered")

    def __init__(self) -> None:
        self.received = self.lost = self.duplicates = self.reordered = 0
        self.highest = self._lowest = -1
        self._time = 0
        self.gaps: list[Gap] = []

    def add(self, number: int, time_ns: int) -> None:
        """Account for an item.

        Args:
            number: its number, 0 or more.
            time_ns: when it arrived, in nanoseconds since 1970.
        """
        self.received += 1
        if number == self.highest + 1 and self.received > 1:
            self.highest = number
            self._time = time_ns
        elif self.received == 1:
            self.highest = self._lowest = number
            self._time = time_ns
        elif number > self.highest:
            self._open(Gap(self.highest + 1, number - 1, self._time, time_ns), at=len(self.gaps))
            self.highest = number
            self._time = time_ns
        elif number < self._lowest:
            self.reordered += 1
            if number + 1 < self._lowest:
                self._open(Gap(number + 1, self._lowest - 1, time_ns, time_ns), at=0)
            self._lowest = number
        elif self._fill(number):
            self.reordered += 1
            self.lost -= 1
        else:
            self.duplicates += 1

    def _open(self, gap: Gap, at: int) -> None:
        self.lost += gap.size
        self.gaps.insert(at, gap)
        if len(self.gaps) > MAX_GAPS:
            del self.gaps[0]

    def _fill(self, number: int) -> bool:
        """Remove a number from the gap that it is in; return whether there is one."""
        at = bisect.bisect_right(self.gaps, number, key=lambda gap: gap.first) - 1
        if at < 0 or number > self.gaps[at].last:
            return False
        gap = self.gaps[at]
        after = Gap(number + 1, gap.last, gap.since_ns, gap.until_ns)
        gap.last = number - 1
        if after.size > 0:
            self.gaps.insert(at + 1, after)
        if gap.size == 0:
            del self.gaps[at]
        return True


class Extender:
    """Continue numbers that wrap around, so that they never do.

    Args:
        bits: the length of the numbers.
    """

    __slots__ = ("_half", "_last", "_mask")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self._last = -1

    def extend(self, number: int) -> int:
        """Return the number nearest to the highest so far that ends with these bits."""
        if self._last < 0:
            # One turn above zero, so that an item from before the first has a number as well.
            self._last = number + self._mask + 1
            return self._last
        ahead = (number - self._last) & self._mask
        if ahead >= self._half:
            return self._last + ahead - self._mask - 1
        self._last += ahead
        return self._last


class Histogram:
    """Counts of integers, kept with a relative error below 0.4 %.

    Memory depends on the range of the values, not on how many there are.
    """

    _BITS = 8

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0
        self.lowest = self.highest = 0

    def add(self, value: int) -> None:
        """Count a value."""
        if self._total == 0:
            self.lowest = self.highest = value
        elif value < self.lowest:
            self.lowest = value
        elif value > self.highest:
            self.highest = value
        self._total += 1
        size = abs(value)
        shift = max(0, size.bit_length() - self._BITS)
        rounded = size >> shift << shift
        key = rounded if value >= 0 else -rounded
        self._counts[key] = self._counts.get(key, 0) + 1

    def __len__(self) -> int:
        """Return how many values were counted."""
        return self._total

    def percentile(self, percent: float) -> int:
        """Return the smallest value that at least ``percent`` of the values do not exceed.

        Raises:
            ValueError: No value was counted.
        """
        if not self._total:
            raise ValueError("the histogram must have values, got none")
        wanted = max(1, -int(-self._total * percent // 100))
        seen = 0
        for key in sorted(self._counts):
            seen += self._counts[key]
            if seen >= wanted:
                return min(max(key, self.lowest), self.highest)
        return self.highest
