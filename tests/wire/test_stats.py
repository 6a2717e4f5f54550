"""Test that the counters add up: each datagram sent was received, dropped by the kernel, filtered or truncated."""

import logging
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from multicast import _arguments, _small_buffer
from multicast.sync import Receiver, Sender
from tests.wire.exchange import LOOPBACK, PATIENCE, Link, take_batches

SENT = 1000


def drain(rx: Receiver) -> list[bytes]:
    """Return all payloads that are pending."""
    taken: list[bytes] = []
    while True:
        try:
            taken += rx.recv_batch(timeout=0).payloads()
        except TimeoutError:
            return taken


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
@pytest.mark.parametrize("gso", [True, False], ids=["gso", "no-gso"])
def test_stats_small_buffer_drops_equal_the_gaps(link: Link, gso: bool) -> None:
    with link.pair({"gso": gso}, recv_buffer=4096, gro=False) as (tx, rx):
        assert rx.stats().recv_buffer_requested == 4096
        tx.send_many(numbered(SENT))
        heard = [int.from_bytes(data[:4], "big") for data in drain(rx)]
        # One more datagram shows how many were missing at the end.
        tx.send(SENT.to_bytes(4, "big"))
        heard += [int.from_bytes(rx.recv(timeout=PATIENCE).data[:4], "big")]
        gaps = sum(later - earlier - 1 for earlier, later in zip([-1, *heard], heard, strict=False))
        stats = rx.stats()
        assert stats.kernel_drops == gaps > 0
        assert stats.received == len(heard)
        assert stats.received + gaps + stats.filtered + stats.truncated == SENT + 1
        assert tx.stats().sent == SENT + 1


# The packet engine discards unicast in the kernel, where nothing counts it.
@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
def test_stats_with_filtered_datagrams_add_up() -> None:
    with (
        Receiver(
            ["239.9.8.7", "239.9.8.8"], 0, interface=LOOPBACK.interface, recv_buffer=4096, gro=False
        ) as rx,
        Sender("239.9.8.7", rx.port, interface=LOOPBACK.interface) as tx,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain,
    ):
        received = 0
        for _ in range(50):
            for message in numbered(20):
                tx.send(message)
                plain.sendto(b"for this host alone", (LOOPBACK.interface, rx.port))
            received += len(drain(rx))
        stats = rx.stats()
        assert stats.received == received
        assert stats.filtered > 0
        assert stats.kernel_drops is not None
        assert stats.kernel_drops > 0
        assert stats.received + stats.kernel_drops + stats.filtered + stats.truncated == 2 * SENT


# A packet receiver has one buffer for each IP version.
@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
def test_stats_drops_of_several_sockets_are_added() -> None:
    groups = [f"239.9.8.{number}" for number in range(1, 60)]
    with Receiver(groups, 0, interface=LOOPBACK.interface, recv_buffer=4096, gro=False) as rx:
        for group in (groups[0], groups[-1]):
            with Sender(group, rx.port, interface=LOOPBACK.interface) as tx:
                tx.send_many(numbered(SENT))
        received = len(drain(rx))
        stats = rx.stats()
        assert stats.sockets > 1
        assert received < SENT
        assert (stats.received, stats.kernel_drops) == (received, 2 * SENT - received)


def test_stats_count_bytes_and_datagrams(link: Link) -> None:
    messages = [b"", b"x", bytes(1472), bytes(link.largest)]
    with link.pair() as (tx, rx):
        tx.send_many(messages)
        tx.send(b"yz")
        for _ in range(5):
            rx.recv(timeout=PATIENCE)
        size = 1 + 1472 + link.largest + 2
        stats, sent = rx.stats(), tx.stats()
        assert (stats.received, stats.bytes_received, stats.filtered, stats.truncated) == (5, size, 0, 0)
        assert stats.kernel_drops in {0, None}
        assert (sent.sent, sent.bytes_sent, sent.coalesced) == (5, size, 0)


@pytest.mark.platform("linux")
def test_stats_coalesced_messages_are_counted(link: Link) -> None:
    with link.pair() as (tx, rx):
        tx.send_many([bytes(100)] * 50 + [b"", bytes(200)])
        assert len(take_batches(rx, 52)) == 52
        assert (tx.stats().sent, tx.stats().coalesced) == (52, 50)
    with link.pair({"gso": False}) as (tx, rx):
        tx.send_many([bytes(100)] * 50)
        assert (tx.stats().sent, tx.stats().coalesced) == (50, 0)


def test_stats_requested_and_actual_buffer_are_reported() -> None:
    with LOOPBACK.receiver(recv_buffer=None) as rx:
        assert rx.stats().recv_buffer_requested is None
        default = rx.stats().recv_buffer_actual
    with LOOPBACK.receiver(recv_buffer=default // 2) as rx:
        assert (rx.stats().recv_buffer_requested, rx.stats().recv_buffer_actual) == (
            default // 2,
            default // 2,
        )
    with LOOPBACK.receiver() as rx:
        asked = rx.stats().recv_buffer_requested
        assert asked is not None
        assert default < rx.stats().recv_buffer_actual <= asked


def test_receiver_smaller_buffer_than_requested_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # More than any system grants, because the kernel doubles it for its overhead and keeps the result in a C int.
    monkeypatch.setattr(_arguments, "AUTO_RECV_BUFFER", 2**31 - 1)
    monkeypatch.setattr(_small_buffer, "_logged", False)
    with caplog.at_level(logging.INFO, "multicast"), LOOPBACK.receiver() as rx, LOOPBACK.receiver():
        granted = rx.stats().recv_buffer_actual
        assert granted < 2**31 - 1
    (record,) = [one for one in caplog.records if one.name == "multicast"]
    assert f"{granted} bytes instead of {2**31 - 1}" in record.getMessage()
    if sys.platform == "linux":
        assert record.getMessage().endswith(f"sysctl -w net.core.rmem_max={2**31 - 1}")


@pytest.mark.platform("linux")
def test_stats_in_threads_while_the_kernel_drops_never_count_too_many() -> None:
    with LOOPBACK.pair({"gso": False}, recv_buffer=2000) as (tx, rx):
        end = time.monotonic() + 1.0

        def most_drops() -> int:
            most = 0
            while time.monotonic() < end:
                most = max(most, rx.stats().kernel_drops or 0)
            return most

        with ThreadPoolExecutor() as pool:
            looks = [pool.submit(most_drops) for _ in range(4)]
            while time.monotonic() < end:
                tx.send_many([b"x"] * 200)
        sent = tx.stats().sent
        assert max(look.result() for look in looks) <= sent
        assert len(drain(rx)) + (rx.stats().kernel_drops or 0) == sent
