"""Test the replies of a receiver: their source port, their interface, and their errors."""

import asyncio
import socket
from typing import Any

import pytest

import multicast
from multicast import aio
from multicast.exceptions import ClosedError
from multicast.sync import Receiver, Sender
from tests.support.hosts import Host
from tests.wire.exchange import LOOPBACK, PATIENCE
from tests.wire.faults import sh
from tests.wire.places import on


@pytest.mark.parametrize("ring", [None, 100], ids=["direct", "ring"])
def test_reply_comes_from_the_port_of_the_group(ring: int | None) -> None:
    with LOOPBACK.receiver(ring=ring) as rx, LOOPBACK.sender(rx.port) as tx:
        tx.send(b"question")
        assert rx.reply(rx.recv(timeout=PATIENCE), bytearray(b"answer")) == 6
        answer = tx.recv(timeout=PATIENCE)
        assert (answer.data, answer.sender) == (b"answer", ("127.0.0.1", rx.port))


def test_reply_in_a_loop_comes_from_the_port_of_the_group() -> None:
    async def main() -> None:
        async with (
            aio.Receiver(LOOPBACK.group, 0, interface=LOOPBACK.interface) as rx,
            aio.Sender(LOOPBACK.group, rx.port, interface=LOOPBACK.interface) as tx,
        ):
            await tx.send(b"question")
            assert await rx.reply(await rx.recv(timeout=PATIENCE), b"answer") == 6
            assert (await tx.recv(timeout=PATIENCE)).sender == ("127.0.0.1", rx.port)

    asyncio.run(main())


@pytest.mark.private_net
@pytest.mark.platform("linux")
def test_reply_of_receiver_with_both_ip_versions_uses_that_of_the_question() -> None:
    groups = ["239.9.8.7", "ff15::9:8:7", "ff02::9:8:7%veth0"]
    with Receiver(groups, 0, interface="veth0") as rx:
        for group in groups:
            with Sender(group, rx.port, interface=None if "%" in group else "veth0") as tx:
                tx.send(b"question")
                rx.reply(rx.recv(timeout=PATIENCE), group.encode())
                answer = tx.recv(timeout=PATIENCE)
                assert (answer.data, answer.sender[1]) == (group.encode(), rx.port)


@pytest.mark.private_net
@pytest.mark.platform("linux")
@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_reply_leaves_by_the_interface_of_the_question(group: str, interface: str, hosts: list[Host]) -> None:
    # The routes of this machine lead to this address by another interface.
    address, bits = ("10.200.0.9", 32) if "." in group else ("fd99::9", 128)
    sh(f"ip -n {hosts[0].name} addr add {address}/{bits} dev {interface}")
    if ":" in group:
        # IPv4 needs no route by an interface that is named.
        sh(f"ip -6 route add {address} dev {interface} metric 9999")
    with Receiver(group, 0, interface=interface) as rx:
        with on(hosts[0]):
            tx = Sender(group, rx.port, interface=interface, local=(address, 0))
        with tx:
            tx.send(b"question")
            question = rx.recv(timeout=PATIENCE)
            assert question.sender[0] == address
            rx.reply(question, b"answer")
            answer = tx.recv(timeout=PATIENCE)
            assert (answer.data, answer.group) == (b"answer", address)
            assert answer.sender[1] == rx.port


@pytest.mark.private_net
@pytest.mark.platform("linux")
def test_reply_without_route_names_the_interface(interface: str) -> None:
    with Receiver("ff15::9:8:7", 0, interface=interface) as rx:
        index = socket.if_nametoindex(interface)
        msg = multicast.Datagram(b"x", ("fd99::9", 9), interface_index=index)
        with pytest.raises(
            OSError, match=f"no route to the sender through {interface}, on which the datagram arrived"
        ):
            rx.reply(msg, b"x")


def test_reply_with_bad_arguments_is_refused() -> None:
    with LOOPBACK.receiver() as rx:
        msg = multicast.Datagram(b"x", ("127.0.0.1", 9))
        with pytest.raises(
            ValueError, match=r"data must be at most 65507 bytes to 127\.0\.0\.1:9, got 65508"
        ):
            rx.reply(msg, bytes(65_508))
        with pytest.raises(TypeError, match=r"data\.encode\(\)"):
            rx.reply(msg, "text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        wrong: Any = b"not a datagram"
        with pytest.raises(TypeError):
            rx.reply(wrong, b"x")
        with pytest.raises(ValueError, match="no socket of this receiver has its IP version"):
            rx.reply(multicast.Datagram(b"x", ("::1", 9)), b"x")
        with pytest.raises(ValueError, match="must have the address of its sender"):
            rx.reply(multicast.Datagram(b"x", ("somebody", 9)), b"x")
    with pytest.raises(ClosedError):
        rx.reply(msg, b"x")


def test_reply_to_datagram_without_interface_is_sent_by_the_routes() -> None:
    with LOOPBACK.receiver() as rx, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind(("127.0.0.1", 0))
        plain.settimeout(PATIENCE)
        rx.reply(multicast.Datagram(b"x", plain.getsockname()), b"answer")
        data, sender = plain.recvfrom(99)
        assert (data, sender[1]) == (b"answer", rx.port)
