"""Send a datagram to a group on an interface every few milliseconds, even if the interface comes and goes.

    python beacon.py GROUP PORT INTERFACE

This program prints a line when it begins, and runs until its standard input is closed. It uses plain sockets, not the
code under test.
"""

import contextlib
import select
import socket
import struct
import sys

_PERIOD = 0.005


def send_once(group: str, port: int, interface: str, payload: bytes) -> None:
    """Send one datagram on the interface. Raise OSError if the interface is not usable now."""
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
    print("sending", flush=True)
    while not select.select([sys.stdin], [], [], _PERIOD)[0]:
        # The interface may be down, without an address, or absent for a while.
        with contextlib.suppress(OSError):
            send_once(group, int(port), interface, str(number).encode())
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
