"""Endpoint text such as ``source@group:port%interface``, parsed and written; ``group+N`` and ``group/length`` expanded.

This module imports the standard library only. Whether an address is a
multicast group is decided in the core.
"""

from __future__ import annotations

import ipaddress
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, SupportsIndex, cast

if TYPE_CHECKING:
    from typing import TypeAlias

    Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_GROUPS = 65536
"""The most groups that one endpoint may stand for."""

_IPV4_LINK_SCOPE = ipaddress.IPv4Network("224.0.0.0/24")

ADDRESS_TYPES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_GROUP_TYPES = (*ADDRESS_TYPES, ipaddress.IPv4Network, ipaddress.IPv6Network)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A group, and optionally its port, interface and sources.

    ::

        endpoint = multicast.Endpoint.parse("10.0.0.1@232.1.2.3:5000%eth0")
        assert endpoint.group == "232.1.2.3"
        assert endpoint.sources == ("10.0.0.1",)
        with multicast.Receiver(endpoint) as rx:
            msg = rx.recv()

    ``str(endpoint)`` is text that parses to an equal endpoint.
    """

    group: str
    """The group's address, without zone and brackets; ``239.1.2.3+10`` and ``239.1.2.0/24`` stand for several."""
    port: int | None = None
    """UDP port, from 0 to 65535."""
    interface: str | None = None
    """Name, index or address of an interface."""
    sources: tuple[str, ...] = ()
    """The only senders to receive from."""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Parse the text of an endpoint.

        Args:
            text: ``group``, ``group:port``, ``group%interface``,
                ``group:port%interface``, each with ``source@`` or
                ``source,source@`` before it. An IPv6 group with a port needs
                brackets: ``[ff02::114%eth0]:5000``.

        Raises:
            ValueError: The text is not an endpoint; the message says which part
                is wrong.
            TypeError: ``text`` is not a string.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"an endpoint must be text such as '239.1.2.3:5000', an Endpoint, a (group, port) tuple or an "
                f"ipaddress object, got {type(text).__name__}"
            )
        if "://" in text:
            raise ValueError(f"{text!r} is a URL: write {_without_scheme(text)} instead")
        before, at, rest = text.strip().rpartition("@")
        sources = tuple(_without_brackets(source.strip(), text) for source in before.split(",")) if at else ()
        if not all(sources):
            raise ValueError(f"{text!r} has an empty source before '@'")
        host, port, outer_zone = _split(rest, text)
        group, percent, zone = host.partition("%")
        if not group:
            raise ValueError(f"{text!r} names no group")
        if (percent and not zone) or (percent and outer_zone is not None):
            raise ValueError(f"{text!r} has an empty or a second interface after '%'")
        return cls(group, port, zone or outer_zone, sources)

    def __str__(self) -> str:
        """Return text that parses to an equal endpoint."""
        sources = ",".join(self.sources) + ("@" if self.sources else "")
        port = "" if self.port is None else f":{self.port}"
        zone = "" if self.interface is None else f"%{self.interface}"
        if ":" in self.group:
            return f"{sources}[{self.group}{zone}]{port}"
        return f"{sources}{self.group}{port}{zone}"


def from_argument(given: object) -> Endpoint:
    """Return the endpoint that an argument stands for: text, a (group, port) tuple, an address or an `Endpoint`.

    Raises:
        ValueError: It is not an endpoint.
        TypeError: It is of another type.
    """
    if isinstance(given, Endpoint):
        return given
    if pair := _group_and_port(given):
        group, port = pair
        endpoint = from_argument(group)
        if endpoint.port is not None:
            raise ValueError(f"{given!r} has the port twice")
        if isinstance(port, bool):
            raise TypeError("port must be an integer from 0 to 65535, got bool")
        return replace(endpoint, port=operator.index(port))
    if isinstance(given, ipaddress.IPv6Address):
        return Endpoint(str(given).partition("%")[0], None, given.scope_id)
    return Endpoint.parse(str(given) if isinstance(given, _GROUP_TYPES) else given)  # type: ignore[arg-type]


def is_one(given: object) -> bool:
    """Return whether an argument is one endpoint, and not several."""
    return isinstance(given, (str, Endpoint, *_GROUP_TYPES)) or _group_and_port(given) is not None


def _group_and_port(given: object) -> tuple[object, SupportsIndex] | None:
    """Return an argument that is a (group, port) tuple; None if it is not."""
    if isinstance(given, tuple):
        parts = cast("tuple[object, ...]", given)
        if len(parts) == 2 and isinstance(parts[1], SupportsIndex):
            return parts[0], parts[1]
    return None


def expand(endpoint: Endpoint) -> list[Endpoint]:
    """Return the endpoints that ``endpoint`` stands for, usually just itself.

    Args:
        endpoint: Its group is an address, ``239.1.2.3+10`` (ten groups,
            starting there) or ``239.1.2.0/24`` (all groups with this
            prefix).

    Raises:
        ValueError: The group is not an address, or stands for none or for
            more than `MAX_GROUPS`.
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
                f"{group!r} has a prefix longer than the {first.max_prefixlen} bits of an address"
            )
        number = 2 ** (first.max_prefixlen - bits)
        if int(first) % number:
            start = type(first)(int(first) - int(first) % number)
            raise ValueError(f"{group!r} has bits set after its prefix: write {start}/{bits}")
    else:
        return [endpoint]
    if not 1 <= number <= MAX_GROUPS:
        raise ValueError(f"{group!r} stands for {number} groups; an endpoint may stand for 1 to {MAX_GROUPS}")
    if int(first) + number > 2**first.max_prefixlen:
        raise ValueError(f"{group!r} goes beyond the last address")
    return [replace(endpoint, group=str(first + offset)) for offset in range(number)]


def merge(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Merge endpoints that differ only in their sources, because a group is joined once.

    An endpoint without sources, or with a source that an earlier one has,
    is not merged, so that the core refuses it.
    """
    groups: list[Endpoint] = []
    sources: list[dict[str, None]] = []
    latest: dict[Endpoint, int] = {}
    for endpoint in endpoints:
        group = replace(endpoint, sources=())
        known = sources[latest[group]] if group in latest else {}
        if known and endpoint.sources and known.keys().isdisjoint(endpoint.sources):
            known.update(dict.fromkeys(endpoint.sources))
        else:
            latest[group] = len(groups)
            groups.append(group)
            sources.append(dict.fromkeys(endpoint.sources))
    return [replace(group, sources=tuple(known)) for group, known in zip(groups, sources, strict=True)]


def parse_address(text: str) -> Address:
    """Return the address that ``text`` spells, whatever its spelling and zone.

    Raises:
        ValueError: It is not an address.
    """
    return ipaddress.ip_address(text.partition("%")[0])


def is_link_scope(group: str) -> bool:
    """Return whether no router forwards a group: 224.0.0.0/24, ff01::/16 and ff02::/16 with their flags.

    Raises:
        ValueError: It is not an address.
    """
    address = parse_address(group)
    return address in _IPV4_LINK_SCOPE if address.version == 4 else address.packed[1] & 0x0F <= 2


def _address(text: str, group: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{group!r} does not begin with an IPv4 or IPv6 address") from None


def _digits(text: str, group: str) -> int:
    # At most nine digits: int() itself refuses thousands of them, with a message of its own.
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{group!r} has {text!r} instead of a number")
    return int(text)


def _without_scheme(url: str) -> str:
    """Return the endpoint in a URL such as ``udp://@239.1.2.3:5000?ttl=4``, as VLC and FFmpeg write it."""
    place = url.partition("://")[2].partition("?")[0]
    return place.rstrip("/").removeprefix("@") or "an endpoint such as 239.1.2.3:5000"


def _without_brackets(source: str, text: str) -> str:
    if source.startswith("[") and source.endswith("]"):
        source = source[1:-1]
    if "[" in source or "]" in source:
        raise ValueError(f"{text!r} has an unpaired bracket before '@'")
    return source


def _split(rest: str, text: str) -> tuple[str, int | None, str | None]:
    """Return the host with the interface that follows it, the port, and the interface that follows the port."""
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket:
            raise ValueError(f"{text!r} has no closing ']'")
        if tail and tail[0] not in ":%":
            raise ValueError(f"{text!r} has {tail!r} after ']' instead of a port")
    elif rest.partition("%")[0].count(":") == 1:
        host, _, tail = rest.partition(":")
        tail = f":{tail}"
    else:
        # No port: none was written, or it is an IPv6 address without brackets. A colon in the name of an interface, as
        # in eth0:1, does not count.
        return rest, None, None
    tail, percent, zone = tail.partition("%")
    if percent and not zone:
        raise ValueError(f"{text!r} has an empty interface after '%'")
    return host, _port(tail[1:], text) if tail else None, zone or None


def _port(digits: str, text: str) -> int:
    # At most five digits: int() itself refuses thousands of them, with a message of its own.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5) or int(digits) > 65535:
        raise ValueError(f"the port of {text!r} must be a number from 0 to 65535, got {digits!r}")
    return int(digits)
