"""Test interfaces given by name, index and address, and the list of interfaces."""

import errno
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

from multicast import Datagram
from multicast.sync import Receiver, Sender, interfaces
from tests.support.tools import need
from tests.support.waiting import until
from tests.wire.exchange import PATIENCE

pytestmark = pytest.mark.private_net


def index() -> int:
    return socket.if_nametoindex("veth0")


NAMES: dict[str, Callable[[], str | int]] = {
    "name": lambda: "veth0",
    "index": index,
    "index as text": lambda: str(index()),
    "IPv4 address": lambda: "192.0.2.2",
    "IPv6 address": lambda: "2001:db8::2",
}


def joined_on(rx: Receiver) -> list[int | None]:
    return [membership.interface_index for membership in rx.groups]


@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES.keys())
def test_interface_by_name_index_or_address_is_the_same(group: str, named: Callable[[], str | int]) -> None:
    interface = named()
    with Receiver(group, 0, interface=interface) as rx, Sender(group, rx.port, interface=interface) as tx:
        assert joined_on(rx) == [index()]
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).interface_index == index()
        rx.leave(group, interface)
        assert joined_on(rx) == []
        rx.join(group, interface)
        assert joined_on(rx) == [index()]


@pytest.mark.parametrize("group", ["239.9.8.7%veth0", "ff15::9:8:7%veth0", "ff02::114%veth0"])
def test_interface_zone_of_endpoint_overrides_the_argument(group: str) -> None:
    with Receiver(group, 0, interface="lo") as rx, Sender(group, rx.port, interface="lo") as tx:
        tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).interface_index == index()


def test_sender_interface_address_becomes_the_source_address() -> None:
    with Receiver("239.9.8.7", 0, interface="lo") as rx:
        with Sender("239.9.8.7", rx.port, interface="127.0.0.1") as tx:
            tx.send(b"x")
        assert rx.recv(timeout=PATIENCE).sender[0] == "127.0.0.1"


UNKNOWN = [
    ("eth99", errno.ENODEV, "cannot use eth99: No such device"),
    ("a-name-longer-than-any-is", errno.ENODEV, "cannot use a-name-longer-than-any-is: No such device"),
    (4711, errno.ENODEV, "cannot use interface 4711: No such device"),
    ("4711", errno.ENODEV, "cannot use interface 4711: No such device"),
    ("203.0.113.9", errno.EADDRNOTAVAIL, "cannot use the interface with address 203.0.113.9"),
    ("2001:db8::99", errno.EADDRNOTAVAIL, "cannot use the interface with address 2001:db8::99"),
]


@pytest.mark.parametrize(("interface", "code", "part"), UNKNOWN)
@pytest.mark.parametrize("group", ["239.9.8.7", "ff15::9:8:7"])
def test_interface_unknown_raises_error_that_lists_the_others(
    group: str, interface: str | int, code: int, part: str
) -> None:
    with Receiver(group, 0, interface="lo") as rx:
        for call in (
            lambda: Receiver(group, 0, interface=interface),
            lambda: Sender(group, 5000, interface=interface),
            lambda: rx.join("239.9.8.8", interface),
            lambda: rx.leave(group, interface),
        ):
            with pytest.raises(OSError, match="interfaces here: lo ") as caught:
                call()
            assert caught.value.errno == code
            assert part in str(caught.value)
            assert "veth0 (192.0.2.2)" in str(caught.value)
        assert [membership.group for membership in rx.groups] == [group]


def test_interfaces_lists_those_of_the_system() -> None:
    listed = interfaces()
    assert [(one.index, one.name) for one in listed] == sorted(socket.if_nameindex())
    found = {one.name: one for one in listed}
    assert (found["lo"].is_up, found["lo"].is_loopback) == (True, True)
    assert {"127.0.0.1", "::1"} <= set(found["lo"].addresses)
    assert (found["veth0"].is_up, found["veth0"].is_multicast) == (True, True)
    assert not found["veth0"].is_loopback
    assert {"192.0.2.2", "2001:db8::2"} <= set(found["veth0"].addresses)


def ip(words: str) -> None:
    subprocess.run([need("ip"), *words.split()], check=True)


@pytest.fixture
def renameable() -> Iterator[str]:
    """An interface with a link-local address; a test can name it ``renamed``."""
    ip("link add rn0 type veth peer name rn1")
    try:
        ip("link set rn1 up")
        ip("addr add 10.66.0.1/24 dev rn0")
        ip("link set rn0 addrgenmode none")
        switch_on("rn0")
        yield "rn0"
    finally:
        for name in ("rn0", "renamed"):
            subprocess.run([need("ip"), "link", "del", name], check=False, capture_output=True)


def switch_on(name: str) -> None:
    """Switch an interface on, and wait until groups can be sent by it: IPv6 has a route once the link is ready."""
    ip(f"link set {name} up")
    ip(f"addr replace fe80::77/64 dev {name} nodad")
    find = [need("ip"), "-6", "route", "show", "table", "local", "dev", name]
    until(
        lambda: (
            "multicast ff00::/8" in subprocess.run(find, check=True, capture_output=True, text=True).stdout
        ),
        f"the routes of {name}",
    )


TAKES: dict[str, Callable[[Receiver], Datagram]] = {
    "recv": lambda rx: rx.recv(timeout=PATIENCE),
    "iteration": lambda rx: next(iter(rx)),
    "batch": lambda rx: rx.recv_batch(1, timeout=PATIENCE)[0],
    "batches": lambda rx: next(iter(rx.batches(1, timeout=PATIENCE)))[0],
}


@pytest.mark.private_net
@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES.keys())
@pytest.mark.parametrize("ring", [None, 100], ids=["direct", "ring"])
@pytest.mark.parametrize("group", ["239.9.8.7", "ff12::9:8:7"])
def test_datagram_after_a_rename_has_the_new_name(
    group: str, ring: int | None, take: Callable[[Receiver], Datagram], renameable: str
) -> None:
    """Names are cached by index. The zone of a link-local sender is one of them."""
    index = socket.if_nametoindex(renameable)

    def assert_next_is_from(name: str) -> None:
        with Sender(group, rx.port, interface=index) as tx:
            tx.send(name.encode())
        if ring is not None:
            # It is there, so that the call that takes it does not wait.
            until(lambda: rx.pending == 1, "the datagram")
        message = take(rx)
        assert (message.data, message.interface, message.interface_index) == (name.encode(), name, index)
        if ":" in group:
            assert message.sender[0] == f"fe80::77%{name}"

    with Receiver(group, 0, interface=renameable, ring=ring) as rx:
        assert_next_is_from(renameable)
        ip(f"link set {renameable} down")
        ip(f"link set {renameable} name renamed")
        switch_on("renamed")
        if ring is None:
            # Without a thread, it looks when it waits.
            with pytest.raises(TimeoutError):
                rx.recv(timeout=0.01)
        assert_next_is_from("renamed")
