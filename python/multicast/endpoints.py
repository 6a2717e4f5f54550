"""Endpoint text, ``source@group:port%interface``, to values and back.

Pure: no socket, no look-up, no opinion on whether an address is a group (the core decides that, once).
"""

from __future__ import annotations

from typing import NamedTuple


class Endpoint(NamedTuple):
    """The parts of an endpoint; what the text leaves out is ``None`` or empty."""

    group: str
    """The group's address, without zone and brackets."""
    port: int | None = None
    """UDP port, 0 to 65535."""
    interface: str | None = None
    """Name, index or address of an interface: the zone of the text."""
    sources: tuple[str, ...] = ()
    """Addresses that the datagrams must come from."""

    def __str__(self) -> str:
        """The text that reads back as this endpoint."""
        zone = "" if self.interface is None else f"%{self.interface}"
        host = f"[{self.group}{zone}]" if ":" in self.group else f"{self.group}{zone}"
        port = "" if self.port is None else f":{self.port}"
        return ",".join(self.sources) + ("@" if self.sources else "") + host + port


def parse(text: str) -> Endpoint:
    """Reads an endpoint.

    Args:
        text: ``group``, ``group:port``, ``source@group:port``; a zone (``%eth0``) behind the group or at the
            end; several sources with commas; an IPv6 group with a port in brackets, as in
            ``[ff02::114%eth0]:5000``.

    Raises:
        ValueError: the text is none of these; says which part is wrong.
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"an endpoint is text such as '239.1.2.3:5000', not {type(text).__name__}")
    before, at, rest = text.strip().rpartition("@")
    sources = tuple(source.strip().strip("[]") for source in before.split(",")) if at else ()
    if not all(sources):
        raise ValueError(f"{text!r} has an empty source before '@'")
    host, port, outer_zone = _split(rest, text)
    group, percent, zone = host.partition("%")
    if not group:
        raise ValueError(f"{text!r} names no group")
    if (percent and not zone) or (percent and outer_zone is not None):
        raise ValueError(f"{text!r} has an empty or a second zone behind '%'")
    return Endpoint(group, port, zone or outer_zone, sources)


def _split(rest: str, text: str) -> tuple[str, int | None, str | None]:
    """Host with its inner zone, port, and a zone behind the port."""
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket:
            raise ValueError(f"{text!r} has no closing ']'")
        if tail and tail[0] not in ":%":
            raise ValueError(f"{text!r} has {tail!r} behind ']', where a port belongs")
    elif rest.count(":") == 1:
        host, _, tail = rest.partition(":")
        tail = f":{tail}"
    else:
        # No port, or an IPv6 address without brackets, which cannot have one.
        return rest, None, None
    tail, percent, zone = tail.partition("%")
    if percent and not zone:
        raise ValueError(f"{text!r} has an empty zone behind '%'")
    return host, _port(tail[1:], text) if tail else None, zone or None


def _port(digits: str, text: str) -> int:
    # Five digits at most: beyond thousands, int() itself refuses, in words of its own.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5) or int(digits) > 65535:
        raise ValueError(f"{text!r} has the port {digits!r}; a UDP port is a number from 0 to 65535")
    return int(digits)
