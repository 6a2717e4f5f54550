"""Test a group on several interfaces, on all of them, and on the one that the system chooses."""

import errno
import logging
import socket
import subprocess
from collections.abc import Iterator

import pytest

from multicast.sync import Receiver, Sender, interfaces
from tests.wire.exchange import PATIENCE

pytestmark = pytest.mark.private_net

GROUPS = ["239.9.8.7", "ff15::9:8:7", "ff02::9:8:7"]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def index(name: str) -> int:
    return socket.if_nametoindex(name)


@pytest.fixture
def idle() -> Iterator[str]:
    """Make an interface that is down."""
    ip("link", "add", "idle0", "type", "veth", "peer", "name", "idle1")
    yield "idle0"
    ip("link", "del", "idle0")


def joined_on(rx: Receiver) -> set[int | None]:
    return {membership.interface_index for membership in rx.groups}


def usable() -> set[int]:
    return {interface.index for interface in interfaces() if interface.unusable_reason is None}


def test_interfaces_list_mtu_and_why_unusable(idle: str) -> None:
    ip("link", "set", idle, "mtu", "9000")
    ip("link", "set", "veth1", "multicast", "off")
    try:
        by_name = {interface.name: interface for interface in interfaces()}
    finally:
        ip("link", "set", "veth1", "multicast", "on")
    assert (by_name[idle].mtu, by_name[idle].unusable_reason) == (9000, "it is down")
    assert (by_name["veth0"].mtu, by_name["veth0"].unusable_reason) == (1500, None)
    assert by_name["veth1"].unusable_reason == "it does not support multicast"


@pytest.mark.parametrize("group", GROUPS)
def test_receiver_interface_all_joins_every_usable_interface(
    group: str, idle: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(group, 0, interface="all") as rx:
        assert joined_on(rx) == usable()
        assert f"{group} is not joined on {idle}: it is down" in caplog.messages
        for name in ("lo", "veth0"):
            with Sender(group, rx.port, interface=name) as tx:
                tx.send(name.encode())
            # Over IPv6, it also arrives at the other end of veth0, perhaps before.
            received = iter(lambda: rx.recv(timeout=PATIENCE), None)
            datagram = next(msg for msg in received if msg.interface == name)
            assert (datagram.data.decode(), datagram.group) == (name, group)
            assert datagram.interface_index == index(name)
        rx.leave(group, "veth0")
        assert joined_on(rx) == usable() - {index("veth0")}
        rx.leave(group)
        assert rx.groups == ()


@pytest.mark.parametrize("group", GROUPS)
def test_receiver_several_interfaces_joins_the_usable_ones(
    group: str, idle: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(group, 0, interface=["veth0", idle, "none0", index("lo"), "2001:db8::2"]) as rx:
        assert joined_on(rx) == {index("veth0"), index("lo")}
        assert caplog.messages == [
            f"{group} is not joined on {idle}: it is down",
            f"{group} is not joined on none0: there is no such interface",
        ]


@pytest.mark.platform("linux")
def test_receiver_many_groups_chosen_interface_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(["239.9.8.0+200", "ff15::9:8:7", "239.9.9.9%veth0"], 0):
        assert caplog.messages == [
            "201 groups (239.9.8.0 first) are joined on lo, which the routing table selects"
        ]


@pytest.mark.parametrize("group", GROUPS)
def test_sender_interface_down_raises_error_with_hint(group: str, idle: str) -> None:
    with (
        Sender(group, 50126, interface=idle) as tx,
        pytest.raises(
            OSError, match=f"on {idle}: .* \\({idle} is down: bring it up, or name another"
        ) as caught,
    ):
        tx.send(b"x")
    assert caught.value.errno == errno.ENETUNREACH
    assert tx.stats().sent == 0


@pytest.mark.parametrize("group", GROUPS)
def test_leave_interface_all_leaves_every_interface(group: str) -> None:
    with Receiver(group, 0, interface=["lo", "veth0"]) as rx:
        rx.leave(group, "all")
        assert rx.groups == ()


@pytest.mark.parametrize("group", GROUPS)
def test_receiver_no_usable_interface_raises_error_with_reasons(group: str, idle: str) -> None:
    with pytest.raises(OSError, match=f"cannot join {group} on any interface") as caught:
        Receiver(group, 0, interface=[idle, "none0"])
    assert caught.value.errno == errno.ENODEV
    assert f"({idle}: it is down; none0: there is no such interface)" in str(caught.value)


@pytest.mark.parametrize("names", [[], [""], ["0.0.0.0", "lo"], [None], [0]])
def test_receiver_several_interfaces_with_unnamed_one_is_rejected(names: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Receiver("239.9.8.7", 0, interface=names)  # type: ignore[arg-type]


def test_receiver_interface_down_is_joined_with_warning(idle: str, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver("239.9.8.7", 0, interface=idle) as rx:
        assert joined_on(rx) == {index(idle)}
        assert caplog.messages == [f"{idle} is down and does not receive 239.9.8.7"]
        assert rx.stats().outage_seconds > 0


def test_join_group_joined_on_all_is_rejected() -> None:
    with Receiver("239.9.8.7", 0, interface="all") as rx:
        for where in ("lo", "all", ["lo", "veth0"], None):
            with pytest.raises(ValueError, match=r"cannot join 239\.9\.8\.7.*: already joined"):
                rx.join("239.9.8.7", where)


@pytest.mark.platform("linux")
@pytest.mark.parametrize("group", GROUPS[:2])
def test_receiver_interface_chosen_by_routes_is_logged(group: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multicast")
    with Receiver(group, 0) as rx, Sender(group, rx.port) as tx:
        assert joined_on(rx) == {index("lo")}
        assert caplog.messages == [f"{group} is joined on lo, which the routing table selects"]
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).interface_index == index("lo")
        rx.leave(group)
        assert rx.groups == ()


def test_sender_interface_all_is_rejected() -> None:
    with pytest.raises(ValueError, match="must be one interface to send by"):
        Sender("239.9.8.7", 5000, interface="all")
