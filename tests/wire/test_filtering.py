"""Test strict filtering: only joined groups, on the interface where they were joined.

The tests do not wait for unwanted datagrams: a wanted one follows each, and must be the first one received.
"""

import contextlib
import socket

import pytest

from multicast._core import Datagram
from multicast.sync import Receiver, Sender
from tests.support.waiting import until
from tests.wire.exchange import LOOPBACK, PATIENCE, Link, nothing_more
from tests.wire.faults import drain


def neighbour(group: str, number: int = 1) -> str:
    """Return another group of the same IP version."""
    return f"239.9.7.{number}" if "." in group else f"ff15::9:7:{number}"


def unicast(family: socket.AddressFamily) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


@pytest.mark.parametrize("joined", [1, 2, 30])
def test_receiver_other_group_on_same_port_is_not_received(link: Link, joined: int) -> None:
    own = [link.group, *(neighbour(link.group, number) for number in range(2, joined + 1))]
    with link.receiver_of(own) as rx, contextlib.ExitStack() as stack:
        foreign = Link(neighbour(link.group), link.interface, link.largest)
        # Another receiver has joined it, so the datagrams do reach this machine and the port.
        other = stack.enter_context(foreign.receiver(rx.port))
        stack.enter_context(foreign.sender(rx.port)).send_many([b"foreign"] * 5)
        assert other.recv(timeout=PATIENCE).data == b"foreign"
        nothing_more(rx, stack.enter_context(link.sender(rx.port)))


@pytest.mark.parametrize("joined", [1, 2])
def test_receiver_group_joined_later_by_other_is_not_received(link: Link, joined: int) -> None:
    own = [link.group, neighbour(link.group, 2)][:joined]
    with link.receiver_of(own) as rx, link.sender(rx.port) as tx:
        foreign = Link(neighbour(link.group), link.interface, link.largest)
        tx.send(b"before")
        with foreign.receiver(rx.port), foreign.sender(rx.port) as other_tx:
            other_tx.send(b"foreign")
            tx.send(b"after")
            assert [rx.recv(timeout=PATIENCE).data for _ in range(2)] == [b"before", b"after"]


@pytest.mark.private_net
@pytest.mark.parametrize(
    "groups",
    [["239.9.8.7"], ["239.9.8.7", "239.9.8.8"], ["ff15::9:8:7"], ["ff15::9:8:7", "ff15::9:8:8"]],
)
def test_receiver_copy_on_other_interface_is_not_received(groups: list[str]) -> None:
    with (
        Receiver(groups, 0, interface="lo") as here,
        Receiver(groups, here.port, interface="veth0") as there,
        Sender(groups[0], here.port, interface="veth0") as to_there,
        Sender(groups[0], here.port, interface="lo") as to_here,
    ):
        to_there.send(b"there")
        assert there.recv(timeout=PATIENCE).interface_index == socket.if_nametoindex("veth0")
        nothing_more(here, to_here)
        nothing_more(there, to_there)


@pytest.mark.private_net
@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_receiver_group_on_two_interfaces_is_received_on_both(group: str) -> None:
    with Receiver([f"{group}%lo", f"{group}%veth0"], 0) as rx:
        for interface in ("lo", "veth0"):
            with Sender(group, rx.port, interface=interface) as tx:
                tx.send(interface.encode())
        heard = [rx.recv(timeout=PATIENCE) for _ in range(2)]
        assert {(one.data, one.interface) for one in heard} == {(b"lo", "lo"), (b"veth0", "veth0")}
        rx.leave(group, "veth0")
        assert [membership.interface_index for membership in rx.groups] == [socket.if_nametoindex("lo")]
        with (
            Sender(group, rx.port, interface="veth0") as left,
            Sender(group, rx.port, interface="lo") as kept,
        ):
            left.send(b"left")
            nothing_more(rx, kept)


UNICAST = [
    (["239.9.8.7", "239.9.8.8"], "127.0.0.1", socket.AF_INET),
    pytest.param(["ff15::9:8:7", "ff15::9:8:8"], "::1", socket.AF_INET6, marks=pytest.mark.private_net),
]


@pytest.mark.parametrize(("groups", "host", "family"), UNICAST)
def test_receiver_unicast_to_port_is_filtered_and_counted(
    groups: list[str], host: str, family: socket.AddressFamily
) -> None:
    with Receiver(groups, 0, interface=host) as rx, Sender(groups[0], rx.port, interface=host) as tx:
        with unicast(family) as plain:
            for _ in range(7):
                plain.sendto(b"for this host alone", (host, rx.port))
        nothing_more(rx, tx)

        def is_counted() -> bool:
            # A packet receiver can read its ring before its socket.
            drain(rx)
            return rx.stats().filtered == 7

        until(is_counted, "the datagrams for this host to be counted")
        assert rx.stats().received == 1


# The packet engine discards unicast in the kernel, where nothing counts it.
@pytest.mark.udp_sockets
@pytest.mark.parametrize(("groups", "host", "family"), UNICAST)
def test_receiver_unicast_flood_does_not_hide_wanted_datagrams(
    groups: list[str], host: str, family: socket.AddressFamily
) -> None:
    # More than one receive call examines.
    with (
        Receiver(groups, 0, interface=host, gro=False) as rx,
        Sender(groups[0], rx.port, interface=host) as tx,
    ):
        with unicast(family) as plain:
            for number in range(2000):
                plain.sendto(b"", (host, rx.port))
                if number % 500 == 499:
                    tx.send(b"wanted")
        assert [rx.recv(timeout=PATIENCE).data for _ in range(4)] == [b"wanted"] * 4
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        stats = rx.stats()
        assert stats.received + stats.filtered + (stats.kernel_drops or 0) == 2004
        assert stats.received == 4


@pytest.mark.platform("linux")
def test_receiver_of_one_group_does_not_see_unicast() -> None:
    with LOOPBACK.pair() as (tx, rx), unicast(socket.AF_INET) as plain:
        plain.sendto(b"for this host alone", ("127.0.0.1", rx.port))
        nothing_more(rx, tx)
        assert rx.stats().filtered == 0


@pytest.mark.udp_sockets
@pytest.mark.parametrize("joined", [1, 2, 50])
def test_receiver_not_strict_receives_any_group_once(joined: int) -> None:
    own = [LOOPBACK.group, *(neighbour(LOOPBACK.group, number) for number in range(2, joined + 1))]
    foreign = Link(neighbour(LOOPBACK.group), LOOPBACK.interface, LOOPBACK.largest)
    with (
        Receiver(own, 0, interface=LOOPBACK.interface, strict=False) as rx,
        foreign.receiver(rx.port),
        foreign.sender(rx.port) as foreign_tx,
        LOOPBACK.sender(rx.port) as tx,
        unicast(socket.AF_INET) as plain,
    ):
        foreign_tx.send(b"foreign")
        tx.send(b"own")
        plain.sendto(b"unicast", (LOOPBACK.interface, rx.port))
        heard = {}
        for _ in range(3):
            datagram = rx.recv(timeout=PATIENCE)
            heard[datagram.data] = datagram.group
        assert heard == {b"foreign": foreign.group, b"own": LOOPBACK.group, b"unicast": LOOPBACK.interface}
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        assert rx.stats().filtered == 0


# The number of sockets differs.
@pytest.mark.udp_sockets
@pytest.mark.private_net
def test_receiver_both_ip_versions_are_received() -> None:
    with Receiver(["239.9.8.7%lo", "ff15::9:8:7%lo"], 0) as rx:
        heard: list[Datagram] = []
        for group in ("239.9.8.7", "ff15::9:8:7"):
            with Sender(group, rx.port, interface="lo") as tx:
                tx.send(group.encode())
                heard.append(rx.recv(timeout=PATIENCE))
        assert [datagram.data.decode() for datagram in heard] == [datagram.group for datagram in heard]
        assert rx.stats().sockets == 2
