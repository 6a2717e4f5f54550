"""Test when a listener reports drops."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from multicast._legacy.drops import Dropped, DropWatch


@dataclass
class Counters:
    """The counters of a receiver, and a clock."""

    kernel_drops: int = 0
    received: int = 0
    now: float = 100.0
    reports: list[Dropped] = field(default_factory=list[Dropped])

    def watch(self) -> DropWatch:
        stats: Any = lambda: self  # noqa: E731
        return DropWatch(stats, self.reports.append, lambda: self.now)


@pytest.fixture
def counters() -> Counters:
    return Counters()


def test_watch_reports_new_drops_once_a_second(counters: Counters) -> None:
    watch = counters.watch()
    counters.kernel_drops, counters.received = 3, 10
    watch.look()
    assert counters.reports == []
    counters.now += 1
    watch.look()
    watch.look()
    counters.kernel_drops, counters.received = 5, 20
    counters.now += 0.9
    watch.look()
    counters.now += 0.1
    watch.look()
    assert counters.reports == [Dropped(3, 3, 10, False), Dropped(2, 5, 20, False)]


def test_watch_without_drops_reports_nothing(counters: Counters) -> None:
    watch = counters.watch()
    counters.received = 10
    counters.now += 5
    watch.look()
    watch.finish()
    assert counters.reports == []


@pytest.mark.parametrize("late", [0, 4])
def test_watch_at_the_end_reports_the_total(counters: Counters, late: int) -> None:
    watch = counters.watch()
    counters.kernel_drops = 3
    counters.now += 1
    watch.look()
    counters.kernel_drops += late
    watch.finish()
    assert counters.reports[1:] == [Dropped(late, 3 + late, 0, True)]
