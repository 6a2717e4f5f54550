"""Test sharing a port: each of two receivers gets every datagram."""

import socket
import struct
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from multicast.sync import Receiver
from tests.support.hosts import Host
from tests.wire.exchange import PATIENCE, Link
from tests.wire.faults import INTERFACE, traffic


def data(rx: Receiver, count: int) -> list[bytes]:
    return [rx.recv(timeout=PATIENCE).data for _ in range(count)]


@pytest.mark.udp_sockets
@pytest.mark.parametrize("bind", [True, False], ids=["wildcard", "group"])
def test_two_receivers_on_one_port_both_receive(link: Link, bind: bool) -> None:
    wildcard = "0.0.0.0" if "." in link.group else "::"
    options: dict[str, Any] = {"bind": wildcard if bind else None}
    messages = [str(number).encode() for number in range(50)]
    with link.pair(None, **options) as (tx, first), link.receiver(first.port, **options) as second:
        assert first.port == second.port
        tx.send_many(messages)
        assert data(first, 50) == messages
        assert data(second, 50) == messages


def test_two_receivers_one_closes_the_other_stays_joined(link: Link) -> None:
    with link.pair() as (tx, first):
        with link.receiver(first.port):
            pass
        tx.send(b"still here")
        assert data(first, 1) == [b"still here"]


SHARE_OPTIONS = {
    name: [getattr(socket, option) for option in name.split(" and ") if hasattr(socket, option)]
    for name in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_REUSEADDR and SO_REUSEPORT")
}


@contextmanager
def plain_socket(
    group: str, port: int, interface: str, bind: str, options: list[int]
) -> Generator[socket.socket, None, None]:
    """Open a socket of another program, which has joined the group and is bound to ``bind``."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as plain:
        for option in options:
            plain.setsockopt(socket.SOL_SOCKET, option, 1)
        plain.bind((bind, port))
        plain.settimeout(PATIENCE)
        packed, index = socket.inet_pton(family, group), socket.if_nametoindex(interface)
        if family == socket.AF_INET:
            request = struct.pack("@4s4si", packed, bytes(4), index)
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("@16sI", packed, index))
        yield plain


def check_all_receive(hears: list[Callable[[], bytes]]) -> None:
    """Check that each receives every datagram of a stream that counts up."""
    streams = [[int(hear()) for _ in range(20)] for hear in hears]
    first = max(stream[0] for stream in streams)
    for stream in streams:
        assert stream == list(range(stream[0], stream[0] + 20))
        assert first in stream


@pytest.mark.udp_sockets
@pytest.mark.platform("linux")
@pytest.mark.parametrize("options", SHARE_OPTIONS.values(), ids=SHARE_OPTIONS.keys())
@pytest.mark.parametrize("first", ["receiver", "plain socket"])
@pytest.mark.parametrize("to", ["wildcard", "group"])
@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
@pytest.mark.parametrize("place", ["lo", INTERFACE])
def test_receivers_and_socket_with_any_share_option_all_receive(
    place: str,
    group: str,
    to: str,
    first: str,
    options: list[int],
    free_port: int,
    interface: str,
    hosts: list[Host],
) -> None:
    assert interface == INTERFACE
    bind = group if to == "group" else "::" if ":" in group else "0.0.0.0"
    with ExitStack() as opened:
        hears: list[Callable[[], bytes]] = []

        def open_plain_socket() -> None:
            plain = opened.enter_context(plain_socket(group, free_port, place, bind, options))
            hears.append(lambda: plain.recv(100))

        def open_receiver() -> None:
            rx = opened.enter_context(Receiver(group, free_port, interface=place, bind=bind))
            hears.append(lambda: rx.recv(timeout=PATIENCE).data)

        opening = [open_receiver, open_plain_socket, open_receiver]
        for open_one in opening if first == "receiver" else [open_plain_socket, open_receiver, open_receiver]:
            open_one()
        opened.enter_context(traffic(None if place == "lo" else hosts[0], group, free_port, place))
        check_all_receive(hears)


def test_receiver_port_0_chooses_a_free_port(link: Link) -> None:
    with link.receiver() as first, link.receiver() as second:
        assert first.port > 0
        assert second.port > 0
        assert first.port != second.port


def test_receiver_port_0_is_one_port_for_all_groups() -> None:
    groups = [f"239.9.8.{number}" for number in range(1, 60)]
    with Receiver(groups, 0, interface="127.0.0.1") as rx:
        ports: set[str | None] = set()
        for group in (groups[0], groups[-1]):
            with Link(group, "127.0.0.1", 0).sender(rx.port) as tx:
                tx.send(b"x")
            ports.add(rx.recv(timeout=PATIENCE).group)
        assert ports == {groups[0], groups[-1]}
