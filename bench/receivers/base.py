"""The interface of the receiving contestants, and the plain socket that several of them use."""

import socket
import struct
import time
from abc import ABC, abstractmethod


class Reader(ABC):
    """One library, receiving one group on the loopback interface."""

    @abstractmethod
    def take(self, count: int) -> int:
        """Read `count` datagrams that are already queued; return how many were read."""

    @abstractmethod
    def listen(self) -> int:
        """Read until `Stop`; return how many datagrams were read."""

    def settle(self) -> None:  # noqa: B027 - most contestants have nothing to end
        """End what `take` or `listen` has started, outside the measurement."""

    def latency(self) -> list[int]:
        """Read until `Stop`; return the age of each datagram, in nanoseconds."""
        raise NotImplementedError(f"{type(self).__name__} does not measure latency")

    def counters(self) -> dict[str, object]:
        """Return the losses that the library itself counts; empty if it counts none."""
        return {}


def age(data: bytes) -> int:
    """Return the nanoseconds since a datagram was sent: it starts with 8 bytes of the sender's monotonic clock."""
    return time.monotonic_ns() - int.from_bytes(data[:8], "little")


def joined(group: str, port: int) -> socket.socket:
    """Return a plain socket that is bound to the group and has joined it on the loopback interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, port))
    membership = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), socket.if_nametoindex("lo"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return sock
