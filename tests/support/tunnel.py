"""A tun interface: a link without a hardware address, as WireGuard and PPP make them (Linux)."""

import fcntl
import ipaddress
import os
import struct
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

_TUNSETIFF = 0x4004_54CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_UDP = 17


class Tunnel:
    """A tun interface. ``deliver`` makes it receive a datagram."""

    def __init__(self, name: str, device: int) -> None:
        self.name = name
        self._device = device

    def deliver(self, source: str, group: str, port: int, payload: bytes) -> None:
        """Let a UDP datagram from ``source`` to ``group`` and ``port`` arrive on the interface."""
        sender, receiver = ipaddress.ip_address(source).packed, ipaddress.ip_address(group).packed
        udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
        pseudo = sender + receiver + struct.pack("!IBBBB", len(udp), 0, 0, 0, _UDP)
        udp = udp[:6] + struct.pack("!H", _checksum(pseudo + udp)) + udp[8:]
        if len(receiver) == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 4, _UDP, 0) + sender + receiver
            head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        else:
            head = struct.pack("!IHBB", 6 << 28, len(udp), _UDP, 4) + sender + receiver
        os.write(self._device, head + udp)


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


@contextmanager
def tunnel(name: str, *addresses: str) -> Generator[Tunnel, None, None]:
    """Make a tun interface that is up and has ``addresses``, each with its prefix length; delete it at the end."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            subprocess.run(["ip", "addr", "add", address, "dev", name, *nodad], check=True)
        yield Tunnel(name, device)
    finally:
        os.close(device)
