"""Diagnoses that are easy to get wrong: two faults at once, unusual machines, and causes that look like others."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cli.running import MULTICAST
from tests.support.background import running
from tests.support.programs import environment
from tests.support.tools import need
from tests.wire.doctoring import GROUP, GROUP6, HERE, PORT, agrees, examine, follow, only, positive, sending
from tests.wire.lab import Lab, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

NFT = (
    "on $near nft add table inet guard; "
    "on $near nft add chain inet guard input '{ type filter hook input priority 0; }'; "
)
BRIDGE = (
    "ip -n $near link add brn type bridge mcast_snooping 0; ip -n $near link set brn up; "
    "ip -n $near link set eth0 master brn"
)
JOINED = "ip -n $near addr add 239.7.8.10/32 dev eth0 autojoin"
SHORT = "ip -n $near link set eth0 mtu 1300"


@dataclass
class Faults:
    """Faults at the same time: the causes that diagnoses name one after the other while their fixes are followed."""

    causes: tuple[str, ...]
    make: str
    endpoint: str = HERE
    feed: dict[str, Any] = field(default_factory=dict[str, Any])
    confidence: str = "proven"
    proof: dict[str, Any] = field(default_factory=dict[str, Any])
    """Entries of the proof of the first finding."""
    others: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """More feeds from the far host."""


FAULTS = {
    "wrong-port-behind-a-firewall": Faults(
        ("wrong-port", "firewall-input"),
        f"{NFT} on $near nft add rule inet guard input udp dport {PORT} drop",
        f"{GROUP}:{PORT + 1}%eth0",
    ),
    "reverse-path-filter-and-firewall": Faults(
        ("rp-filter", "firewall-input"),
        f"{NFT} on $near nft add rule inet guard input udp dport {PORT} drop; "
        "on $near sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1; "
        "ip -n $near route add 10.78.0.2/32 dev eth1",
    ),
    "wrong-interface-and-wrong-source": Faults(
        ("source-filtered",),
        "true",
        f"10.78.0.9@232.7.8.9:{PORT}%eth1",
        {"group": "232.7.8.9"},
        confidence="likely",
        proof={"arrived_from": {"10.78.0.2": positive}},
    ),
    "two-default-routes": Faults(
        ("wrong-interface",),
        "ip -n $near route replace default dev eth0 metric 200; ip -n $near route del default dev eth0 metric 0; "
        "ip -n $near route add default dev eth1 metric 100",
        f"{GROUP}:{PORT}",
        proof={"joined": "eth1"},
    ),
    "rule-of-policy-routing": Faults(
        ("wrong-interface",),
        "ip -n $near rule add to 239.0.0.0/8 lookup 201; ip -n $near route add 239.0.0.0/8 dev eth1 table 201",
        f"{GROUP}:{PORT}",
    ),
    "port-of-a-bridge": Faults(("wrong-interface",), BRIDGE, proof={"arrived_on": {"brn": positive}}),
    "loopback-down": Faults(
        ("interface-down", "wrong-interface"), "ip -n $near link set lo down", f"{GROUP}:{PORT}%lo"
    ),
    "ipv6-disabled-on-the-machine": Faults(
        ("ipv6-disabled",),
        "on $near sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
        f"[{GROUP6}]:{PORT}",
        {"group": GROUP6},
    ),
    "address-of-this-machine-at-the-sender": Faults(
        ("rp-filter",),
        "ip -n $far addr flush dev eth0; ip -n $far addr add 10.78.0.1/24 dev eth0",
        proof={"duplicate_addresses": ["10.78.0.1"], "packets_seen": positive},
    ),
    "mtu-below-that-of-the-sender": Faults(
        ("fragments-lost",),
        SHORT,
        feed={"size": 1472},
        confidence="likely",
        proof={"mtu": 1300, "packets_refused": positive},
    ),
    "mtu-below-that-of-fragments": Faults(
        ("fragments-lost",),
        SHORT,
        feed={"size": 3000},
        confidence="likely",
        proof={"mtu": 1300, "packets_refused": positive, "fragments_received": positive},
    ),
    "fragments-lost-beside-others": Faults(
        ("fragments-lost",),
        f"{JOINED}; on $far nft add table netdev lossy; on $far nft add chain netdev lossy out "
        "'{ type filter hook egress device eth0 priority 0; }'; "
        f"on $far nft add rule netdev lossy out ip daddr {GROUP} ip frag-off \\& 0x1fff != 0 drop",
        feed={"size": 3000},
        others=[{"group": "239.7.8.10", "size": 3000}],
        proof={"datagrams_completed": 0, "datagrams_begun": positive},
    ),
    "firewall-that-drops-reassembled-datagrams": Faults(
        ("firewall-input",),
        f"{JOINED}; {NFT} on $near nft add rule inet guard input ip daddr {GROUP} udp dport {PORT} drop",
        feed={"size": 3000},
        others=[{"group": "239.7.8.10", "size": 3000}],
    ),
    "ip6tables": Faults(
        ("firewall-input",),
        f"on $near ip6tables -A INPUT -p udp --dport {PORT} -j DROP",
        f"[{GROUP6}%eth0]:{PORT}",
        {"group": GROUP6},
    ),
    "iptables-that-rejects": Faults(
        ("firewall-input",), f"on $near iptables -A INPUT -p udp --dport {PORT} -j REJECT"
    ),
}


def make(net: Lab, commands: str) -> None:
    """Run shell commands of `Lab.sh`, which may need ``iptables``."""
    for name in ("ip6tables", "iptables"):
        if name in commands:
            need(name)
    net.sh(commands)


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_doctor_names_one_fault_after_the_other(net: Lab, faults: Faults) -> None:
    make(net, faults.make)
    endpoint = faults.endpoint
    with ExitStack() as stack:
        for other in faults.others:
            stack.enter_context(sending(net, other))
        stack.enter_context(sending(net, faults.feed))
        for number, cause in enumerate(faults.causes):
            finding = only(examine(net, endpoint, 0.25), cause)
            if number == 0:
                assert finding.confidence == faults.confidence
                assert agrees(finding.proof, faults.proof), finding.proof
            if not finding.fix.startswith("send "):
                endpoint = follow(net, finding.fix, endpoint)
            else:
                stack.close()
                stack.enter_context(sending(net, {**faults.feed, "size": 1400}))
        found = examine(net, endpoint, 0.2)
    assert found.is_fine, found
    assert found.received > 0


@dataclass
class Situation:
    """An unusual machine on which nothing is wrong."""

    make: str
    endpoint: str = HERE
    feed: dict[str, Any] = field(default_factory=dict[str, Any])


DROP_ALL = "on $near {0} -P INPUT DROP; on $near {0} -A INPUT -p {1} -j ACCEPT; on $near {0} -A INPUT -p udp "
SITUATIONS = {
    "ipv6-disabled-on-the-machine": Situation("on $near sysctl -qw net.ipv6.conf.all.disable_ipv6=1"),
    "firewall-that-only-counts": Situation(
        f"{NFT} on $near nft add rule inet guard input udp dport {PORT} counter"
    ),
    "ip6tables-that-accepts": Situation(
        DROP_ALL.format("ip6tables", "ipv6-icmp") + f"--dport {PORT} -j ACCEPT",
        f"[{GROUP6}%eth0]:{PORT}",
        {"group": GROUP6},
    ),
    "loose-reverse-path-filter-and-a-foreign-source": Situation(
        "on $near sysctl -qw net.ipv4.conf.all.rp_filter=2; ip -n $near route add 10.78.0.2/32 dev eth1"
    ),
    "loopback-down": Situation("ip -n $near link set lo down"),
    "forwarding-dropped-as-docker-does": Situation(
        "on $near iptables -P FORWARD DROP; on $near sysctl -qw net.ipv4.ip_forward=1"
    ),
    "short-packets-on-an-interface-with-a-small-mtu": Situation(SHORT),
    "fragments-on-a-network-with-a-small-mtu": Situation(
        f"{SHORT}; ip -n $far link set eth0 mtu 1300", feed={"size": 3000}
    ),
    "address-of-a-port-on-its-bridge": Situation(BRIDGE, f"{GROUP}:{PORT}%brn"),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_doctor_finds_nothing_on_an_unusual_machine(net: Lab, situation: Situation) -> None:
    make(net, situation.make)
    with sending(net, situation.feed):
        found = examine(net, situation.endpoint, 0.2)
    assert found.is_fine, found
    assert found.received > 0


@pytest.mark.parametrize(
    ("option", "address"),
    [(socket.SO_REUSEPORT, ""), (socket.SO_REUSEADDR, ""), (None, "10.78.0.1")],
    ids=["port-shared", "address-shared", "other-address"],
)
def test_doctor_finds_nothing_beside_another_receiver(net: Lab, option: "int | None", address: str) -> None:
    with on(net.near), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        if option is not None:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind((address, PORT))
        with sending(net, {}):
            found = examine(net, HERE, 0.2)
    assert found.is_fine, found


def test_doctor_works_in_a_container_with_read_only_settings(net: Lab) -> None:
    enter = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys /proc/sys; "
    command = " ".join([*MULTICAST, "doctor", "-q", "-d", "0.2", HERE])
    with sending(net, {}):
        done = net.near.run(
            "unshare", "--mount", "bash", "-ec", f"{enter} ! touch /proc/sys/x; {command}", env=environment()
        )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


@pytest.mark.parametrize("mtu", [1300, 1500])
def test_doctor_proves_no_missing_sender_where_packets_may_be_too_long(net: Lab, mtu: int) -> None:
    net.sh(
        "ip -n $switch link set p02 mtu 9000; ip -n $switch link set p01 mtu 9000; ip -n $far link set eth0 mtu 9000"
    )
    net.sh(f"ip -n $near link set eth0 mtu {mtu}; ip -n $switch link set br0 mtu 9000")
    with sending(net, {"size": 8000} if mtu == 1500 else {"port": PORT + 1, "group": "239.7.8.10"}):
        finding = only(examine(net, HERE, 0.25), "no-sender")
    assert finding.confidence == "likely"
    assert agrees(finding.proof, {"mtu": mtu, "packets_refused": positive if mtu == 1500 else 0})
    assert f"packets longer than its MTU of {mtu} cannot arrive" in finding.text


def test_doctor_without_rights_does_not_take_dropped_frames_for_long_ones(net: Lab) -> None:
    # Frames of a protocol that nobody here speaks, as switches send them.
    frame = b"\xff" * 6 + bytes([2, 0, 0, 0, 0, 9, 0x88, 0xB5]) + bytes(50)

    def send(over: threading.Event) -> None:
        with on(net.far), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as tx:
            tx.bind(("eth0", 0))
            while not over.wait(0.01):
                tx.send(frame)

    net.sh(SHORT)
    # As root, which may read the interpreter wherever it is installed, but without any capability.
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    with running(send):
        done = net.near.run(*drop, *MULTICAST, "doctor", "--json", "-d", "0.25", HERE, env=environment())
    found = json.loads(done.stdout.splitlines()[0])
    assert (found["cause"], found["confidence"]) == ("no-sender", "likely")
    assert found["proof"]["packets_refused"] > 0


def test_doctor_does_not_blame_rules_that_it_cannot_read(net: Lab) -> None:
    # The first rule compares by an extension, so that its listing does not show the ports.
    make(
        net,
        "on $near iptables -A INPUT -p udp -m multiport --dports 9998,9999 -j DROP; "
        f"on $near iptables -A INPUT -p udp -m multiport --dports {PORT},9999 -j DROP",
    )
    with sending(net, {}):
        finding = only(examine(net, HERE, 0.25), "firewall-input")
    assert finding.confidence == "likely"
    assert "rules" not in finding.proof
