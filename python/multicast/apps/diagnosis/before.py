"""Causes that settings and routes prove before anything is received."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from ..links import links
from . import proc
from .finding import Finding

if TYPE_CHECKING:
    from .case import Case


def findings(case: Case) -> list[Finding]:
    """Return the causes for which nothing can arrive, whatever is sent."""
    checks = (_no_route, _interface_down, _ipv6_disabled)
    return [found for check in checks if (found := check(case)) is not None]


def _no_route(case: Case) -> Finding | None:
    if case.link is not None:
        return None
    if case.is_ipv6 and proc.setting("ipv6/conf/all/disable_ipv6"):
        return Finding(
            "ipv6-disabled",
            "proven",
            {"net.ipv6.conf.all.disable_ipv6": 1},
            "sysctl -w net.ipv6.conf.all.disable_ipv6=0",
            "IPv6 is disabled on this machine",
        )
    usable = [one for one in case.links if one.is_up and one.is_multicast]
    name = usable[0].name if usable else "lo"
    # Linux rejects everything on any IPv6 route through the loopback interface but a local one.
    kind = "multicast" if usable else "local"
    add = (
        f"ip -6 route add {kind} ff00::/8 dev {name} table local"
        if case.is_ipv6
        else f"ip route add 224.0.0.0/4 dev {name}"
    )
    return Finding(
        "no-route",
        "proven",
        {"group": case.endpoint.group, "route": None, "usable_interfaces": [one.name for one in usable]},
        add,
        f"no interface is named, and this machine has no route to {case.endpoint.group}, so the system cannot "
        "choose one",
    )


def interface_lost(case: Case) -> Finding | None:
    """Return the finding that the interface of a case is down, gone or renamed since the case was looked up."""
    if case.link is None:
        return None
    index, name = case.link.index, case.link.name
    now = links()
    link = next((one for one in now if one.name == name), None)
    if link is not None:
        return _interface_down(replace(case, link=link))
    renamed = next((one.name for one in now if one.index == index), None)
    if renamed is not None:
        return Finding(
            "interface-down",
            "proven",
            {"interface": name, "renamed_to": renamed},
            case.listen_command(interface=renamed),
            f"the interface {name} was renamed to {renamed} during the diagnosis",
        )
    return Finding(
        "interface-down",
        "proven",
        {"interface": name, "up": False, "carrier": False},
        f"bring {name} back, or name another interface",
        f"the interface {name} was deleted during the diagnosis",
    )


def _interface_down(case: Case) -> Finding | None:
    link = case.link
    if link is None or (link.is_up and link.has_carrier):
        return None
    proof: dict[str, object] = {
        "interface": link.name,
        "up": link.is_up,
        "carrier": link.is_up and link.has_carrier,
    }
    if not link.is_up:
        return Finding(
            "interface-down",
            "proven",
            proof,
            f"ip link set {link.name} up",
            f"the interface {link.name} is switched off",
        )
    return Finding(
        "interface-down",
        "proven",
        proof,
        f"connect {link.name}: plug in its cable, or start what is at its other end",
        f"the interface {link.name} is switched on, but its link does not work",
    )


def _ipv6_disabled(case: Case) -> Finding | None:
    if not case.is_ipv6 or case.link is None:
        return None
    name = case.link.name
    if not proc.setting(f"ipv6/conf/{name}/disable_ipv6"):
        return None
    return Finding(
        "ipv6-disabled",
        "proven",
        {"interface": name, f"net.ipv6.conf.{name}.disable_ipv6": 1},
        f"sysctl -w net.ipv6.conf.{name}.disable_ipv6=0",
        f"IPv6 is disabled on {name}",
    )


def of_open_error(case: Case, error: OSError) -> Finding | None:
    """Return the cause if opening a receiver failed with ``error``; None if it is not known."""
    if error.errno != errno.EADDRINUSE:
        return None
    sockets = proc.udp_sockets(case.port)
    # A program may use the port with several sockets.
    owners = list(dict.fromkeys(found for one in sockets if (found := proc.owner(one.inode))))
    proof: dict[str, object] = {
        "errno": "EADDRINUSE",
        "sockets": [f"{one.address}:{case.port}" for one in sockets],
        "programs": [{"pid": pid, "name": name} for pid, name in owners],
    }
    who = ", ".join(f"{name} (process {pid})" for pid, name in owners) or "another program"
    fix = (
        "kill " + " ".join(str(pid) for pid, _ in owners)
        if owners
        else f"find the program as root (ss -ulnp sport = :{case.port}), and stop it"
    )
    return Finding(
        "port-not-shared",
        "proven",
        proof,
        fix,
        f"port {case.port} is in use, without sharing (SO_REUSEADDR), by {who}",
    )
