"""Test against other programs: socat sends and receives, and tshark sees the requested fields on the wire.

``test_interoperation.py`` tests more programs, between hosts.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest

from multicast.sync import Receiver, Sender
from tests.support import waiting
from tests.support.hosts import Host
from tests.support.programs import Program
from tests.wire.exchange import LOOPBACK, PATIENCE
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

Tool = Callable[[str], str]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_receiver_socat_datagram_is_received(tool: Tool, tmp_path: Path, stack: ExitStack) -> None:
    said = bytes(range(256)) * 5
    (tmp_path / "said").write_bytes(said)
    rx = stack.enter_context(LOOPBACK.receiver())
    target = f"UDP4-DATAGRAM:{LOOPBACK.group}:{rx.port},ip-multicast-if=127.0.0.1,ip-multicast-ttl=7"
    socat = stack.enter_context(Program([tool("socat"), "-u", f"OPEN:{tmp_path}/said", target]))
    heard = rx.recv(timeout=PATIENCE)
    assert (heard.data, heard.sender[0], heard.group, heard.ttl) == (said, "127.0.0.1", LOOPBACK.group, 7)
    assert socat.finish() == 0


def test_sender_datagram_is_received_by_socat(tool: Tool, free_port: int, stack: ExitStack) -> None:
    source = f"UDP4-RECV:{free_port},reuseaddr,ip-add-membership={LOOPBACK.group}:127.0.0.1"
    socat = stack.enter_context(Program([tool("socat"), "-u", source, "STDOUT"]))
    socat.until_bound(free_port)
    tx = stack.enter_context(LOOPBACK.sender(free_port))
    # socat joins after it binds, and only the binding can be seen from here, so send until it prints.
    send_until_printed(tx, socat, "heard by socat")


def send_until_printed(tx: Sender, listener: Program, text: str) -> None:
    def heard() -> bool:
        tx.send(text.encode() + b"\n")
        return text in listener.out

    waiting.until(heard, f"{text!r}; it printed {listener.out} {listener.err}")


def watch(tool: Tool, interface: str, what: str, *fields: str) -> Program:
    """Start tshark, which prints ``fields``, tab-separated, of each frame that matches the capture filter ``what``."""
    argv = [tool("tshark"), "-l", "-n", "-i", interface, "-f", what, "-T", "fields"]
    return Program([*argv, *(word for field in fields for word in ("-e", field))])


def first_seen(tshark: Program, tx: Sender) -> list[str]:
    """Send until tshark, which takes a moment to start, prints a datagram. Return its fields."""

    def seen() -> str:
        tx.send(b"x")
        return tshark.out

    return waiting.until(seen, "tshark to see a datagram").splitlines()[0].split("\t")


@pytest.mark.parametrize("ttl", [9])
@pytest.mark.parametrize("version", [4, 6])
def test_sender_ttl_between_hosts_is_seen_by_tshark(
    tool: Tool, stack: ExitStack, hosts: list[Host], version: int, ttl: int
) -> None:
    group, hops = ("239.9.8.7", "ip.ttl") if version == 4 else ("ff15::9:8:7", "ipv6.hlim")
    address = hosts[0].ipv4 if version == 4 else hosts[0].ipv6
    source = "ip.src" if version == 4 else "ipv6.src"
    tshark = stack.enter_context(watch(tool, "br0", "udp port 50123", hops, "udp.dstport", source))
    with on(hosts[0]):
        tx = stack.enter_context(Sender(group, 50123, interface="eth0", ttl=ttl))
    assert first_seen(tshark, tx) == [str(ttl), "50123", address]


def test_sender_ttl_on_loopback_is_seen_by_tshark(tool: Tool, stack: ExitStack) -> None:
    tshark = stack.enter_context(watch(tool, "lo", "udp port 50124", "ip.ttl", "ip.dst"))
    tx = stack.enter_context(LOOPBACK.sender(50124, ttl=9))
    assert first_seen(tshark, tx) == ["9", LOOPBACK.group]


# The record types of RFC 3376 section 4.2.12 and RFC 3810 section 5.2.12.
CHANGE_TO_INCLUDE, CHANGE_TO_EXCLUDE, ALLOW_NEW_SOURCES, BLOCK_OLD_SOURCES = "3", "4", "5", "6"


@pytest.mark.parametrize(("version", "engine"), [(4, "socket"), (6, "socket"), (4, "packet")])
def test_join_and_leave_reports_are_seen_by_tshark(
    tool: Tool, stack: ExitStack, hosts: list[Host], version: int, engine: Literal["socket", "packet"]
) -> None:
    host = hosts[1]
    if version == 4:
        what, fields = "igmp", ("igmp.record_type", "igmp.maddr", "igmp.saddr")
        groups = {"any": "239.9.6.1", "only": "232.9.6.2", "except": "239.9.6.3"}
        source = hosts[0].ipv4
    else:
        what, fields = (
            "icmp6 or ip6[6] == 0",
            (
                "icmpv6.mldr.mar.record_type",
                "icmpv6.mldr.mar.multicast_address",
                "icmpv6.mldr.mar.source_address",
            ),
        )
        groups = {"any": "ff15::9:6:1", "only": "ff35::9:6:2", "except": "ff15::9:6:3"}
        source = hosts[0].ipv6
    tshark = stack.enter_context(watch(tool, "br0", f"{what} or udp port 50125", *fields))
    with on(host):
        tx = stack.enter_context(Sender(groups["any"], 50125, interface="eth0"))
    first_seen(tshark, tx)

    def reported(kind: str, group: str, *named: str) -> None:
        """Wait for a report with this record. A report may hold several records, their fields joined by commas."""

        def seen() -> bool:
            rows = [[field.split(",") for field in line.split("\t")] for line in tshark.out.splitlines()]
            return any(
                (kind, group) in zip(kinds, addresses, strict=True) and set(named) <= set(sources)
                for kinds, addresses, sources in rows
            )

        waiting.until(seen, f"a record of type {kind} for {group}")

    with on(host):
        rx = stack.enter_context(Receiver(groups["any"], 0, interface="eth0", engine=engine))
        reported(CHANGE_TO_EXCLUDE, groups["any"])
        rx.join(groups["only"], "eth0", source=source)
        reported(ALLOW_NEW_SOURCES, groups["only"], source)
        rx.join(groups["except"], "eth0", exclude=source)
        reported(CHANGE_TO_EXCLUDE, groups["except"], source)
        rx.leave(groups["only"], "eth0")
        reported(BLOCK_OLD_SOURCES, groups["only"], source)
        rx.leave(groups["any"], "eth0")
        reported(CHANGE_TO_INCLUDE, groups["any"])


@pytest.mark.parametrize("version", [4, 6])
def test_rejoin_repeated_reports_are_seen_by_tshark(
    tool: Tool, stack: ExitStack, hosts: list[Host], version: int
) -> None:
    host = hosts[1]
    group = "239.9.6.4" if version == 4 else "ff15::9:6:4"
    what, fields = (
        ("igmp", ("igmp.record_type", "igmp.maddr"))
        if version == 4
        else ("icmp6 or ip6[6] == 0", ("icmpv6.mldr.mar.record_type", "icmpv6.mldr.mar.multicast_address"))
    )
    tshark = stack.enter_context(watch(tool, "br0", f"{what} or udp port 50125", *fields))
    with on(host):
        tx = stack.enter_context(Sender(group, 50125, interface="eth0"))
        first_seen(tshark, tx)
        # The kernel repeats a report within a second (RFC 3376 section 8.11, RFC 3810 section 9.14) or at the next
        # change. Nothing else changes here, so more reports than that come from rejoining.
        rx = stack.enter_context(Receiver(group, 0, interface="eth0", rejoin=0.2))
    wanted = 8

    def enough() -> bool:
        with pytest.raises(TimeoutError):
            rx.recv(timeout=0.2)
        return sum(f"{CHANGE_TO_EXCLUDE}\t{group}" in line for line in tshark.out.splitlines()) >= wanted

    waiting.until(enough, f"{wanted} reports; it printed {tshark.out}")


REFRESHED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "v4": ("239.9.6.5", CHANGE_TO_EXCLUDE, {}),
    "v4 exclude": ("239.9.6.5", CHANGE_TO_EXCLUDE, {"exclude": "10.0.0.77"}),
    "v4 source": ("232.9.6.5", CHANGE_TO_INCLUDE, {"source": "192.0.2.2"}),
    "v6": ("ff15::9:6:5", CHANGE_TO_EXCLUDE, {}),
    "v6 exclude": ("ff15::9:6:5", CHANGE_TO_EXCLUDE, {"exclude": "fd09::77"}),
    "v6 source": ("ff35::9:6:5", CHANGE_TO_INCLUDE, {"source": "2001:db8::2"}),
}


@pytest.mark.parametrize(("group", "record", "choice"), REFRESHED.values(), ids=REFRESHED.keys())
def test_rejoin_with_traffic_is_reported_to_tshark(
    tool: Tool, stack: ExitStack, group: str, record: str, choice: dict[str, Any]
) -> None:
    """The kernel reports a group whose membership has no gap, which the traffic would show."""
    what, fields = (
        ("igmp", ("igmp.record_type", "igmp.maddr"))
        if "." in group
        else ("icmp6 or ip6[6] == 0", ("icmpv6.mldr.mar.record_type", "icmpv6.mldr.mar.multicast_address"))
    )
    tshark = stack.enter_context(watch(tool, "veth0", f"{what} or udp port 50127", *fields))
    tx = stack.enter_context(Sender(group, 50127, interface="veth0"))
    first_seen(tshark, tx)
    rx = stack.enter_context(Receiver(group, 50127, interface="veth0", rejoin=0.2, **choice))
    wanted = 8

    def enough() -> bool:
        tx.send(b"x")
        rx.recv(timeout=PATIENCE)
        rx.stats()
        return sum(f"{record}\t{group}" in line for line in tshark.out.splitlines()) >= wanted

    waiting.until(enough, f"{wanted} reports; it printed {tshark.out}", timeout=20)
