"""Where a relay receives and sends: a group, a unicast UDP address, or a NATS subject, read from text."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ..endpoints import Endpoint, expand

if TYPE_CHECKING:
    from typing import TypeAlias

ORIGINAL = "original"
"""The word for the group and port that a datagram had when it was received first."""

_NATS_SCHEMES = ("nats", "tls", "ws", "wss")


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """A group, with its port and perhaps an interface; without a group, the one that each datagram had."""

    endpoint: Endpoint | None
    interface: str | None = None

    def __str__(self) -> str:
        """Return the text that it was read from, or an equal one."""
        if self.endpoint is not None:
            return str(self.endpoint)
        return ORIGINAL if self.interface is None else f"{ORIGINAL}%{self.interface}"


@dataclass(frozen=True, slots=True)
class UdpPlace:
    """A unicast address and port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the text that it was read from, or an equal one."""
        return f"udp://[{self.host}]:{self.port}" if ":" in self.host else f"udp://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NatsPlace:
    """A subject of a NATS server."""

    server: str
    subject: str

    def __str__(self) -> str:
        """Return the server without a password, and the subject."""
        parts = urlsplit(self.server)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{self.subject}"


Place: TypeAlias = GroupPlace | UdpPlace | NatsPlace


def parse(text: str, *, is_source: bool) -> Place:
    """Return the place that ``text`` names.

    Args:
        text: an endpoint such as ``239.1.2.3:5000%eth0``, ``udp://host:port`` or ``nats://host:port/subject``; where a
            relay sends to, also ``original`` or ``original%eth0``.
        is_source: whether the relay receives there.

    Raises:
        ValueError: It is none of these.
    """
    scheme, colon, _ = text.partition("://")
    if colon and scheme == "udp":
        return _udp(text)
    if colon and scheme in _NATS_SCHEMES:
        return _nats(text, is_source=is_source)
    if colon:
        raise ValueError(f"a place must be a group, udp:// or nats://, got {text!r}")
    word, percent, interface = text.partition("%")
    if word == ORIGINAL and not is_source and bool(percent) == bool(interface):
        return GroupPlace(None, interface or None)
    return _group(text, is_source=is_source)


def is_link_scope(group: str) -> bool:
    """Return whether routers never forward this group: 224.0.0.0/24, and IPv6 groups of the interface or the link."""
    address = ipaddress.ip_address(group)
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.packed[1] & 0x0F in (1, 2)


def _group(text: str, *, is_source: bool) -> GroupPlace:
    endpoint = Endpoint.parse(text)
    groups = expand(endpoint)
    if not all(ipaddress.ip_address(one.group).is_multicast for one in (groups[0], groups[-1])):
        raise ValueError(f"a place must be a group, udp:// or nats://, got {text!r}")
    if not endpoint.port:
        raise ValueError(f"{text!r} needs a port from 1 to 65535, as in {endpoint.group}:5000")
    if not is_source and (len(groups) > 1 or endpoint.sources):
        raise ValueError(f"a relay sends to one group, without sources, or to '{ORIGINAL}', got {text!r}")
    return GroupPlace(endpoint, endpoint.interface)


def _udp(text: str) -> UdpPlace:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"a unicast place must be udp://HOST:PORT, got {text!r}")
    return UdpPlace(parts.hostname, port)


def _nats(text: str, *, is_source: bool) -> NatsPlace:
    parts = urlsplit(text)
    subject = unquote(parts.path.strip("/"))
    wild = any(token in {"*", ">"} for token in subject.split("."))
    if not parts.hostname or not subject or " " in subject or not all(subject.split(".")):
        raise ValueError(f"a NATS place must be nats://HOST[:PORT]/SUBJECT, got {text!r}")
    if wild and not is_source:
        raise ValueError(f"a relay sends to one subject, without wildcards, got {text!r}")
    return NatsPlace(f"{parts.scheme}://{parts.netloc}", subject)
