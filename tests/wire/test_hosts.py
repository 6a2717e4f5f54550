"""Test between hosts on a bridge: both IP versions, any source, chosen sources and excluded sources."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from multicast._core import Datagram
from multicast.sync import Receiver, Sender
from tests.support.hosts import Host
from tests.wire.exchange import PATIENCE
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@dataclass(frozen=True)
class Family:
    """The groups and limits of an IP version."""

    any_source: str
    source_specific: str
    largest: int

    @property
    def is_v4(self) -> bool:
        return "." in self.any_source

    def address(self, host: Host) -> str:
        return host.ipv4 if self.is_v4 else host.ipv6


FAMILIES = {
    "v4": Family("239.9.8.7", "232.9.8.7", 65_507),
    "v6": Family("ff15::9:8:7", "ff35::9:8:7", 65_527),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


class Net:
    """Open receivers and senders on hosts, and close them all."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def receiver(self, host: Host, group: str, port: int = 0, **options: Any) -> Receiver:
        with on(host):
            return self.stack.enter_context(Receiver(group, port, interface=host.interface, **options))

    def sender(self, host: Host, group: str, port: int, **options: Any) -> Sender:
        options = {"interface": host.interface} | options
        with on(host):
            return self.stack.enter_context(Sender(group, port, **options))


@pytest.fixture
def net() -> Iterator[Net]:
    with ExitStack() as stack:
        yield Net(stack)


def index(host: Host) -> int:
    with on(host):
        return socket.if_nametoindex(host.interface)


def take(rx: Receiver) -> Datagram:
    return rx.recv(timeout=PATIENCE)


def until_mark(rx: Receiver, mark: bytes) -> list[bytes]:
    """Return the payloads received up to and including ``mark``."""
    heard: list[bytes] = []
    while not heard or heard[-1] != mark:
        heard.append(take(rx).data)
    return heard


def test_hosts_datagram_is_received_with_its_origin(hosts: list[Host], net: Net, family: Family) -> None:
    first, *others = hosts
    receivers = [(host, net.receiver(host, family.any_source)) for host in others]
    for host, rx in receivers:
        with net.sender(first, family.any_source, rx.port, ttl=3) as tx:
            tx.send(host.name.encode())
        heard = take(rx)
        assert heard.data == host.name.encode()
        assert heard.sender[0] == family.address(first)
        assert (heard.group, heard.ttl) == (family.any_source, 3)
        assert heard.interface_index == index(host)


def test_hosts_without_interface_the_route_decides(hosts: list[Host], net: Net, family: Family) -> None:
    first, second, *_ = hosts
    with on(second):
        rx = net.stack.enter_context(Receiver(family.any_source, 0))
    tx = net.sender(first, family.any_source, rx.port, interface=None)
    tx.send(b"x")
    heard = take(rx)
    assert (heard.sender[0], heard.interface_index) == (family.address(first), index(second))


def test_hosts_payload_of_any_size_arrives(hosts: list[Host], net: Net, family: Family) -> None:
    sizes = [0, 1, 1452, 1453, 1472, 1473, 9000, family.largest]
    messages = [bytes([number]) * size for number, size in enumerate(sizes)] + [b"run" * 400] * 60
    rx = net.receiver(hosts[1], family.any_source)
    tx = net.sender(hosts[0], family.any_source, rx.port)
    # The kernel's queue of fragments is short: send one datagram at a time.
    for message in messages[: len(sizes)]:
        tx.send(message)
        assert take(rx).data == message
    tx.send_many(messages[len(sizes) :])
    assert [take(rx).data for _ in messages[len(sizes) :]] == messages[len(sizes) :]


def test_hosts_link_local_group_is_received_with_zone(hosts: list[Host], net: Net) -> None:
    rx = net.receiver(hosts[1], "ff02::114")
    tx = net.sender(hosts[0], "ff02::114", rx.port)
    tx.send(b"x")
    with on(hosts[1]):
        heard = take(rx)
    host, _, zone = str(heard.sender[0]).partition("%")
    assert (heard.data, host[:4], zone) == (b"x", "fe80", "eth0")


def test_hosts_group_not_joined_is_not_received(hosts: list[Host], net: Net, family: Family) -> None:
    joined = net.receiver(hosts[1], family.any_source)
    neighbour = family.any_source[:-1] + "6"
    foreign = net.receiver(hosts[2], neighbour, joined.port)
    net.sender(hosts[0], family.any_source, joined.port).send(b"for the joined")
    assert take(joined).data == b"for the joined"
    net.sender(hosts[0], neighbour, joined.port).send(b"for the other")
    assert take(foreign).data == b"for the other"
    net.sender(hosts[0], family.any_source, joined.port).send(b"mark")
    assert until_mark(joined, b"mark") == [b"mark"]


class TestSources:
    """Two hosts send, and a third selects sources. A witness on the third host proves what reached it."""

    def heard_from(
        self, rx: Receiver, witnesses: list[Receiver], senders: list[Sender], mark: Sender
    ) -> list[bytes]:
        """Return what ``rx`` receives when each sender sends its number, the witnesses have it, and a mark follows."""
        for place, tx in enumerate(senders):
            tx.send(bytes([place]))
        for witness in witnesses:
            take(witness)
        mark.send(b"mark")
        return until_mark(rx, b"mark")

    def test_hosts_given_source_alone_is_received(self, hosts: list[Host], net: Net, family: Family) -> None:
        first, second, third = hosts
        group = family.source_specific
        rx = net.receiver(second, f"{family.address(first)}@{group}")
        witness = net.receiver(second, group, rx.port, source=family.address(third))
        wanted, other = (net.sender(host, group, rx.port) for host in (first, third))
        other.send(b"not wanted")
        assert take(witness).sender[0] == family.address(third)
        wanted.send(b"wanted")
        heard = take(rx)
        assert (heard.data, heard.sender[0], heard.group) == (b"wanted", family.address(first), group)
        assert rx.groups[0].sources == (family.address(first),)

    def test_hosts_several_sources_are_received(self, hosts: list[Host], net: Net, family: Family) -> None:
        first, second, third = hosts
        sources = [family.address(first), family.address(third)]
        rx = net.receiver(second, family.source_specific, source=sources)
        for host in (first, third):
            net.sender(host, family.source_specific, rx.port).send(host.name.encode())
        heard = {(datagram.data.decode(), datagram.sender[0]) for datagram in (take(rx), take(rx))}
        assert heard == {("h1", family.address(first)), ("h3", family.address(third))}

    def test_hosts_source_of_any_source_group_is_selected(
        self, hosts: list[Host], net: Net, family: Family
    ) -> None:
        first, second, third = hosts
        group = family.any_source
        rx = net.receiver(second, group, source=family.address(first))
        witness = net.receiver(second, group, rx.port)
        wanted, other = (net.sender(host, group, rx.port) for host in (first, third))
        assert self.heard_from(rx, [witness], [other], wanted) == [b"mark"]

    @pytest.mark.parametrize("several", [False, True], ids=["one-group", "two-groups"])
    def test_hosts_excluded_source_is_not_received(
        self, hosts: list[Host], net: Net, family: Family, several: bool
    ) -> None:
        first, second, third = hosts
        group = family.any_source
        rx = net.receiver(second, group, exclude=family.address(third))
        if several:
            with on(second):
                rx.join(group[:-1] + "6", second.interface)
        witness = net.receiver(second, group, rx.port)
        wanted, excluded = (net.sender(host, group, rx.port) for host in (first, third))
        assert self.heard_from(rx, [witness], [excluded], wanted) == [b"mark"]
        assert rx.groups[0].excluded == (family.address(third),)

    def test_hosts_leave_group_leaves_its_sources(self, hosts: list[Host], net: Net, family: Family) -> None:
        first, second, _ = hosts
        group = family.source_specific
        rx = net.receiver(second, group, source=family.address(first))
        witness = net.receiver(second, group, rx.port, source=family.address(first))
        tx = net.sender(first, group, rx.port)
        with on(second):
            rx.leave(group)
            rx.join(family.any_source, second.interface)
        tx.send(b"left")
        assert take(witness).data == b"left"
        net.sender(first, family.any_source, rx.port).send(b"mark")
        assert until_mark(rx, b"mark") == [b"mark"]

    def test_hosts_own_address_as_source_is_received(
        self, hosts: list[Host], net: Net, family: Family
    ) -> None:
        second = hosts[1]
        rx = net.receiver(second, family.source_specific, source=family.address(second))
        net.sender(second, family.source_specific, rx.port).send(b"own")
        assert take(rx).sender[0] == family.address(second)

    def test_hosts_too_many_sources_raise_error_with_setting(
        self, hosts: list[Host], net: Net, family: Family
    ) -> None:
        many = [f"10.1.{n // 250}.{n % 250 + 1}" if family.is_v4 else f"fd01::{n:x}" for n in range(1, 2001)]
        setting = "net.ipv4.igmp_max_msf" if family.is_v4 else "net.ipv6.mld_max_msf"
        with pytest.raises(OSError, match=f"cannot join {family.source_specific} on eth0: .*{setting}"):
            net.receiver(hosts[1], family.source_specific, source=many)


@pytest.mark.parametrize("choice", ["source", "before the group", "exclude"])
@pytest.mark.parametrize("interface", [None, "eth0", "all"])
def test_hosts_link_local_source_with_zone_is_selected(
    hosts: list[Host], choice: str, interface: str | None
) -> None:
    us, second, third = hosts
    # A source-specific group of the link (RFC 4607), except where sources are excluded.
    group = "ff02::9:5:3" if choice == "exclude" else "ff32::9:5:3"
    named = third if choice == "exclude" else second

    def send(host: Host, port: int) -> None:
        with on(host), Sender(group, port, interface="eth0") as tx:
            tx.send(host.name.encode())

    with on(us):
        with Receiver("ff02::9:5:3%eth0", 0) as first:
            with on(named), Sender("ff02::9:5:3", first.port, interface="eth0") as tx:
                tx.send(b"who am I?")
            address = take(first).sender[0]
        assert address.startswith("fe80::")
        assert address.endswith("%eth0")
        endpoint = f"{address}@{group}" if choice == "before the group" else group
        options: dict[str, Any] = {} if choice == "before the group" else {choice: address}
        with Receiver(endpoint, 0, interface=interface, **options) as rx:
            send(third, rx.port)
            send(second, rx.port)
            heard = take(rx)
            assert (heard.data, rx.pending) == (second.name.encode(), 0)
            assert (heard.sender[0] == address) == (choice != "exclude")
            assert rx.groups[0].sources + rx.groups[0].excluded == (address.partition("%")[0],)
            rx.leave(endpoint)
            assert rx.groups == ()


@pytest.mark.parametrize("loopback", [True, False], ids=["loopback", "no-loopback"])
def test_hosts_loopback_option_decides_local_delivery(
    hosts: list[Host], net: Net, family: Family, loopback: bool
) -> None:
    first, second, _ = hosts
    own = net.receiver(first, family.any_source)
    other = net.receiver(second, family.any_source, own.port)
    net.sender(first, family.any_source, own.port, loopback=loopback).send(b"x")
    assert take(other).data == b"x"
    net.sender(first, family.any_source, own.port).send(b"mark")
    assert until_mark(own, b"mark") == ([b"x"] if loopback else []) + [b"mark"]
