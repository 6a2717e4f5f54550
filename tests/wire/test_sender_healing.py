"""Test a sender whose interface or address goes away and comes back: it sends again, and never by another interface.

| fault | test |
|---|---|
| interface deleted and made again, with another index | ``test_sender_interface_recreated_*`` |
| its index given to another interface | ``test_sender_index_reused_*`` |
| the only address replaced, or gone | ``test_sender_address_*`` |
"""

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver, Sender
from tests.support.hosts import Host
from tests.support.private_network import ROOT
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE
from tests.wire.faults import INTERFACE, plug_in, sh, unplug
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ["239.9.9.9", "ff15::9:9", "ff02::9:9"]


def send_one(tx: Sender) -> int:
    return bool(tx.send(b"x"))


def send_several(tx: Sender) -> int:
    return tx.send_many([b"y" * 100] * 3 + [b"z"])


SENDS: list[Callable[[Sender], int]] = [send_one, send_several]


def can_send(tx: Sender) -> bool:
    try:
        return bool(tx.send(b"mark"))
    except OSError:
        return False


def until_usable(group: str) -> None:
    """Wait until groups can be sent to by the interface: the system assigns a link-local address after a delay."""
    if ":" not in group:
        return

    def is_usable() -> bool:
        with Sender(group, 9, interface=INTERFACE) as probe:
            return can_send(probe)

    until(is_usable, "the interface to have an address")


def hears(rx: Receiver, count: int) -> None:
    assert len([rx.recv(timeout=PATIENCE) for _ in range(count)]) == count


@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("way", [INTERFACE, "10.9.0.1", "fd09::1"])
def test_sender_interface_recreated_sends_by_the_new_one(
    way: str, group: str, send: Callable[[Sender], int], interface: str, hosts: list[Host]
) -> None:
    until_usable(group)
    with Sender(group, 5000, interface=way) as tx:
        send(tx)
        unplug()
        with pytest.raises(OSError, match=f"{interface} does not exist") as gone:
            send(tx)
        assert gone.value.errno == errno.ENODEV
        # Another interface takes an index in between, so that the new one has another.
        sh("ip link add between type veth peer name between1")
        plug_in()
        sh("ip link del between")
        until_usable(group)
        with on(hosts[0]), Receiver(group, 5000, interface=INTERFACE) as rx:
            hears(rx, send(tx))


REFUSED = """
import sys
import pytest
from tests.support import sandbox
from tests.wire.faults import INTERFACE, plug_in, sh, unplug
from multicast.sync import Sender
group, level, option = sys.argv[1:]
with Sender(group, 5000, interface=INTERFACE) as tx:
    tx.send(b"x")
    unplug()
    sh("ip link add between type veth peer name between1")
    plug_in()
    sh("ip link del between")
    sandbox.forbid_socket_option(int(level), int(option))
    for _ in range(3):
        with pytest.raises(OSError, match="cannot set up a socket to send to"):
            tx.send(b"x")
"""
# Level and name of IP_MULTICAST_IF and IPV6_MULTICAST_IF.
MULTICAST_IF = {"239.9.9.9": (0, 32), "ff02::9:9": (41, 17)}


@pytest.mark.parametrize(("group", "option"), MULTICAST_IF.items(), ids=MULTICAST_IF.keys())
def test_sender_interface_recreated_is_not_used_before_the_socket_is_set_up(
    group: str, option: tuple[int, int], interface: str
) -> None:
    until_usable(group)
    program = [sys.executable, "-c", REFUSED, group, *map(str, option)]
    done = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("group", GROUPS)
def test_sender_in_a_loop_interface_recreated_sends_by_the_new_one(
    group: str, interface: str, hosts: list[Host]
) -> None:
    async def main() -> None:
        async with aio.Sender(group, 5000, interface=interface) as tx:
            await tx.send(b"x")
            unplug()
            with pytest.raises(OSError, match=f"{interface} does not exist"):
                await tx.send_many([b"x"])
            plug_in()
            until_usable(group)
            with on(hosts[0]), Receiver(group, 5000, interface=INTERFACE) as rx:
                assert await tx.send_many([b"x"] * 3) == 3
                await tx.send(b"x")
                hears(rx, 4)

    until_usable(group)
    asyncio.run(main())


@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("group", GROUPS)
def test_sender_index_reused_by_another_interface_sends_nothing_there(
    group: str, send: Callable[[Sender], int], interface: str, hosts: list[Host]
) -> None:
    until_usable(group)
    index = socket.if_nametoindex(interface)
    with Sender(group, 5000, interface=interface) as tx:
        send(tx)
        # Nothing is sent in between: no error shows the sender that its interface was gone.
        unplug()
        sh(f"""ip link add thief0 index {index} type veth peer name thief1 netns h2
            ip addr add 10.10.0.1/24 dev thief0; ip -6 addr add fd10::1/64 dev thief0 nodad
            ip -n h2 addr add 10.10.0.2/24 dev thief1; ip -n h2 -6 addr add fd10::2/64 dev thief1 nodad
            ip link set thief0 up; ip -n h2 link set thief1 up""")
        try:
            with on(hosts[1]):
                wrong = Receiver(group, 5000, interface="thief1")
            with wrong:
                with pytest.raises(OSError, match=f"{interface} does not exist"):
                    send(tx)
                plug_in()
                until_usable(group)
                with on(hosts[0]), Receiver(group, 5000, interface=INTERFACE) as rx:
                    hears(rx, send(tx))
                with Sender(group, 5000, interface="thief0") as mark:
                    until(lambda: can_send(mark), "the other interface to have an address")
                    assert wrong.recv(timeout=PATIENCE).data == b"mark"
        finally:
            sh("ip link del thief0")


@pytest.mark.parametrize("group", GROUPS)
def test_sender_by_index_refuses_another_interface_with_that_index(group: str, interface: str) -> None:
    until_usable(group)
    index = socket.if_nametoindex(interface)
    with Sender(group, 5000, interface=index) as tx:
        tx.send(b"x")
        unplug()
        sh(f"ip link add thief0 index {index} type veth peer name thief1; ip link set thief0 up")
        try:
            with pytest.raises(OSError, match=f"{interface} does not exist"):
                tx.send(b"x")
        finally:
            sh("ip link del thief0")


# A packet receiver does not receive what this machine sends from an address that is newer than its last call.
@pytest.mark.udp_sockets
def test_sender_address_replaced_is_followed_by_name_and_named_in_the_error(interface: str) -> None:
    group = GROUPS[0]
    with (
        Receiver(group, 5000, interface=interface) as rx,
        Sender(group, 5000, interface=interface) as named,
        Sender(group, 5000, interface="10.9.0.1") as addressed,
    ):
        sh(f"ip addr del 10.9.0.1/24 dev {interface}; ip addr add 10.9.0.7/24 dev {interface}")
        named.send(b"x")
        assert rx.recv(timeout=PATIENCE).sender[0] == "10.9.0.7"
        with pytest.raises(OSError, match=r"no interface has the address 10\.9\.0\.1 now"):
            addressed.send(b"x")
        sh(f"ip addr add 10.9.0.1/24 dev {interface}")
        addressed.send(b"x")
        assert rx.recv(timeout=PATIENCE).sender[0] == "10.9.0.1"


def test_sender_address_moved_to_another_interface_is_followed(interface: str) -> None:
    group = GROUPS[0]
    sh("ip link add spare0 type veth peer name spare1; ip link set spare0 up; ip link set spare1 up")
    try:
        with (
            Sender(group, 5000, interface="10.9.0.1") as tx,
            Receiver(group, 5000, interface="spare0") as rx,
        ):
            sh(f"ip addr del 10.9.0.1/24 dev {interface}; ip link del {interface}")
            sh("ip addr add 10.9.0.1/24 dev spare0")
            tx.send(b"x")
            heard = rx.recv(timeout=PATIENCE)
            assert (heard.sender[0], heard.interface) == ("10.9.0.1", "spare0")
    finally:
        sh("ip link del spare0")


def test_sender_interface_down_names_it(interface: str) -> None:
    with Sender("ff02::9:9", 5000, interface=interface) as tx:
        sh(f"ip link set {interface} down")
        with pytest.raises(OSError, match=f"{interface} is down: bring it up") as down:
            tx.send(b"x")
        assert down.value.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)


TTL_0: list[tuple[str, dict[str, Any]]] = [
    (group, {"interface": way, "loopback": loopback})
    for group in ("239.9.9.9", "ff15::9:9", "ff02::9:9")
    for way in ("eth0", None)
    for loopback in (True, False)
    if way or group != "ff02::9:9"
]


@pytest.mark.parametrize(("group", "options"), TTL_0, ids=str)
@pytest.mark.parametrize("cls", [Sender, aio.Sender])
def test_sender_ttl_0_never_reaches_another_host(
    group: str, options: dict[str, Any], cls: Any, hosts: list[Host]
) -> None:
    here, there, *_ = hosts
    with on(there):
        rx = Receiver(group, 0, interface="eth0")
    with rx, on(here):
        with pytest.raises(OSError, match=r"ttl=0: .*name the loopback interface") as refused:
            cls(group, rx.port, ttl=0, **options)
        assert refused.value.errno == errno.EOPNOTSUPP
        with Sender(group, rx.port, **options) as tx:
            with pytest.raises(OSError, match="ttl=0"):
                tx.ttl = 0
            assert tx.ttl == 1
            tx.send(b"mark")
        assert rx.recv(timeout=PATIENCE).data == b"mark"


def test_say_ttl_0_never_reaches_another_host(hosts: list[Host]) -> None:
    here, there, *_ = hosts
    with on(there), Receiver("239.9.9.9", 0, interface="eth0") as rx:
        argv = ["--group", "239.9.9.9", "--port", str(rx.port), "--ttl", "0", "--message", "no"]
        said = here.run(sys.executable, "-m", "multicast", "SAY", *argv)
        assert said.returncode != 0
        assert "name the loopback interface" in said.stderr
        with on(here), Sender("239.9.9.9", rx.port, interface="eth0") as tx:
            tx.send(b"mark")
        assert rx.recv(timeout=PATIENCE).data == b"mark"


@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_sender_ttl_0_on_loopback_is_received(group: str) -> None:
    with Receiver(group, 0, interface="lo") as rx, Sender(group, rx.port, interface="lo", ttl=0) as tx:
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).ttl == 0
