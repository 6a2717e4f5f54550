"""Test thousands of groups in one receiver: joining, receiving, waiting and leaving."""

import selectors
import socket
import time

import pytest

from multicast import endpoints
from multicast.sync import Receiver, Sender
from tests.wire.exchange import PATIENCE, Link

COUNT = 2000
RANGES = {"v4": f"239.1.0.0+{COUNT}", "v6": f"ff15::1:0+{COUNT}"}

pytestmark = pytest.mark.private_net


def several(text: str) -> list[str]:
    return [one.group for one in endpoints.expand(endpoints.Endpoint.parse(text))]


def send_to_each(groups: list[str], port: int) -> None:
    """Send each group its own address as the payload, from a plain socket."""
    family = socket.AF_INET6 if ":" in groups[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("lo"))
        for group in groups:
            sock.sendto(group.encode(), (group, port))


# While nothing is read, the blocks of a packet receiver are used up in 64 ms.
@pytest.mark.udp_sockets
@pytest.mark.alone
@pytest.mark.parametrize("text", RANGES.values(), ids=RANGES.keys())
def test_receiver_2000_groups_are_joined_in_a_second_and_received(text: str) -> None:
    groups = several(text)
    begun = time.monotonic()
    with Receiver(text, 0, interface="lo") as rx:
        assert time.monotonic() - begun < 1.0
        assert [membership.group for membership in rx.groups] == groups
        foreign = several("239.3.0.0+50" if ":" not in text else "ff15::3:0+50")
        with Receiver(foreign, rx.port, interface="lo") as other:
            send_to_each(foreign, rx.port)
            assert {other.recv(timeout=PATIENCE).group for _ in foreign} == set(foreign)
            send_to_each(groups, rx.port)
            heard = [rx.recv(timeout=PATIENCE) for _ in groups]
        assert {datagram.group for datagram in heard} == set(groups)
        assert all(datagram.data.decode() == datagram.group for datagram in heard)
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)


@pytest.mark.platform("linux", "darwin")
def test_receiver_many_sockets_share_one_descriptor() -> None:
    with Receiver("239.1.0.0+70", 0, interface="lo") as rx, selectors.DefaultSelector() as selector:
        assert rx.stats().sockets > 1
        selector.register(rx, selectors.EVENT_READ)
        assert selector.select(0) == []
        for group in ("239.1.0.0", "239.1.0.69"):
            with Sender(group, rx.port, interface="lo") as tx:
                tx.send(b"x")
            assert [key.fileobj for key, _ in selector.select(PATIENCE)] == [rx]
            assert rx.recv(timeout=0).group == group
            assert selector.select(0) == []


@pytest.mark.platform("linux", "darwin")
def test_receiver_descriptor_is_kept_when_sockets_are_added(link: Link) -> None:
    with link.receiver() as rx, selectors.DefaultSelector() as selector:
        selector.register(rx, selectors.EVENT_READ)
        more = several("239.1.0.0+30" if "." in link.group else "ff15::1:0+30")
        rx.join(more, link.interface)
        with Sender(more[-1], rx.port, interface=link.interface) as tx:
            tx.send(b"x")
        assert selector.select(PATIENCE) != []
        assert rx.recv(timeout=0).group == more[-1]
        assert rx.fileno() == next(iter(selector.get_map()))


def test_join_and_leave_ranges_at_run_time_take_effect() -> None:
    with Receiver("239.1.0.0", 0, interface="lo") as rx:
        rx.join("239.2.0.0/26", "lo")
        assert len(rx.groups) == 65
        rx.leave("239.2.0.32/27")
        assert len(rx.groups) == 33
        with pytest.raises(ValueError, match=r"cannot leave 239\.2\.0\.32.*: not joined"):
            rx.leave("239.2.0.0/26")
        assert len(rx.groups) == 33, "leave must change nothing if one group is not joined"
        send_to_each(several("239.2.0.0/26"), rx.port)
        assert {rx.recv(timeout=PATIENCE).group for _ in range(32)} == set(several("239.2.0.0/27"))
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)


def test_join_range_joins_all_or_none() -> None:
    with Receiver("239.1.0.10", 0, interface="lo") as rx:
        with pytest.raises(ValueError, match=r"cannot join 239\.1\.0\.10.*: already joined"):
            rx.join("239.1.0.0/28", "lo")
        assert [membership.group for membership in rx.groups] == ["239.1.0.10"]
        send_to_each(several("239.1.0.0/28"), rx.port)
        assert rx.recv(timeout=PATIENCE).group == "239.1.0.10"
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        rx.join(["239.1.0.0+10", "239.1.0.11+5"], "lo")
        assert len(rx.groups) == 16
