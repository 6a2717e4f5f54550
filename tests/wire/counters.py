"""What became of the datagrams that were sent, by a receiver's counters. No tests."""

from multicast.sync import Receiver
from multicast.types import ReceiverStats
from tests.support import waiting
from tests.wire.exchange import PATIENCE


def accounted(stats: ReceiverStats) -> int:
    """How many datagrams the counters account for."""
    drops = (stats.kernel_drops or 0) + stats.ring_drops
    return stats.received + drops + stats.filtered + stats.truncated


def settled(rx: Receiver, sent: int) -> ReceiverStats:
    """Wait until all that was sent is accounted for, as a ring sees to by itself; returns the counters then."""

    def look() -> ReceiverStats | None:
        stats = rx.stats()
        return stats if accounted(stats) == sent else None

    return waiting.until(look, f"{sent} datagrams to be accounted for", PATIENCE)
