"""A consumer that sleeps 200 ms of every second while 50,000 datagrams a second come.

`MULTICAST_FULL_LOAD=1` runs for half a minute; without it, for two seconds.
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

RATE = 50_000
SECONDS = 30 if os.environ.get("MULTICAST_FULL_LOAD") == "1" else 2
ASLEEP = 0.2
"""Seconds."""

# In a process of its own, so that the sleeper does not hold the sender up.
SENDER = """
import sys
from multicast.sync import Sender
group, port, interface, rate, count = sys.argv[1:]
with Sender(group, int(port), interface=interface, rate=float(rate)) as tx:
    tx.send_many(number.to_bytes(4, "big") + bytes(96) for number in range(int(count)))
"""


def flood(ring: int, policy: str) -> tuple[list[int], float, ReceiverStats]:
    """What a sleepy consumer heard of the flood, in order; for how long; and the counters after it."""
    count = RATE * SECONDS
    # A kernel buffer for some 0.1 s: enough for a busy machine to forget the thread, half of what one sleep takes.
    with LOOPBACK.receiver(ring=ring, ring_policy=policy, recv_buffer=2 << 20, gro=False) as rx:
        numbers = [str(rx.port), LOOPBACK.interface, str(RATE), str(count)]
        with Program([sys.executable, "-c", SENDER, LOOPBACK.group, *numbers]) as sender:
            heard: list[int] = []

            def take(timeout: float) -> None:
                payloads = rx.recv_batch(max=1024, timeout=timeout).payloads()
                heard.extend(int.from_bytes(payload[:4], "big") for payload in payloads)

            take(PATIENCE)
            start = ended = time.monotonic()
            nap = start + 1 - ASLEEP
            while accounted(rx.stats()) < count:
                # However slow a busy machine makes the sender: once all was sent, all is accounted for soon.
                if sender.running:
                    ended = time.monotonic()
                assert time.monotonic() < ended + PATIENCE, "some are lost without a trace"
                with contextlib.suppress(TimeoutError):
                    take(0.05)
                if time.monotonic() >= nap:
                    # The very thing to be survived.
                    time.sleep(ASLEEP)
                    nap += 1
            took = time.monotonic() - start
            while rx.pending:
                take(0)
            assert sender.finish() == 0, sender.err
        stats = rx.stats()
        assert (accounted(stats), stats.received) == (count, len(heard))
        return heard, took, stats


def test_within_its_capacity_nothing_is_lost() -> None:
    heard, took, stats = flood(16_384, "drop-oldest")
    assert heard == list(range(RATE * SECONDS))
    assert took > SECONDS * 0.9
    # It was the ring, not the kernel, that held what came in a nap.
    assert RATE * ASLEEP * 0.5 < stats.ring_high_water <= 16_384


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest", "block"])
@pytest.mark.platform("linux")
def test_beyond_it_every_loss_is_counted(policy: str) -> None:
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
