"""Test conversations: a sender asks a group, receivers reply, and the sender collects the answers."""

import asyncio
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from multicast import aio
from multicast._core import Datagram
from multicast.exceptions import ClosedError
from multicast.sync import Receiver, Sender
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.exchange import LOOPBACK, PATIENCE
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = {"v4": "239.9.8.7", "v6": "ff15::9:8:7", "v6-link-local": "ff02::9:8:7"}

QUESTION = b"who is there?"


def ask_in_a_loop(group: str, port: int, timeout: float) -> list[Datagram]:
    async def main() -> list[Datagram]:
        async with aio.Sender(group, port, interface="eth0") as tx:
            return [answer async for answer in tx.query(QUESTION, timeout)]

    return asyncio.run(main())


def ask_in_a_thread(group: str, port: int, timeout: float) -> list[Datagram]:
    with Sender(group, port, interface="eth0") as tx:
        return list(tx.query(QUESTION, timeout))


ASKS: list[Callable[[str, int, float], list[Datagram]]] = [ask_in_a_thread, ask_in_a_loop]


@contextmanager
def responders(receivers: dict[Receiver, str]) -> Generator[None, None, None]:
    """Let each receiver answer every datagram with its name, in a thread of its own."""

    def answer(rx: Receiver, name: str) -> None:
        for msg in rx:
            assert rx.reply(msg, name.encode()) == len(name)

    threads = [threading.Thread(target=answer, args=one) for one in receivers.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for rx in receivers:
            rx.close()
        for thread in threads:
            thread.join(PATIENCE)


@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
def test_query_reaches_two_responders_and_collects_for_the_whole_timeout(
    group: str, asks: Callable[..., list[Datagram]], hosts: list[Host]
) -> None:
    us, *others = hosts
    port = 5353
    receivers: dict[Receiver, str] = {}
    for host in others[:2]:
        with on(host):
            receivers[Receiver(group, port, interface="eth0")] = host.name
    with on(us), responders(receivers):
        begun = time.monotonic()
        answers = asks(group, port, 0.5)
        assert 0.5 <= time.monotonic() - begun < 2
        assert sorted(answer.data.decode() for answer in answers) == [host.name for host in others[:2]]
        for answer in answers:
            assert answer.sender[1] == port
            assert (answer.interface, answer.interface_index) == ("eth0", socket.if_nametoindex("eth0"))
            assert answer.ttl is not None
            assert answer.timestamp_ns is not None
            assert abs(answer.timestamp_ns - time.time_ns()) < 10 * 10**9
            address = answer.sender[0].partition("%")[0]
            own = {"h2": ("10.77.0.2", "fd77::2"), "h3": ("10.77.0.3", "fd77::3")}[answer.data.decode()]
            assert address in own if group != "ff02::9:8:7" else answer.sender[0].endswith("%eth0")


def many_responders(group: str, port: int, count: int) -> threading.Thread:
    """Answer the next datagram of the group ``count`` times, each from a port of its own."""
    rx = Receiver(group, port, interface="eth0")
    family = socket.AF_INET6 if ":" in group else socket.AF_INET

    def answer() -> None:
        with rx, socket.socket(family, socket.SOCK_DGRAM) as first:
            msg = rx.recv(timeout=PATIENCE)
            host, _, zone = msg.sender[0].partition("%")
            to: Any = (host, msg.sender[1])
            if family == socket.AF_INET6:
                to += (0, msg.interface_index if zone else 0)
            first.sendto(b"0", to)
            for number in range(1, count):
                with socket.socket(family, socket.SOCK_DGRAM) as one:
                    one.sendto(b"%d" % number, to)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
def test_query_loses_none_of_1000_answers(
    group: str, asks: Callable[..., list[Datagram]], hosts: list[Host]
) -> None:
    us, them, *_ = hosts
    with on(them):
        thread = many_responders(group, 5354, 1000)
    with on(us):
        answers = asks(group, 5354, 1.5)
    thread.join(PATIENCE)
    assert sorted(int(answer.data) for answer in answers) == list(range(1000))
    assert len({answer.sender for answer in answers}) > 900


def test_query_with_a_slow_consumer_returns_what_came_in_time(hosts: list[Host]) -> None:
    us, them, *_ = hosts
    with on(them):
        thread = many_responders("239.9.8.7", 5354, 1000)
    with on(us), Sender("239.9.8.7", 5354, interface="eth0") as tx:
        answers = tx.query(QUESTION, 0.5)
        thread.join(PATIENCE)
        # The timeout expires before the answers are taken.
        end = time.monotonic() + 0.5
        until(lambda: time.monotonic() > end, "the query to be over")
        assert len(list(answers)) == 1000


@contextmanager
def peer(to_sender: Sender) -> Generator[tuple[socket.socket, Any], None, None]:
    """A plain socket, and the address of a sender on the loopback interface."""
    with (
        Receiver(to_sender.group, to_sender.port, interface=LOOPBACK.interface) as rx,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain,
    ):
        to_sender.send(b"hello")
        yield plain, rx.recv(timeout=PATIENCE).sender


def test_sender_receives_by_recv_batch_and_iteration() -> None:
    with LOOPBACK.sender(5000) as tx, peer(tx) as (plain, address):
        assert tx.pending == 0
        for number in range(7):
            plain.sendto(b"%d" % number, address)
        first = tx.recv(timeout=PATIENCE)
        assert (first.data, first.group, first.sender) == (
            b"0",
            "127.0.0.1",
            ("127.0.0.1", plain.getsockname()[1]),
        )
        assert next(iter(tx)).data == b"1"
        assert tx.pending == 5
        assert tx.recv_batch(3, timeout=PATIENCE).payloads() == [b"2", b"3", b"4"]
        assert [tx.recv(timeout=0).data for _ in range(2)] == [b"5", b"6"]
        with pytest.raises(TimeoutError, match="nothing was received on port"):
            tx.recv(timeout=0)
        assert tx.local == ("0.0.0.0", address[1])


def test_aio_sender_receives_by_recv_batch_and_iteration() -> None:
    async def main() -> None:
        async with aio.Sender(LOOPBACK.group, 5000, interface=LOOPBACK.interface) as tx:
            with peer(tx._core) as (plain, address):
                for number in range(7):
                    plain.sendto(b"%d" % number, address)
                assert (await tx.recv(timeout=PATIENCE)).data == b"0"
                async for msg in tx:
                    assert msg.data == b"1"
                    break
                assert (await tx.recv_batch(5, timeout=PATIENCE)).payloads() == [b"2", b"3", b"4", b"5", b"6"]
                assert tx.pending == 0
                with pytest.raises(TimeoutError):
                    await tx.recv(timeout=0)

    asyncio.run(main())


def test_sender_early_answer_has_its_origin() -> None:
    with LOOPBACK.sender(5000) as tx, peer(tx) as (plain, address):
        plain.sendto(b"early", address)
        early = tx.recv(timeout=PATIENCE)
        assert (early.interface, early.group, early.ttl) == ("lo", "127.0.0.1", 64)


def test_sender_descriptor_is_readable_when_an_answer_comes() -> None:
    with LOOPBACK.sender(5000) as tx, peer(tx) as (plain, address):
        with socket.socket(fileno=socket.dup(tx.fileno())) as watched:
            watched.settimeout(PATIENCE)
            plain.sendto(b"x", address)
            assert watched.recv(10, socket.MSG_PEEK) == b"x"
        assert tx.recv(timeout=0).data == b"x"


def test_sender_with_port_of_the_group_does_not_receive_the_group() -> None:
    group = LOOPBACK.group
    with (
        Receiver(group, 5000, interface=LOOPBACK.interface) as rx,
        Sender(group, 5000, interface=LOOPBACK.interface, local=("", 5000)) as tx,
    ):
        tx.send(b"to the group")
        assert rx.recv(timeout=PATIENCE).sender == ("127.0.0.1", 5000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"to one", ("127.0.0.1", 5000))
        assert tx.recv(timeout=PATIENCE).data == b"to one"


@pytest.mark.parametrize("closes", ["this thread", "another thread"])
def test_sender_closed_ends_receiving(closes: str) -> None:
    tx = LOOPBACK.sender(5000)
    if closes == "this thread":
        tx.close()
        for receive in (tx.recv, tx.recv_batch):
            with pytest.raises(ClosedError, match=r"the sender to .* is closed"):
                receive()
        with pytest.raises(ClosedError, match="the sender to"):
            tx.query(b"x", 1)
        assert list(tx) == []
        return
    timer = threading.Timer(0.1, tx.close)
    timer.start()
    with pytest.raises(ClosedError, match=r"the sender to .* is closed"):
        tx.recv(timeout=PATIENCE)
    timer.join()
    assert (tx.ttl, tx.loopback, tx.local[0]) == (1, True, "0.0.0.0")


def test_aio_sender_closed_ends_receiving() -> None:
    async def main() -> None:
        tx = aio.Sender(LOOPBACK.group, 5000, interface=LOOPBACK.interface)
        waiting = asyncio.create_task(tx.recv())
        asking = asyncio.create_task(collect(tx))
        while not tx.stats().sent:
            await asyncio.sleep(0)
        tx.close()
        with pytest.raises(ClosedError):
            await waiting
        assert await asking == []

    async def collect(tx: aio.Sender) -> list[Datagram]:
        return [answer async for answer in tx.query(b"x", None)]

    asyncio.run(main())


def test_sender_local_address_and_port_are_the_source(hosts: list[Host]) -> None:
    us, them, *_ = hosts
    for group, address in (("239.9.8.7", us.ipv4), ("ff15::9:8:7", us.ipv6)):
        with on(them):
            rx = Receiver(group, 0, interface="eth0")
        with rx, on(us), Sender(group, rx.port, local=(address, 1900)) as tx:
            tx.send(b"x")
            assert rx.recv(timeout=PATIENCE).sender == (address, 1900)
            assert tx.local == (address, 1900)
            # Another program may have the port too.
            Sender(group, rx.port, local=("", 1900)).close()


def test_sender_local_link_local_address_is_the_source(hosts: list[Host]) -> None:
    us, them, *_ = hosts
    with on(them):
        rx = Receiver("ff02::9:8:7", 0, interface="eth0")
    with rx, on(us), Sender("ff02::9:8:7", rx.port, interface="eth0") as first:
        first.send(b"who am I?")
        address = rx.recv(timeout=PATIENCE).sender[0]
        plain = address.partition("%")[0]
        with Sender("ff02::9:8:7", rx.port, local=(f"{plain}%eth0", 1900)) as tx:
            tx.send(b"x")
            assert rx.recv(timeout=PATIENCE).sender[1] == 1900


def test_sender_local_address_of_another_machine_is_not_available() -> None:
    with pytest.raises(OSError, match=r"203\.0\.113\.9") as refused:
        Sender("239.9.8.7", 5000, local=("203.0.113.9", 0))
    assert refused.value.errno == errno.EADDRNOTAVAIL


# A packet receiver has no socket to detach.
@pytest.mark.udp_sockets
@pytest.mark.parametrize(
    ("group", "level", "receive", "option"),
    [
        ("239.9.8.7", socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS),
        ("ff15::9:8:7", socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
    ],
)
def test_sender_dscp_is_on_every_datagram(group: str, level: int, receive: int, option: int) -> None:
    with (
        Receiver(group, 0, interface="veth0") as rx,
        Sender(group, rx.port, interface="veth0", dscp=46) as tx,
        socket.socket(fileno=rx.detach()) as plain,
    ):
        plain.setsockopt(level, receive, 1)
        plain.settimeout(PATIENCE)

        def classes(count: int) -> set[int]:
            found: set[int] = set()
            for _ in range(count):
                for cmsg_level, kind, value in plain.recvmsg(99, 512)[1]:
                    if (cmsg_level, kind) == (level, option):
                        found.add(value[0] if len(value) == 1 else struct.unpack("=i", value)[0])
            return found

        assert tx.dscp == 46
        tx.send(b"one")
        assert classes(1) == {46 << 2}
        tx.dscp = 10
        assert tx.dscp == 10
        tx.send(b"two")
        assert classes(1) == {10 << 2}


@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_sender_ttl_and_loopback_are_changed_later(group: str) -> None:
    with Receiver(group, 0, interface="veth0") as rx, Sender(group, rx.port, interface="veth0") as tx:
        tx.ttl = 7
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).ttl == tx.ttl == 7
        tx.loopback = False
        tx.send(b"not heard here")
        tx.loopback = True
        tx.send(b"y")
        assert (rx.recv(timeout=PATIENCE).data, tx.loopback) == (b"y", True)
        with socket.socket(fileno=socket.dup(tx.fileno())) as plain:
            if ":" in group:
                plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 9)
            else:
                plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 9)
        assert tx.ttl == 9


def test_aio_sender_options_are_changed_later() -> None:
    async def main() -> None:
        async with aio.Sender("239.9.8.7", 5000, interface="veth0", dscp=3, local=("", 0)) as tx:
            tx.ttl, tx.dscp, tx.loopback = 5, 46, False
            assert (tx.ttl, tx.dscp, tx.loopback) == (5, 46, False)
            assert tx.local[1] > 0

    asyncio.run(main())
