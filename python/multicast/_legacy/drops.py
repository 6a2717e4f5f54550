"""Reports of the datagrams that the system dropped because a listener was too slow for them."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..types import ReceiverStats

# Seconds between two looks at the counters.
_INTERVAL = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """The datagrams that were dropped on this machine before the listener received them."""

    new: int
    """Datagrams dropped since the last report; 0 in the last one if there are none."""
    total: int
    """Datagrams dropped since the start."""
    received: int
    """Datagrams received since the start."""
    is_last: bool
    """Whether the listener has ended."""


class DropWatch:
    """Report drops about once a second while they happen, and the total at the end.

    Args:
        stats: returns the counters of the receiver.
        report: called with a `Dropped`.
        clock: a function that returns monotonic seconds.
    """

    def __init__(
        self,
        stats: Callable[[], ReceiverStats],
        report: Callable[[Dropped], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stats, self._report, self._clock = stats, report, clock
        self._reported = 0
        self._next = clock() + _INTERVAL

    def look(self) -> None:
        """Report what was dropped since the last report, if a second has passed since the last look."""
        now = self._clock()
        if now >= self._next:
            self._next = now + _INTERVAL
            self._look(is_last=False)

    def finish(self) -> None:
        """Report the total, if anything was dropped."""
        self._look(is_last=True)

    def _look(self, *, is_last: bool) -> None:
        stats = self._stats()
        # None if the system does not count.
        total = stats.kernel_drops or 0
        new, self._reported = total - self._reported, total
        if new or (is_last and total):
            self._report(Dropped(new, total, stats.received, is_last))
