"""Causes that an observation shows: what reached the interface, what the kernel counted, what other programs lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..routes import interface_for
from . import firewall, proc, sizes
from .finding import Finding, datagrams

if TYPE_CHECKING:
    from .case import Case
    from .evidence import Evidence


def findings(evidence: Evidence) -> list[Finding]:
    """Return the causes for which nothing was received."""
    checks = (
        _wrong_interface,
        _source_filtered,
        _rp_filter,
        _own_source,
        sizes.fragments_lost,
        sizes.too_long,
        _blocked,
        _blocked_unseen,
        _local_sender,
        _output_blocked,
        _wrong_port,
        _wrong_group,
    )
    return [found for check in checks if (found := check(evidence)) is not None]


def no_sender(evidence: Evidence, seconds_without_address: float) -> Finding:
    """Return the finding that nothing is wrong here, and that nobody sends.

    Args:
        evidence: what was observed.
        seconds_without_address: for how long the interface had no address. Switches and routers may have ignored this
            listener then, so that the sender is not the only explanation.
    """
    case = evidence.case
    mtu, refused = case.link.mtu if case.link else None, evidence.refused()
    proof: dict[str, object] = {
        "interface": case.interface,
        "packets_seen": 0 if evidence.can_see_packets else None,
    }
    text = (
        f"nothing is wrong on this machine: no datagram for {case.endpoint.group} port {case.port} arrived on "
        f"{case.interface}"
    )
    # Packets longer than the MTU are lost before they can be seen.
    may_be_too_long = mtu is not None and (refused > 0 or mtu < sizes.ETHERNET_MTU)
    if may_be_too_long:
        proof |= {"mtu": mtu, "packets_refused": refused}
        text = (
            f"no datagram for {case.endpoint.group} port {case.port} arrived on {case.interface}; packets longer than "
            f"its MTU of {mtu} cannot arrive"
        )
    if seconds_without_address:
        proof["without_address_s"] = round(seconds_without_address, 2)
        text = (
            f"no datagram for {case.endpoint.group} port {case.port} arrived on {case.interface}, which had no "
            f"{'IPv6' if case.is_ipv6 else 'IPv4'} address for {seconds_without_address:.1f} s: switches and routers "
            "may have ignored this listener then"
        )
    is_certain = evidence.can_see_packets and not may_be_too_long and not seconds_without_address
    return Finding(
        "no-sender",
        "proven" if is_certain else "likely",
        proof,
        _send_command(case),
        text,
    )


def _send_command(case: Case) -> str:
    """Return where to send a test, and the command. Interfaces have other names on another host."""
    is_here = case.link is not None and case.link.is_loopback
    where, interface = ("on this machine", case.interface) if is_here else ("on the sending host", None)
    return f"run this {where}: multicast send {replace(case.endpoint, interface=interface, sources=())} test"


def _wrong_interface(evidence: Evidence) -> Finding | None:
    case = evidence.case
    elsewhere: dict[str, int] = {}
    for (interface, source), count in evidence.arrivals().items():
        if interface == case.interface:
            # A bridge or a bond takes what arrives on its ports.
            if evidence.accepts(source) and not (case.link and case.link.has_master):
                return None
        elif evidence.accepts(source):
            elsewhere[interface] = elsewhere.get(interface, 0) + count
    if not elsewhere:
        return None
    best = max(elsewhere, key=lambda name: elsewhere[name])
    return Finding(
        "wrong-interface",
        "proven",
        {"joined": case.interface, "received_there": 0, "arrived_on": elsewhere},
        case.listen_command(interface=best),
        f"the group is joined on {case.interface}, but its datagrams arrive on {', '.join(elsewhere)}",
    )


def _source_filtered(evidence: Evidence) -> Finding | None:
    case = evidence.case
    arrivals = evidence.arrivals()
    if not arrivals or any(evidence.accepts(source) for _, source in arrivals):
        return None
    here = {source: count for (interface, source), count in arrivals.items() if interface == case.interface}
    if here:
        return Finding(
            "source-filtered",
            "proven",
            {"sources_joined": list(case.endpoint.sources), "arrived_from": here},
            case.listen_command(sources=tuple(here)),
            f"datagrams arrive from {', '.join(here)}, and the endpoint accepts only "
            f"{', '.join(case.endpoint.sources)}",
        )
    interface, source = max(arrivals, key=lambda key: arrivals[key])
    return Finding(
        "source-filtered",
        "likely",
        {
            "sources_joined": list(case.endpoint.sources),
            "arrived_from": {source: arrivals[interface, source]},
        },
        case.listen_command(interface=interface, sources=(source,)),
        f"datagrams arrive from {source} on {interface}, and the endpoint accepts only "
        f"{', '.join(case.endpoint.sources)} on {case.interface}",
    )


def _rp_filter(evidence: Evidence) -> Finding | None:
    dropped = evidence.rise("TcpExt.IPReversePathFilter")
    name = evidence.case.interface
    reached = evidence.reached()
    if not dropped or evidence.case.is_ipv6 or (evidence.can_see_packets and not reached):
        return None
    scopes = ("all", name)
    values = {f"net.ipv4.conf.{one}.rp_filter": proc.setting(f"ipv4/conf/{one}/rp_filter") for one in scopes}
    source = next(iter(reached), None)
    if source is not None and interface_for(source) is not None:
        fix = f"sysctl -w net.ipv4.conf.{name}.rp_filter=2"
    else:
        fix = f"sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{name}.rp_filter=0"
    return Finding(
        "rp-filter",
        "proven" if reached else "likely",
        {"TcpExt.IPReversePathFilter": dropped, "packets_seen": sum(reached.values()), **values},
        fix,
        f"the reverse path filter dropped {datagrams(dropped)}: the route back to "
        f"{source or 'their source'} does not use {name}",
    )


def _own_source(evidence: Evidence) -> Finding | None:
    """Datagrams arrive from outside with an address of this machine as their source: the kernel drops them."""
    case = evidence.case
    reached = evidence.reached()
    twice = sorted(evidence.own_addresses & reached.keys())
    if not twice or case.is_ipv6 or len(twice) < len(reached):
        return None
    name = case.interface
    return Finding(
        "rp-filter",
        "proven",
        {
            "duplicate_addresses": twice,
            "packets_seen": sum(reached.values()),
            f"net.ipv4.conf.{name}.accept_local": proc.setting(f"ipv4/conf/{name}/accept_local"),
        },
        f"sysctl -w net.ipv4.conf.{name}.accept_local=1",
        f"the sender has the address {', '.join(twice)} of this machine, so the kernel drops its datagrams as forged: "
        "give one of them another address",
    )


def _blocked(evidence: Evidence) -> Finding | None:
    """Packets reached the interface, and nothing else explains that none was received."""
    case = evidence.case
    reached = evidence.reached()
    if not reached or evidence.rise("TcpExt.IPReversePathFilter"):
        return None
    if sizes.fragments_lost(evidence) is not None or _own_source(evidence) is not None:
        return None
    if _wrong_interface(evidence) is not None:
        return None  # a bridge or a bond takes them
    count = sum(reached.values())
    bad = evidence.rise("Udp6.InCsumErrors" if case.is_ipv6 else "Udp.InCsumErrors")
    if bad:
        return Finding(
            "bad-checksum",
            "proven",
            {"packets_seen": count, "InCsumErrors": bad},
            f"ethtool --offload {case.interface} rx off tx off, or repair the sender",
            f"{datagrams(count)} reached {case.interface}, and the kernel dropped {bad} because their checksums are "
            "wrong",
        )
    return _firewall_input(evidence, count, next(iter(reached)))


def _firewall_input(evidence: Evidence, count: int, source: str | None) -> Finding:
    case = evidence.case
    packet = firewall.Packet(source, case.endpoint.group, case.port, case.interface)
    found = firewall.blockers(packet, firewall.INPUT)
    proof: dict[str, object] = {"packets_seen": count, "received": 0}
    if found:
        return Finding(
            "firewall-input",
            "proven",
            {**proof, "rules": [f"{one.table} {one.chain}: {one.reason}" for one in found]},
            " && ".join(one.fix for one in found),
            f"{datagrams(count)} reached {case.interface}, and the firewall drops them: "
            + "; ".join(f"{one.reason} of the chain {one.chain} in {one.table}" for one in found),
        )
    return Finding(
        "firewall-input",
        "likely",
        proof,
        f"look at the firewall of this machine (nft list ruleset), and allow UDP to {case.endpoint.group} port "
        f"{case.port}",
        f"{datagrams(count)} reached {case.interface}, but none reached a program: a firewall probably drops them",
    )


def _blocked_unseen(evidence: Evidence) -> Finding | None:
    """Without a packet socket, the counters show that IPv4 multicast arrived and was dropped before any program."""
    case = evidence.case
    lost = evidence.rise("IpExt.InMcastPkts") - evidence.rise("Ip.InDelivers")
    is_loopback = case.link is not None and case.link.is_loopback
    if is_loopback:
        # Everything that is sent through this interface comes back: the kernel's IGMP reports as well, and datagrams
        # for groups that nobody has joined. Only the programs of this machine send datagrams there.
        lost = min(lost, evidence.rise("Udp.OutDatagrams"))
    if evidence.can_see_packets or case.is_ipv6 or lost <= 0:
        return None
    if any(proc.setting(f"ipv4/conf/{one.name}/mc_forwarding") for one in case.links):
        return None  # a router: it forwards datagrams that nobody here receives
    found = _firewall_input(evidence, lost, None)
    if not is_loopback or found.confidence == "proven":
        return found
    text = (
        f"{datagrams(lost)} reached {case.interface}, but none reached a program: a firewall drops them, or they are "
        "for groups that nobody has joined"
    )
    return replace(found, confidence="possible", text=text)


def _local_sender(evidence: Evidence) -> Finding | None:
    """A program of this machine sends, and nothing is looped back."""
    case = evidence.case
    left = evidence.left()
    if not left or evidence.reached():
        return None
    looped = evidence.rise("Ip6.InMcastPkts" if case.is_ipv6 else "IpExt.InMcastPkts")
    if looped >= left:
        return _firewall_input(evidence, left, None)
    return Finding(
        "loopback-off",
        "proven",
        {"sent_by_this_machine": left, "looped_back": 0},
        "send with loopback: Sender(..., loopback=True), or the socket option IP_MULTICAST_LOOP = 1",
        f"a program on this machine sent {datagrams(left)} from {case.interface} with multicast loopback off, so "
        "programs on the same machine do not receive them",
    )


def _output_blocked(evidence: Evidence) -> Finding | None:
    """Programs of this machine tried to send, and the firewall dropped it before it left."""
    case = evidence.case
    kind = "Ip6" if case.is_ipv6 else "Ip"
    stopped = evidence.rise(f"{kind}.OutRequests") - evidence.rise(f"{kind}.OutTransmits")
    if stopped <= 0 or evidence.left():
        return None
    packet = firewall.Packet(None, case.endpoint.group, case.port, case.interface)
    found = firewall.blockers(packet, firewall.OUTPUT)
    if not found:
        return None
    return Finding(
        "firewall-output",
        "proven",
        {
            f"{kind}.OutRequests minus {kind}.OutTransmits": stopped,
            "rules": [f"{one.table} {one.chain}: {one.reason}" for one in found],
        },
        " && ".join(one.fix for one in found),
        f"programs on this machine tried to send {stopped} packets that never left, and the firewall drops datagrams "
        f"to {case.endpoint.group} port {case.port}",
    )


def _wrong_port(evidence: Evidence) -> Finding | None:
    case = evidence.case
    ports: dict[int, int] = {}
    for one, count in evidence.sightings():
        if one.group == case.endpoint.group and one.port is not None and one.interface == case.interface:
            if one.port == case.port:
                return None
            ports[one.port] = ports.get(one.port, 0) + count
    ignored = evidence.rise("Udp6.IgnoredMulti" if case.is_ipv6 else "Udp.IgnoredMulti")
    if ports:
        best = max(ports, key=lambda port: ports[port])
        return Finding(
            "wrong-port",
            "proven",
            {"port": case.port, "arrived_on_ports": {str(port): count for port, count in ports.items()}},
            case.listen_command(port=best),
            f"datagrams for {case.endpoint.group} arrive on port {', '.join(map(str, ports))}, not on {case.port}",
        )
    if evidence.can_see_packets or not ignored:
        return None
    return Finding(
        "wrong-port",
        "possible",
        {"Udp.IgnoredMulti": ignored, "port": case.port},
        "run this command as root to see the ports that datagrams arrive on",
        f"{ignored} multicast datagrams arrived for ports that no program uses: port {case.port} may be wrong",
    )


def _wrong_group(evidence: Evidence) -> Finding | None:
    case = evidence.case
    groups: dict[str, int] = {}
    for one, count in evidence.sightings():
        if (
            one.port == case.port
            and one.interface == case.interface
            and one.group != case.endpoint.group
            and (":" in one.group) == case.is_ipv6
        ):
            groups[one.group] = groups.get(one.group, 0) + count
    if not groups:
        return None
    best = max(groups, key=lambda group: groups[group])
    return Finding(
        "wrong-group",
        "likely",
        {"group": case.endpoint.group, "arrived_for_groups": groups},
        case.listen_command(group=best),
        f"on port {case.port}, datagrams arrive for {', '.join(groups)}, not for {case.endpoint.group}",
    )
