"""An interface that gets another name while a group is joined on it."""

import logging
import time

import pytest

from multicast.apps.streams import Streams
from multicast.sync import Receiver, Sender
from tests.support.hosts import Host
from tests.wire.exchange import PATIENCE
from tests.wire.faults import RESUMED, sh, traffic

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
@pytest.mark.parametrize("group", ["239.9.9.9", "ff02::9:9"])
def test_renamed_interface_stays_joined_and_names_senders(
    group: str, ring: int | None, interface: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(group, 0, interface=interface, ring=ring) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        sh(f"ip link set {interface} name other9")
        try:
            end = time.monotonic() + RESUMED
            datagram = rx.recv(timeout=PATIENCE)
            while datagram.interface != "other9" and time.monotonic() < end:
                datagram = rx.recv(timeout=PATIENCE)
            assert datagram.interface == "other9"
            if ":" in group:
                assert datagram.sender[0].endswith("%other9")
            renamed = f"{interface} was renamed to other9 and keeps 1 group joined"
            while renamed not in caplog.messages and time.monotonic() < end:
                rx.recv(timeout=PATIENCE)
            assert renamed in caplog.messages
            assert rx.stats().rejoins == 0
        finally:
            sh(f"ip link set other9 name {interface}")


def test_renamed_interface_of_a_stream_has_the_new_name(interface: str) -> None:
    sh(f"ip -6 addr add fe80::9:9/64 dev {interface} nodad")
    with (
        Receiver("ff02::9:9", 0, interface=interface) as rx,
        Sender("ff02::9:9", rx.port, interface=interface, local=(f"fe80::9:9%{interface}", 0)) as tx,
    ):
        streams = Streams()
        tx.send(b"x")
        streams.add(rx.recv_batch(timeout=PATIENCE), rx.port, 0)

        def names() -> list[tuple[str | None, str]]:
            return [(stream.interface, stream.sender) for stream in streams.look()]

        assert names() == [(interface, f"fe80::9:9%{interface}")]
        sh(f"ip link set {interface} name other9")
        assert names() == [("other9", "fe80::9:9%other9")]
        # The last name of an interface that is gone is better than none.
        sh("ip link del other9")
        assert names() == [("other9", "fe80::9:9%other9")]
