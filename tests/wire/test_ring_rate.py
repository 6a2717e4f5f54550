"""Test a consumer that sleeps 200 ms of each second while 50,000 datagrams per second arrive.

`MULTICAST_FULL_LOAD=1` runs for half a minute. Without it, for two seconds.
"""

import contextlib
import os
import sys
import time

import pytest

from multicast.types import ReceiverStats
from tests.support.programs import Program
from tests.wire.counters import accounted
from tests.wire.exchange import LOOPBACK, PATIENCE

# With packets, the count of dropped coalesced datagrams is a lower bound, so the sums are not exact.
pytestmark = [pytest.mark.alone, pytest.mark.udp_sockets]

RATE = 50_000
SECONDS = 30 if os.environ.get("MULTICAST_FULL_LOAD") == "1" else 2
ASLEEP = 0.2
"""Seconds."""

# The sender is a process of its own, so that the sleeping consumer does not delay it.
SENDER = """
import sys
from multicast.sync import Sender
group, port, interface, rate, count = sys.argv[1:]
with Sender(group, int(port), interface=interface, rate=float(rate)) as tx:
    tx.send_many(number.to_bytes(4, "big") + bytes(96) for number in range(int(count)))
"""


def flood(ring: int, policy: str) -> tuple[list[int], float, ReceiverStats]:
    """Return what the sleeping consumer received of the flood, in order, the duration, and the counters."""
    count = RATE * SECONDS
    # A kernel buffer for 0.1 s: it bridges delays on a busy machine, but not a sleep of the consumer.
    with LOOPBACK.receiver(ring=ring, ring_policy=policy, recv_buffer=2 << 20, gro=False) as rx:
        numbers = [str(rx.port), LOOPBACK.interface, str(RATE), str(count)]
        with Program([sys.executable, "-c", SENDER, LOOPBACK.group, *numbers]) as sender:
            heard: list[int] = []

            def take(timeout: float) -> None:
                payloads = rx.recv_batch(limit=1024, timeout=timeout).payloads()
                heard.extend(int.from_bytes(payload[:4], "big") for payload in payloads)

            take(PATIENCE)
            start = ended = time.monotonic()
            nap = start + 1 - ASLEEP
            while accounted(rx.stats()) < count:
                # A busy machine may slow the sender down. Once it has sent everything, all must be accounted for soon.
                if sender.running:
                    ended = time.monotonic()
                assert time.monotonic() < ended + PATIENCE, "some datagrams are neither received nor counted"
                with contextlib.suppress(TimeoutError):
                    take(0.05)
                if time.monotonic() >= nap:
                    # The sleep that the ring must bridge.
                    time.sleep(ASLEEP)
                    nap += 1
            took = time.monotonic() - start
            while rx.pending:
                take(0)
            assert sender.finish() == 0, sender.err
        stats = rx.stats()
        assert (accounted(stats), stats.received) == (count, len(heard))
        return heard, took, stats


def test_ring_within_capacity_loses_nothing() -> None:
    heard, took, stats = flood(16_384, "drop-oldest")
    assert heard == list(range(RATE * SECONDS))
    assert took > SECONDS * 0.9
    # The ring, not the kernel, held the datagrams that arrived during a sleep.
    assert RATE * ASLEEP * 0.5 < stats.ring_high_water <= 16_384


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest", "block"])
@pytest.mark.platform("linux")
def test_ring_beyond_capacity_counts_every_loss(policy: str) -> None:
    heard, _, stats = flood(1000, policy)
    assert heard == sorted(set(heard))
    lost = RATE * SECONDS - len(heard)
    assert lost > 0
    assert stats.ring_high_water == 1000
    if policy == "block":
        assert (stats.ring_drops, stats.kernel_drops) == (0, lost)
    else:
        assert stats.ring_drops + (stats.kernel_drops or 0) == lost
        assert stats.ring_drops > RATE * ASLEEP * 0.5
