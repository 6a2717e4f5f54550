"""Test that the packet engine accounts for every datagram: sent = received + counted.

With ``MULTICAST_FULL_LOAD=1``, 10^8 datagrams, or ``MULTICAST_FULL_LOAD_DATAGRAMS``, are sent in each test.
"""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from multicast.sync import Receiver, Sender
from tests.support import waiting
from tests.support.hosts import Host
from tests.wire import faults, places
from tests.wire.counters import accounted
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net, pytest.mark.alone]

FULL = os.environ.get("MULTICAST_FULL_LOAD") == "1"
SENT = int(os.environ.get("MULTICAST_FULL_LOAD_DATAGRAMS", "100_000_000")) if FULL else 60_000
CHUNK = 5_000


@contextmanager
def pair(place: str, hosts: list[Host], gso: bool) -> Generator[tuple[Sender, Receiver], None, None]:
    """Open a receiver, and a sender on the same machine or at the other end of a link."""
    if place == "lo":
        rx = Receiver("239.9.8.7", 0, interface="lo", engine="packet")
        tx = Sender("239.9.8.7", rx.port, interface="lo", gso=gso)
    elif place == "veth":
        rx = Receiver("239.9.8.7", 0, interface=faults.INTERFACE, engine="packet")
        with places.on(hosts[0]):
            tx = Sender("239.9.8.7", rx.port, interface=faults.INTERFACE, gso=gso)
    else:
        with places.on(hosts[0]):
            rx = Receiver("239.9.8.7", 0, interface="eth0", engine="packet")
        with places.on(hosts[1]):
            tx = Sender("239.9.8.7", rx.port, interface="eth0", gso=gso)
    with rx, tx:
        yield tx, rx


@pytest.mark.timeout(7200 if FULL else 60)
@pytest.mark.parametrize("gso", [True, False], ids=["coalesced", "singly"])
@pytest.mark.parametrize("place", ["lo", "veth", "bridge"])
def test_packet_counters_of_mixed_datagrams_add_up(
    hosts: list[Host], interface: str, place: str, gso: bool
) -> None:
    # Runs of equal size are coalesced, single sizes are not, and the longest is fragmented unless the link is lo.
    runs = [bytes(100)] * 40 + [bytes(1316)] * 30 + [bytes(size) for size in range(64)] + [bytes(9000)]
    chunk = (runs * (CHUNK // len(runs) + 1))[:CHUNK]
    with pair(place, hosts, gso) as (tx, rx):
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                try:
                    rx.recv_batch(timeout=0.1)
                except TimeoutError:
                    continue

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for sent in range(CHUNK, SENT + 1, CHUNK):
                assert tx.send_many(chunk) == CHUNK

                def is_complete(sent: int = sent) -> bool:
                    return accounted(rx.stats()) == sent

                waiting.until(is_complete, f"{sent} datagrams to be accounted for", PATIENCE)
        finally:
            done.set()
            reader.join()
        stats = rx.stats()
        assert (stats.received, stats.invalid, stats.filtered) == (SENT, 0, 0)
        assert (tx.stats().coalesced > 0) == gso


def test_packet_ring_that_is_full_counts_every_drop() -> None:
    with (
        Receiver("239.9.8.7", 0, interface="lo", recv_buffer=1, engine="packet") as rx,
        Sender("239.9.8.7", rx.port, interface="lo", gso=False) as tx,
    ):
        sent = 20_000
        assert tx.send_many([bytes(500)] * sent) == sent
        received = 0
        while accounted(rx.stats()) < sent:
            received += len(rx.recv_batch(timeout=PATIENCE))
        stats = rx.stats()
        assert (stats.kernel_drops or 0) > 0
        assert stats.received + (stats.kernel_drops or 0) == sent
        assert received == stats.received
