"""Test source-specific groups between hosts: the datagrams received and the reports on the wire.

`h1` listens. `h2` and `h3` send with plain sockets.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from typing_extensions import Self

from tests.support.hosts import Host

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

PORT = 50123

# Run on a host: join, print "ready", and print what arrives until the mark of every sender has arrived.
LISTEN = """
import json, sys
from multicast.sync import Receiver
options, marks, port = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with Receiver(port=port, interface="eth0", **options) as rx:
    print("ready", flush=True)
    while marks:
        d = rx.recv(timeout=20)
        if d.data == b"mark":
            marks -= 1
        else:
            print(json.dumps([d.data.decode(), d.sender[0], d.group, d.interface_index, d.ttl]), flush=True)
    print(json.dumps(rx.stats().filtered), flush=True)
"""

# Run on a host: send one datagram to each group, then the mark to the last one.
SEND = """
import socket, sys
port, ttl = int(sys.argv[1]), int(sys.argv[2])
groups = sys.argv[3:]
for number, group in enumerate(groups):
    v6 = ":" in group
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        index = socket.if_nametoindex("eth0")
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        data = b"mark" if number == len(groups) - 1 else group.encode()
        sock.sendto(data, (group, port, 0, index) if v6 else (group, port))
"""


@contextmanager
def listening(
    host: Host, options: dict[str, object], marks: int
) -> Generator["subprocess.Popen[str]", None, None]:
    with host.popen(sys.executable, "-c", LISTEN, json.dumps(options), str(marks), str(PORT)) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
            yield process
        finally:
            process.kill()


def hear(
    hosts: list[Host], options: dict[str, object], sent: list[str], mark: str
) -> tuple[list[object], int]:
    """Return what h1 receives when h2 and h3 send to each group, and how much it filtered.

    Args:
        options: The options of the receiver.
        sent: The groups that each host sends to.
        mark: A group that h1 receives from both hosts, which marks the end.
    """
    with listening(hosts[0], options, 2) as process:
        for host, ttl in ((hosts[1], "3"), (hosts[2], "5")):
            done = host.run(sys.executable, "-c", SEND, str(PORT), ttl, *sent, mark)
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
    return int(host.run("ip", "-o", "link", "show", "eth0").stdout.split(":")[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_receiver_any_source_and_source_specific_receive_exactly_their_datagrams(
    family: str, hosts: list[Host]
) -> None:
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
def test_receiver_excluded_source_is_not_received(family: str, hosts: list[Host]) -> None:
    anyone, _, mark = FAMILIES[family]
    second, third = (address(host, anyone) for host in hosts[1:])
    script = LISTEN.replace('    print("ready"', f"    rx.join({mark!r}, 'eth0')\n    print(\"ready\"")
    with hosts[0].popen(
        sys.executable, "-c", script, json.dumps({"group": anyone, "exclude": second}), "2", str(PORT)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for host in hosts[1:]:
            assert host.run(sys.executable, "-c", SEND, str(PORT), "1", anyone, mark).returncode == 0
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert [json.loads(line)[1] for line in output.splitlines()[:-1]] == [third]


@pytest.mark.parametrize("family", FAMILIES)
def test_receiver_several_sources_are_received(family: str, hosts: list[Host]) -> None:
    _, specific, mark = FAMILIES[family]
    second, third = (address(host, specific) for host in hosts[1:])
    heard, _ = hear(hosts, {"group": [f"{second},{third}@{specific}", mark]}, [specific], mark)
    assert [one[1] for one in heard if isinstance(one, list)] == [second, third]


# For each kind of membership, the record that joins and the one that leaves. Record types of RFC 3376 section 4.2.12
# and RFC 3810 section 5.2.12: 3 CHANGE_TO_INCLUDE, 4 CHANGE_TO_EXCLUDE, 5 ALLOW_NEW_SOURCES, 6 BLOCK_OLD_SOURCES.
REPORTS: dict[str, tuple[dict[str, object], tuple[int, list[str]], tuple[int, list[str]]]] = {
    "v4 any": ({"group": "239.7.7.1"}, (4, []), (3, [])),
    "v4 source": ({"group": "10.77.0.2@232.7.7.1"}, (5, ["10.77.0.2"]), (6, ["10.77.0.2"])),
    "v4 exclude": ({"group": "239.7.7.2", "exclude": "10.77.0.2"}, (4, ["10.77.0.2"]), (3, [])),
    "v6 any": ({"group": "ff15::7:1"}, (4, []), (3, [])),
    "v6 source": ({"group": "fd77::2@ff35::7:1"}, (5, ["fd77::2"]), (6, ["fd77::2"])),
    "v6 exclude": ({"group": "ff15::7:2", "exclude": "fd77::2"}, (4, ["fd77::2"]), (3, [])),
}

# Run on a host: stay joined while standard input is open.
HOLD = """
import json, sys
from multicast.sync import Receiver
with Receiver(port=0, interface="eth0", **json.loads(sys.argv[1])):
    sys.stdin.read()
"""

FIELDS = {
    "igmp": ["igmp.record_type", "igmp.maddr", "igmp.num_src", "igmp.saddr"],
    "icmp6": [
        f"icmpv6.mldr.mar.{name}"
        for name in ("record_type", "multicast_address", "nb_sources", "source_address")
    ],
}


class Reports:
    """The group records that tshark captures on the interface of a host."""

    def __init__(self, host: Host, protocol: str) -> None:
        fields = [word for field in FIELDS[protocol] for word in ("-e", field)]
        # MLD follows a hop-by-hop header, which the capture filter "icmp6" does not skip.
        capture, display = ("igmp", "igmp") if protocol == "igmp" else ("ip6", "icmpv6.type == 143")
        command = [
            "tshark",
            "-i",
            "eth0",
            "-f",
            capture,
            "-Y",
            display,
            "-l",
            "-T",
            "fields",
            "-E",
            "separator=|",
        ]
        self._process = host.popen(*command, *fields, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self._lines = self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)

    def next(self) -> list[tuple[str, int, list[str]]]:
        """Return group, record type and sources of each record of the next packet."""
        line = self._lines.readline()
        assert line, "tshark has ended"
        parts: list[list[str]] = [part.split(",") if part else [] for part in line.strip().split("|")]
        kinds, groups, counts, sources = parts
        left = iter(sources)
        return [
            (group, int(kind, 0), [next(left) for _ in range(int(count))])
            for kind, group, count in zip(kinds, groups, counts, strict=True)
        ]

    def wait_for(self, group: str, record: tuple[int, list[str]] | None = None) -> None:
        """Read until a record of the group arrives, or this record of it if one is given."""
        while not any(
            one == group and record in (None, (kind, sources)) for one, kind, sources in self.next()
        ):
            pass


@contextmanager
def held(host: Host, options: dict[str, object]) -> Generator[None, None, None]:
    with host.popen(sys.executable, "-c", HOLD, json.dumps(options), stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            _, errors = process.communicate("", timeout=20)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("kind", REPORTS)
def test_join_and_leave_reports_name_group_and_sources(
    kind: str, hosts: list[Host], tool: Callable[[str], str]
) -> None:
    tool("tshark")
    options, joining, leaving = REPORTS[kind]
    group = str(options["group"]).rpartition("@")[2]
    v6 = ":" in group
    with Reports(hosts[1], "icmp6" if v6 else "igmp") as reports:
        # tshark does not say when it starts to capture, so another host sends reports until it captures one.
        pilot = "ff15::7:ffff" if v6 else "239.7.7.255"
        stop = threading.Event()
        reporting = threading.Thread(target=repeat_reports, args=(hosts[2], pilot, stop))
        reporting.start()
        try:
            reports.wait_for(pilot)
        finally:
            stop.set()
            reporting.join()
        with held(hosts[0], options):
            reports.wait_for(group, joining)
        reports.wait_for(group, leaving)


def repeat_reports(host: Host, group: str, stop: threading.Event) -> None:
    """Join and leave a group on a host repeatedly."""
    while not stop.wait(0.1):
        with held(host, {"group": group}):
            pass
