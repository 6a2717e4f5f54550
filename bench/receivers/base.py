"""What every receiving contestant can do, and the plain socket that several of them stand on."""

import socket
import struct
import time
from abc import ABC, abstractmethod


class Reader(ABC):
    """One library, receiving one group on the loopback interface."""

    @abstractmethod
    def take(self, count: int) -> int:
        """Read `count` datagrams that are queued already; return how many came."""

    @abstractmethod
    def listen(self) -> int:
        """Read until `Stop`; return how many came."""

    def settle(self) -> None:  # noqa: B027 - most have nothing to end
        """End what a `take` or `listen` began and is no part of its cost."""

    def latency(self) -> list[int]:
        """Read until `Stop`; return each datagram's age in ns, as `age` tells it."""
        raise NotImplementedError(f"{type(self).__name__} has no latency row")

    def counters(self) -> dict[str, object]:
        """What the library itself says it lost; empty where it says nothing."""
        return {}


def age(data: bytes) -> int:
    """Nanoseconds since a stamped datagram was sent: its first 8 bytes are the sender's monotonic clock."""
    return time.monotonic_ns() - int.from_bytes(data[:8], "little")


def joined(group: str, port: int) -> socket.socket:
    """A plain socket, bound to the group and joined to it on the loopback interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, port))
    membership = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), socket.if_nametoindex("lo"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return sock
