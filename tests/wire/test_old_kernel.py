"""Test what a kernel without some socket option does: the feature is off, and nothing else changes."""

import socket
import subprocess
import sys

import pytest

from tests.support.private_network import ROOT
from tests.wire.exchange import LOOPBACK, PATIENCE, Link

pytestmark = [pytest.mark.platform("linux"), pytest.mark.udp_sockets]

SEND = """
import sys
from tests.support import sandbox
sandbox.forbid_socket_option({level}, sandbox.UDP_SEGMENT)
from multicast.sync import Receiver, Sender
group, interface = sys.argv[1:]
with Receiver(group, 0, interface=interface) as rx, Sender(group, rx.port, interface=interface) as tx:
    assert tx.send_many([bytes([number]) * 100 for number in range(128)]) == 128
    assert tx.stats().coalesced == 0
    for number in range(128):
        assert rx.recv(timeout=10).data == bytes([number]) * 100
"""


def test_send_many_without_udp_segment_sends_every_message(link: Link) -> None:
    program = [sys.executable, "-c", SEND.format(level=socket.IPPROTO_UDP), link.group, link.interface]
    done = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


RECEIVE = """
import sys
from tests.support import sandbox
level, name, *link = sys.argv[1:]
sandbox.forbid_socket_option(int(level), int(name))
from multicast.sync import Receiver, Sender
group, interface = link
with Receiver(group, 0, interface=interface) as rx, Sender(group, rx.port, interface=interface) as tx:
    tx.send_many([bytes(100)] * 100)
    for _ in range(100):
        assert len(rx.recv(timeout=10).data) == 100
    assert rx.stats().received == 100
    assert rx.stats().kernel_drops in (0, None)
"""

# Level and name of options that came with Linux 4.12, 4.20 and 5.0.
OPTIONS = {"SO_MEMINFO": (1, 55), "IPV6_MULTICAST_ALL": (41, 29), "UDP_GRO": (17, 104)}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_receiver_without_option_receives_every_message(option: tuple[int, int], link: Link) -> None:
    program = [sys.executable, "-c", RECEIVE, *map(str, option), link.group, link.interface]
    done = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_send_many_with_udp_segment_coalesces() -> None:
    # The test above needs a kernel that would coalesce.
    with LOOPBACK.pair() as (tx, _):
        tx.send_many([bytes(100)] * 128)
        assert tx.stats().coalesced == 128
