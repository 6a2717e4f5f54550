"""Where a relay receives and sends: a group, a unicast UDP address, or a NATS subject, read from text."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ..endpoints import Endpoint, expand, is_link_scope

if TYPE_CHECKING:
    from typing import TypeAlias

_ORIGINAL = "original"
_CONSUMER = re.compile(r"[\w-]+", re.ASCII)
_NATS_SCHEMES = ("nats", "tls", "ws", "wss")


def refuse_link_scope(group: str) -> None:
    """Refuse a group that no router forwards.

    Raises:
        ValueError: The group is one of these.
    """
    if is_link_scope(group):
        raise ValueError(
            f"{group} must not be relayed, because it belongs to one link (--link-scope allows it, or link_scope of a "
            "route)"
        )


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """A group, with its port and perhaps an interface."""

    endpoint: Endpoint

    @property
    def interface(self) -> str | None:
        """The interface; None if the endpoint names none."""
        return self.endpoint.interface

    def __str__(self) -> str:
        """Return the text that it was read from, or an equal one."""
        return str(self.endpoint)


@dataclass(frozen=True, slots=True)
class OriginalPlace:
    """The group and port that each datagram had when it was received first."""

    interface: str | None
    """The interface to send by; None lets the system's routes decide."""

    def __str__(self) -> str:
        """Return the text that it was read from, or an equal one."""
        return _ORIGINAL if self.interface is None else f"{_ORIGINAL}%{self.interface}"


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
    durable: str | None = None
    """The consumer of JetStream that receives, or None for what is published while the relay is connected."""

    def __str__(self) -> str:
        """Return the server without a password, the subject, and the consumer if there is one."""
        consumer = "" if self.durable is None else f"?durable={self.durable}"
        return f"{without_password(self.server)}/{self.subject}{consumer}"


def without_password(place: str) -> str:
    """Return a place without the user and password of its server; a group stays as it is."""
    scheme, colon, rest = place.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if colon else place


Source: TypeAlias = GroupPlace | UdpPlace | NatsPlace
Destination: TypeAlias = Source | OriginalPlace


def parse_source(text: str) -> Source:
    """Return the source that ``text`` names.

    Args:
        text: an endpoint such as ``239.1.2.3:5000%eth0``, ``udp://host:port`` or ``nats://host:port/subject``.

    Raises:
        ValueError: It is none of these.
    """
    return _parse(text, is_source=True)


def parse_destination(text: str) -> Destination:
    """Return the destination that ``text`` names.

    Args:
        text: as for `parse_source`, with one group and one subject; or ``original`` or ``original%eth0``.

    Raises:
        ValueError: It is none of these.
    """
    word, percent, interface = text.partition("%")
    if interface == "all":
        raise ValueError(
            f"a relay sends through one interface, got {text!r} (write --to for each, or list them in 'to')"
        )
    if word == _ORIGINAL and bool(percent) == bool(interface):
        return OriginalPlace(interface or None)
    return _parse(text, is_source=False)


def _parse(text: str, *, is_source: bool) -> Source:
    scheme, colon, _ = text.partition("://")
    if colon and scheme == "udp":
        return _udp(text)
    if colon and scheme in _NATS_SCHEMES:
        return _nats(text, is_source=is_source)
    if colon:
        raise ValueError(f"a source or destination must be a group, udp:// or nats://, got {text!r}")
    return _group(text, is_source=is_source)


def _group(text: str, *, is_source: bool) -> GroupPlace:
    endpoint = Endpoint.parse(text)
    groups = expand(endpoint)
    if not all(ipaddress.ip_address(one.group).is_multicast for one in (groups[0], groups[-1])):
        raise ValueError(f"a source or destination must be a group, udp:// or nats://, got {text!r}")
    if not endpoint.port:
        raise ValueError(f"{text!r} needs a port from 1 to 65535, as in {replace(endpoint, port=5000)}")
    if not is_source and (len(groups) > 1 or endpoint.sources):
        raise ValueError(f"a relay sends to one group, without sources, or to '{_ORIGINAL}', got {text!r}")
    return GroupPlace(endpoint)


def _udp(text: str) -> UdpPlace:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"a unicast address must be udp://HOST:PORT, got {text!r}")
    if _is_group(parts.hostname):
        group = text.partition("://")[2].strip("/@")
        raise ValueError(f"udp:// is for unicast: write {group} for a group, got {text!r}")
    return UdpPlace(parts.hostname, port)


def _is_group(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_multicast
    except ValueError:
        return False  # the name of a host


def _nats(text: str, *, is_source: bool) -> NatsPlace:
    parts = urlsplit(text)
    subject = unquote(parts.path.strip("/"))
    wild = any(token in {"*", ">"} for token in subject.split("."))
    if not parts.hostname or not subject or " " in subject or not all(subject.split(".")):
        raise ValueError(f"a NATS address must be nats://HOST[:PORT]/SUBJECT, got {text!r}")
    if wild and not is_source:
        raise ValueError(f"a relay sends to one subject, without wildcards, got {text!r}")
    name, _, durable = parts.query.partition("=")
    if parts.query and (name != "durable" or not _CONSUMER.fullmatch(durable) or not is_source):
        raise ValueError(f"only a NATS source may have ?durable=NAME, and nothing else, got {text!r}")
    return NatsPlace(f"{parts.scheme}://{parts.netloc}", subject, durable or None)
