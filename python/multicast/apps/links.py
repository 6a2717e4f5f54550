"""State and kind of an interface, beyond what every system reports."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from dataclasses import asdict, dataclass

from ..sync import interfaces
from ..types import Interface
from . import netlink

# rtnetlink(7), linux/if_link.h and linux/if.h: message types, attributes and flags.
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_IFINFOMSG = struct.Struct("=BxHiII")
_IFLA_MASTER, _IFLA_LINKINFO, _IFLA_CARRIER, _IFLA_CARRIER_CHANGES, _IFLA_LINK_NETNSID = 10, 18, 33, 35, 37
_IFLA_INFO_KIND = 1


@dataclass(frozen=True, slots=True)
class Link(Interface):
    """One interface, with what Linux knows besides."""

    has_carrier: bool
    """Whether its link works (a cable is plugged in); True if it is down or the system does not say."""
    carrier_changes: int
    """How often its link was lost or found; 0 if the system does not say."""
    kind: str
    """The kind of a virtual interface, such as ``veth``; empty for hardware, or if the system does not say."""
    is_half_outside: bool
    """Whether its other half, as of a veth pair, is in another network namespace."""
    has_master: bool
    """Whether it is a port of another interface, such as a bridge or a bond, which gets what arrives on it."""


def links() -> list[Link]:
    """Return the interfaces of this machine, by index, without those that are deleted meanwhile.

    Raises:
        OSError: The system refused to list them.
    """
    found: list[Link] = []
    for one in interfaces():
        try:
            attributes = _attributes(one.index)
        except OSError as error:
            if error.errno == errno.ENODEV:
                continue
            raise
        info = netlink.attributes(attributes.get(_IFLA_LINKINFO, b""))
        found.append(
            Link(
                **asdict(one),
                has_carrier=not one.is_up or attributes.get(_IFLA_CARRIER, b"\x01") != b"\x00",
                carrier_changes=int.from_bytes(attributes.get(_IFLA_CARRIER_CHANGES, b""), sys.byteorder),
                kind=info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
                is_half_outside=_IFLA_LINK_NETNSID in attributes,
                has_master=_IFLA_MASTER in attributes,
            )
        )
    return found


def _attributes(index: int) -> dict[int, bytes]:
    """Return what Linux knows of an interface, by attribute; empty on other systems."""
    if sys.platform != "linux":
        return {}
    body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    answer = netlink.ask(_RTM_GETLINK, _RTM_NEWLINK, body, "look up an interface")
    return {} if answer is None else netlink.attributes(answer[_IFINFOMSG.size :])
