"""Each fault that ``diagnose`` names, made for real: the right cause, its proof, and a fix that mends it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from multicast.apps.diagnosis import diagnose, proc
from multicast.apps.diagnosis.sniffer import open_sniffer
from tests.support import waiting
from tests.wire.doctoring import (
    GROUP,
    GROUP6,
    HERE,
    LISTEN,
    PORT,
    agrees,
    examine,
    follow,
    only,
    positive,
    sending,
    several,
    starting,
)
from tests.wire.lab import Lab, feed, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]


@dataclass
class Fault:
    """A fault: how to make it, and what the diagnosis must say."""

    cause: str
    endpoint: str = HERE
    make: str = ""
    """Commands of `Lab.sh`."""
    proof: dict[str, Any] = field(default_factory=dict[str, Any])
    """Entries of the proof: a value, or a function that checks it."""
    confidence: str = "proven"
    feed: dict[str, Any] = field(default_factory=dict[str, Any])
    """How the far host sends, if not to the group and port as usual."""
    mend: str = ""
    """Commands of `Lab.sh` that follow the advice of a fix that is no command."""
    mended_feed: "dict[str, Any] | None" = None
    """How the far host sends after following the advice."""


NFT = (
    "on $near nft add table inet guard; "
    "on $near nft add chain inet guard {hook} '{{ type filter hook {hook} priority 0; {policy} }}'"
)
GUARD = NFT.format(hook="input", policy="policy drop;")
RP = "on $near sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1"

FAULTS = {
    "no-route": Fault(
        "no-route",
        f"{GROUP}:{PORT}",
        "ip -n $near route del default",
        {"usable_interfaces": ["eth0", "eth1"]},
    ),
    "no-route-v6": Fault(
        "no-route",
        f"[{GROUP6}]:{PORT}",
        "for n in 0 1; do ip -n $near -6 route del ff00::/8 dev eth$n table local; done; "
        "ip -n $near -6 route del default",
        feed={"group": GROUP6},
    ),
    "interface-down": Fault("interface-down", make="ip -n $near link set eth0 down", proof={"up": False}),
    "interface-without-carrier": Fault(
        "interface-down",
        make="ip -n $switch link set p01 down",
        proof={"up": True, "carrier": False},
        mend="ip -n $switch link set p01 up",
    ),
    "wrong-interface": Fault(
        "wrong-interface", f"{GROUP}:{PORT}%eth1", proof={"joined": "eth1", "arrived_on": {"eth0": positive}}
    ),
    "wrong-interface-v6": Fault(
        "wrong-interface",
        f"[{GROUP6}%eth1]:{PORT}",
        proof={"arrived_on": {"eth0": positive}},
        feed={"group": GROUP6},
    ),
    "wrong-port": Fault(
        "wrong-port", f"{GROUP}:{PORT + 1}%eth0", proof={"arrived_on_ports": {str(PORT): positive}}
    ),
    "wrong-group": Fault(
        "wrong-group",
        f"239.7.8.10:{PORT}%eth0",
        proof={"arrived_for_groups": {GROUP: positive}},
        confidence="likely",
    ),
    "rp-filter-strict": Fault(
        "rp-filter",
        make=f"{RP}; ip -n $near route add 10.78.0.2/32 dev eth1",
        proof={
            "TcpExt.IPReversePathFilter": positive,
            "packets_seen": positive,
            "net.ipv4.conf.eth0.rp_filter": 1,
        },
    ),
    "rp-filter-without-any-route": Fault(
        "rp-filter",
        make=f"{RP}; ip -n $near route del default; ip -n $far addr add 10.99.0.2/32 dev eth0; "
        "ip -n $far addr del 10.78.0.2/24 dev eth0",
        proof={"TcpExt.IPReversePathFilter": positive, "packets_seen": positive},
    ),
    "firewall-input-policy": Fault(
        "firewall-input",
        make=GUARD,
        proof={"packets_seen": positive, "rules": ["inet guard input: policy drop"]},
    ),
    "firewall-input-rule": Fault(
        "firewall-input",
        make=NFT.format(hook="input", policy="")
        + f"; on $near nft add rule inet guard input udp dport {PORT} drop",
        proof={"rules": starting("inet guard input: rule ")},
    ),
    "firewall-input-prerouting": Fault(
        "firewall-input",
        make=NFT.format(hook="prerouting", policy="")
        + f"; on $near nft add rule inet guard prerouting ip daddr {GROUP} drop",
        proof={"rules": starting("inet guard prerouting: rule ")},
    ),
    "firewall-input-v6": Fault(
        "firewall-input",
        f"[{GROUP6}%eth0]:{PORT}",
        GUARD + "; on $near nft add rule inet guard input meta l4proto ipv6-icmp accept",
        {"rules": ["inet guard input: policy drop"]},
        feed={"group": GROUP6},
    ),
    "firewall-input-named-set": Fault(
        "firewall-input",
        make=NFT.format(hook="input", policy="") + "; on $near nft add set inet guard bad "
        "'{ type ipv4_addr; flags interval; elements = { 239.0.0.0/8 }; }'; "
        "on $near nft add rule inet guard input iifname != lo ip daddr @bad counter drop",
        proof={"rules": starting("inet guard input: rule ")},
    ),
    "firewall-input-verdict-map": Fault(
        "firewall-input",
        make=NFT.format(hook="input", policy="")
        + "; on $near nft add chain inet guard zone; on $near nft add rule inet guard zone ip protocol udp reject; "
        "on $near nft add rule inet guard input iifname vmap '{ lo : accept, eth0 : goto zone }'",
        proof={"rules": starting("inet guard zone: rule ")},
    ),
    "firewall-input-named-map-of-pairs": Fault(
        "firewall-input",
        make=NFT.format(hook="input", policy="") + "; on $near nft add map inet guard ports "
        f"'{{ type ipv4_addr . inet_service : verdict; elements = {{ {GROUP} . {PORT} : drop }}; }}'; "
        "on $near nft add rule inet guard input ip daddr . udp dport vmap @ports",
        proof={"rules": starting("inet guard input: rule ")},
    ),
    "source-filtered": Fault(
        "source-filtered",
        f"10.78.0.9@232.7.8.9:{PORT}%eth0",
        proof={"sources_joined": ["10.78.0.9"], "arrived_from": {"10.78.0.2": positive}},
        feed={"group": "232.7.8.9"},
    ),
    "fragments-lost": Fault(
        "fragments-lost",
        make="on $near nft add table netdev guard; on $near nft add chain netdev guard in "
        "'{ type filter hook ingress device eth0 priority 0; }'; "
        "on $near nft add rule netdev guard in ip frag-off \\& 0x1fff != 0 drop",
        proof={"fragments_received": positive, "datagrams_completed": 0, "datagrams_begun": positive},
        feed={"size": 3000},
        mend="true",
        mended_feed={"size": 1472},
    ),
    "source-filtered-v6": Fault(
        "source-filtered",
        f"fd78::9@[ff35::7%eth0]:{PORT}",
        proof={"sources_joined": ["fd78::9"], "arrived_from": {"fd78::2": positive}},
        feed={"group": "ff35::7"},
    ),
    "ipv6-disabled": Fault(
        "ipv6-disabled",
        f"[{GROUP6}%eth0]:{PORT}",
        "on $near sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1",
        {"net.ipv6.conf.eth0.disable_ipv6": 1},
        feed={"group": GROUP6},
    ),
}


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_doctor_fault_is_named_proven_and_mended(net: Lab, fault: Fault) -> None:
    net.sh(fault.make)
    with sending(net, fault.feed):
        found = examine(net, fault.endpoint)
        assert [one.cause for one in found.findings] == [fault.cause], found
        (finding,) = found.findings
        assert finding.confidence == fault.confidence
        assert agrees(finding.proof, fault.proof), finding.proof
        if fault.mend:
            net.sh(fault.mend)
            endpoint = fault.endpoint
        else:
            endpoint = follow(net, finding.fix, fault.endpoint)
    with sending(net, fault.feed if fault.mended_feed is None else fault.mended_feed):
        mended = examine(net, endpoint)
    assert mended.is_fine, (finding.fix, mended)
    assert mended.received > 0


@pytest.mark.parametrize(
    ("cut", "proof"),
    [
        ("ip -n $near link set eth0 down", {"up": False}),
        ("ip -n $switch link set p01 down", {"up": True, "carrier": False}),
        ("ip -n $near link del eth0", {"up": False}),
    ],
    ids=["down", "no carrier", "deleted"],
)
def test_doctor_interface_lost_while_it_listens_is_named(net: Lab, cut: str, proof: dict[str, Any]) -> None:
    with on(net.near):
        found = diagnose(HERE, duration=LISTEN, on_joined=lambda: net.sh(cut))
    finding = only(found, "interface-down")
    assert (finding.confidence, finding.proof) == ("proven", {"interface": "eth0", "carrier": False, **proof})


def test_doctor_sender_without_loopback_is_named_and_mended(net: Lab) -> None:
    with feed(net.near, GROUP, PORT, loopback=False):
        finding = only(examine(net, HERE), "loopback-off")
    assert finding.confidence == "proven"
    assert agrees(finding.proof, {"sent_by_this_machine": positive, "looped_back": 0})
    assert "loopback=True" in finding.fix
    with feed(net.near, GROUP, PORT, loopback=True):
        assert examine(net, HERE).is_fine


def test_doctor_firewall_of_the_sender_is_named_and_mended(net: Lab) -> None:
    net.sh(
        NFT.format(hook="output", policy="")
        + f"; on $near nft add rule inet guard output udp dport {PORT} drop"
    )
    with feed(net.near, GROUP, PORT):
        finding = only(examine(net, HERE), "firewall-output")
        assert finding.confidence == "proven"
        assert agrees(finding.proof, {"Ip.OutRequests minus Ip.OutTransmits": positive})
        follow(net, finding.fix, HERE)
        assert examine(net, HERE).is_fine


def test_doctor_interface_without_the_multicast_flag_is_named_and_mended(net: Lab) -> None:
    """Linux receives groups on such an interface, except by drivers that look at the flag: so nobody sends here."""
    net.sh("ip -n $near link set eth0 multicast off")
    finding = only(examine(net, HERE), "no-multicast-flag")
    assert (finding.confidence, finding.proof) == ("likely", {"interface": "eth0", "multicast": False})
    follow(net, finding.fix, HERE)
    only(examine(net, HERE), "no-sender")
    with sending(net, {}):
        assert examine(net, HERE).is_fine


def test_doctor_duplicate_address_is_named_and_mended(net: Lab) -> None:
    net.sh("""
        on $near sysctl -qw net.ipv6.conf.eth0.accept_dad=1
        ip -n $near -6 addr add fd78:0::2/64 dev eth0
        until ip -n $near -6 addr show dev eth0 dadfailed | grep --quiet fd78::2; do :; done
    """)
    here = f"[{GROUP6}%eth0]:{PORT}"
    finding = only(examine(net, here), "ipv6-disabled")
    assert (finding.confidence, finding.proof["duplicate_addresses"]) == ("likely", ["fd78::2/64"])
    follow(net, finding.fix, here)
    only(examine(net, here), "no-sender")
    with sending(net, {"group": GROUP6}):
        assert examine(net, here).is_fine


# A bridge floods groups until it knows of a querier: here, itself, after the response interval of 0.1 s.
SNOOPING = """
ip -n $switch link set br0 type bridge mcast_query_response_interval 10
ip -n $switch link set br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_igmp_version 3
"""


def test_doctor_switch_that_forgets_listeners_is_named_and_mended(net: Lab) -> None:
    net.sh(f"{SNOOPING}ip -n $switch link set br0 type bridge mcast_membership_interval 60")
    with sending(net, {}):
        finding = only(examine(net, HERE, 5.0), "no-querier")
        assert finding.confidence == "proven"
        assert agrees(finding.proof, {"received_after_joining_again": several})
        net.sh(
            "ip -n $switch link set br0 type bridge mcast_membership_interval 300 mcast_query_interval 100"
        )
        assert examine(net, HERE, 2.0).is_fine


def until_switch_filters(net: Lab, group: str) -> None:
    """Wait until the switch no longer sends a group to the near host, which has not joined it."""

    def is_quiet() -> bool:
        sniffer = open_sniffer()
        assert sniffer is not None
        with sniffer:
            threading.Event().wait(0.1)
        return all(one.group != group for one in sniffer.seen)

    with on(net.near):
        waiting.until(is_quiet, "the switch to know its querier")


def test_doctor_igmp_version_without_sources_is_named_and_mended(net: Lab) -> None:
    # A switch that ignores the older reports for source-specific groups (RFC 4604, section 2.2.2).
    net.sh(
        SNOOPING + "on $near sysctl -qw net.ipv4.conf.eth0.force_igmp_version=2; "
        "on $switch nft add table bridge guard; "
        "on $switch nft add chain bridge guard in '{ type filter hook prerouting priority -300; }'; "
        "on $switch nft add rule bridge guard in ip protocol igmp @th,0,8 '{0x12, 0x16}' drop"
    )
    endpoint = f"10.78.0.2@232.7.8.9:{PORT}%eth0"
    with sending(net, {"group": "232.7.8.9"}):
        until_switch_filters(net, "232.7.8.9")
        finding = only(examine(net, endpoint), "igmp-version")
        assert agrees(finding.proof, {"igmp_version": 2, "net.ipv4.conf.eth0.force_igmp_version": 2})
        follow(net, finding.fix, endpoint)
        assert examine(net, endpoint).is_fine


def test_doctor_sender_that_does_not_send_is_named_and_mended(net: Lab) -> None:
    finding = only(examine(net, HERE), "no-sender")
    assert (finding.confidence, finding.proof["packets_seen"]) == ("proven", 0)
    with sending(net, {}):
        assert examine(net, HERE).is_fine


def test_doctor_private_network_of_a_container_is_named_and_mended(
    net: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The near host is a container: its only way out is the switch, which routes unicast and no multicast."""
    net.route()
    monkeypatch.setattr(proc, "CONTAINER_MARKERS", (str(MARKER),))
    with sending(net, {}):
        finding = only(examine(net, f"{GROUP}:{PORT}%eth1"), "container")
        assert agrees(finding.proof, {"marker": str(MARKER), "router": "10.78.1.254", "kind": "veth"})
        assert "--network host" in finding.fix
        # The network of its host.
        with on(net.switch):
            assert diagnose(f"{GROUP}:{PORT}%br0", duration=LISTEN).is_fine


MARKER = Path(__file__)
