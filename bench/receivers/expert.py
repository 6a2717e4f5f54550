"""multicast_expert: one blocking call for each datagram, over a selector."""

import socket

import multicast_expert  # type: ignore[import-not-found]  # installed in an environment of its own

from bench.receivers.base import Reader
from bench.receivers.calls import SMALL, Calls


def receiver(group: str, port: int) -> Reader:
    """Return a loop over `McastRxSocket.recvfrom`; the socket stays open until the process ends."""
    sock = multicast_expert.McastRxSocket(socket.AF_INET, [group], port, iface="lo")
    return Calls(sock.__enter__().recvfrom, SMALL)
