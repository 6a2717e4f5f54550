"""Test sharing a port: each of two receivers gets every datagram."""

import socket
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


def test_receiver_and_sharing_plain_socket_both_receive(link: Link) -> None:
    family = socket.AF_INET if "." in link.group else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        plain.bind((link.group, 0))
        plain.settimeout(PATIENCE)
        with link.receiver(plain.getsockname()[1]) as rx, link.sender(rx.port) as tx:
            tx.send(b"both")
            # The plain socket is bound to the group, which the receiver joined for the whole machine.
            assert plain.recv(100) == b"both"
            assert data(rx, 1) == [b"both"]


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
