"""Test ``adopt``, which takes over a socket, and ``detach``, which gives it away."""

import contextlib
import errno
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from multicast.exceptions import ClosedError
from multicast.recv import joinstep
from multicast.sync import Receiver
from tests.wire.exchange import LOOPBACK, PATIENCE, Link, nothing_more

pytestmark = pytest.mark.udp_sockets

IFACE = LOOPBACK.interface
# socket(2) of Linux; the socket module has no name for it.
IPPROTO_UDPLITE = 136


LOOPBACK_OPTION = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP),
}
# Level and name of Linux options that the owner of a socket may have turned on or off.
OPTIONS = {
    socket.AF_INET: {
        "IP_MULTICAST_LOOP": LOOPBACK_OPTION[socket.AF_INET],
        "IP_RECVTTL": (socket.IPPROTO_IP, 12),
        "SO_TIMESTAMPNS": (socket.SOL_SOCKET, 35),
        "UDP_GRO": (socket.IPPROTO_UDP, 104),
    },
    socket.AF_INET6: {
        "IPV6_MULTICAST_LOOP": LOOPBACK_OPTION[socket.AF_INET6],
        "IPV6_RECVHOPLIMIT": (socket.IPPROTO_IPV6, 51),
        "SO_TIMESTAMPNS": (socket.SOL_SOCKET, 35),
        "UDP_GRO": (socket.IPPROTO_UDP, 104),
    },
}


def family_of(link: Link) -> socket.AddressFamily:
    return socket.AF_INET if "." in link.group else socket.AF_INET6


@pytest.fixture
def plain(link: Link) -> Iterator[socket.socket]:
    with socket.socket(family_of(link), socket.SOCK_DGRAM) as sock:
        yield sock


def join(sock: socket.socket, group: str) -> None:
    request = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(IFACE))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


class TestAdopt:
    def test_adopt_unbound_socket_is_bound_and_joined(self, link: Link, plain: socket.socket) -> None:
        with Receiver.adopt(plain, link.group, 0, interface=link.interface) as rx:
            assert rx.port == plain.getsockname()[1] > 0
            assert [membership.group for membership in rx.groups] == [link.group]
            with link.sender(rx.port) as tx:
                tx.send(b"x")
                heard = rx.recv(timeout=PATIENCE)
                assert (heard.data, heard.group) == (b"x", link.group)

    def test_adopt_after_close_owner_reads_single_datagrams(self, link: Link, plain: socket.socket) -> None:
        with Receiver.adopt(plain, link.group, 0, interface=link.interface) as rx:
            port = rx.port
        plain.settimeout(PATIENCE)
        with link.sender(port) as tx:
            tx.send_many([bytes(100)] * 10)
        assert [len(plain.recv(65_535)) for _ in range(10)] == [100] * 10

    def test_adopt_larger_buffer_is_kept(self, link: Link, plain: socket.socket) -> None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        before = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        with Receiver.adopt(plain, link.group, 0, interface=link.interface, recv_buffer=20_000):
            assert plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == before

    @pytest.mark.platform("linux")
    @pytest.mark.parametrize("value", [0, 1])
    @pytest.mark.parametrize("by", ["adopt", "adopt and detach", "joinstep"])
    def test_adopt_leaves_options_nobody_asked_to_change(
        self, link: Link, plain: socket.socket, by: str, value: int, free_port: int
    ) -> None:
        options = OPTIONS[plain.family]
        for option in options.values():
            plain.setsockopt(*option, value)
        before = {name: plain.getsockopt(*option) for name, option in options.items()}
        if by == "joinstep":
            joinstep([link.group], free_port, link.interface, link.group, isock=plain).close()
        else:
            rx = Receiver.adopt(
                plain, link.group, free_port, interface=link.interface, timestamps=False, receive_ttl=False
            )
            if by == "adopt":
                rx.close()
            else:
                socket.socket(fileno=rx.detach()).close()
        assert {name: plain.getsockopt(*option) for name, option in options.items()} == before

    @pytest.mark.parametrize("wanted", [True, False])
    def test_adopt_sets_loopback_if_given(self, link: Link, plain: socket.socket, wanted: bool) -> None:
        option = LOOPBACK_OPTION[plain.family]
        plain.setsockopt(*option, int(not wanted))
        with Receiver.adopt(plain, link.group, 0, interface=link.interface, loopback=wanted):
            assert plain.getsockopt(*option) == wanted

    @pytest.mark.platform("linux")
    @pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
    def test_adopt_drops_before_the_adoption_are_not_counted(
        self, link: Link, plain: socket.socket, ring: int | None
    ) -> None:
        home = "::1" if ":" in link.group else "127.0.0.1"
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.bind(("", 0))
        place = (home, plain.getsockname()[1])
        plain.setblocking(False)
        with socket.socket(plain.family, socket.SOCK_DGRAM) as other:
            for _ in range(200):
                other.sendto(bytes(100), place)
            with contextlib.suppress(BlockingIOError):
                while plain.recv(100):
                    pass
            with Receiver.adopt(
                plain, link.group, interface=link.interface, strict=False, recv_buffer=None, ring=ring
            ) as rx:
                assert rx.stats().kernel_drops == 0
                if ring is None:
                    for _ in range(200):
                        other.sendto(bytes(100), place)
                    received = 0
                    with contextlib.suppress(TimeoutError):
                        while True:
                            received += len(rx.recv_batch(timeout=0))
                    assert rx.stats().kernel_drops == 200 - received > 0

    def test_adopt_bound_socket_keeps_its_port(self, link: Link, plain: socket.socket) -> None:
        plain.bind(("", 0))
        port = plain.getsockname()[1]
        with Receiver.adopt(plain, link.group, interface=link.interface) as rx, link.sender(port) as tx:
            assert rx.port == port
            tx.send(b"x")
            heard = rx.recv(timeout=PATIENCE)
            assert (heard.data, heard.group) == (b"x", link.group)
            assert heard.interface == rx.groups[0].interface

    def test_adopt_descriptor_is_accepted(self, link: Link, plain: socket.socket) -> None:
        rx = Receiver.adopt(plain.fileno(), link.group, 0, interface=link.interface)
        with rx, link.sender(rx.port) as tx:
            nothing_more(rx, tx)

    def test_adopt_owner_closes_first_still_receives(self, link: Link, plain: socket.socket) -> None:
        with Receiver.adopt(plain, link.group, 0, interface=link.interface) as rx, link.sender(rx.port) as tx:
            plain.close()
            tx.send(b"x")
            assert rx.recv(timeout=PATIENCE).data == b"x"

    def test_adopt_after_close_owner_still_receives(self, link: Link, plain: socket.socket) -> None:
        with Receiver.adopt(plain, link.group, 0, interface=link.interface) as rx:
            port = rx.port
        plain.settimeout(PATIENCE)
        with link.sender(port) as tx:
            tx.send(b"x")
            assert plain.recv(10) == b"x"

    def test_adopt_bound_socket_unicast_is_filtered_and_counted(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.bind(("", 0))
            with Receiver.adopt(plain, LOOPBACK.group, interface=IFACE) as rx, LOOPBACK.sender(rx.port) as tx:
                plain.sendto(b"for this host alone", (IFACE, rx.port))
                nothing_more(rx, tx)
                assert rx.stats().filtered == 1

    def test_adopt_group_of_owner_is_filtered_and_counted(self) -> None:
        foreign = Link("239.9.7.1", IFACE, 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.bind(("", 0))
            join(plain, foreign.group)
            with (
                Receiver.adopt(plain, LOOPBACK.group, interface=IFACE) as rx,
                LOOPBACK.sender(rx.port) as tx,
                foreign.sender(rx.port) as foreign_tx,
            ):
                foreign_tx.send(b"foreign")
                nothing_more(rx, tx)
                assert rx.stats().filtered == 1

    def test_adopt_without_group_needs_a_bind_address(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            with pytest.raises(ValueError, match="group must name at least one group unless bind is given"):
                Receiver.adopt(plain, port=0)
            with Receiver.adopt(plain, port=0, bind="0.0.0.0") as rx:
                assert rx.groups == ()
                rx.join(LOOPBACK.group, IFACE)
                with LOOPBACK.sender(rx.port) as tx:
                    nothing_more(rx, tx)

    def test_adopt_unbound_socket_without_port_raises_value_error(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            with pytest.raises(ValueError, match="port must be given for a socket that is not bound"):
                Receiver.adopt(plain, LOOPBACK.group, interface=IFACE)
            assert plain.getsockname()[1] == 0

    @pytest.mark.parametrize(
        ("family", "kind", "part"),
        [
            (socket.AF_INET, socket.SOCK_STREAM, "sock must be a datagram socket"),
            (socket.AF_INET6, socket.SOCK_DGRAM, "must be of the same IP version as"),
        ],
    )
    def test_adopt_wrong_kind_of_socket_raises_value_error(
        self, family: socket.AddressFamily, kind: socket.SocketKind, part: str
    ) -> None:
        with socket.socket(family, kind) as other, pytest.raises(ValueError, match=part):
            Receiver.adopt(other, LOOPBACK.group, 0, interface=IFACE)

    @pytest.mark.platform("linux")
    @pytest.mark.private_net
    @pytest.mark.parametrize("is_bound", [False, True])
    @pytest.mark.parametrize(
        ("family", "protocol"),
        [
            (socket.AF_INET, IPPROTO_UDPLITE),
            (socket.AF_INET6, IPPROTO_UDPLITE),
            (socket.AF_INET, socket.IPPROTO_ICMP),
            (socket.AF_INET6, socket.IPPROTO_ICMPV6),
        ],
    )
    def test_adopt_datagram_socket_of_other_protocol_raises_value_error(
        self, family: socket.AddressFamily, protocol: int, is_bound: bool
    ) -> None:
        # Lets every user open ICMP sockets (icmp(7)).
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
        group, address = ("239.9.8.7", "127.0.0.1") if family == socket.AF_INET else ("ff15::9:8:7", "::1")
        with socket.socket(family, socket.SOCK_DGRAM, protocol) as other:
            if is_bound:
                other.bind((address, 0))
            with pytest.raises(
                ValueError, match=f"sock must be a UDP socket, got one of protocol {protocol}"
            ):
                Receiver.adopt(other, group, 0, interface="lo")

    @pytest.mark.platform("linux", "darwin")
    def test_adopt_unix_socket_raises_value_error(self) -> None:
        refused = pytest.raises(ValueError, match="sock must be an IPv4 or IPv6 socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, refused:
            Receiver.adopt(other, LOOPBACK.group, 0)

    def test_adopt_closed_socket_raises_os_error(self) -> None:
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.close()
        with pytest.raises(OSError, match="cannot duplicate a socket") as caught:
            Receiver.adopt(plain, LOOPBACK.group, 0)
        assert caught.value.errno == errno.EBADF


class TestDetach:
    def test_detach_returns_a_joined_plain_socket_and_closes(self, link: Link) -> None:
        with link.pair() as (tx, rx), socket.socket(fileno=rx.detach()) as plain:
            assert rx.closed
            with pytest.raises(ClosedError):
                rx.recv(timeout=0)
            assert plain.family == family_of(link)
            assert plain.getsockname()[1] == tx.port
            plain.settimeout(PATIENCE)
            messages = [bytes([number]) * 100 for number in range(10)]
            tx.send_many(messages)
            # A reader of a plain socket expects single datagrams, not coalesced ones.
            assert [plain.recv(70_000) for _ in messages] == messages

    def test_detach_leaves_no_coalesced_datagrams(self, link: Link) -> None:
        with link.pair() as (tx, rx):
            tx.send_many([bytes(100)] * 10)
            with socket.socket(fileno=rx.detach()) as plain:
                plain.settimeout(PATIENCE)
                tx.send(b"after")
                lengths: set[int] = set()
                while (data := plain.recv(70_000)) != b"after":
                    lengths.add(len(data))
                # Dropped or split, but never delivered as one datagram.
                assert lengths <= {100}

    def test_detach_descriptor_can_be_waited_on(self, link: Link) -> None:
        with link.pair() as (tx, rx), socket.socket(fileno=rx.detach()) as plain:
            assert select.select([plain], [], [], 0) == ([], [], [])
            tx.send(b"x")
            assert select.select([plain], [], [], PATIENCE) == ([plain], [], [])

    def test_detach_socket_can_be_adopted_again(self, link: Link) -> None:
        with (
            link.pair() as (tx, rx),
            socket.socket(fileno=rx.detach()) as plain,
            # The membership stays with the socket.
            Receiver.adopt(plain, bind=plain.getsockname()[0], strict=False) as again,
        ):
            tx.send(b"x")
            assert again.recv(timeout=PATIENCE).data == b"x"

    def test_adopt_group_joined_on_the_socket_is_rejected(self, link: Link) -> None:
        with link.pair() as (tx, rx), socket.socket(fileno=rx.detach()) as plain:
            with pytest.raises(ValueError, match=f"cannot join {link.group}.*: already joined"):
                Receiver.adopt(plain, link.group, interface=link.interface)
            # The membership of the owner is unchanged.
            plain.settimeout(PATIENCE)
            tx.send(b"x")
            assert plain.recv(10) == b"x"

    def test_detach_closed_receiver_raises_closed_error(self) -> None:
        with LOOPBACK.receiver() as rx:
            rx.close()
            with pytest.raises(ClosedError, match="is closed") as caught:
                rx.detach()
            assert caught.value.errno == errno.EBADF

    def test_detach_several_sockets_raises_value_error(self) -> None:
        with LOOPBACK.receiver() as rx, LOOPBACK.sender(rx.port) as tx:
            rx.join("239.9.8.8", IFACE)
            assert rx.stats().sockets == 2
            with pytest.raises(ValueError, match="cannot detach a receiver with 2 sockets"):
                rx.detach()
            nothing_more(rx, tx)
