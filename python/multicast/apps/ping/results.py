"""Replies, and the statistics of each host."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Kind: TypeAlias = Literal["unicast", "multicast"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of a host."""

    host: str
    kind: Kind
    """Whether it was sent to this host alone, or to the group."""
    sequence: int
    """The number of the request, from 1."""
    time_ms: float
    """Milliseconds from the request to the reply."""
    hops: int | None
    """Routers that it crossed; None if unknown."""
    is_duplicate: bool


@dataclass(slots=True)
class KindResult:
    """The replies of one kind from one host."""

    sent: int
    """Requests sent."""
    duplicates: int = 0
    hops: int | None = None
    """Routers that the last reply crossed; None if unknown."""
    times_ms: dict[int, float] = field(default_factory=dict[int, float])
    """For each request with a reply, the milliseconds that it took."""

    @property
    def received(self) -> int:
        """The number of requests with a reply."""
        return len(self.times_ms)

    @property
    def loss_percent(self) -> float:
        """The share of requests without a reply, in percent."""
        return 100.0 * (self.sent - self.received) / self.sent if self.sent else 0.0

    @property
    def late_loss_percent(self) -> float:
        """The same, without the first request: while it travels, routers still build their trees."""
        late = self.sent - 1
        received = sum(sequence >= 2 for sequence in self.times_ms)
        return 100.0 * (late - received) / late if late > 0 else 0.0

    @property
    def min_ms(self) -> float | None:
        """The shortest time; None without replies."""
        return min(self.times_ms.values(), default=None)

    @property
    def max_ms(self) -> float | None:
        """The longest time; None without replies."""
        return max(self.times_ms.values(), default=None)

    @property
    def avg_ms(self) -> float | None:
        """The mean time; None without replies."""
        return math.fsum(self.times_ms.values()) / self.received if self.times_ms else None

    @property
    def stddev_ms(self) -> float | None:
        """The standard deviation of the times; None without replies."""
        mean = self.avg_ms
        if mean is None:
            return None
        return math.sqrt(math.fsum((one - mean) ** 2 for one in self.times_ms.values()) / self.received)


@dataclass(slots=True)
class HostResult:
    """The replies of one host."""

    host: str
    unicast: KindResult
    multicast: KindResult

    def of(self, kind: Kind) -> KindResult:
        """Return the result of one kind."""
        return self.unicast if kind == "unicast" else self.multicast
