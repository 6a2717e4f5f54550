"""Make UDP datagrams to a group as IP packets, so that a test can choose every field of them."""

import ipaddress
import struct
from array import array

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
_UDP = 17
_HOPS = 5
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP_HEADER = struct.Struct("!HHHH")


def packet(source: str, group: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """Return an IP packet with a UDP datagram from ``source`` to ``group``. ``ports`` are source and destination."""
    length = _UDP_HEADER.size + len(payload)
    if ":" in group:
        addresses = _address(source) + _address(group)
        pseudo_header = addresses + struct.pack("!II", length, _UDP)
        udp = _UDP_HEADER.pack(*ports, length, 0) + payload
        udp = _UDP_HEADER.pack(*ports, length, checksum(pseudo_header + udp) or 0xFFFF) + payload
        return _IPV6.pack(6 << 28, length, _UDP, _HOPS, addresses[:16], addresses[16:]) + udp
    udp = _UDP_HEADER.pack(*ports, length, 0) + payload
    fields = (0x45, 0, _IPV4.size + length, 0, 0, _HOPS, _UDP)
    header = _IPV4.pack(*fields, 0, _address(source), _address(group))
    return _IPV4.pack(*fields, checksum(header), _address(source), _address(group)) + udp


def ethertype(group: str) -> int:
    """Return the type of an Ethernet frame to ``group``."""
    return ETHERTYPE_IPV6 if ":" in group else ETHERTYPE_IPV4


def hardware_address(group: str) -> bytes:
    """Return the Ethernet address of a group (RFC 1112 section 6.4, RFC 2464 section 7)."""
    address = _address(group)
    if ":" in group:
        return b"\x33\x33" + address[-4:]
    return b"\x01\x00\x5e" + bytes([address[1] & 0x7F]) + address[2:]


def checksum(data: bytes) -> int:
    """Return the Internet checksum of ``data`` (RFC 1071)."""
    words = array("H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    # The sum is the same in either byte order, except for the order of its own bytes.
    return ~int.from_bytes(struct.pack("=H", total), "big") & 0xFFFF


def _address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed
