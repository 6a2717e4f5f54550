"""IPv6 memberships on several interfaces: the kernel sorts by group alone, so the receiver has to do the rest."""

import pytest

from multicast.sync import Receiver, Sender
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


def receive_all(rx: Receiver) -> list[bytes]:
    """Return everything that is there now, until 0.2 s pass without a datagram."""
    found: list[bytes] = []
    while True:
        try:
            found.append(rx.recv(timeout=0.2).data)
        except TimeoutError:
            return found


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
def test_groups_on_two_interfaces_are_delivered_once(ring: int | None) -> None:
    groups = [f"ff15::9:{number:x}" for number in range(1, 41)]
    with Receiver(groups, 0, interface="lo", ring=ring) as rx:
        rx.join(groups[20:], "veth0")
        sent: list[bytes] = []
        for group in groups:
            for interface in ("lo", "veth0"):
                with Sender(group, rx.port, interface=interface) as tx:
                    tx.send(f"{group} {interface}".encode())
                if interface == "lo" or group in groups[20:]:
                    sent.append(f"{group} {interface}".encode())
        assert sorted(receive_all(rx)) == sorted(sent)


def test_group_joined_on_every_interface_is_delivered_once() -> None:
    with Receiver("ff15::9:9", 0, interface=["lo", "veth0", "veth1"]) as rx:
        for interface in ("lo", "veth0"):
            with Sender("ff15::9:9", rx.port, interface=interface) as tx:
                tx.send(interface.encode())
        # The other end of the pair receives what veth0 sends.
        assert sorted(receive_all(rx)) == [b"lo", b"veth0", b"veth0"]


@pytest.mark.parametrize("order", [("lo", "veth0"), ("veth0", "lo")])
def test_group_with_different_sources_on_two_interfaces_receives_both(order: tuple[str, str]) -> None:
    sources = {"lo": "::1", "veth0": "2001:db8::2"}
    with Receiver(f"{sources[order[0]]}@ff35::9:9", 0, interface=order[0]) as rx:
        rx.join(f"{sources[order[1]]}@ff35::9:9", order[1])
        for interface in order:
            with Sender("ff35::9:9", rx.port, interface=interface) as tx:
                tx.send(interface.encode())
            assert rx.recv(timeout=PATIENCE).data == interface.encode()
        assert receive_all(rx) == []
        rx.leave("ff35::9:9", order[0])
        with Sender("ff35::9:9", rx.port, interface=order[1]) as tx:
            tx.send(b"still joined")
        assert receive_all(rx) == [b"still joined"]


@pytest.mark.parametrize("excluded", [0, 1])
def test_group_excluding_different_sources_on_two_interfaces_applies_each(excluded: int) -> None:
    # Each interface excludes a source; only that of the interface itself counts.
    interfaces, sources = ("lo", "veth0"), ("::1", "2001:db8::2")
    with Receiver("ff15::9:9", 0, interface=interfaces[excluded], exclude=sources[excluded]) as rx:
        rx.join("ff15::9:9", interfaces[1 - excluded])
        for interface in interfaces:
            with Sender("ff15::9:9", rx.port, interface=interface) as tx:
                tx.send(interface.encode())
        assert receive_all(rx) == [interfaces[1 - excluded].encode()]


@pytest.mark.udp_sockets
def test_group_on_two_interfaces_copies_are_counted_where_they_were_dropped() -> None:
    with (
        Receiver("ff15::9:9", 0, interface=["lo", "veth0"], recv_buffer=65_536, gro=False) as rx,
        Sender("ff15::9:9", rx.port, interface="lo", gso=False) as tx,
    ):
        sent = tx.send_many([bytes(100)] * 5_000)
        received = len(receive_all(rx))
        stats = rx.stats()
        assert received == stats.received
        assert stats.kernel_drops is not None
        assert stats.kernel_drops > sent
        # The kernel queues each datagram on the sockets of both interfaces.
        assert received + stats.filtered + stats.kernel_drops == 2 * sent
