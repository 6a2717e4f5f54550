"""Faults of the network while traffic flows: the receiver hears again by itself, says so, and counts.

| fault | test |
|---|---|
| link down and up, carrier lost and back, removed and recreated | ``test_delivery_resumes``, ``test_sources_*`` |
| recreated with the same index | ``test_the_same_index_again_is_another_card`` |
| another address; the first one; one that moves to another card | ``test_an_address_*``, ``test_the_first_address_*`` |
| an interface that appears later | ``test_a_card_that_appears_later_is_joined`` |
| IPv6 taken from an interface and given back | ``test_a_card_that_was_without_ipv6_is_joined_anew`` |
| the routes lead elsewhere | ``test_the_choice_follows_the_routes`` |
| a switch that forgets its listeners (``rejoin=``) | ``test_rejoin_*``; the reports on the wire: ``test_foreign.py`` |
"""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multicast import aio
from multicast.sync import Receiver
from tests.support import beacon, loops
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

CARD = "mc0"
RESUMED = 2.0
"""Seconds within which delivery resumes once the fault is over."""

GROUPS = ["239.9.9.9", "ff15::9:9", "ff02::9:9"]
WAYS = {"name": CARD, "address": "10.9.0.1", "all": "all", "several": [CARD, "lo"]}


def sh(command: str) -> None:
    subprocess.run(["bash", "-ec", command], check=True)


def plug_in() -> None:
    """A card whose other end is a host's."""
    sh(f"""ip link add {CARD} type veth peer name {CARD} netns h1
        ip addr add 10.9.0.1/24 dev {CARD}; ip -6 addr add fd09::1/64 dev {CARD} nodad
        ip -n h1 addr add 10.9.0.2/24 dev {CARD}; ip -n h1 -6 addr add fd09::2/64 dev {CARD} nodad
        ip link set {CARD} up; ip -n h1 link set {CARD} up""")


def unplug() -> None:
    sh(f"ip link del {CARD}")


@pytest.fixture
def card(hosts: list[Host]) -> Iterator[str]:
    plug_in()
    yield CARD
    sh(f"ip link del {CARD} 2>/dev/null || true")


@contextmanager
def traffic(host: Host, group: str, port: int) -> Iterator[None]:
    """Datagrams to the group from the card's other end, as long as there is one."""
    program = [sys.executable, os.fspath(Path(beacon.__file__)), group, str(port), CARD]
    with subprocess.Popen(host.command(*program), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


def hears_nothing(rx: Receiver) -> bool:
    """Whether what comes ends: a fifth of a second without a datagram, which are two hundred a second."""
    for _ in range(1000):
        try:
            rx.recv(timeout=0.2)
        except TimeoutError:
            return True
    return False


def forget_what_came(rx: Receiver) -> None:
    while True:
        try:
            rx.recv(timeout=0)
        except TimeoutError:
            return


async def hears_nothing_in_a_task(rx: aio.Receiver) -> bool:
    for _ in range(1000):
        try:
            await rx.recv(timeout=0.2)
        except TimeoutError:
            return True
    return False


def resumes(rx: Receiver) -> None:
    begun = time.monotonic()
    rx.recv(timeout=RESUMED)
    assert time.monotonic() - begun < RESUMED


def told_of_the_card(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith(CARD)]


# The system gives a card that was just plugged in its link-local address when it comes to it.
ADDRESSES_CAME = [f"{CARD} has other addresses now; it stays joined for 1 group"]

FAULTS: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "link": (lambda: sh(f"ip link set {CARD} down"), lambda: sh(f"ip link set {CARD} up")),
    # The host that is switched off loses its IPv6 addresses with that.
    "carrier": (
        lambda: sh(f"ip -n h1 link set {CARD} down"),
        lambda: sh(f"ip -n h1 link set {CARD} up; ip -n h1 -6 addr replace fd09::2/64 dev {CARD} nodad"),
    ),
    "recreated": (unplug, plug_in),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("fault", FAULTS)
def test_delivery_resumes(
    fault: str, way: str, group: str, card: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    cause, cure = FAULTS[fault]
    with Receiver(group, 0, interface=way) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        cause()
        assert hears_nothing(rx)
        went = f"{CARD} went away, and 1 group with it"
        down = f"{CARD} is down: nothing comes by it for 1 group"
        # A card that is deleted is switched off first, which may be noticed by itself.
        told = [message for message in told_of_the_card(caplog) if message not in ADDRESSES_CAME]
        assert told in ([[went], [down, went]] if fault == "recreated" else [[down]])
        cure()
        resumes(rx)
        until(lambda: rx.stats().rejoins >= 1, "the groups to be joined anew")
        stats = rx.stats()
        told = told_of_the_card(caplog)
        assert [message for message in told if message not in ADDRESSES_CAME][
            -1
        ] == f"{CARD} is up: 1 group joined on it"
        assert stats.interface_events == len(told)
        # The other interfaces were there all the time.
        alone = way in (CARD, "10.9.0.1")
        assert (stats.interrupted >= 0.15) if alone else (stats.interrupted == 0.0)
        rx.leave(group)
        assert rx.groups == ()


@pytest.mark.parametrize("group", GROUPS[:2])
@pytest.mark.parametrize("way", [CARD, "10.9.0.1"])
def test_an_address_that_goes_and_comes_changes_nothing(
    way: str, group: str, card: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(group, 0, interface=way) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        sh(f"ip addr del 10.9.0.1/24 dev {CARD}; ip -6 addr del fd09::1/64 dev {CARD}")
        until(lambda: rx.stats().interface_events >= 1, "the change to be noticed")
        sh(f"ip addr add 10.9.0.9/24 dev {CARD}; ip -6 addr add fd09::9/64 dev {CARD} nodad")
        resumes(rx)
        assert f"{CARD} has other addresses now; it stays joined for 1 group" in caplog.messages
        assert rx.stats().interrupted == 0.0


@pytest.mark.parametrize("group", GROUPS[1:])
def test_a_card_that_was_without_ipv6_is_joined_anew(group: str, card: str, hosts: list[Host]) -> None:
    with Receiver(group, 0, interface=CARD) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        # Below what IPv6 needs (RFC 8200 section 5): the kernel forgets all that it had joined there.
        sh(f"ip link set {CARD} mtu 1000")
        assert hears_nothing(rx)
        sh(f"ip link set {CARD} mtu 1500")
        resumes(rx)
        assert rx.stats().rejoins >= 1


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("way", ["all", ["lo", CARD]], ids=["all", "several"])
def test_a_card_that_appears_later_is_joined(way: str | list[str], group: str, hosts: list[Host]) -> None:
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


def filters_of_the_kernel() -> list[tuple[str, ...]]:
    """Group, source, and how many include and exclude it, of every entry for the card."""
    rows = [
        line.split()
        for name in ("mcfilter", "mcfilter6")
        for line in Path("/proc/net", name).read_text().splitlines()
    ]
    return [tuple(row[2:]) for row in rows if row[1] == CARD]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("group", "choice"), SOURCES.values(), ids=SOURCES.keys())
def test_sources_are_the_same_afterwards(
    fault: str, group: str, choice: dict[str, Any], card: str, hosts: list[Host]
) -> None:
    cause, cure = FAULTS[fault]
    with Receiver(group, 0, interface=CARD, **choice) as rx, traffic(hosts[0], group, rx.port):
        rx.recv(timeout=PATIENCE)
        before = filters_of_the_kernel()
        assert len(before) == 1
        cause()
        assert hears_nothing(rx)
        cure()
        resumes(rx)
        until(lambda: rx.stats().rejoins >= 1, "the group to be joined anew")
        assert filters_of_the_kernel() == before
        assert [*rx.groups[0].sources, *rx.groups[0].excluded] == list(choice.values())
        assert rx.stats().interrupted > 0


@pytest.mark.parametrize("group", GROUPS[:1])
def test_the_first_address_makes_it_joined_anew(group: str, card: str, hosts: list[Host]) -> None:
    sh(f"ip addr flush dev {CARD} scope global")
    with Receiver(group, 0, interface=CARD) as rx:
        assert rx.stats().rejoins == 0
        sh(f"ip addr add 10.9.0.1/24 dev {CARD}")
        until(lambda: rx.stats().rejoins == 1, "the group to be joined anew")
        with traffic(hosts[0], group, rx.port):
            resumes(rx)


@pytest.mark.parametrize("group", GROUPS)
def test_an_address_that_moves_to_another_card_takes_the_group_along(
    group: str, card: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    sh("ip addr add 10.9.0.7/32 dev veth1")
    try:
        with Receiver(group, 0, interface="10.9.0.7") as rx, traffic(hosts[0], group, rx.port):
            with pytest.raises(TimeoutError):
                rx.recv(timeout=0)
            sh(f"ip addr del 10.9.0.7/32 dev veth1; ip addr add 10.9.0.7/32 dev {CARD}")
            resumes(rx)
            assert [one.interface for one in rx.groups] == [socket.if_nametoindex(CARD)]
            assert "veth1 is no longer the choice for 1 group" in caplog.messages
    finally:
        sh("ip addr del 10.9.0.7/32 dev veth1 2>/dev/null || true")


def test_the_same_index_again_is_another_card(card: str, hosts: list[Host]) -> None:
    group = GROUPS[0]
    with Receiver(group, 0, interface=CARD) as rx, traffic(hosts[0], group, rx.port):
        index = rx.recv(timeout=PATIENCE).interface
        unplug()
        sh(f"""ip link add {CARD} index {index} type veth peer name {CARD} netns h1
            ip addr add 10.9.0.1/24 dev {CARD}; ip -n h1 addr add 10.9.0.2/24 dev {CARD}
            ip link set {CARD} up; ip -n h1 link set {CARD} up""")
        until(lambda: rx.stats().rejoins == 1, "the group to be joined anew")
        forget_what_came(rx)
        resumes(rx)
        assert rx.groups[0].interface == index


def test_the_choice_follows_the_routes(card: str, hosts: list[Host]) -> None:
    group = GROUPS[0]
    with Receiver(group, 0) as rx, traffic(hosts[0], group, rx.port):
        before = rx.groups[0].interface
        sh(f"ip route add {group}/32 dev {CARD}")
        resumes(rx)
        assert rx.groups[0].interface != before


@pytest.mark.parametrize("ring", [None, 100])
def test_two_thousand_groups_heal_together(card: str, hosts: list[Host], ring: int | None) -> None:
    with Receiver("239.9.0.0+2000", 0, interface=CARD, ring=ring) as rx:
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
def test_a_task_that_waits_hears_again(group: str, card: str, hosts: list[Host]) -> None:
    async def main() -> None:
        async with aio.Receiver(group, 0, interface=CARD) as rx:
            with traffic(hosts[0], group, rx.port):
                await rx.recv(timeout=PATIENCE)
                unplug()
                assert await hears_nothing_in_a_task(rx)
                plug_in()
                await rx.recv(timeout=RESUMED)

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize("waiting", ["in the call", "on the descriptor"])
def test_rejoin_joins_anew_every_so_often(waiting: str) -> None:
    with Receiver(["239.9.9.9", "ff15::9:9"], 0, interface="lo", rejoin=0.1) as rx:
        if waiting == "on the descriptor":
            rx.fileno()
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0.55)
        rounds = int((time.monotonic() - begun) / 0.1)
        assert 2 * (rounds - 2) <= rx.stats().rejoins <= 2 * (rounds + 1)


def test_rejoin_goes_on_while_a_task_waits() -> None:
    async def main() -> None:
        async with aio.Receiver("239.9.9.9", 0, interface="lo", rejoin=0.1) as rx:
            with pytest.raises(TimeoutError):
                await rx.recv(timeout=0.55)
            assert 3 <= rx.stats().rejoins <= 6

    loops.run(loops.KINDS["asyncio"], main())


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_rejoin_takes_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"rejoin|joined anew"):
        Receiver("239.9.9.9", 0, interface="lo", rejoin=seconds)
