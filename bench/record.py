"""The book of measurements: every number of every round, and the medians and ratios that are read from it.

What is not here: which ratio must reach what (`targets.py`), and printing (`report.py`).
"""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

Row = tuple[str, str, int, bool]
"""(scenario, contestant, bytes a datagram, whether the sender coalesced)"""


@dataclass
class Book:
    """What was measured, what failed and who was absent."""

    rows: dict[Row, dict[int, dict[str, float]]] = field(default_factory=lambda: defaultdict(dict))
    failures: dict[str, int] = field(default_factory=dict)
    """What went wrong, and how often."""
    absent: list[str] = field(default_factory=list)

    def add(self, row: Row, turn: int, values: dict[str, float]) -> None:
        """Enter one round of one row."""
        self.rows[row][turn] = values

    def fail(self, what: str) -> None:
        """Note a failure; the same one is told once, with its count."""
        self.failures[what] = self.failures.get(what, 0) + 1

    def series(self, row: Row, key: str) -> dict[int, float]:
        """The value `key` of `row`, by round; empty where it was never measured."""
        return {turn: values[key] for turn, values in self.rows.get(row, {}).items() if key in values}

    def median(self, row: Row, key: str) -> float | None:
        """The median over the rounds, or None where there is none."""
        values = self.series(row, key).values()
        return statistics.median(values) if values else None

    def ratio(self, row: Row, base: Row, key: str) -> float | None:
        """The median over the rounds of `row` / `base` within one round: what disturbs both cancels out."""
        above, below = self.series(row, key), self.series(base, key)
        pairs = [above[turn] / below[turn] for turn in above.keys() & below.keys() if below[turn] > 0]
        return statistics.median(pairs) if pairs else None
