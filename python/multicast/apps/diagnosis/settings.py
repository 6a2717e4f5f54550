"""Causes that settings and routes explain if nothing arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..routes import router_for
from . import proc
from .finding import Finding

if TYPE_CHECKING:
    from .case import Case

# Addresses for documentation (RFC 5737, RFC 3849), which no link has: the route to them is the default route.
_OUTSIDE_IPV4, _OUTSIDE_IPV6 = "192.0.2.1", "2001:db8::1"


def findings(case: Case) -> list[Finding]:
    """Return the settings and routes for which nothing may have arrived."""
    checks = (_no_multicast_flag, _link_scope, _igmp_version, _duplicate_address)
    return [found for check in checks if (found := check(case)) is not None]


def container(case: Case) -> Finding | None:
    """Return the finding that the network is that of a container: nobody in it sends, and its router forwards nothing.

    The interface is half of a pair whose other half is outside, and leads to a router.
    """
    link, marker = case.link, proc.container_marker()
    if link is None or marker is None or not link.is_half_outside:
        return None
    router = router_for(_OUTSIDE_IPV6 if case.is_ipv6 else _OUTSIDE_IPV4)
    if router is None:
        return None
    return Finding(
        "container",
        "likely",
        {"marker": marker, "interface": link.name, "kind": link.kind, "router": router},
        "run the container in the network of its host (docker run --network host, hostNetwork: true)",
        f"this is a container, and {link.name} leads to a private network whose router {router} usually forwards no "
        "multicast",
    )


def _no_multicast_flag(case: Case) -> Finding | None:
    link = case.link
    if link is None or link.is_multicast or link.is_loopback:
        return None
    # Only likely: many drivers receive groups all the same.
    return Finding(
        "no-multicast-flag",
        "likely",
        {"interface": link.name, "multicast": False},
        f"ip link set {link.name} multicast on",
        f"the interface {link.name} does not have the MULTICAST flag, so its driver may ignore joined groups",
    )


def _link_scope(case: Case) -> Finding | None:
    if not case.is_link_scope:
        return None
    for source in case.endpoint.sources:
        router = router_for(source)
        if router is not None:
            return Finding(
                "link-scope",
                "proven",
                {"group": case.endpoint.group, "source": source, "router": router},
                "use a group that routers forward, such as 239.1.2.3 or ff15::1, and a larger TTL",
                f"routers never forward {case.endpoint.group}, and the source {source} is behind the router {router}",
            )
    return None


def _igmp_version(case: Case) -> Finding | None:
    if case.is_ipv6 or not case.endpoint.sources:
        return None
    name = case.interface
    version = proc.igmp_version(name)
    if version is None or version >= 3:
        return None
    proof: dict[str, object] = {"interface": name, "igmp_version": version}
    fix = f"set the IGMP querier of the network to version 3 (a router or switch near {name})"
    reason = "because a querier of that version was heard"
    for scope in (name, "all"):
        forced = proc.setting(f"ipv4/conf/{scope}/force_igmp_version")
        if forced:
            key = f"net.ipv4.conf.{scope}.force_igmp_version"
            proof[key] = forced
            fix, reason = f"sysctl -w {key}=0", f"because the setting {key} forces it to"
            break
    text = f"{name} speaks IGMPv{version}, which cannot name sources, {reason}"
    return Finding("igmp-version", "likely", proof, fix, text)


def _duplicate_address(case: Case) -> Finding | None:
    if not case.is_ipv6:
        return None
    duplicates = proc.duplicate_addresses(case.interface)
    if not duplicates:
        return None
    return Finding(
        "ipv6-disabled",
        "likely",
        {"interface": case.interface, "duplicate_addresses": duplicates},
        f"ip -6 addr del {duplicates[0]} dev {case.interface}",
        f"another host has the address {duplicates[0]} of {case.interface}, so it is not used",
    )
