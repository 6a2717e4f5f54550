"""Test the metadata of a datagram: sender, group, interface, TTL and time."""

import itertools
import socket
import time
from typing import Any

import pytest

from multicast.sync import Receiver, Sender
from tests.wire.exchange import LOOPBACK, PATIENCE, TAKES, Link, Take, name


def index_of(interface: str) -> int:
    """Return the index of an interface. The loopback interface has different names on different systems."""
    if interface == "127.0.0.1":
        return next(index for index, found in socket.if_nameindex() if found.startswith("lo"))
    return socket.if_nametoindex(interface)


def port_of(tx: Sender) -> int:
    """Return the port that the system assigned to the socket of a sender."""
    family = socket.AF_INET6 if ":" in tx.group else socket.AF_INET
    with socket.fromfd(tx.fileno(), family, socket.SOCK_DGRAM) as duplicate:
        return int(duplicate.getsockname()[1])


HOSTS = {
    ("239.9.8.7", "127.0.0.1"): "127.0.0.1",
    ("239.9.8.7", "veth0"): "192.0.2.2",
    ("ff15::9:8:7", "lo"): "::1",
    ("ff15::9:8:7", "veth0"): "2001:db8::2",
}


@pytest.mark.parametrize("take", TAKES, ids=name)
@pytest.mark.parametrize("several", [False, True], ids=["one-group", "two-groups"])
def test_datagram_has_sender_group_and_interface(link: Link, take: Take, several: bool) -> None:
    with link.pair() as (tx, rx):
        if several:
            rx.join("239.9.8.8" if "." in link.group else "ff15::9:8:8", link.interface)
        tx.send(b"x")
        (datagram,) = take(rx, 1)
        assert datagram.sender == (HOSTS[link.group, link.interface], port_of(tx))
        assert (datagram.group, datagram.interface_index) == (link.group, index_of(link.interface))
        assert datagram.interface == socket.if_indextoname(index_of(link.interface))


@pytest.mark.private_net
@pytest.mark.parametrize("ring", [None, 100], ids=["direct", "ring"])
@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_datagram_queued_before_a_second_membership_has_its_interface(group: str, ring: int | None) -> None:
    options: dict[str, Any] = {} if ring is None else {"ring": ring}
    with Receiver(group, 0, interface="lo", **options) as rx, Sender(group, rx.port, interface="lo") as tx:
        tx.send(b"before")
        rx.join(group, "veth0")
        tx.send(b"after")
        for data in (b"before", b"after"):
            datagram = rx.recv(timeout=PATIENCE)
            assert (datagram.data, datagram.group, datagram.interface) == (data, group, "lo")
        with Sender(group, rx.port, interface="veth0") as other:
            other.send(b"other")
            datagram = rx.recv(timeout=PATIENCE)
            assert (datagram.data, datagram.group, datagram.interface) == (b"other", group, "veth0")


@pytest.mark.private_net
@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_datagram_without_interface_argument_has_the_chosen_one(group: str) -> None:
    with Receiver(group, 0) as rx, Sender(group, rx.port) as tx:
        tx.send(b"x")
        datagram = rx.recv(timeout=PATIENCE)
        assert (datagram.group, datagram.interface) == (group, "lo")
        assert datagram.interface_index == socket.if_nametoindex("lo")


@pytest.mark.private_net
def test_datagram_link_local_sender_has_its_zone() -> None:
    with Receiver("[ff02::114%veth0]:0") as rx, Sender("ff02::114%veth0", rx.port) as tx:
        tx.send(b"x")
        host = str(rx.recv(timeout=PATIENCE).sender[0])
    address, _, zone = host.partition("%")
    assert (address[:4], zone) == ("fe80", "veth0")


def test_datagram_of_several_groups_has_its_own_group(link: Link) -> None:
    groups = [f"239.9.8.{n}" if "." in link.group else f"ff15::9:8:{n}" for n in range(1, 6)]
    with link.receiver_of(groups) as rx:
        for group in groups:
            with Sender(group, rx.port, interface=link.interface) as tx:
                tx.send(group.encode())
        for datagram in itertools.islice(rx, len(groups)):
            assert datagram.group == datagram.data.decode()


@pytest.mark.parametrize("ttl", [1, 9, 255])
def test_datagram_ttl_is_that_of_the_sender(link: Link, ttl: int) -> None:
    with link.pair({"ttl": ttl}) as (tx, rx):
        assert tx.ttl == ttl
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).ttl == ttl


def test_datagram_ttl_of_0_arrives_on_loopback() -> None:
    with LOOPBACK.pair({"ttl": 0}) as (tx, rx):
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).ttl == 0


@pytest.mark.parametrize("gso", [True, False], ids=["gso", "no-gso"])
def test_datagram_timestamps_are_in_order_and_in_range(link: Link, gso: bool) -> None:
    with link.pair({"gso": gso}) as (tx, rx):
        before = time.time_ns()
        tx.send_many([b"x" * 100] * 10)
        stamps = [rx.recv(timeout=PATIENCE).timestamp_ns for _ in range(10)]
        after = time.time_ns()
    assert [stamp for stamp in stamps if stamp is None or not before <= stamp <= after] == []
    assert stamps == sorted(stamps, key=lambda stamp: stamp or 0)


@pytest.mark.platform("linux")
def test_datagram_timestamp_is_that_of_arrival() -> None:
    with LOOPBACK.pair() as (tx, rx):
        # The kernel enables timestamps with a short delay, so the first ones may be those of reading.
        tx.send(b"first")
        rx.recv(timeout=PATIENCE)
        while True:
            tx.send(b"later")
            sent = time.time_ns()
            stamp = rx.recv(timeout=PATIENCE).timestamp_ns
            if stamp is not None and stamp <= sent:
                break


@pytest.mark.parametrize("take", TAKES, ids=name)
def test_datagram_without_timestamps_has_none(link: Link, take: Take) -> None:
    with link.pair(timestamps=False) as (tx, rx):
        tx.send(b"x")
        (datagram,) = take(rx, 1)
        assert datagram.timestamp_ns is None
        assert datagram.group == link.group


def test_sender_group_and_port_are_read_only() -> None:
    with LOOPBACK.pair() as (tx, rx):
        assert (tx.group, tx.port) == (LOOPBACK.group, rx.port)
        for name in ("group", "port"):
            with pytest.raises(AttributeError):
                setattr(tx, name, 1)
