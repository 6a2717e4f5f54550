"""The interface that the system's routes choose for a group. Nothing is sent to find out."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys

from ..sync import interfaces

# Errors that mean "no route": none to the group, none with a usable address, or no such IP version on this machine.
_NO_ROUTE = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EACCES,  # a "prohibit" route
    errno.EINVAL,  # a "blackhole" route
}

# rtnetlink(7), netlink(7) and linux/rtnetlink.h: message types, flags and attributes.
_NLMSG_ERROR, _RTM_NEWROUTE, _RTM_GETROUTE = 2, 24, 26
_NLM_F_REQUEST = 1
_RTA_DST, _RTA_OIF = 1, 4
_NLMSGHDR = struct.Struct("=IHHII")
_RTMSG = struct.Struct("=BBBBBBBBI")
_RTATTR = struct.Struct("=HH")


def interface_for(group: str, by: int | None = None) -> int | None:
    """Return the index of the interface that the routes choose for ``group``; None if there is no route.

    Args:
        group: an IPv4 or IPv6 group address, without a zone.
        by: the index of an interface, to ask only for a route by this interface (Linux; other systems ignore it).

    Raises:
        ValueError: ``group`` is not an address.
        OSError: The system cannot look up routes.
    """
    address = ipaddress.ip_address(group)
    try:
        if sys.platform == "linux":
            return _ask_kernel(address, by)
        return _ask_socket(address)
    except OSError as error:
        if error.errno in _NO_ROUTE:
            return None
        raise


def _ask_kernel(address: ipaddress.IPv4Address | ipaddress.IPv6Address, by: int | None) -> int | None:
    """Ask Linux by netlink. The source address of a socket would not do: it may belong to another interface."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    route = _RTMSG.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    target = _RTATTR.pack(_RTATTR.size + len(address.packed), _RTA_DST) + address.packed
    output = b"" if by is None else _RTATTR.pack(_RTATTR.size + 4, _RTA_OIF) + struct.pack("=I", by)
    body = route + target + output
    request = _NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:  # protocol 0 is NETLINK_ROUTE
        sock.send(request)
        answer = sock.recv(8192)
    _, kind, *_ = _NLMSGHDR.unpack_from(answer)
    body = answer[_NLMSGHDR.size :]
    if kind == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", body)[0]
        raise OSError(code, "cannot look up the route")
    return _output_interface(body[_RTMSG.size :]) if kind == _RTM_NEWROUTE else None


def _output_interface(attributes: bytes) -> int | None:
    """Return the attribute RTA_OIF among the attributes of a route; each begins at a multiple of four bytes."""
    at = 0
    while at + _RTATTR.size <= len(attributes):
        length, kind = _RTATTR.unpack_from(attributes, at)
        if kind == _RTA_OIF:
            return int(struct.unpack_from("=I", attributes, at + _RTATTR.size)[0])
        at += max(_RTATTR.size, length + 3 & ~3)
    return None


def _ask_socket(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int | None:
    """Connect a UDP socket, which sends nothing, and find the interface that has its source address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((str(address), 9))  # RFC 863: the discard port
        source, _, *rest = sock.getsockname()
    if rest and rest[1]:  # the interface of a link-local IPv6 address
        return int(rest[1])
    return next((one.index for one in interfaces() if source in one.addresses), None)
