"""Source-specific groups between hosts: exactly the right datagrams, and what the reports on the wire say.

`h1` listens, `h2` and `h3` send; nothing but plain sockets there.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.hosts import Host
from tests.support.waiting import until, until_bound

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

PORT = 50123

# Runs on a host: joins, says so, and prints what it hears until the mark of every sender has come.
LISTEN = (
    """
import json, sys
from multicast.sync import Receiver
options, marks = json.loads(sys.argv[1]), int(sys.argv[2])
with Receiver(port=%d, interface="eth0", **options) as rx:
    print("ready", flush=True)
    while marks:
        d = rx.recv(timeout=20)
        if d.data == b"mark":
            marks -= 1
        else:
            print(json.dumps([d.data.decode(), d.sender[0], d.group, d.interface, d.ttl]), flush=True)
    print(json.dumps(rx.stats().filtered), flush=True)
"""
    % PORT
)

# Runs on a host: one datagram to each group, then the mark to the last one.
SEND = """
import socket, sys
ttl, *groups = sys.argv[1:]
for number, group in enumerate(groups):
    v6 = ":" in group
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        index = socket.if_nametoindex("eth0")
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, int(ttl))
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, int(ttl))
        data = b"mark" if number == len(groups) - 1 else group.encode()
        sock.sendto(data, (group, %d, 0, index) if v6 else (group, %d))
""" % (PORT, PORT)


@contextmanager
def listening(host: Host, options: dict[str, object], marks: int) -> Iterator["subprocess.Popen[str]"]:
    with host.popen(sys.executable, "-c", LISTEN, json.dumps(options), str(marks)) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
            yield process
        finally:
            process.kill()


def hear(
    hosts: list[Host], options: dict[str, object], sent: list[str], mark: str
) -> tuple[list[object], int]:
    """What h1 hears of what h2 and h3 send to each of the groups, and how much it filtered.

    Args:
        options: of the receiver.
        sent: the groups that each of them sends to.
        mark: a group that h1 hears from both, which tells that they are done.
    """
    with listening(hosts[0], options, 2) as process:
        for host, ttl in ((hosts[1], "3"), (hosts[2], "5")):
            done = host.run(sys.executable, "-c", SEND, ttl, *sent, mark)
            assert done.returncode == 0, done.stderr
        output, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
    *heard, filtered = [json.loads(line) for line in output.splitlines()]
    return heard, filtered


FAMILIES = {
    "v4": ("239.7.7.1", "232.7.7.1", "239.7.7.9"),
    "v6": ("ff15::7:1", "ff35::7:1", "ff15::7:9"),
}


def address(host: Host, group: str) -> str:
    return host.ipv6 if ":" in group else host.ipv4


def index_on(host: Host) -> int:
    done = host.run("cat", "/sys/class/net/eth0/ifindex")
    found = host.run("ip", "-o", "link", "show", "eth0").stdout.split(":")[0]
    assert found.isdigit(), (done, found)
    return int(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_what_was_joined_is_heard(family: str, hosts: list[Host]) -> None:
    anyone, specific, mark = FAMILIES[family]
    _, second, third = (address(host, anyone) for host in hosts)
    options: dict[str, object] = {"group": [anyone, f"{second}@{specific}", mark]}
    heard, _ = hear(hosts, options, [anyone, specific, anyone[:-1] + "2"], mark)
    here = index_on(hosts[0])
    assert heard == [
        [anyone, second, anyone, here, 3],
        [specific, second, specific, here, 3],
        [anyone, third, anyone, here, 5],
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_excluded_source_is_not_heard(family: str, hosts: list[Host]) -> None:
    anyone, _, mark = FAMILIES[family]
    second, third = (address(host, anyone) for host in hosts[1:])
    script = LISTEN.replace('    print("ready"', f"    rx.join({mark!r}, 'eth0')\n    print(\"ready\"")
    with hosts[0].popen(
        sys.executable, "-c", script, json.dumps({"group": anyone, "exclude": second}), "2"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for host in hosts[1:]:
            assert host.run(sys.executable, "-c", SEND, "1", anyone, mark).returncode == 0
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert [json.loads(line)[1] for line in output.splitlines()[:-1]] == [third]


@pytest.mark.parametrize("family", FAMILIES)
def test_several_sources_are_heard(family: str, hosts: list[Host]) -> None:
    _, specific, mark = FAMILIES[family]
    second, third = (address(host, specific) for host in hosts[1:])
    listed = ",".join([second, third])
    heard, _ = hear(hosts, {"group": [f"{listed}@{specific}", mark]}, [specific], mark)
    assert [one[1] for one in heard if isinstance(one, list)] == [second, third]


REPORTS = {
    # RFC 3376 section 4.2.12: 3 CHANGE_TO_INCLUDE, 4 CHANGE_TO_EXCLUDE, 5 ALLOW_NEW_SOURCES, 6 BLOCK_OLD_SOURCES.
    "v4 any": ({"group": "239.7.7.1"}, "igmp", "239.7.7.1", {("4", "")}),
    "v4 source": ({"group": "10.77.0.2@232.7.7.1"}, "igmp", "232.7.7.1", {("5", "10.77.0.2")}),
    "v4 exclude": (
        {"group": "239.7.7.1", "exclude": "10.77.0.2"},
        "igmp",
        "239.7.7.1",
        {("4", ""), ("6", "10.77.0.2"), ("4", "10.77.0.2")},
    ),
    "v6 any": ({"group": "ff15::7:1"}, "icmpv6", "ff15::7:1", {("4", "")}),
    "v6 source": ({"group": "fd77::2@ff35::7:1"}, "icmpv6", "ff35::7:1", {("5", "fd77::2")}),
    "v6 exclude": (
        {"group": "ff15::7:1", "exclude": "fd77::2"},
        "icmpv6",
        "ff15::7:1",
        {("4", ""), ("6", "fd77::2"), ("4", "fd77::2")},
    ),
}

FIELDS = {
    "igmp": ("igmp.version == 3 and igmp.type == 0x22", "igmp.record_type", "igmp.maddr", "igmp.saddr"),
    "icmpv6": (
        "icmpv6.type == 143",
        "icmpv6.mldr.mar.record_type",
        "icmpv6.mldr.mar.multicast_address",
        "icmpv6.mldr.mar.source_address",
    ),
}
