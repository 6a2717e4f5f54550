"""Test groups that cannot be joined or left: the class, the errno and the message of each error.

Afterwards nothing has changed: neither the receiver's groups, nor the kernel's memberships, nor what is delivered.
Arguments that are rejected before any system call are also tested in ``tests/unit/test_sync_args.py``.
"""

import errno
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from multicast.sync import Receiver, Sender
from tests.wire.exchange import PATIENCE

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

VETH = "veth0"
HELD = [
    f"239.9.5.1%{VETH}",
    f"192.0.2.1,192.0.2.3@232.9.5.1%{VETH}",
    f"ff15::9:5:1%{VETH}",
    f"2001:db8::1@ff35::9:5:1%{VETH}",
    "239.9.5.2%lo",
]
"""The groups that the receiver under test has joined."""

FREE, FREE6 = "239.9.5.99", "ff15::9:5:99"
HERE = r"\(interfaces here: lo \(127\.0\.0\.1\), "
JOINED = rf"\(the group is joined for 192\.0\.2\.1, 192\.0\.2\.3 on {VETH}\)$"
SOURCES4 = [f"10.0.1.{number}" for number in range(1, 30)]
SOURCES6 = [f"fd01::{number:x}" for number in range(1, 200)]


@dataclass(frozen=True)
class Case:
    """A call that fails, and its error."""

    call: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    number: int | None
    """The errno of an OSError, or None for bad input, which is a ValueError."""
    why: str

    def __str__(self) -> str:
        said = [
            repr(arg) if len(repr(arg)) < 60 else f"{type(arg).__name__} of {len(arg)}" for arg in self.args
        ]
        said += [
            f"{name}={value!r}" if len(repr(value)) < 60 else f"{name}={len(value)} of them"
            for name, value in self.options.items()
        ]
        return f"{self.call}({', '.join(said)})"


def join(*args: Any, why: str, number: int | None = None, **options: Any) -> Case:
    return Case("join", args, options, number, why)


def leave(*args: Any, why: str, number: int | None = None, **options: Any) -> Case:
    return Case("leave", args, options, number, why)


CASES = [
    # of two families
    join(
        f"2001:db8::1@{FREE}",
        VETH,
        why="source must be of the same IP version as group 239.9.5.99, got 2001:db8::1",
    ),
    join(
        f"192.0.2.1@{FREE6}",
        VETH,
        why="source must be of the same IP version as group ff15::9:5:99, got 192.0.2.1",
    ),
    join(
        FREE6,
        VETH,
        source="::ffff:192.0.2.1",
        why="source must be of the same IP version as group .*, got ::ffff:192.0.2.1",
    ),
    join(
        FREE,
        VETH,
        exclude=["192.0.2.1", "2001:db8::1"],
        why="source must be of the same IP version as group .*, got 2001:db8::1",
    ),
    join(
        [FREE, FREE6],
        VETH,
        source="192.0.2.1",
        why="source must be of the same IP version as group ff15::9:5:99, got 192.0.2.1",
    ),
    join(
        [FREE6, FREE],
        VETH,
        exclude="2001:db8::1",
        why="source must be of the same IP version as group 239.9.5.99, got",
    ),
    # groups that are none
    join("192.0.2.1", VETH, why=r"group must be a multicast address .*, got 192.0.2.1"),
    join("2001:db8::1", VETH, why=r"group must be a multicast address .*, got 2001:db8::1"),
    join([FREE, "240.0.0.0"], VETH, why=r"group must be a multicast address .*, got 240.0.0.0"),
    join("239.255.255.255+2", VETH, why=r"group must be a multicast address .*, got 240.0.0.0"),
    join("239.9.5.0/24", "lo", why="cannot join 239.9.5.2 on lo: already joined"),
    join("239.9.5.99/24", VETH, why=r"write 239\.9\.5\.0/24"),
    join(f"{FREE}:1", VETH, why="the port is given twice"),
    # zones and interfaces
    join("ff02::9:5", why="interface must be given for the link-local group ff02::9:5, as in ff02::9:5%eth0"),
    join("ff01::9:5", why="interface must be given for the link-local group ff01::9:5, as in ff01::9:5%eth0"),
    join("ff02::9:5%", why="an empty or a second interface"),
    join("ff02::9:5%0", why="interface must be an index from 1 to 2147483647, got 0"),
    join("ff02::9:5%nosuch0", number=errno.ENODEV, why=f"cannot use nosuch0: No such device {HERE}"),
    join(f"{FREE}%9999", number=errno.ENODEV, why=f"cannot use interface 9999: No such device {HERE}"),
    join(
        FREE,
        "203.0.113.9",
        number=errno.EADDRNOTAVAIL,
        why=f"with address 203.0.113.9: Cannot assign .* {HERE}",
    ),
    join(FREE6, "fd09::9", number=errno.EADDRNOTAVAIL, why=f"with address fd09::9: Cannot assign .* {HERE}"),
    join(FREE, FREE, why="interface must be the address of an interface, got the group 239.9.5.99"),
    join(FREE, "", why='interface must be the name, index or address of an interface, got ""'),
    join(
        FREE, [], why="interface must be a list of at least one interface for 239.9.5.99, got an empty list"
    ),
    join(FREE, ["lo", "all"], why='interface must name a single interface here, got "all"'),
    join(
        FREE,
        ["nosuch0", "nosuch1"],
        number=errno.ENODEV,
        why=r"cannot join 239\.9\.5\.99 on any interface: .* \(nosuch0: there is no such interface; nosuch1: there",
    ),
    # sources
    join(FREE, VETH, source="239.1.1.1", why="source must be a unicast address, got 239.1.1.1"),
    join(FREE, VETH, source="0.0.0.0", why="source must be a unicast address, got 0.0.0.0"),
    join(
        FREE,
        VETH,
        source=["192.0.2.1", "255.255.255.255"],
        why="source must be a unicast address, got 255.255.255.255",
    ),
    join(FREE, VETH, exclude="239.1.1.1", why="source must be a unicast address, got 239.1.1.1"),
    join(FREE6, VETH, source="::", why="source must be a unicast address, got ::"),
    join(FREE6, VETH, source="ff02::1", why="source must be a unicast address, got ff02::1"),
    join(FREE6, VETH, source="", why='source must be an IPv4 or IPv6 address, got ""'),
    join(f"host@{FREE}", VETH, why='source must be an IPv4 or IPv6 address, got "host"'),
    join(f"@{FREE}", VETH, why="has an empty source before '@'"),
    join(
        FREE6,
        "lo",
        source=f"fe80::1%{VETH}",
        why=f"source fe80::1%{VETH} is on another interface than its group, which is joined on lo",
    ),
    join(
        FREE6, source="fe80::1%nosuch0", number=errno.ENODEV, why=f"cannot use nosuch0: No such device {HERE}"
    ),
    join(
        FREE, VETH, source="192.0.2.1", exclude="192.0.2.2", why="source and exclude must not both be given"
    ),
    join(f"192.0.2.1@{FREE}", VETH, exclude="192.0.2.2", why="source and exclude must not both be given"),
    join(
        "232.9.5.99",
        VETH,
        why=r"source-specific group .* \(RFC 4607\), as in 10.0.0.1@232.9.5.99",
    ),
    join("232.9.5.99", VETH, exclude="192.0.2.1", why=r"source-specific group .* \(RFC 4607\), as in"),
    join("ff35::9:5:99", VETH, why=r"\(RFC 4607\), as in fd00::1@ff35::9:5:99"),
    join(
        "ff3e::8000:1",
        VETH,
        exclude="2001:db8::1",
        why=r"source-specific group .* \(RFC 4607\), as in",
    ),
    join("231.255.255.255+2", VETH, why="source must be given for the source-specific group 232.0.0.0"),
    # joined before
    join("239.9.5.1", VETH, why=f"cannot join 239.9.5.1 on {VETH}: already joined$"),
    join("239.9.5.1", "192.0.2.2", why=f"cannot join 239.9.5.1 on {VETH}: already joined$"),
    join("ff15::9:5:1", "2001:db8::2", why=f"cannot join ff15::9:5:1 on {VETH}: already joined$"),
    join("FF15:0::9:5:1", VETH, why=f"cannot join ff15::9:5:1 on {VETH}: already joined$"),
    join("239.9.5.2", why="cannot join 239.9.5.2 on lo: already joined$"),
    join([FREE, FREE], VETH, why=f"cannot join 239.9.5.99 on {VETH}: already joined$"),
    join([FREE, "239.9.5.1"], VETH, why=f"cannot join 239.9.5.1 on {VETH}: already joined$"),
    join(
        "239.9.5.1",
        VETH,
        source="192.0.2.1",
        why=r"already joined for other sources \(leave it first",
    ),
    join("192.0.2.1,192.0.2.3@232.9.5.1", VETH, why="cannot join 192.0.2.1@232.9.5.1: already joined$"),
    join("192.0.2.9,192.0.2.3@232.9.5.1", why="cannot join 192.0.2.3@232.9.5.1: already joined$"),
    # limits of the system
    join(FREE, VETH, source=SOURCES4, number=errno.ENOBUFS, why=r"limit on sources.*net\.ipv4\.igmp_max_msf"),
    join(
        FREE, VETH, exclude=SOURCES4, number=errno.ENOBUFS, why=r"limit on sources.*net\.ipv4\.igmp_max_msf"
    ),
    join(FREE6, VETH, source=SOURCES6, number=errno.ENOBUFS, why=r"limit on sources.*net\.ipv6\.mld_max_msf"),
    join(
        FREE6, VETH, exclude=SOURCES6, number=errno.ENOBUFS, why=r"limit on sources.*net\.ipv6\.mld_max_msf"
    ),
    join(
        [FREE, "232.9.5.99"],
        VETH,
        source=SOURCES4,
        number=errno.ENOBUFS,
        why=f"cannot join {FREE} on {VETH}: ",
    ),
    # never joined
    leave(FREE, why="cannot leave 239.9.5.99: not joined"),
    leave(FREE6, why="cannot leave ff15::9:5:99: not joined"),
    leave("239.9.5.1", "lo", why="cannot leave 239.9.5.1 on lo: not joined"),
    leave("ff15::9:5:1%lo", why="cannot leave ff15::9:5:1 on lo: not joined"),
    leave("239.9.5.1+2", VETH, why=f"cannot leave 239.9.5.2 on {VETH}: not joined"),
    leave("239.9.5.0/30", why="cannot leave 239.9.5.0: not joined"),
    leave("239.9.5.1", "nosuch0", number=errno.ENODEV, why=f"cannot use nosuch0: No such device {HERE}"),
    leave(
        "239.9.5.1", "203.0.113.9", number=errno.EADDRNOTAVAIL, why="with address 203.0.113.9: Cannot assign"
    ),
    leave("192.0.2.1", why=r"group must be a multicast address .*, got 192.0.2.1"),
    leave("239.9.5.1:1", why="the port is given twice"),
    leave("192.0.2.9@232.9.5.1", why=f"cannot leave 192.0.2.9@232.9.5.1: not joined {JOINED}"),
    leave("192.0.2.1,192.0.2.9@232.9.5.1", why=f"cannot leave 192.0.2.9@232.9.5.1: not joined {JOINED}"),
    leave("192.0.2.1@232.9.5.1", "lo", why=f"cannot leave 192.0.2.1@232.9.5.1 on lo: not joined {JOINED}"),
    leave(
        "192.0.2.1@239.9.5.1",
        why=rf"cannot leave 192.0.2.1@239.9.5.1: not joined \(the group is joined for any source on {VETH}\)$",
    ),
    leave("192.0.2.1@232.9.5.99", why="cannot leave 192.0.2.1@232.9.5.99: not joined$"),
]


def kernel_memberships() -> list[list[str]]:
    """Return the memberships and filters of the kernel without their timers, which change by themselves."""
    tables = {
        name: Path("/proc/net", name).read_text() for name in ("igmp", "igmp6", "mcfilter", "mcfilter6")
    }
    columns = {"igmp": 2, "igmp6": 4, "mcfilter": 5, "mcfilter6": 5}
    return [line.split()[: columns[name]] for name, text in tables.items() for line in text.splitlines()]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(scope="module")
def rx() -> Iterator[Receiver]:
    with Receiver(HELD, 0) as rx:
        yield rx


@dataclass(frozen=True)
class State:
    """The state that a failed call must not change."""

    groups: tuple[Any, ...]
    sockets: int
    memberships: list[list[str]]
    open_files: int

    @classmethod
    def of(cls, rx: Receiver) -> "State":
        return cls(rx.groups, rx.stats().sockets, kernel_memberships(), descriptors())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_join_or_leave_rejected_call_changes_nothing(case: Case, rx: Receiver) -> None:
    before = State.of(rx)
    call: Callable[..., None] = getattr(rx, case.call)
    with pytest.raises(ValueError if case.number is None else OSError) as caught:
        call(*case.args, **case.options)
    if case.number is None:
        assert type(caught.value) is ValueError
    assert getattr(caught.value, "errno", None) == case.number
    text = str(caught.value)
    assert re.search(case.why, text), text
    assert State.of(rx) == before
    with Sender("239.9.5.2", rx.port, interface="lo") as tx:
        tx.send(b"still heard")
    assert rx.recv(timeout=PATIENCE).data == b"still heard"


REJECTED_AT_OPENING = [case for case in CASES if case.call == "join" and "already joined" not in case.why]


@pytest.mark.parametrize("case", REJECTED_AT_OPENING, ids=str)
def test_receiver_rejected_group_leaves_nothing_open(case: Case) -> None:
    before = kernel_memberships(), descriptors()
    group, *where = case.args
    interface = {"interface": where[0]} if where else {}
    with pytest.raises(ValueError if case.number is None else OSError) as caught:
        Receiver(group, 0, **interface, **case.options)
    assert getattr(caught.value, "errno", None) == case.number
    assert re.search(case.why, str(caught.value)), caught.value
    assert (kernel_memberships(), descriptors()) == before


def test_join_sources_up_to_the_limit_are_joined() -> None:
    """As many sources as the system allows are joined. With one more, none is."""
    most = int(Path("/proc/sys/net/ipv4/igmp_max_msf").read_text())
    before = kernel_memberships()
    with Receiver(FREE, 0, interface=VETH, source=SOURCES4[:most]) as rx:
        assert len(rx.groups[0].sources) == most
    with pytest.raises(OSError, match="igmp_max_msf"):
        Receiver(FREE, 0, interface=VETH, source=SOURCES4[: most + 1])
    assert kernel_memberships() == before


# A packet receiver has a socket for its memberships only, and opens as many as it needs.
@pytest.mark.udp_sockets
@pytest.mark.parametrize(
    ("group", "setting"), [("239.8.0.0+30", "igmp_max_memberships"), ("ff15::8:0+5000", "optmem_max")]
)
def test_join_without_sharing_past_limit_of_one_socket_changes_nothing(group: str, setting: str) -> None:
    """Without sharing there is only one socket. Past its limit, none of the groups is joined."""
    with Receiver(HELD[0 if "." in group else 2], 0, share=False) as rx:
        before = State.of(rx)
        with pytest.raises(OSError, match=setting) as caught:
            rx.join(group, VETH)
        assert caught.value.errno in (errno.ENOBUFS, errno.ENOMEM)
        assert State.of(rx) == before


def test_join_group_joined_by_owner_of_adopted_socket_is_rejected() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        sock.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_ADD_MEMBERSHIP,
            socket.inet_aton(FREE) + socket.inet_aton("192.0.2.2"),
        )
        with Receiver.adopt(sock, "239.9.5.98", interface=VETH) as rx:
            before = State.of(rx)
            with pytest.raises(
                ValueError, match=r"cannot join 239\.9\.5\.99.*: already joined on this socket"
            ):
                rx.join(FREE, VETH)
            assert State.of(rx) == before
