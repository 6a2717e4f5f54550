"""Test the cost of opening and closing a receiver or a sender, and of joining one more group after many others."""

import socket
import subprocess
import sys
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


JOIN_ONE_MORE = """
import sys
from multicast.sync import Receiver

groups = [f"239.9.7.{number}" for number in range(1, 102)]
with Receiver(groups[:100], 0, interface=sys.argv[1], engine="packet") as rx:
    print("before", file=sys.stderr, flush=True)
    rx.join(groups[100], sys.argv[1])
    print("after", file=sys.stderr, flush=True)
"""


def test_join_beside_100_groups_with_packets_touches_only_the_new_group(tool: Callable[[str], str]) -> None:
    traced = [tool("strace"), "-e", "trace=setsockopt,write", sys.executable, "-c", JOIN_ONE_MORE, INTERFACE]
    done = subprocess.run(traced, check=True, capture_output=True, text=True, timeout=30)
    during = done.stderr.partition("before")[2].partition("after")[0]
    # Two joins, one of them for what this host sends, the options of new sockets, and the filter of the packets.
    assert 1 <= during.count("setsockopt(") <= 30, during
