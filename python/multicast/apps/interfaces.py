"""A survey of the network interfaces: what each is, whether it can be used for multicast, and what is joined on it.

The core lists the interfaces. Linux adds the groups that any program has joined, and what it knows of IGMP and MLD, in
files under ``/proc``; other systems have no such files, and there these fields are None.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _core
from ..sync import interfaces
from ..types import Interface
from .routes import interface_for

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROC_NET = Path("/proc/net")
_SETTINGS = Path("/proc/sys/net/ipv6/conf")
# Groups that nobody uses, of the widest scope: which way do they leave?
_PROBES = {"IPv4": "239.255.255.255", "IPv6": "ff0e::1"}


@dataclasses.dataclass(frozen=True, slots=True)
class InterfaceReport(Interface):
    """One network interface, as `survey` found it."""

    limitation: str | None
    """A part of multicast that does not work on a usable interface, and the remedy; None if everything works."""
    groups: tuple[str, ...] | None
    """The groups that programs of this machine have joined on it; None if the system does not say."""
    default_for: tuple[str, ...]
    """The IP versions, "IPv4" and "IPv6", whose groups use it if no interface is named."""
    igmp_version: int | None
    """The IGMP version that it speaks: 3, or less if a router or a setting demands it; None if unknown."""
    mld_version: int | None
    """The MLD version that it speaks: 2, or 1 if a setting demands it; None if unknown."""
    mld_queries: int | None
    """MLD queries it has received, which show that the network has a querier for IPv6; None if unknown."""


def survey(names: Iterable[str] = ()) -> list[InterfaceReport]:
    """Return a report on each interface of this machine, in the order of their indexes.

    Args:
        names: the interfaces to report on, each by one of its names, its index or an address; none means all.

    Raises:
        OSError: An interface does not exist (``ENODEV``), or the system cannot list them.
    """
    here = interfaces()
    wanted = {name: _core._interface_index(name) for name in names}
    missing = sorted(name for name, index in wanted.items() if index is None)
    if missing:
        raise OSError(
            errno.ENODEV,
            f"cannot find interface {missing[0]}: {os.strerror(errno.ENODEV)} "
            f"(interfaces here: {', '.join(one.name for one in here)})",
        )
    groups, versions = _memberships()
    defaults = {version: interface_for(group) for version, group in _PROBES.items()}
    mld = {one.name: _mld(one.name) for one in here}
    return [
        InterfaceReport(
            **dataclasses.asdict(one),
            limitation=None if one.unusable_reason else _limitation(one),
            groups=None if groups is None else tuple(groups.get(one.index, ())),
            default_for=tuple(version for version, index in defaults.items() if index == one.index),
            igmp_version=versions.get(one.index),
            mld_version=mld[one.name][0],
            mld_queries=mld[one.name][1],
        )
        for one in here
        if not wanted or one.index in wanted.values()
    ]


def _limitation(one: Interface) -> str | None:
    """Return what does not work on the usable interface ``one``; None if everything does.

    Linux looks up a route for each IPv6 datagram, even if the interface is given, and gives the loopback interface no
    route for groups. Sending to IPv4 groups needs no route if the interface is given.
    """
    has_ipv6 = any(":" in address for address in one.addresses)
    if sys.platform != "linux" or not has_ipv6 or interface_for(_PROBES["IPv6"], one.index) is not None:
        return None
    kind = "local" if one.is_loopback else "multicast"
    return (
        "IPv6 groups can be joined on it, but not sent to: it has no route for ff00::/8 "
        f"(add one: sudo ip -6 route add {kind} ff00::/8 dev {one.name} table local)"
    )


def _memberships() -> tuple[dict[int, list[str]] | None, dict[int, int]]:
    """Return the groups joined on each interface and its IGMP version, by index.

    The groups are in numerical order, IPv4 first. They are None, and no versions known, if the system does not say.
    """
    igmp = _read(_PROC_NET / "igmp")
    if igmp is None:
        return None, {}
    groups, versions = _parse_igmp(igmp)
    for index, more in _parse_igmp6(_read(_PROC_NET / "igmp6") or "").items():
        groups.setdefault(index, []).extend(more)
    return groups, versions


def _parse_igmp(table: str) -> tuple[dict[int, list[str]], dict[int, int]]:
    """Return the groups and the IGMP version of each interface in the text of ``/proc/net/igmp``.

    A line that begins with an index describes an interface. Its last column, "Querier", is V1, V2 or V3: the version
    of the querier heard last, and V3 if there was none. The lines below it begin with a group, as a hexadecimal number
    in the byte order of the machine.
    """
    groups: dict[int, list[ipaddress.IPv4Address]] = {}
    versions: dict[int, int] = {}
    index = 0
    for line in table.splitlines()[1:]:
        fields = line.split()
        if line[:1].isdigit():
            index = int(fields[0])
            versions[index] = int(fields[-1].removeprefix("V"))
        elif fields:
            packed = int(fields[0], 16).to_bytes(4, sys.byteorder)
            groups.setdefault(index, []).append(ipaddress.IPv4Address(packed))
    return {key: [str(group) for group in sorted(joined)] for key, joined in groups.items()}, versions


def _parse_igmp6(table: str) -> dict[int, list[str]]:
    """Return the groups of each interface in the text of ``/proc/net/igmp6``: index, name, group, and more."""
    groups: dict[int, list[ipaddress.IPv6Address]] = {}
    for line in table.splitlines():
        index, _, group, *_ = line.split()
        groups.setdefault(int(index), []).append(ipaddress.IPv6Address(int(group, 16)))
    return {key: [str(group) for group in sorted(joined)] for key, joined in groups.items()}


def _mld(name: str) -> tuple[int | None, int | None]:
    """Return the MLD version that the interface speaks, and how many MLD queries it has received; None if unknown.

    Linux speaks version 2 until it hears a query of version 1, and reports by version 1 for a while then. So a count
    of such reports leaves the version open.
    """
    counters: dict[str, int] = {}
    for line in (_read(_PROC_NET / "dev_snmp6" / name) or "").splitlines():
        key, _, value = line.partition("\t")
        counters[key.strip()] = int(value)
    queries = counters.get("Icmp6InGroupMembQueries")
    if queries is None:
        return None, None
    for scope in (name, "all"):
        forced = (_read(_SETTINGS / scope / "force_mld_version") or "").strip()
        if forced in ("1", "2"):
            return int(forced), queries
    return None if counters.get("Icmp6OutGroupMembResponses") else 2, queries


def _read(path: Path) -> str | None:
    """Return the text of a file under ``/proc``; None if this system has no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
