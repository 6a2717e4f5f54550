"""Test busy polling: a receiver looks for datagrams again and again for a while before it sleeps."""

import socket
import threading
import time
from collections.abc import Callable

import pytest

from multicast.exceptions import ClosedError
from multicast.sync import Receiver
from tests.wire.exchange import LOOPBACK, PATIENCE, Link, nothing_more

SO_BUSY_POLL = 46
"""Its number on all usual processors. Python has no name for it."""


def may_poll() -> bool:
    """Return whether this process may let sockets poll. The kernel requires CAP_NET_ADMIN on the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        try:
            plain.setsockopt(socket.SOL_SOCKET, SO_BUSY_POLL, 1)
        except PermissionError:
            return False
    return True


def test_spin_receives_what_is_sent_meanwhile(link: Link) -> None:
    with link.pair(spin=10.0) as (tx, rx):
        sender = threading.Timer(0.02, tx.send, [b"meanwhile"])
        sender.start()
        assert rx.recv(timeout=PATIENCE).data == b"meanwhile"
        sender.join()
        nothing_more(rx, tx)


def test_spin_that_is_over_sleeps_until_the_timeout(link: Link) -> None:
    with link.receiver(spin=0.05) as rx:
        begin, cpu = time.monotonic(), time.thread_time()
        with pytest.raises(TimeoutError):
            rx.recv(timeout=1.0)
        assert time.monotonic() - begin >= 1.0
        # The spin, which other threads can interrupt, and what the waiting costs.
        assert 0.002 <= time.thread_time() - cpu < 0.5


@pytest.mark.platform("linux")
@pytest.mark.private_net
# Only a socket can poll a device.
@pytest.mark.udp_sockets
@pytest.mark.parametrize("spin", [0.0, 0.002])
def test_spin_polls_the_device_where_permitted(spin: float) -> None:
    micros = int(spin * 1e6) if may_poll() else 0
    with LOOPBACK.receiver(spin=spin) as rx, socket.socket(fileno=rx.detach()) as plain:
        assert plain.getsockopt(socket.SOL_SOCKET, SO_BUSY_POLL) == micros


@pytest.mark.parametrize("receive", [Receiver.recv, Receiver.recv_batch], ids=["recv", "batch"])
def test_spin_closed_meanwhile_ends(link: Link, receive: Callable[[Receiver], object]) -> None:
    with link.receiver(spin=10.0) as rx:
        closer = threading.Timer(0.02, rx.close)
        closer.start()
        with pytest.raises(ClosedError):
            receive(rx)
        closer.join()
