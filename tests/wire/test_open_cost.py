"""Test what it costs to open a receiver or a sender and to close it, compared with a plain socket of the same group."""

import socket
import time
from collections.abc import Callable

import pytest

from multicast.sync import Receiver, Sender

pytestmark = [pytest.mark.alone, pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP, PORT, INTERFACE, ADDRESS = "239.9.7.5", 50_098, "veth0", "192.0.2.2"


def plain() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((GROUP, PORT))
        membership = socket.inet_aton(GROUP) + socket.inet_aton(ADDRESS)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)


OBJECTS: dict[str, tuple[Callable[[], None], int]] = {
    # Besides its socket, it opens one to watch the network, one to ask about it, and one to be woken.
    "receiver": (lambda: Receiver(GROUP, PORT, interface=INTERFACE).close(), 25),
    "receiver by route": (lambda: Receiver(GROUP, PORT).close(), 30),
    "sender": (lambda: Sender(GROUP, PORT, interface=INTERFACE).close(), 12),
}


@pytest.mark.parametrize(("opened", "limit"), OBJECTS.values(), ids=OBJECTS)
def test_open_and_close_cost_a_few_plain_sockets(opened: Callable[[], None], limit: int) -> None:
    def cost(use: Callable[[], None]) -> float:
        begun = time.thread_time()
        for _ in range(100):
            use()
        return time.thread_time() - begun

    rounds = [(cost(plain), cost(opened)) for _ in range(5)]
    assert min(ours for _, ours in rounds) <= limit * min(theirs for theirs, _ in rounds)
