"""Failures while memberships change: nothing that works is given up, and receiving never raises them."""

import socket

import pytest

from multicast.sync import Receiver, Sender
from tests.support.hosts import Host
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE
from tests.wire.faults import (
    INTERFACE,
    RESUMED,
    drain,
    joined_on,
    looked,
    no_new_descriptors,
    open_descriptors,
    plug_in,
    prepared,
    resumes,
    sh,
    traffic,
    unplug,
)

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ["239.9.9.9", "ff15::9:9"]


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
@pytest.mark.parametrize("group", GROUPS)
def test_receiver_without_free_descriptors_receives_during_a_change(
    group: str, ring: int | None, interface: str, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    change = f"ip addr del 10.9.0.1/24 dev {INTERFACE}; ip -6 addr del fd09::1/64 dev {INTERFACE}"
    with (
        Receiver(group, 0, interface=interface, ring=ring) as rx,
        traffic(hosts[0], group, rx.port),
        prepared(change) as make_the_change,
    ):
        rx.recv(timeout=PATIENCE)
        with no_new_descriptors():
            make_the_change()
            for _ in range(200):
                rx.recv(timeout=PATIENCE)
            assert rx.stats().received >= 200
            assert rx.stats().interface_events >= 1
            assert not [record for record in caplog.records if record.levelname == "WARNING"]
        unplug()
        plug_in()
        drain(rx)
        rx.recv(timeout=2 * RESUMED)


@pytest.mark.parametrize("ring", [None, 1000], ids=["direct", "ring"])
def test_join_without_free_descriptors_is_tried_again(
    ring: int | None, hosts: list[Host], caplog: pytest.LogCaptureFixture
) -> None:
    plug = f"""ip link add {INTERFACE} type veth peer name {INTERFACE} netns h1; ip link set {INTERFACE} up
        ip addr add 10.9.0.1/24 dev {INTERFACE}; ip -n h1 link set {INTERFACE} up"""
    # One socket is full with these, and the interface that appears needs another.
    with (
        Receiver("239.9.8.1+20", 0, interface=["lo", INTERFACE], ring=ring) as rx,
        prepared(plug) as plug_in_now,
        Sender("239.9.8.1", rx.port, interface="lo") as tx,
    ):
        try:
            with no_new_descriptors():
                plug_in_now()
                until(lambda: looked(rx) and "open files" in caplog.text, "the failure to be logged")
                tx.send(b"still here")
                assert rx.recv(timeout=PATIENCE).data == b"still here"
                assert len(rx.groups) == 20
            until(lambda: looked(rx) and len(rx.groups) == 40, "the groups to be joined")
        finally:
            sh(f"ip link del {INTERFACE} 2>/dev/null || true")


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("group", ["239.9.9.9", "ff15::9:9"])
def test_join_failed_leaves_no_socket_open(group: str, count: int) -> None:
    prefix = "239.9.8." if "." in group else "ff15::8:"
    with Receiver(group, 0, interface="lo") as rx:
        rx.fileno()
        sockets, descriptors = rx.stats().sockets, open_descriptors()
        with pytest.raises(ValueError, match="already joined"):
            rx.join([*(f"{prefix}{number}" for number in range(1, count + 1)), group], "lo")
        assert (rx.stats().sockets, open_descriptors()) == (sockets, descriptors)
        with Sender(group, rx.port, interface="lo") as tx:
            tx.send(b"still here")
            assert rx.recv(timeout=PATIENCE).data == b"still here"
        rx.join([f"{prefix}{number}" for number in range(1, count + 1)], "lo")
        with Sender(f"{prefix}{count}", rx.port, interface="lo") as tx:
            tx.send(b"joined")
            assert rx.recv(timeout=PATIENCE).data == b"joined"


@pytest.mark.parametrize("group", GROUPS)
def test_route_to_an_interface_without_multicast_keeps_the_membership(
    group: str, interface: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver(group, 0) as rx:
        before = joined_on(rx)
        sh(f"ip link set {interface} multicast off")
        route = (
            f"{group}/32 dev {interface}"
            if "." in group
            else f"multicast {group} dev {interface} table local"
        )
        sh(f"ip {'-6' if ':' in group else ''} route add {route}")
        until(lambda: looked(rx) and caplog.messages, "the failure to be logged")
        assert joined_on(rx) == before
        assert f"cannot join 1 group on {interface}: it does not support multicast" in caplog.messages
        with Sender(group, rx.port, interface="lo") as tx:
            tx.send(b"still here")
            assert rx.recv(timeout=PATIENCE).data == b"still here"
        sh(f"ip link set {interface} multicast on; ip link set {interface} down; ip link set {interface} up")
        sh(f"ip {'-6' if ':' in group else ''} route replace {route}")
        until(
            lambda: looked(rx) and joined_on(rx) == [socket.if_nametoindex(interface)],
            "the group to move to the route",
        )


@pytest.mark.parametrize("group", GROUPS)
def test_address_moved_to_an_interface_that_cannot_join_keeps_the_membership(
    group: str, interface: str, caplog: pytest.LogCaptureFixture
) -> None:
    sh("ip addr add 10.9.0.7/32 dev veth1")
    try:
        with Receiver(group, 0, interface="10.9.0.7") as rx:
            before = joined_on(rx)
            sh(f"ip link set {interface} multicast off")
            sh(f"ip addr del 10.9.0.7/32 dev veth1; ip addr add 10.9.0.7/32 dev {interface}")
            until(lambda: looked(rx) and caplog.messages, "the failure to be logged")
            assert joined_on(rx) == before
    finally:
        sh("ip addr del 10.9.0.7/32 dev veth1 2>/dev/null || true")


@pytest.mark.parametrize("way", ["name", "list", "index"])
@pytest.mark.parametrize("group", GROUPS)
def test_index_reused_by_another_interface_is_not_joined(
    group: str, way: str, interface: str, hosts: list[Host]
) -> None:
    reused = socket.if_nametoindex(interface)
    names: dict[str, str | int | list[str]] = {"name": interface, "list": [interface, "lo"], "index": reused}
    with Receiver(group, 0, interface=names[way]) as rx:
        unplug()
        sh(f"""ip link add other0 index {reused} type veth peer name {INTERFACE} netns h1
            ip addr add 10.9.1.1/24 dev other0; ip -n h1 addr add 10.9.1.2/24 dev {INTERFACE}
            ip -6 addr add fd0a::1/64 dev other0 nodad; ip -n h1 -6 addr add fd0a::2/64 dev {INTERFACE} nodad
            ip link set other0 up; ip -n h1 link set {INTERFACE} up""")
        try:
            with traffic(hosts[0], group, rx.port):
                with pytest.raises(TimeoutError):
                    rx.recv(timeout=1.0)
                assert reused not in joined_on(rx)
                sh("ip link del other0")
                plug_in()
                if way != "index":
                    resumes(rx)
        finally:
            sh("ip link del other0 2>/dev/null || true")
