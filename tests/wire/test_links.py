"""Test links of every sort: without a hardware address, in another namespace, without netlink, by their other names."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from multicast.sync import Receiver, Sender, interfaces
from tests.support.hosts import Host
from tests.support.private_network import ROOT
from tests.support.tunnel import Tunnel, tunnel
from tests.support.waiting import until
from tests.wire import places
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUPS = ["239.9.7.7", "ff15::9:7:7"]

NAMES = ["up0", "lan0", "the-uplink-of-this-host", "up0:1"]
"""The name, alternative names and label of one interface."""


def sh(command: str) -> None:
    subprocess.run(["bash", "-ec", command], check=True)


@pytest.fixture
def tun() -> Iterator[Tunnel]:
    with tunnel("tun7", "10.9.7.1/24", "fd09:7::1/64") as made:
        yield made


def plug_in() -> None:
    sh("""ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up
        ip link property add dev up0 altname lan0 altname the-uplink-of-this-host
        ip addr add 192.0.2.77/32 dev up0; ip addr add 10.9.8.1/24 dev up0 label up0:1
        ip -6 addr add fd09:8::1/64 dev up0 nodad""")


@pytest.fixture
def named() -> Iterator[str]:
    """Make an interface with several names, and return the first of them."""
    plug_in()
    yield "up0"
    sh("ip link del up0 2>/dev/null || true")


def heard(rx: Receiver) -> bool:
    with contextlib.suppress(TimeoutError):
        rx.recv(timeout=0)
        return True
    return False


def joined(rx: Receiver) -> list[str]:
    """Return the groups of the receiver, after it has read the news about the interfaces."""
    rx.stats()
    return [one.group for one in rx.groups]


def is_received(rx: Receiver, group: str, interface: str) -> bool:
    """Return whether a datagram reaches the receiver that was sent to its group on ``interface`` just now."""
    with Sender(group, rx.port, interface=interface) as tx:
        tx.send(b"x")
    return heard(rx)


def test_interfaces_without_hardware_address_are_listed(tun: Tunnel) -> None:
    listed = {one.name: one for one in interfaces()}
    assert {"10.9.7.1", "fd09:7::1"} <= set(listed["tun7"].addresses)
    # Not even an address is needed.
    with tunnel("tun8"):
        sh("ip -6 addr flush dev tun8")
        assert [one.addresses for one in interfaces() if one.name == "tun8"] == [()]


@pytest.mark.parametrize("change", ["another interface", "its only address"])
def test_healing_without_hardware_address_stays_joined(change: str) -> None:
    group, source = "239.9.7.7", "10.9.7.2"
    with tunnel("tun7", "10.9.7.1/24") as tun:
        # Without its link-local address, nothing but the one address and the link itself is left.
        sh("ip -6 addr flush dev tun7")
        with Receiver(group, 0, interface="tun7") as rx:
            tun.deliver(source, group, rx.port, b"before")
            assert rx.recv(timeout=PATIENCE).data == b"before"
            sh("ip addr del 10.9.7.1/24 dev tun7")
            assert joined(rx) == [group]
            if change == "another interface":
                sh("ip link add other0 type veth peer name other1; ip link del other0")
            else:
                sh("ip addr add 10.9.7.8/24 dev tun7")
            assert joined(rx) == [group]
            sh("ip addr replace 10.9.7.8/24 dev tun7")
            tun.deliver(source, group, rx.port, b"after")
            assert rx.recv(timeout=PATIENCE).data == b"after"
            assert rx.stats().outage_seconds == 0.0


@pytest.mark.parametrize("group", GROUPS)
def test_healing_from_other_namespace_stays_joined(group: str, hosts: list[Host]) -> None:
    with Receiver(group, 0, interface="veth0") as rx:
        sh("ip link add other0 type veth peer name other1")
        try:
            with places.on(hosts[0]):
                # This thread sees other interfaces than the receiver.
                assert joined(rx) == [group]
            assert is_received(rx, group, "veth0")
        finally:
            sh("ip link del other0")


@pytest.mark.parametrize("group", GROUPS)
def test_healing_from_other_namespace_joins_again(named: str, group: str, hosts: list[Host]) -> None:
    with Receiver(group, 0, interface=named) as rx:
        sh("ip link del up0")
        with places.on(hosts[0]):
            until(lambda: rx.stats().interface_events > 0 and not rx.groups, "the interface to be gone")
        plug_in()
        with places.on(hosts[0]):
            until(lambda: rx.stats().rejoins > 0 and rx.groups, "the group to be joined again")
        assert is_received(rx, group, named)


SANDBOXED = """
import sys
from tests.support import sandbox
sandbox.forbid_netlink()
from multicast.sync import Receiver, Sender, interfaces
group, interface = sys.argv[1], sys.argv[2] or None
named = {one.name: set(one.addresses) for one in interfaces()}
assert {"192.0.2.2", "2001:db8::2"} <= named["veth0"], named
assert {"127.0.0.1", "::1"} <= named["lo"], named
sent_on = "lo" if interface == "all" else interface
with Receiver(group, 0, interface=interface) as rx, Sender(group, rx.port, interface=sent_on) as tx:
    print("ready", flush=True)
    for line in sys.stdin:
        tx.send(line.encode())
        print(rx.recv(timeout=10).data.decode() + str([one.group for one in rx.groups]), flush=True)
"""


@pytest.mark.parametrize("interface", ["", "veth0", "all"])
@pytest.mark.parametrize("group", GROUPS)
def test_receiver_without_netlink_opens_and_stays_joined(group: str, interface: str) -> None:
    argv = [sys.executable, "-c", SANDBOXED, group, interface]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            assert program.stdout.readline() == "ready\n"
            # Without notifications, the receiver looks at the interfaces once per second.
            sh("ip addr add 192.0.2.78/32 dev veth0")
            began, number = time.monotonic(), 0
            while time.monotonic() - began < 1.2:
                program.stdin.write(f"{number}\n")
                assert program.stdout.readline() == f"{number}\n"
                assert group in program.stdout.readline()
                number += 1
        finally:
            program.stdin.close()
            sh("ip addr del 192.0.2.78/32 dev veth0 2>/dev/null || true")
        assert program.wait(PATIENCE) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("several", [False, True], ids=["alone", "in a list"])
@pytest.mark.parametrize("group", GROUPS)
def test_interface_by_other_name_is_joined_and_healed(
    named: str, name: str, several: bool, group: str
) -> None:
    with Receiver(group, 0, interface=[name] if several else name) as rx:
        assert is_received(rx, group, named)
        sh("ip link del up0")
        until(lambda: rx.stats().interface_events > 0 and not rx.groups, "the interface to be gone")
        plug_in()
        until(lambda: rx.stats().rejoins > 0 and rx.groups, "the group to be joined again")
        assert is_received(rx, group, named)
        rx.leave(group, name)
        assert rx.groups == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", GROUPS)
def test_sender_interface_by_other_name_is_found(named: str, name: str, group: str) -> None:
    with Receiver(group, 0, interface=named) as rx, Sender(group, rx.port, interface=name) as tx:
        tx.send(b"x")
        source = rx.recv(timeout=PATIENCE).sender[0]
    if "." in group:
        # A label belongs to an address, which is the source then.
        assert source == ("10.9.8.1" if name == "up0:1" else "192.0.2.77")


@pytest.mark.parametrize("name", NAMES)
def test_leave_with_sources_accepts_every_name(named: str, name: str) -> None:
    with Receiver("10.9.8.9@232.9.7.7", 0, interface=named) as rx:
        with pytest.raises(ValueError, match=r"cannot leave 10\.9\.8\.8@232\.9\.7\.7 on \S+: not joined"):
            rx.leave("10.9.8.8@232.9.7.7", name)
        assert joined(rx) == ["232.9.7.7"]
        rx.leave("10.9.8.9@232.9.7.7", name)
        assert joined(rx) == []
