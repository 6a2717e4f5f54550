"""Endpoint text, ``source@group:port%interface``, to values and back; ``group+N`` and ``group/length`` to many.

Pure: no socket, no look-up, no opinion on whether an address is a group (the core decides that, once).
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

MAX_GROUPS = 65536
"""Groups that one text may stand for."""


class Endpoint(NamedTuple):
    """The parts of an endpoint; what the text leaves out is ``None`` or empty."""

    group: str
    """The group's address, without zone and brackets; with ``+N`` or ``/length`` behind it it means many."""
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
        text: ``group``, ``group:port``, ``source@group:port``, where the group may stand for many (see `expand`); a
            zone (``%eth0``) behind the group or at the
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


def expand(endpoint: Endpoint) -> list[Endpoint]:
    """The endpoints that one stands for: most often itself.

    Args:
        endpoint: with a group such as ``239.1.2.3``, ``239.1.2.3+10`` (ten, from there on) or ``239.1.2.0/24``
            (all that begin with these bits).

    Raises:
        ValueError: it is no address, or stands for none or for more than `MAX_GROUPS`; says which.
    """
    group = endpoint.group
    if "+" in group:
        address, _, count = group.partition("+")
        first, number = _address(address, group), _digits(count, group)
    elif "/" in group:
        address, _, length = group.partition("/")
        first = _address(address, group)
        bits = _digits(length, group)
        if bits > first.max_prefixlen:
            raise ValueError(
                f"{group!r} has more than the {first.max_prefixlen} bits of an address behind '/'"
            )
        number = 2 ** (first.max_prefixlen - bits)
        if int(first) % number:
            start = type(first)(int(first) - int(first) % number)
            raise ValueError(f"{group!r} does not begin where its {bits} bits do: that is {start}/{bits}")
    else:
        return [endpoint]
    if not 1 <= number <= MAX_GROUPS:
        raise ValueError(f"{group!r} stands for {number} groups; one text may stand for 1 to {MAX_GROUPS}")
    if int(first) + number > 2**first.max_prefixlen:
        raise ValueError(f"{group!r} goes beyond the last address there is")
    return [endpoint._replace(group=str(first + offset)) for offset in range(number)]


def merge(endpoints: list[Endpoint]) -> list[Endpoint]:
    """The endpoints, those that differ in their sources alone made one: a group is joined once, for all of them."""
    merged: dict[Endpoint, tuple[str, ...]] = {}
    result = []
    for endpoint in endpoints:
        group = endpoint._replace(sources=())
        before = merged.get(group, ())
        if not before or not endpoint.sources or set(before) & set(endpoint.sources):
            result.append(endpoint)
            merged[group] = endpoint.sources
            continue
        together = group._replace(sources=before + endpoint.sources)
        result[result.index(group._replace(sources=before))] = together
        merged[group] = together.sources
    return result


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that ``text`` spells, in which its spelling plays no part, nor its zone.

    Raises:
        ValueError: it is none.
    """
    return ipaddress.ip_address(text.partition("%")[0])


def _address(text: str, group: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{group!r} does not begin with an IPv4 or IPv6 address") from None


def _digits(text: str, group: str) -> int:
    # Nine digits at most: beyond thousands, int() itself refuses, in words of its own.
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{group!r} has {text!r} where a number belongs")
    return int(text)


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
