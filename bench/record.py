"""The book of measurements: every number of every round, and the medians and ratios calculated from them.

The targets are in `targets.py`, and the tables in `report.py`.
"""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

Row = tuple[str, str, int, bool]
"""(scenario, contestant, bytes in a datagram, whether the sender coalesced)"""


@dataclass
class Book:
    """The measurements, the failures and the absent contestants."""

    rows: dict[Row, dict[int, dict[str, float]]] = field(default_factory=lambda: defaultdict(dict))
    failures: dict[str, int] = field(default_factory=dict[str, int])
    """Each failure, and how often it happened."""
    absent: list[str] = field(default_factory=list[str])

    def add(self, row: Row, turn: int, values: dict[str, float]) -> None:
        """Add one round of one row."""
        self.rows[row][turn] = values

    def fail(self, what: str) -> None:
        """Count a failure."""
        self.failures[what] = self.failures.get(what, 0) + 1

    def series(self, row: Row, key: str) -> dict[int, float]:
        """Return the value `key` of `row` for each round in which it was measured."""
        return {turn: values[key] for turn, values in self.rows.get(row, {}).items() if key in values}

    def median(self, row: Row, key: str) -> float | None:
        """Return the median over the rounds, or None if it was never measured."""
        values = self.series(row, key).values()
        return statistics.median(values) if values else None

    def ratio(self, row: Row, base: Row, key: str) -> float | None:
        """Return the median over the rounds of `row` / `base`, so that a disturbance of both cancels out."""
        above, below = self.series(row, key), self.series(base, key)
        pairs = [above[turn] / below[turn] for turn in above.keys() & below.keys() if below[turn] > 0]
        return statistics.median(pairs) if pairs else None
