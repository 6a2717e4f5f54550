"""Test faults of the network while traffic flows: the receiver rejoins its groups, logs the changes and counts them.

| fault | test |
|---|---|
| link down and up, carrier lost and back, removed and recreated | ``test_healing_after_fault_*`` |
| recreated with the same index | ``test_healing_interface_recreated_with_same_index_*`` |
| an address that is replaced, added first, or moved to another interface | ``test_healing_address_*`` |
| an interface that appears later | ``test_healing_interface_that_appears_later_is_joined`` |
| IPv6 disabled on an interface and enabled again | ``test_healing_ipv6_*`` |
| a changed route | ``test_healing_route_change_moves_the_group`` |
| a switch that forgets its listeners (``rejoin=``) | ``test_rejoin_*``; the reports on the wire: ``test_foreign.py`` |
"""

import logging
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver
from tests.support import loops
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE
from tests.wire.faults import (
    INTERFACE,
    RESUMED,
    drain,
    hears_nothing,
    plug_in,
    resumes,
    sh,
    traffic,
    unplug,
)

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ["239.9.9.9", "ff15::9:9", "ff02::9:9"]
WAYS = {"name": INTERFACE, "address": "10.9.0.1", "all": "all", "several": [INTERFACE, "lo"]}


async def hears_nothing_in_a_task(rx: aio.Receiver) -> bool:
    for _ in range(1000):
        try:
            await rx.recv(timeout=0.2)
        except TimeoutError:
            return True
    return False


def logged_for_interface(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith(INTERFACE)]


# The system assigns the link-local address of a new interface after a delay.
NEW_ADDRESSES_LOGGED = [f"{INTERFACE} changed its addresses and keeps 1 group joined"]

FAULTS: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "link": (lambda: sh(f"ip link set {INTERFACE} down"), lambda: sh(f"ip link set {INTERFACE} up")),
    # The interface of the host loses its IPv6 addresses when it goes down.
    "carrier": (
        lambda: sh(f"ip -n h1 link set {INTERFACE} down"),
        lambda: sh(
            f"ip -n h1 link set {INTERFACE} up; ip -n h1 -6 addr replace fd09::2/64 dev {INTERFACE} nodad"
        ),
    ),
    "recreated": (unplug, plug_in),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("fault", FAULTS)
def test_healing_after_fault_delivery_resumes(
    fault: str, way: str, group: str, interface: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    cause, cure = FAULTS[fault]
    with Receiver(group, 0, interface=way) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        cause()
        assert hears_nothing(rx)
        went = f"{INTERFACE} was removed and no longer receives 1 group"
        down = f"{INTERFACE} is down and does not receive 1 group"
        # The kernel takes an interface down before it deletes it, which may be logged separately.
        logged = [message for message in logged_for_interface(caplog) if message not in NEW_ADDRESSES_LOGGED]
        assert logged in ([[went], [down, went]] if fault == "recreated" else [[down]])
        cure()
        resumes(rx)
        until(lambda: rx.stats().rejoins >= 1, "the groups to be rejoined")
        stats = rx.stats()
        logged = logged_for_interface(caplog)
        assert [message for message in logged if message not in NEW_ADDRESSES_LOGGED][
            -1
        ] == f"{INTERFACE} is up with 1 group joined"
        assert stats.interface_events == len(logged)
        # The other interfaces were available all the time.
        alone = way in (INTERFACE, "10.9.0.1")
        assert (stats.outage_seconds >= 0.15) if alone else (stats.outage_seconds == 0.0)
        rx.leave(group)
        assert rx.groups == ()


@pytest.mark.parametrize("group", GROUPS[:2])
@pytest.mark.parametrize("way", [INTERFACE, "10.9.0.1"])
def test_healing_address_replaced_keeps_the_membership(
    way: str, group: str, interface: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(group, 0, interface=way) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        sh(f"ip addr del 10.9.0.1/24 dev {INTERFACE}; ip -6 addr del fd09::1/64 dev {INTERFACE}")
        until(lambda: rx.stats().interface_events >= 1, "the change to be noticed")
        sh(f"ip addr add 10.9.0.9/24 dev {INTERFACE}; ip -6 addr add fd09::9/64 dev {INTERFACE} nodad")
        resumes(rx)
        assert f"{INTERFACE} changed its addresses and keeps 1 group joined" in caplog.messages
        assert rx.stats().outage_seconds == 0.0


# The ring gets IPv6 packets while IPv6 is disabled.
@pytest.mark.udp_sockets
@pytest.mark.parametrize("group", GROUPS[1:])
def test_healing_ipv6_disabled_and_enabled_is_rejoined(group: str, interface: str, hosts: list[Host]) -> None:
    with Receiver(group, 0, interface=INTERFACE) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        # An MTU below the minimum of IPv6 (RFC 8200 section 5) makes the kernel leave all IPv6 groups there.
        sh(f"ip link set {INTERFACE} mtu 1000")
        assert hears_nothing(rx)
        sh(f"ip link set {INTERFACE} mtu 1500")
        resumes(rx)
        assert rx.stats().rejoins >= 1


# With many other changes, the kernel has no room for its report of this one.
@pytest.mark.udp_sockets
@pytest.mark.parametrize("others", [0, 4000], ids=["reported", "unreported"])
def test_healing_ipv6_dropped_and_group_joined_by_another_receiver_is_rejoined(
    interface: str, hosts: list[Host], others: int
) -> None:
    group = "ff35::9:9"
    with (
        Receiver(group, 0, interface=interface, source="fd09::2") as rx,
        Receiver(group, 0, interface=interface, source="fd09::77") as other,
        traffic(hosts[0], group, rx.port),
    ):
        rx.recv(timeout=PATIENCE)
        for verb in ("add", "del"):
            changes = [f"addr {verb} 10.{n // 250}.{n % 250}.1/32 dev veth1" for n in range(others // 2)]
            subprocess.run(["ip", "-batch", "-"], input="\n".join(changes), text=True, check=True)
        # The kernel drops all IPv6 groups. It has this one again before the receiver looks, but without its source.
        sh(f"ip link set {interface} mtu 1000; ip link set {interface} mtu 1500")
        sh(f"until ip -6 addr show dev {interface} scope link | grep -q inet6; do :; done")
        until(lambda: other.stats().rejoins, "the group to be joined again")
        drain(rx)
        resumes(rx)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("way", ["all", ["lo", INTERFACE]], ids=["all", "several"])
def test_healing_interface_that_appears_later_is_joined(
    way: str | list[str], group: str, hosts: list[Host]
) -> None:
    with Receiver(group, 0, interface=way) as rx, traffic(hosts[0], group, rx.port):
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0)
        plug_in()
        try:
            resumes(rx)
            assert rx.stats().rejoins >= 1
        finally:
            unplug()


SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "v4 source": ("232.9.9.9", {"source": "10.9.0.2"}),
    "v6 source": ("ff35::9:9", {"source": "fd09::2"}),
    "v4 exclude": ("239.9.9.9", {"exclude": "10.9.0.77"}),
    "v6 exclude": ("ff15::9:9", {"exclude": "fd09::77"}),
}


MCAST_JOIN_SOURCE_GROUP = 46
"""An option of Linux that Python has no name for (linux/in.h)."""
EXTRA = {
    socket.AF_INET: ("232.222.173.1", "10.222.173.1"),
    socket.AF_INET6: ("ff35::dead", "fd09::dead"),
}
"""Groups and sources that no other socket has."""


@contextmanager
def extra_sources() -> Generator[None, None, None]:
    """Join a group with a source, of each IP version.

    Both files of the kernel begin with the first interface whose latest group has sources, so there has to be one.
    """
    with ExitStack() as sockets:
        for family, (group, source) in EXTRA.items():
            extra = sockets.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            # struct sockaddr_storage of the group and of the source (RFC 3678): family, port, flow of IPv6, address.
            layout, level = (
                ("=HH4s120x", 0) if family == socket.AF_INET else ("=HHI16s104x", socket.IPPROTO_IPV6)
            )
            flow = () if family == socket.AF_INET else (0,)
            places = [
                struct.pack(layout, family, 0, *flow, socket.inet_pton(family, one))
                for one in (group, source)
            ]
            request = struct.pack("=I4x", socket.if_nametoindex(INTERFACE)) + b"".join(places)
            extra.setsockopt(level, MCAST_JOIN_SOURCE_GROUP, request)
        yield


def filters_of_the_kernel(source: str) -> list[tuple[str, ...]]:
    """Return group, source and the counts of including and excluding sockets, for the interface and this source."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    digits = socket.inet_pton(family, source).hex()
    with extra_sources():
        rows = [
            line.split()
            for name in ("mcfilter", "mcfilter6")
            for line in Path("/proc/net", name).read_text().splitlines()
        ]
    return [tuple(row[2:]) for row in rows if row[1] == INTERFACE and row[3].removeprefix("0x") == digits]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("group", "choice"), SOURCES.values(), ids=SOURCES.keys())
def test_healing_after_fault_sources_are_restored(
    fault: str, group: str, choice: dict[str, Any], interface: str, hosts: list[Host]
) -> None:
    cause, cure = FAULTS[fault]
    with Receiver(group, 0, interface=INTERFACE, **choice) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        [source] = choice.values()
        before = filters_of_the_kernel(source)
        assert len(before) == 1
        cause()
        assert hears_nothing(rx)
        cure()
        resumes(rx)
        until(lambda: rx.stats().rejoins >= 1, "the group to be rejoined")
        assert filters_of_the_kernel(source) == before
        assert [*rx.groups[0].sources, *rx.groups[0].excluded] == [source]
        assert rx.stats().outage_seconds > 0


@pytest.mark.parametrize("group", GROUPS[:1])
def test_healing_address_added_first_is_rejoined(group: str, interface: str, hosts: list[Host]) -> None:
    sh(f"ip addr flush dev {INTERFACE} scope global")
    with Receiver(group, 0, interface=INTERFACE) as rx:
        assert rx.stats().rejoins == 0
        sh(f"ip addr add 10.9.0.1/24 dev {INTERFACE}")
        until(lambda: rx.stats().rejoins == 1, "the group to be rejoined")
        with traffic(hosts[0], group, rx.port):
            resumes(rx)


@pytest.mark.parametrize("group", GROUPS)
def test_healing_address_moved_to_other_interface_moves_the_group(
    group: str, interface: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    sh("ip addr add 10.9.0.7/32 dev veth1")
    try:
        with Receiver(group, 0, interface="10.9.0.7") as rx, traffic(hosts[0], group, rx.port):
            with pytest.raises(TimeoutError):
                rx.recv(timeout=0)
            sh(f"ip addr del 10.9.0.7/32 dev veth1; ip addr add 10.9.0.7/32 dev {INTERFACE}")
            resumes(rx)
            assert [one.interface_index for one in rx.groups] == [socket.if_nametoindex(INTERFACE)]
            # The call that notices a change can return before it logs it.
            rx.recv(timeout=PATIENCE)
            assert "veth1 is no longer selected for 1 group" in caplog.messages
    finally:
        sh("ip addr del 10.9.0.7/32 dev veth1 2>/dev/null || true")


def test_healing_interface_recreated_with_same_index_is_rejoined(interface: str, hosts: list[Host]) -> None:
    group = GROUPS[0]
    with Receiver(group, 0, interface=INTERFACE) as rx, traffic(hosts[0], group, rx.port):
        index = rx.recv(timeout=PATIENCE).interface_index
        unplug()
        sh(f"""ip link add {INTERFACE} index {index} type veth peer name {INTERFACE} netns h1
            ip addr add 10.9.0.1/24 dev {INTERFACE}; ip -n h1 addr add 10.9.0.2/24 dev {INTERFACE}
            ip link set {INTERFACE} up; ip -n h1 link set {INTERFACE} up""")
        until(lambda: rx.stats().rejoins == 1, "the group to be rejoined")
        drain(rx)
        resumes(rx)
        assert rx.groups[0].interface_index == index


def test_healing_route_change_moves_the_group(interface: str, hosts: list[Host]) -> None:
    group = GROUPS[0]
    with Receiver(group, 0) as rx, traffic(hosts[0], group, rx.port):
        before = rx.groups[0].interface_index
        sh(f"ip route add {group}/32 dev {INTERFACE}")
        resumes(rx)
        assert rx.groups[0].interface_index != before


@pytest.mark.alone
@pytest.mark.parametrize("ring", [None, 100])
def test_healing_2000_groups_are_rejoined(interface: str, hosts: list[Host], ring: int | None) -> None:
    with Receiver("239.9.0.0+2000", 0, interface=INTERFACE, ring=ring) as rx:
        last = rx.groups[-1].group
        with traffic(hosts[0], last, rx.port):
            rx.recv(timeout=PATIENCE)
            unplug()
            assert hears_nothing(rx)
            assert rx.groups == ()
            plug_in()
            resumes(rx)
            assert len(rx.groups) == 2000
            assert rx.stats().rejoins == 2000


@pytest.mark.parametrize("group", GROUPS)
def test_healing_waiting_task_receives_again(group: str, interface: str, hosts: list[Host]) -> None:
    async def main() -> None:
        async with aio.Receiver(group, 0, interface=INTERFACE) as rx:
            with traffic(hosts[0], group, rx.port):
                await rx.recv(timeout=PATIENCE)
                unplug()
                assert await hears_nothing_in_a_task(rx)
                plug_in()
                await rx.recv(timeout=RESUMED)

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.alone
@pytest.mark.parametrize("waiting", ["in the call", "on the descriptor"])
def test_rejoin_interval_is_kept_while_waiting(waiting: str) -> None:
    with Receiver(["239.9.9.9", "ff15::9:9"], 0, interface="lo", rejoin=0.1) as rx:
        if waiting == "on the descriptor":
            rx.fileno()
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0.55)
        rounds = int((time.monotonic() - begun) / 0.1)
        assert 2 * (rounds - 2) <= rx.stats().rejoins <= 2 * (rounds + 1)


@pytest.mark.alone
def test_rejoin_interval_is_kept_while_a_task_waits() -> None:
    async def main() -> None:
        async with aio.Receiver("239.9.9.9", 0, interface="lo", rejoin=0.1) as rx:
            with pytest.raises(TimeoutError):
                await rx.recv(timeout=0.55)
            assert 3 <= rx.stats().rejoins <= 6

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_rejoin_bad_interval_raises_value_error(seconds: float) -> None:
    with pytest.raises(ValueError, match="rejoin"):
        Receiver("239.9.9.9", 0, interface="lo", rejoin=seconds)
