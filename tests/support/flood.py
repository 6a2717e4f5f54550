"""Send numbered datagrams to a group on an interface as often as a pause of 20 µs allows.

    python flood.py GROUP PORT INTERFACE

The format is the one of ``multicast send --numbered``. The numbers have no gaps, even while the interface has no
carrier or no route. This program prints a line when it begins, and runs until its standard input is closed. It uses
plain sockets, not the code under test.
"""

import select
import socket
import struct
import sys
import time

_PAUSE = 0.00002


def main(group: str, port: str, interface: str) -> None:
    index = socket.if_nametoindex(interface)
    number = 0
    with socket.socket(socket.AF_INET6 if ":" in group else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if ":" in group:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
        print("sending", flush=True)
        while not select.select([sys.stdin], [], [], _PAUSE)[0]:
            try:
                sock.sendto(struct.pack("!4sIQQ", b"MCN1", 1, number, time.time_ns()), (group, int(port)))
            except OSError:
                continue
            number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
