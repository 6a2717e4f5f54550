"""Causes of losses that depend on the size of datagrams: lost fragments, and an MTU that is too small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .evidence import Evidence

ETHERNET_MTU, _JUMBO_MTU = 1500, 9000


def fragments_lost(evidence: Evidence) -> Finding | None:
    """Fragments arrive, and no datagram is complete."""
    case = evidence.case
    kind = "Ip6" if case.is_ipv6 else "Ip"
    requests, whole = evidence.rise(f"{kind}.ReasmReqds"), evidence.rise(f"{kind}.ReasmOKs")
    first = rest = 0
    for one, count in evidence.sightings():
        if one.is_fragment and one.group == case.endpoint.group and one.interface == case.interface:
            first += count if one.port == case.port else 0
            rest += count if one.port is None else 0
    if evidence.can_see_packets:
        if not first + rest or (evidence.completed(any_port=not first) and (whole or not requests)):
            return None
    elif not requests or whole:
        return None
    headers = 48 if case.is_ipv6 else 28
    mtu = (case.link.mtu if case.link else None) or 1500
    proof: dict[str, object] = {
        "fragments_received": requests,
        "datagrams_completed": evidence.completed() if evidence.can_see_packets and whole else whole,
        "datagrams_begun": first or None,
    }
    if not first and evidence.refused() and mtu < ETHERNET_MTU:
        return _mtu_too_small(evidence, mtu, proof)
    return Finding(
        "fragments-lost",
        "proven" if first else "likely",
        proof,
        f"send datagrams of at most {mtu - headers} bytes",
        f"{requests} fragments arrived, but no datagram was complete: the network loses the others",
    )


def too_long(evidence: Evidence) -> Finding | None:
    """Nothing reached the interface, and it refused packets: they are probably longer than its MTU."""
    link = evidence.case.link
    if link is None or link.mtu is None or evidence.reached() or fragments_lost(evidence) is not None:
        return None
    # A packet socket takes frames of unknown protocols: without one, they count as dropped as well.
    is_too_small = evidence.can_see_packets and evidence.refused() > 0 and link.mtu < ETHERNET_MTU
    if is_too_small or evidence.rise(f"{link.name}.rx_errors"):
        return _mtu_too_small(evidence, link.mtu, {})
    return None


def _mtu_too_small(evidence: Evidence, mtu: int, proof: Mapping[str, object]) -> Finding:
    name = evidence.case.interface
    count = evidence.refused()
    larger = ETHERNET_MTU if mtu < ETHERNET_MTU else _JUMBO_MTU
    return Finding(
        "fragments-lost",
        "likely",
        {**proof, "interface": name, "mtu": mtu, "packets_refused": count},
        f"ip link set {name} mtu {larger}",
        f"{name} refused {count} packets, which are probably longer than its MTU of {mtu}: give it the MTU of the "
        "sender, or send shorter datagrams",
    )
