"""The interface and the router that the system's routes choose for an address. Nothing is sent to find out."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys

from ..sync import interfaces
from . import netlink

# Errors that mean "no route": none to the group, none with a usable address, or no such IP version on this machine.
_NO_ROUTE = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EACCES,  # a "prohibit" route
    errno.EINVAL,  # a "blackhole" route
}

# rtnetlink(7) and linux/rtnetlink.h: message types and attributes.
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RTMSG = struct.Struct("=BBBBBBBBI")


def interface_name_for(group: str) -> str | None:
    """Return the name of the interface that the routes choose for ``group``; None if there is no route.

    Raises:
        ValueError: ``group`` is not an address.
        OSError: The system cannot look up routes.
    """
    index = interface_for(group)
    return None if index is None else socket.if_indextoname(index)


def interface_for(group: str, by: int | None = None) -> int | None:
    """Return the index of the interface that the routes choose for ``group``; None if there is no route.

    Args:
        group: an IPv4 or IPv6 address, of a group or of a host, without a zone.
        by: the index of an interface, to ask only for a route by this interface (Linux; other systems ignore it).

    Raises:
        ValueError: ``group`` is not an address.
        OSError: The system cannot look up routes.
    """
    address = ipaddress.ip_address(group)
    try:
        if sys.platform == "linux":
            output = _ask_kernel(address, by).get(_RTA_OIF)
            return None if output is None else int(struct.unpack("=I", output)[0])
        return _ask_socket(address)
    except OSError as error:
        if error.errno in _NO_ROUTE:
            return None
        raise


def router_for(host: str) -> str | None:
    """Return the address of the router that the route to ``host`` leads to; None if the host is on a link.

    None as well if there is no route, or if the system is not Linux.

    Raises:
        ValueError: ``host`` is not an address.
        OSError: The system cannot look up routes.
    """
    address = ipaddress.ip_address(host)
    if sys.platform != "linux":
        return None
    try:
        router = _ask_kernel(address, None).get(_RTA_GATEWAY)
    except OSError as error:
        if error.errno in _NO_ROUTE:
            return None
        raise
    return None if router is None else str(ipaddress.ip_address(router))


def _ask_kernel(address: ipaddress.IPv4Address | ipaddress.IPv6Address, by: int | None) -> dict[int, bytes]:
    """Ask Linux by netlink. The source address of a socket would not do: it may belong to another interface."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    route = _RTMSG.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    target = netlink.attribute(_RTA_DST, address.packed)
    output = b"" if by is None else netlink.attribute(_RTA_OIF, struct.pack("=I", by))
    answer = netlink.ask(_RTM_GETROUTE, _RTM_NEWROUTE, route + target + output, "look up the route")
    return {} if answer is None else netlink.attributes(answer[_RTMSG.size :])


def _ask_socket(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int | None:
    """Connect a UDP socket, which sends nothing, and find the interface that has its source address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((str(address), 9))  # RFC 863: the discard port
        source, _, *rest = sock.getsockname()
    if rest and rest[1]:  # the interface of a link-local IPv6 address
        return int(rest[1])
    return next((one.index for one in interfaces() if source in one.addresses), None)
