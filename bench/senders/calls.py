"""One `sendto` for each datagram; here the one of the standard library."""

import socket
import struct
from collections.abc import Callable
from typing import Any

Writer = Callable[[int], int]


def repeated(sendto: Callable[[bytes, tuple[str, int]], Any], group: str, port: int, size: int) -> Writer:
    """Return a writer that calls `sendto` once for each datagram of `size` bytes."""
    payload, target = bytes(size), (group, port)

    def write(count: int) -> int:
        for _ in range(count):
            sendto(payload, target)
        return count

    return write


def stdlib(group: str, port: int, size: int) -> Writer:
    """Return a writer with `socket.sendto` on the loopback interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    through = struct.pack("=4s4si", bytes(4), bytes(4), socket.if_nametoindex("lo"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
    return repeated(sock.sendto, group, port, size)
