"""Test sharing a port: each of two receivers gets every datagram."""

import socket
import struct
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from multicast.sync import Receiver
from tests.wire.exchange import PATIENCE, Link


def data(rx: Receiver, count: int) -> list[bytes]:
    return [rx.recv(timeout=PATIENCE).data for _ in range(count)]


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
    link: Link, port: int, bind: str, options: list[int]
) -> Generator[socket.socket, None, None]:
    """Open a socket of another program, which has joined the group of ``link`` and is bound to ``bind``."""
    is_v4 = "." in link.group
    with socket.socket(socket.AF_INET if is_v4 else socket.AF_INET6, socket.SOCK_DGRAM) as plain:
        for option in options:
            plain.setsockopt(socket.SOL_SOCKET, option, 1)
        plain.bind((bind, port))
        plain.settimeout(PATIENCE)
        index = socket.if_nametoindex("lo" if link.interface.startswith("127.") else link.interface)
        group = socket.inet_pton(plain.family, link.group)
        if is_v4:
            request = struct.pack("@4s4si", group, bytes(4), index)
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("@16sI", group, index))
        yield plain


@pytest.mark.platform("linux")
@pytest.mark.parametrize("options", SHARE_OPTIONS.values(), ids=SHARE_OPTIONS.keys())
@pytest.mark.parametrize("first", ["receiver", "plain socket"])
@pytest.mark.parametrize("to", ["wildcard", "group"])
def test_receiver_and_socket_with_any_share_option_both_receive(
    link: Link, options: list[int], first: str, to: str, free_port: int
) -> None:
    wildcard = "0.0.0.0" if "." in link.group else "::"
    bind = wildcard if to == "wildcard" else link.group
    with ExitStack() as opened:
        if first == "receiver":
            rx = opened.enter_context(link.receiver(free_port, bind=bind))
        other = opened.enter_context(plain_socket(link, free_port, bind, options))
        if first != "receiver":
            rx = opened.enter_context(link.receiver(free_port, bind=bind))
        tx = opened.enter_context(link.sender(free_port))
        messages = [str(number).encode() for number in range(20)]
        for message in messages:
            tx.send(message)
        assert [other.recv(100) for _ in messages] == messages
        assert data(rx, len(messages)) == messages


@pytest.mark.platform("linux")
@pytest.mark.parametrize("options", SHARE_OPTIONS.values(), ids=SHARE_OPTIONS.keys())
def test_receiver_without_sharing_keeps_the_port(link: Link, options: list[int], free_port: int) -> None:
    with (
        link.receiver(free_port, share=False),
        pytest.raises(OSError, match="in use"),
        plain_socket(link, free_port, link.group, options),
    ):
        pass
    with plain_socket(link, free_port, link.group, options), pytest.raises(OSError, match="in use"):
        link.receiver(free_port, share=False)


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
