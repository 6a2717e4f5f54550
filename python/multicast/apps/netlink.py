"""Questions to the kernel by rtnetlink (Linux): one request, one answer, nothing sent on the network."""

from __future__ import annotations

import os
import socket
import struct

# netlink(7) and rtnetlink(7): message types and flags.
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_NLMSGHDR = struct.Struct("=IHHII")
_RTATTR = struct.Struct("=HH")
# The answer about one interface may be long: it has the counters of each queue.
_LONGEST_ANSWER = 65536


def ask(request: int, answer: int, body: bytes, what: str) -> bytes | None:
    """Send a request to the kernel and return the body of its answer; None if it is of another type than ``answer``.

    Args:
        request: the type of the request.
        answer: the type of the expected answer.
        body: the request, without its netlink header.
        what: the operation, for the message of an error.

    Raises:
        OSError: The kernel refused; ``errno`` says why.
    """
    head = _NLMSGHDR.pack(_NLMSGHDR.size + len(body), request, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:  # protocol 0 is NETLINK_ROUTE
        sock.send(head + body)
        received = sock.recv(_LONGEST_ANSWER)
    _, kind, *_ = _NLMSGHDR.unpack_from(received)
    body = received[_NLMSGHDR.size :]
    if kind == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", body)[0]
        raise OSError(code, f"cannot {what}: {os.strerror(code)}")
    return body if kind == answer else None


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute of a request. The length of ``value`` is a multiple of four bytes."""
    return _RTATTR.pack(_RTATTR.size + len(value), kind) + value


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes of an answer, by type; each begins at a multiple of four bytes."""
    found: dict[int, bytes] = {}
    at = 0
    while at + _RTATTR.size <= len(data):
        length, kind = _RTATTR.unpack_from(data, at)
        found[kind] = data[at + _RTATTR.size : at + length]
        at += max(_RTATTR.size, length + 3 & ~3)
    return found
