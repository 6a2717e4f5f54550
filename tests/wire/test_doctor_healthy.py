"""Situations in which nothing is wrong, though much is unusual: ``diagnose`` finds no fault in them."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from multicast.apps.diagnosis import diagnose
from tests.wire.lab import Lab, feed, lab
from tests.wire.places import on

pytestmark = [pytest.mark.private_net, pytest.mark.platform("linux")]

GROUP, GROUP6, PORT = "239.7.8.9", "ff15::7:8:9", 50_790
HERE = f"{GROUP}:{PORT}%eth0"
FEED: dict[str, Any] = {"group": GROUP, "port": PORT}
GUARD = (
    "on $near nft add table inet guard; "
    "on $near nft add chain inet guard input '{ type filter hook input priority 0; %s }'"
)
TUNNEL = "ip -n $near tuntap add tun0 mode tun; ip -n $near addr add 10.8.0.2/24 dev tun0; ip -n $near link set tun0 up"


@dataclass
class Situation:
    """A healthy situation: the endpoint, how it is made, and what is sent."""

    endpoint: str = HERE
    make: str = ""
    feed: dict[str, Any] = field(default_factory=dict[str, Any])
    others: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """More feeds from the far host."""
    sender: str = "far"
    listener: str = "near"


SITUATIONS = {
    "plain": Situation(),
    "ipv6": Situation(f"[{GROUP6}%eth0]:{PORT}", feed={"group": GROUP6}),
    "link-local-group-of-ipv6": Situation(f"[ff02::7:8:9%eth0]:{PORT}", feed={"group": "ff02::7:8:9"}),
    "local-network-control-group": Situation(f"224.0.0.251:{PORT}%eth0", feed={"group": "224.0.0.251"}),
    "interface-by-route": Situation(f"{GROUP}:{PORT}"),
    "second-interface": Situation(f"{GROUP}:{PORT}%eth1", feed={"interface": "eth1"}),
    "interface-by-address": Situation(f"{GROUP}:{PORT}%10.78.0.1"),
    "right-source": Situation(f"10.78.0.2@232.7.8.9:{PORT}%eth0", feed={"group": "232.7.8.9"}),
    "several-sources-of-which-one-sends": Situation(
        f"10.78.0.9,10.78.0.2@232.7.8.9:{PORT}%eth0", feed={"group": "232.7.8.9"}
    ),
    "vpn-beside": Situation(make=TUNNEL),
    "vpn-with-the-default-route": Situation(make=f"{TUNNEL}; ip -n $near route replace default dev tun0"),
    "strict-reverse-path-filter": Situation(
        make="on $near sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1"
    ),
    "firewall-that-allows-it": Situation(
        make=f"{GUARD % 'policy drop;'}; on $near nft add rule inet guard input ip daddr 224.0.0.0/4 udp dport "
        f"50000-60000 accept; on $near nft add rule inet guard input meta l4proto '{{icmp, igmp}}' accept"
    ),
    "firewall-that-drops-other-ports": Situation(
        make=f"{GUARD % ''}; on $near nft add rule inet guard input udp dport 9999 drop"
    ),
    "other-groups-and-ports-beside": Situation(
        others=[{**FEED, "group": "239.7.8.10"}, {**FEED, "port": PORT + 1}, {**FEED, "interface": "eth1"}]
    ),
    "fragmented-datagrams": Situation(feed={"size": 9000}),
    "several-routers-away": Situation(feed={"ttl": 64}),
    "sender-on-the-same-machine": Situation(sender="near"),
    "loopback-interface": Situation(f"{GROUP}:{PORT}%lo", feed={"interface": "lo"}, sender="near"),
    "container-beside-its-host": Situation(
        f"{GROUP}:{PORT}%br0",
        feed={"interface": "eth0"},
        listener="switch",
        make="ip -n $switch addr add 10.78.0.3/24 dev br0",
    ),
    "macvlan": Situation(
        f"{GROUP}:{PORT}%mac0",
        make="ip -n $near link add mac0 link eth0 type macvlan mode bridge; "
        "ip -n $near addr add 10.78.0.7/24 dev mac0; ip -n $near link set mac0 up",
    ),
    "igmp-version-2-for-any-source": Situation(
        make="on $near sysctl -qw net.ipv4.conf.eth0.force_igmp_version=2"
    ),
    "ipv6-disabled-for-an-ipv4-group": Situation(
        make="on $near sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1"
    ),
    "another-interface-down": Situation(make="ip -n $near link set eth1 down"),
    "no-address": Situation(make="ip -n $near addr flush dev eth0"),
    "loose-reverse-path-filter-and-policy-routing": Situation(
        make="on $near sysctl -qw net.ipv4.conf.all.rp_filter=2; ip -n $near rule add to 239.0.0.0/8 lookup 201; "
        "ip -n $near route add 239.0.0.0/8 dev eth1 table 201"
    ),
    "firewall-with-named-sets-and-zones": Situation(
        make=f"{GUARD % 'policy drop;'}; "
        + "; ".join(
            f"on $near nft add {command}"
            for command in (
                "set inet guard ok '{ type ipv4_addr; flags interval; elements = { 239.0.0.0/8 }; }'",
                "chain inet guard zone",
                "rule inet guard input ct state established,related counter accept",
                "rule inet guard input ct state invalid counter drop",
                "rule inet guard input iifname vmap '{ lo : accept, eth0 : jump zone }'",
                "rule inet guard zone ip daddr @ok udp dport 1024-65535 counter accept",
                "rule inet guard zone meta l4proto igmp accept",
            )
        )
    ),
    "address-of-a-bridge": Situation(
        f"{GROUP}:{PORT}%brn",
        make="ip -n $near addr flush dev eth0; ip -n $near link add brn type bridge mcast_snooping 0; "
        "ip -n $near link set brn up; ip -n $near link set eth0 master brn; "
        "ip -n $near addr add 10.78.0.1/24 dev brn",
    ),
    "macvlan-in-a-namespace-of-its-own": Situation(
        f"{GROUP}:{PORT}%mac0",
        make="ip -n $near link add mac0 link eth0 type macvlan mode bridge; "
        "ip -n $near link set mac0 netns $switch; ip -n $switch addr add 10.78.0.7/24 dev mac0; "
        "ip -n $switch link set mac0 up",
        listener="switch",
    ),
    "alternative-name-of-the-interface": Situation(
        f"{GROUP}:{PORT}%lan0", make="ip -n $near link property add dev eth0 altname lan0"
    ),
    "second-address-of-the-interface": Situation(
        f"{GROUP}:{PORT}%10.78.0.5", make="ip -n $near addr add 10.78.0.5/24 dev eth0"
    ),
    "mld-version-1": Situation(
        f"[{GROUP6}%eth0]:{PORT}",
        make="on $near sysctl -qw net.ipv6.conf.eth0.force_mld_version=1",
        feed={"group": GROUP6},
    ),
    "snooping-without-a-querier-floods": Situation(
        make="ip -n $switch link set br0 type bridge mcast_snooping 1 mcast_querier 0"
    ),
    "snooping-with-a-querier": Situation(
        make="ip -n $switch link set br0 type bridge mcast_query_response_interval 10; "
        "ip -n $switch link set br0 type bridge mcast_snooping 1 mcast_querier 1"
    ),
}


@pytest.fixture
def net() -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_doctor_healthy_situation_has_no_finding(net: Lab, situation: Situation) -> None:
    net.sh(situation.make)
    with ExitStack() as stack:
        stack.enter_context(feed(getattr(net, situation.sender), **{**FEED, **situation.feed}))
        for other in situation.others:
            stack.enter_context(feed(net.far, **other))
        stack.enter_context(on(getattr(net, situation.listener)))
        found = diagnose(situation.endpoint, duration=0.3)
    assert found.is_fine, found
    assert found.received > 0


@pytest.mark.parametrize("kind", ["nobody-sends", "others-send-elsewhere"])
def test_doctor_silent_group_beside_traffic_is_a_missing_sender(net: Lab, kind: str) -> None:
    with ExitStack() as stack:
        if kind == "others-send-elsewhere":
            stack.enter_context(feed(net.far, "239.7.8.10", PORT + 1))
            stack.enter_context(feed(net.far, GROUP6, PORT))
        stack.enter_context(on(net.near))
        found = diagnose(HERE, duration=0.3)
    assert [one.cause for one in found.findings] == ["no-sender"], found
