"""The messages of the multicast ping protocol: a type, then options with a type, a length and a value each.

The format is that of ssmping 0.9.1 (draft-ietf-mboned-ssmping). It differs from its final form, RFC 6450, in the
address family of a group, which has one byte instead of two. Both are understood.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

DEFAULT_GROUP = {4: "232.43.211.234", 6: "ff3e::4321:1234"}
"""The group of a request that names none, by IP version."""
LONGEST = 1500
"""The longest request and reply, in bytes."""

_REQUEST, _REPLY = b"Q", b"A"
_CLIENT, _SEQUENCE, _TIME, _GROUP, _WANTS_VERSION, _VERSION, _REPLY_SIZE, _PADDING = range(1, 9)
_HEAD = struct.Struct("!HH")
_FAMILIES = {4: 1, 6: 2}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a reply."""

    is_reply: bool
    client: int
    """The number that a client chose for itself, 32 bits."""
    sequence: int
    """The number of the request, from 1."""
    group: str | None
    """The group to reply to; None if the request names none."""
    wants_version: bool
    """Whether the reply should name the program that answers."""
    reply_size: int
    """The size of the reply in bytes; 0 if the request does not choose it."""
    options: bytes
    """All options as they were received: a reply returns those of its request."""


def request(client: int, sequence: int, seconds: float, group: str | None) -> bytes:
    """Return a request.

    Args:
        client: a number for this client, 32 bits.
        sequence: the number of the request.
        seconds: the time, in seconds since the epoch.
        group: the group for the reply by multicast.
    """
    whole, part = divmod(int(seconds * 1_000_000), 1_000_000)
    options = [
        (_CLIENT, struct.pack("!I", client)),
        (_SEQUENCE, struct.pack("!I", sequence)),
        (_TIME, struct.pack("!II", whole & 0xFFFF_FFFF, part)),
    ]
    if group is not None:
        address = ipaddress.ip_address(group)
        options.append((_GROUP, bytes([_FAMILIES[address.version]]) + address.packed))
    return _REQUEST + b"".join(_option(kind, value) for kind, value in options)


def reply(asked: Message, version: str) -> bytes:
    """Return the reply to a request: its options, the version if it wants to know it, and the padding that it wants."""
    answer = _REPLY + asked.options
    if asked.wants_version:
        answer += _option(_VERSION, version.encode())
    missing = min(asked.reply_size, LONGEST) - len(answer) - _HEAD.size
    return answer + _option(_PADDING, bytes(missing)) if missing >= 0 else answer


def parse(data: bytes) -> Message | None:
    """Return the message in a datagram; None if it is none."""
    if data[:1] not in {_REQUEST, _REPLY} or len(data) > LONGEST:
        return None
    found: dict[int, bytes] = {}
    at = 1
    while at < len(data):
        if at + _HEAD.size > len(data):
            return None
        kind, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + length > len(data):
            return None
        found[kind] = data[at : at + length]
        at += length
    try:
        return Message(
            is_reply=data[:1] == _REPLY,
            client=int.from_bytes(found.get(_CLIENT, b""), "big"),
            sequence=int.from_bytes(found.get(_SEQUENCE, b""), "big"),
            group=_group(found.get(_GROUP)),
            wants_version=_WANTS_VERSION in found,
            reply_size=int.from_bytes(found.get(_REPLY_SIZE, b"")[:2], "big"),
            options=data[1:],
        )
    except ValueError:
        return None


def _group(value: bytes | None) -> str | None:
    """Return the group of an option: an address family of one byte or two, then the address.

    Raises:
        ValueError: It is neither an IPv4 nor an IPv6 group.
    """
    if value is None:
        return None
    address = ipaddress.ip_address(value[-4:] if len(value) in (5, 6) else value[-16:])
    if len(value) not in (5, 6, 17, 18) or not address.is_multicast:
        raise ValueError("the option is not a group")
    return str(address)


def _option(kind: int, value: bytes) -> bytes:
    return _HEAD.pack(kind, len(value)) + value
