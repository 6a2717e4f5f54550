"""The packets that reach and leave the interfaces, seen by a packet socket (Linux, with the capability CAP_NET_RAW).

It sees incoming packets before the firewall and the reverse path filter, and outgoing ones after the firewall. It joins
nothing and sends nothing. The kernel hands over only packets to multicast groups, and only their first bytes.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import ipaddress
import socket
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_ETH_P_ALL = 3
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_PACKET_OUTGOING = 4
_SO_ATTACH_FILTER = 26
_UDP, _IGMP, _FRAGMENT, _HOP_BY_HOP, _ICMPV6 = 17, 2, 44, 0, 58
_IGMP_QUERY, _MLD_QUERY = 0x11, 130
# Enough for the headers: IPv6 with two extension headers, and UDP.
_SNAP = 128
# More is not needed to know what arrives, and would take the processor from the programs under diagnosis.
_MOST = 50_000
_PERIOD = 0.1

# Instructions of classic BPF (linux/filter.h), from the start of the IP header: version 4 and a group (224 to 239), or
# version 6 and a group (255).
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_PROGRAM = (
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, 0xF0),
    (_JUMP_IF_EQUAL, 0, 3, 0x40),
    (_LOAD_BYTE, 0, 0, 16),
    (_AND, 0, 0, 0xF0),
    (_JUMP_IF_EQUAL, 3, 4, 0xE0),
    (_JUMP_IF_EQUAL, 0, 3, 0x60),
    (_LOAD_BYTE, 0, 0, 24),
    (_JUMP_IF_EQUAL, 0, 1, 0xFF),
    (_RETURN, 0, 0, _SNAP),
    (_RETURN, 0, 0, 0),
)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A kind of packet that was seen."""

    interface: str
    is_outgoing: bool
    source: str
    group: str
    port: int | None
    """The UDP port; None for the later fragments of a datagram."""
    ttl: int
    is_fragment: bool
    """Whether it is part of a datagram that was sent in several packets."""


class Fragments:
    """Count the datagrams of which all fragments were seen.

    Attributes:
        completed: their number, by interface, group and port.
    """

    def __init__(self) -> None:
        self.completed: collections.Counter[tuple[str, str, int | None]] = collections.Counter()
        self._open: dict[tuple[Any, ...], _Pieces] = {}

    def add(self, one: Sighting, packet: bytes) -> None:
        """Take a fragment."""
        read = _ipv6_fragment if ":" in one.group else _ipv4_fragment
        number, offset, length, has_more = read(packet)
        key = (one.interface, one.source, one.group, number)
        pieces = self._open.setdefault(key, _Pieces())
        pieces.length += length
        if one.port is not None:
            pieces.port = one.port
        if not has_more:
            pieces.total = offset + length
        if pieces.length == pieces.total:
            self.completed[one.interface, one.group, pieces.port] += 1
            del self._open[key]


@dataclass(slots=True)
class _Pieces:
    """The fragments of one datagram."""

    length: int = 0
    total: int | None = None
    port: int | None = None


class Sniffer:
    """Count packets to groups on all interfaces, in a thread, until the end of the block.

    Attributes:
        seen: the number of packets of each kind.
        fragments: the incoming datagrams that were complete.
        queries: the number of IGMP and MLD queries that arrived on each interface.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.seen: collections.Counter[Sighting] = collections.Counter()
        self.queries: collections.Counter[str] = collections.Counter()
        self.fragments = Fragments()
        self._sock = sock
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="multicast-doctor-packets")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_ending.set()
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        taken = 0
        while taken < _MOST and not self._is_ending.is_set():
            try:
                packet, (interface, protocol, kind, *_) = self._sock.recvfrom(_SNAP)
            except TimeoutError:
                continue
            taken += 1
            self._take(packet, interface, protocol, is_outgoing=kind == _PACKET_OUTGOING)

    def _take(self, packet: bytes, interface: str, protocol: int, *, is_outgoing: bool) -> None:
        parse = {_ETH_P_IP: _parse_ipv4, _ETH_P_IPV6: _parse_ipv6}.get(protocol)
        found = None
        # A packet that is too short for its headers is none of ours.
        with contextlib.suppress(struct.error, IndexError):
            found = parse and parse(packet, interface, is_outgoing=is_outgoing)
            if isinstance(found, Sighting) and found.is_fragment and not is_outgoing:
                self.fragments.add(found, packet)
        if isinstance(found, Sighting):
            self.seen[found] += 1
        elif found and not is_outgoing:
            self.queries[interface] += 1


def open_sniffer() -> Sniffer | None:
    """Return a sniffer for a ``with`` block; None if this system has none or does not permit it."""
    if sys.platform != "linux":
        return None
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except PermissionError:
        return None
    try:
        _attach_filter(sock)
        sock.settimeout(_PERIOD)
        return Sniffer(sock)
    except BaseException:
        sock.close()
        raise


def _attach_filter(sock: socket.socket) -> None:
    """Let the kernel drop what is not sent to a group: struct sock_fprog has a length and a pointer."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in _PROGRAM))
    program = struct.pack("@HP", len(_PROGRAM), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _parse_ipv4(packet: bytes, interface: str, *, is_outgoing: bool) -> Sighting | bool | None:
    """Return what the packet is: a sighting, True for an IGMP query, None for anything else."""
    length = (packet[0] & 0x0F) * 4
    (fragment,) = struct.unpack_from("!H", packet, 6)
    ttl, protocol = packet[8], packet[9]
    if protocol == _IGMP:
        return packet[length] == _IGMP_QUERY
    if protocol != _UDP:
        return None
    source, group = (str(ipaddress.IPv4Address(packet[at : at + 4])) for at in (12, 16))
    port = None if fragment & 0x1FFF else struct.unpack_from("!H", packet, length + 2)[0]
    return Sighting(interface, is_outgoing, source, group, port, ttl, bool(fragment & 0x3FFF))


def _parse_ipv6(packet: bytes, interface: str, *, is_outgoing: bool) -> Sighting | bool | None:
    """Return what the packet is: a sighting, True for an MLD query, None for anything else."""
    protocol, ttl = packet[6], packet[7]
    source, group = (str(ipaddress.IPv6Address(packet[at : at + 16])) for at in (8, 24))
    length, offset, is_fragment = 40, 0, False
    while protocol in {_HOP_BY_HOP, _FRAGMENT}:
        if protocol == _FRAGMENT:
            is_fragment = True
            (offset,) = struct.unpack_from("!H", packet, length + 2)
            protocol, length = packet[length], length + 8
            break
        protocol, length = packet[length], length + 8 * (packet[length + 1] + 1)
    if protocol == _ICMPV6:
        return packet[length] == _MLD_QUERY
    if protocol != _UDP:
        return None
    port = None if offset & 0xFFF8 else struct.unpack_from("!H", packet, length + 2)[0]
    return Sighting(interface, is_outgoing, source, group, port, ttl, is_fragment)


def _ipv4_fragment(packet: bytes) -> tuple[int, int, int, bool]:
    """Return the number of a fragment's datagram, where it begins, its length, and whether more follow it."""
    length, number, fragment = struct.unpack_from("!HHH", packet, 2)
    return number, (fragment & 0x1FFF) * 8, length - (packet[0] & 0x0F) * 4, bool(fragment & 0x2000)


def _ipv6_fragment(packet: bytes) -> tuple[int, int, int, bool]:
    """Return the same of an IPv6 packet with a fragment header, perhaps after hop-by-hop options."""
    (payload,) = struct.unpack_from("!H", packet, 4)
    at = 40 if packet[6] == _FRAGMENT else 40 + 8 * (packet[41] + 1)
    fragment, number = struct.unpack_from("!HI", packet, at + 2)
    return number, fragment & 0xFFF8, 40 + payload - at - 8, bool(fragment & 1)
