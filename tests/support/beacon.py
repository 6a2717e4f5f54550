"""A program: sends a datagram to a group by an interface every few milliseconds, whatever becomes of the interface.

    python beacon.py GROUP PORT INTERFACE

It runs until its standard input is closed. Plain sockets: what it sends owes nothing to the code under test.
"""

import contextlib
import select
import socket
import struct
import sys

_PERIOD = 0.005


def send_once(group: str, port: int, interface: str, payload: bytes) -> None:
    """Send one datagram by the interface; OSError where that cannot be done now."""
    index = socket.if_nametoindex(interface)
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
        sock.sendto(payload, (group, port))


def main(group: str, port: str, interface: str) -> None:
    number = 0
    while not select.select([sys.stdin], [], [], _PERIOD)[0]:
        # The interface is down, without an address, or not there: it may come back.
        with contextlib.suppress(OSError):
            send_once(group, int(port), interface, str(number).encode())
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
