"""The parts of a diagnosis that need no network: findings, files of the kernel, firewall rules, packets."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multicast.apps.diagnosis import CAUSES, Finding, firewall, proc, sniffer
from multicast.apps.diagnosis.finding import strongest
from tests.support.private_network import ROOT


def finding(cause: str, confidence: Any) -> Finding:
    return Finding(cause, confidence, {}, "", "")


def test_strongest_findings_are_the_proven_ones() -> None:
    found = [
        finding("wrong-group", "likely"),
        finding("rp-filter", "proven"),
        finding("wrong-port", "possible"),
    ]
    assert [one.cause for one in strongest(found)] == ["rp-filter"]
    assert [one.cause for one in strongest(found[::2])] == ["wrong-group", "wrong-port"]


def test_causes_in_the_reference_are_those_of_the_package() -> None:
    page = (ROOT / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8")
    table = page.partition("## Causes")[2].partition("## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(CAUSES)


def test_causes_that_the_package_names_are_listed() -> None:
    folder = ROOT / "python" / "multicast" / "apps" / "diagnosis"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    assert set(re.findall(r"Finding\(\s*\"([\w-]+)\"", text)) == set(CAUSES)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(proc, "_NET", tmp_path)
    monkeypatch.setattr(proc, "_SETTINGS", tmp_path)
    return tmp_path


def test_counters_are_read_by_name(net: Path) -> None:
    (net / "snmp").write_text("Ip: Forwarding InReceives\nIp: 2 7\nUdp: InDatagrams\nUdp: 3\n")
    (net / "netstat").write_text("TcpExt: IPReversePathFilter\nTcpExt: 5\n")
    (net / "snmp6").write_text("Ip6InReceives \t4\nUdp6IgnoredMulti\t1\n")
    assert proc.counters() == {
        "Ip.Forwarding": 2,
        "Ip.InReceives": 7,
        "Udp.InDatagrams": 3,
        "TcpExt.IPReversePathFilter": 5,
        "Ip6.InReceives": 4,
        "Udp6.IgnoredMulti": 1,
    }
    assert proc.rises({"Ip.InReceives": 5, "Udp.InDatagrams": 3}, proc.counters())["Ip.InReceives"] == 2


def test_system_without_proc_has_no_facts(net: Path) -> None:
    assert proc.counters() == {}
    assert (proc.setting("ipv4/conf/all/rp_filter"), proc.igmp_version("eth0")) == (0, None)
    assert (proc.udp_sockets(5000), proc.duplicate_addresses("eth0")) == ([], [])


def test_duplicate_addresses_are_read(net: Path) -> None:
    (net / "if_inet6").write_text(
        "fd780000000000000000000000000002 02 40 00 88     eth0\n"
        "fd780000000000000000000000000001 02 40 00 80     eth0\n"
    )
    assert proc.duplicate_addresses("eth0") == ["fd78::2/64"]


PACKET = firewall.Packet("10.0.0.2", "239.1.2.3", 5000, "eth0")


def ruleset(*rules: list[dict[str, Any]], policy: str = "accept", **more: list[dict[str, Any]]) -> str:
    """Return what nft lists for an input chain with these rules, and for more chains."""
    chain = {"family": "inet", "table": "t", "name": "in", "hook": "input", "policy": policy}
    items: list[dict[str, Any]] = [{"chain": chain}]
    for name, some in [("in", list(rules)), *((name, [rule]) for name, rule in more.items())]:
        items += [
            {"rule": {"family": "inet", "table": "t", "chain": name, "handle": number, "expr": rule}}
            for number, rule in enumerate(some, 1)
        ]
    return json.dumps({"nftables": items})


def match(protocol: str, field: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def printing(name: str, listing: str) -> Callable[..., str]:
    """Return a stand-in for running programs: the one with this name prints ``listing``, others print nothing."""

    def run(program: str, *_: str) -> str:
        return listing if program == name else ""

    return run


DROP, ACCEPT = {"drop": None}, {"accept": None}


@pytest.mark.parametrize(
    ("listing", "reasons"),
    [
        (ruleset(), []),
        (ruleset(policy="drop"), ["policy drop"]),
        (ruleset([match("udp", "dport", 5000), DROP]), ["rule 1"]),
        (ruleset([match("udp", "dport", 5001), DROP]), []),
        (ruleset([match("udp", "dport", 5001, "!="), DROP]), ["rule 1"]),
        (ruleset([match("udp", "dport", {"set": [1, {"range": [4000, 6000]}]}), ACCEPT], policy="drop"), []),
        (ruleset([match("ip", "daddr", {"prefix": {"addr": "224.0.0.0", "len": 4}}), DROP]), ["rule 1"]),
        (ruleset([match("ip", "saddr", {"range": ["10.0.0.1", "10.0.0.9"]}), DROP]), ["rule 1"]),
        (
            ruleset([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}}, DROP]),
            ["rule 1"],
        ),
        (ruleset([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, DROP]), []),
        (ruleset([{"jump": {"target": "more"}}], more=[DROP]), ["rule 1"]),
        (ruleset([{"jump": {"target": "more"}}], [DROP], more=[{"return": None}]), ["rule 2"]),
        (ruleset([{"goto": {"target": "more"}}], [DROP], more=[match("udp", "dport", 1), DROP]), []),
        ("", []),
    ],
)
def test_firewall_rule_that_drops_is_found(
    listing: str, reasons: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "_run", printing("nft", listing))
    assert [one.reason for one in firewall.blockers(PACKET, firewall.INPUT)] == reasons
    assert firewall.blockers(PACKET, firewall.OUTPUT) == []


@pytest.mark.parametrize(
    ("listing", "fixes"),
    [
        ("-P INPUT ACCEPT\n-A INPUT -p udp -m udp --dport 53 -j DROP\n", []),
        ("-P INPUT DROP\n", ["iptables -I INPUT -p udp -d 239.1.2.3 --dport 5000 -j ACCEPT"]),
        (
            "-P INPUT ACCEPT\n-A INPUT -p udp -m udp --dport 5000 -j DROP\n",
            ["iptables -I INPUT -p udp -d 239.1.2.3 --dport 5000 -j ACCEPT"],
        ),
    ],
)
def test_iptables_rule_that_drops_is_found(
    listing: str, fixes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "_run", printing("iptables", listing))
    assert [one.fix for one in firewall.blockers(PACKET, firewall.INPUT)] == fixes


def ipv6(next_header: int, rest: bytes) -> bytes:
    group = bytes.fromhex("ff150000000000000000000000000001")
    return struct.pack("!IHBB", 6 << 28, len(rest), next_header, 9) + bytes(15) + b"\x01" + group + rest


def test_packets_of_ipv6_are_taken_apart() -> None:
    udp = struct.pack("!HHHH", 1, 5000, 8, 0)

    def parse(packet: bytes) -> Any:
        return sniffer._parse_ipv6(packet, "eth0", is_outgoing=False)

    whole = parse(ipv6(17, udp))
    assert (whole.group, whole.source, whole.port, whole.ttl, whole.is_fragment) == (
        "ff15::1",
        "::1",
        5000,
        9,
        False,
    )
    first = parse(ipv6(44, bytes([17, 0, 0, 1]) + bytes(4) + udp))
    assert (first.port, first.is_fragment) == (5000, True)
    later = parse(ipv6(44, bytes([17, 0, 0, 8]) + bytes(4) + udp))
    assert (later.port, later.is_fragment) == (None, True)
    assert parse(ipv6(0, bytes([58, 0, 5, 2, 0, 0, 0, 0]) + bytes([130, 0]))) is True
    assert parse(ipv6(6, b"")) is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("version", [4, 6])
def test_fragments_of_a_datagram_are_put_together(version: int, order: tuple[int, ...]) -> None:
    fragments = sniffer.Fragments()
    udp = struct.pack("!HHHH", 1, 5000, 3000, 0)
    pieces = [(0, udp.ljust(1480, b"x"), True), (1480, bytes(1480), True), (2960, bytes(40), False)]

    def packet(offset: int, payload: bytes, *, has_more: bool) -> bytes:
        if version == 6:
            options = bytes([44, 0, 1, 4, 0, 0, 0, 0])
            return ipv6(0, options + struct.pack("!BBHI", 17, 0, offset | has_more, 77) + payload)
        flags = offset // 8 | (0x2000 if has_more else 0)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 77, flags, 9, 17, 0)
        return head + bytes([10, 0, 0, 1, 239, 1, 2, 3]) + payload

    parse = sniffer._parse_ipv6 if version == 6 else sniffer._parse_ipv4
    for number, at in enumerate(order):
        offset, payload, has_more = pieces[at]
        assert fragments.completed.total() == 0, number
        # The kernel hands over the first bytes only.
        seen = packet(offset, payload, has_more=has_more)[: sniffer._SNAP]
        one = parse(seen, "eth0", is_outgoing=False)
        assert isinstance(one, sniffer.Sighting)
        fragments.add(one, seen)
    group = "ff15::1" if version == 6 else "239.1.2.3"
    assert dict(fragments.completed) == {("eth0", group, 5000): 1}


def test_firewall_program_that_does_not_end_lists_no_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nft", "iptables"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(firewall, "_PATIENCE", 0.1)
    assert firewall.blockers(firewall.Packet(None, "239.1.2.3", 5000, "eth0"), ["input"]) == []
