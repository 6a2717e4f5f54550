"""Nothing is lost while memberships are refreshed, and what does not concern them does not touch them."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multicast.apps.numbered import HEADER
from multicast.sync import Receiver, Sender
from tests.support import flood
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE
from tests.wire.faults import sh, traffic, unplug

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

RATE = 20_000
COUNT = 60_000
"""Datagrams of one flood: three seconds, in which there are hundreds of rejoins."""

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "v4": ("239.9.9.9", {}),
    "v4 exclude": ("239.9.9.9", {"exclude": "10.0.0.77"}),
    "v4 source": ("232.9.9.9", {"source": "192.0.2.2"}),
    "v6": ("ff15::9:9", {}),
    "v6 exclude": ("ff15::9:9", {"exclude": "fd09::77"}),
    "v6 source": ("ff35::9:9", {"source": "2001:db8::2"}),
}


def receive_flood(rx: Receiver, tx: Sender) -> int:
    """Send a flood while the receiver rejoins. Return how many datagrams it received and counted as dropped."""
    sending = threading.Thread(target=lambda: tx.send_many([b"%d" % number for number in range(COUNT)]))
    sending.start()
    received = 0
    while received < COUNT:
        try:
            received += len(rx.recv_batch(timeout=2.0))
        except TimeoutError:
            break
    sending.join()
    stats = rx.stats()
    assert stats.rejoins > 100
    return received + (stats.kernel_drops or 0) + stats.ring_drops


@pytest.mark.parametrize("ring", [None, 100_000], ids=["direct", "ring"])
@pytest.mark.parametrize(("group", "choice"), WAYS.values(), ids=WAYS.keys())
def test_rejoin_during_a_flood_loses_nothing(group: str, choice: dict[str, Any], ring: int | None) -> None:
    with (
        Receiver(group, 0, interface="veth0", rejoin=0.01, ring=ring, **choice) as rx,
        Sender(group, rx.port, interface="veth0", rate=RATE, gso=False) as tx,
    ):
        # The receiver has to know a sender to keep the interface open for it.
        tx.send(b"first")
        rx.recv(timeout=PATIENCE)
        assert receive_flood(rx, tx) == COUNT


@pytest.mark.udp_sockets
@pytest.mark.parametrize(
    "groups", [["239.9.8.%d", "239.9.9.9"], ["ff15::8:%x", "ff15::9:9"]], ids=["v4", "v6"]
)
def test_rejoin_of_a_receiver_without_filter_with_many_groups_loses_nothing(groups: list[str]) -> None:
    # More groups than Linux lets one socket join (igmp_max_memberships): others hold the rest.
    others, group = [groups[0] % number for number in range(1, 41)], groups[1]
    with (
        Receiver([*others, group], 0, interface="veth0", rejoin=0.01, strict=False) as rx,
        Sender(group, rx.port, interface="veth0", rate=RATE, gso=False) as tx,
    ):
        tx.send(b"first")
        rx.recv(timeout=PATIENCE)
        assert receive_flood(rx, tx) == COUNT


def batch(commands: list[str], *options: str) -> None:
    """Run many ``ip`` commands in one process."""
    subprocess.run(["ip", *options, "-batch", "-"], input="\n".join(commands), text=True, check=True)


@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_unrelated_routes_do_not_rejoin(group: str) -> None:
    with Receiver(group, 0) as rx:
        rx.stats()
        # More than the receive buffer of a routing socket holds.
        for verb in ("add", "del"):
            batch([f"route {verb} 10.{n // 250}.{n % 250}.0/24 dev veth0" for n in range(4000)])
            batch([f"route {verb} 2001:db8:{n + 1:x}::/48 dev veth0" for n in range(2000)], "-6")
        assert rx.stats().rejoins == 0
        with Sender(group, rx.port, interface="lo") as tx:
            tx.send(b"still joined")
            assert rx.recv(timeout=PATIENCE).data == b"still joined"
        sh(
            "ip route flush dev veth0 root 10.0.0.0/8; ip -6 route flush root 2001:db8::/32 dev veth0 proto boot"
        )


@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_unrelated_addresses_do_not_rejoin(group: str) -> None:
    sh("ip link add spare0 type veth peer name spare1; ip link set spare0 up")
    try:
        with Receiver(group, 0, interface="lo") as rx:
            rx.stats()
            for verb in ("add", "del"):
                batch([f"addr {verb} 10.{n // 250}.{n % 250}.1/32 dev spare0" for n in range(2000)])
            assert rx.stats().rejoins == 0
            with Sender(group, rx.port, interface="lo") as tx:
                tx.send(b"still joined")
                assert rx.recv(timeout=PATIENCE).data == b"still joined"
    finally:
        sh("ip link del spare0")


@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_interface_recreated_among_many_changes_is_rejoined(group: str, interface: str) -> None:
    with Receiver(group, 0, interface=interface) as rx:
        reused = socket.if_nametoindex(interface)
        unplug()
        plug_in_same = f"ip link add {interface} index {reused} type veth peer name {interface} netns h1"
        sh(f"""{plug_in_same}; ip addr add 10.9.0.1/24 dev {interface}; ip -6 addr add fd09::1/64 dev {interface} nodad
            ip link set {interface} up; ip -n h1 link set {interface} up""")
        # The removal is lost among these.
        for verb in ("add", "del"):
            batch([f"addr {verb} 10.{n // 250}.{n % 250}.1/32 dev veth1" for n in range(2000)])
        until(lambda: rx.stats().rejoins >= 1, "the group to be rejoined")


@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_only_address_removed_and_added_again_loses_nothing(
    group: str, interface: str, hosts: list[Host]
) -> None:
    with Receiver(group, 0, interface=interface) as rx, traffic(hosts[0], group, rx.port):
        numbers = [int(rx.recv(timeout=PATIENCE).data)]
        for _ in range(3):
            sh(f"ip addr flush dev {interface} scope global")
            numbers += [int(rx.recv(timeout=PATIENCE).data) for _ in range(20)]
            sh(f"ip addr add 10.9.0.1/24 dev {interface}; ip -6 addr add fd09::1/64 dev {interface} nodad")
            numbers += [int(rx.recv(timeout=PATIENCE).data) for _ in range(40)]
        assert rx.stats().rejoins == 0
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_first_address_under_traffic_loses_nothing(group: str, interface: str, hosts: list[Host]) -> None:
    # An IPv6 interface keeps its link-local address, so only IPv4 is reported once more.
    sh(f"ip addr flush dev {interface} scope global")
    with Receiver(group, 0, interface=interface) as rx, traffic(hosts[0], group, rx.port):
        numbers = [int(rx.recv(timeout=PATIENCE).data) for _ in range(5)]
        sh(f"ip addr add 10.9.0.1/24 dev {interface}; ip -6 addr add fd09::1/64 dev {interface} nodad")
        numbers += [int(rx.recv(timeout=PATIENCE).data) for _ in range(100)]
        assert rx.stats().rejoins == (1 if "." in group else 0)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def read_numbers(rx: Receiver, until: Callable[[], bool], more: int = 0) -> list[int]:
    """Receive until something holds, and at least ``more`` datagrams. Return the numbers of those sent from now on."""
    begun = time.time_ns()
    numbers: list[int] = []
    while not until() or len(numbers) < more:
        for payload in rx.recv_batch(timeout=PATIENCE).payloads():
            _magic, _run, number, sent = HEADER.unpack_from(payload)
            if sent > begun:
                numbers.append(number)
    return numbers


def frames_received(interface: str) -> int:
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.lstrip().startswith(f"{interface}:"))


def has_rejoined(rx: Receiver, before: int) -> Callable[[], bool]:
    return lambda: rx.stats().rejoins > before


@pytest.mark.parametrize("groups", [1, 2])
def test_first_address_after_an_outage_loses_nothing(interface: str, hosts: list[Host], groups: int) -> None:
    group = "239.9.9.9"
    with Receiver(group, 0, interface=interface) as rx, traffic(hosts[0], group, rx.port, interface, flood):
        if groups == 2:
            rx.join("239.9.9.10", interface)
        rejoins = 0
        for _ in range(10):
            read_numbers(rx, lambda: True, more=100)
            # The kernel receives as soon as the interface is up again, before the receiver has noticed the outage.
            outage = f"ip addr flush dev {interface} scope global; ip link set {interface} down"
            sh(f"{outage}; ip link set {interface} up")
            read_numbers(rx, has_rejoined(rx, rejoins + groups - 1))
            rejoins += groups
            drops = rx.stats().kernel_drops or 0
            sh(f"ip addr add 10.9.0.1/24 dev {interface}")
            numbers = read_numbers(rx, has_rejoined(rx, rejoins + groups - 1), more=1000)
            rejoins += groups
            lost = numbers[-1] - numbers[0] + 1 - len(numbers)
            assert lost <= (rx.stats().kernel_drops or 0) - drops


OUTAGE = "ip link set {0} down; ip link set {0} up"
# The kernel does not report a loss that ends before its own delay.
CARRIER_LOSS = """
    ip -n h1 link set {0} down
    until ip link show {0} | grep -q NO-CARRIER; do :; done
    ip -n h1 link set {0} up
"""
"""In this outage, Linux keeps the sources of groups as well."""


@pytest.mark.parametrize(
    ("group", "choice", "outage"),
    [
        *((*WAYS[way], OUTAGE) for way in ("v4", "v4 exclude", "v6", "v6 exclude")),
        *((*WAYS[way], CARRIER_LOSS) for way in ("v4", "v4 exclude", "v6", "v6 exclude")),
        ("232.9.9.9", {"source": ["10.9.0.2", "10.9.0.77"]}, CARRIER_LOSS),
        ("ff35::9:9", {"source": ["fd09::2", "fd09::77"]}, CARRIER_LOSS),
    ],
)
def test_outage_that_is_noticed_late_loses_nothing_after_it(
    interface: str, hosts: list[Host], group: str, choice: dict[str, Any], outage: str
) -> None:
    sh(f"ip netns exec h1 sysctl -qw net.ipv6.conf.{interface}.keep_addr_on_down=1")
    with (
        Receiver(group, 0, interface=interface, **choice) as rx,
        traffic(hosts[0], group, rx.port, interface, flood),
    ):
        drops = 0
        for _ in range(30):
            read_numbers(rx, lambda: True, more=100)
            # The kernel can report the end of a loss of carrier in two events, a moment apart.
            rejoins = rx.stats().rejoins
            # The kernel keeps the group, and receives it as soon as the interface is up again.
            sh(outage.format(interface))
            begun = frames_received(interface)
            until(lambda: frames_received(interface) > begun + 50, "the interface to receive again")  # noqa: B023
            numbers = read_numbers(rx, has_rejoined(rx, rejoins), more=200)
            lost = numbers[-1] - numbers[0] + 1 - len(numbers)
            dropped, drops = (rx.stats().kernel_drops or 0) - drops, rx.stats().kernel_drops or 0
            assert lost <= dropped
