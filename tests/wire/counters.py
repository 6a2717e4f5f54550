"""Account for the datagrams sent by the counters of a receiver. No tests."""

from multicast.sync import Receiver
from multicast.types import ReceiverStats
from tests.support import waiting
from tests.wire.exchange import PATIENCE


def accounted(stats: ReceiverStats) -> int:
    """Return the number of datagrams that the counters account for."""
    drops = (stats.kernel_drops or 0) + stats.ring_drops
    return stats.received + drops + stats.filtered + stats.truncated + stats.invalid + stats.unassembled


def settled(rx: Receiver, sent: int) -> ReceiverStats:
    """Wait until a ring has accounted for all ``sent`` datagrams. Return the counters."""

    def look() -> ReceiverStats | None:
        stats = rx.stats()
        return stats if accounted(stats) == sent else None

    return waiting.until(look, f"{sent} datagrams to be accounted for", PATIENCE)
