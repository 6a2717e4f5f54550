"""multicast_expert: one blocking call a datagram, over a selector."""

import socket

import multicast_expert  # type: ignore[import-not-found]  # lives in the neighbours' environment only

from bench.receivers.base import Reader
from bench.receivers.calls import SMALL, Calls


def receiver(group: str, port: int) -> Reader:
    """`McastRxSocket.recvfrom`; left open for the life of the process."""
    sock = multicast_expert.McastRxSocket(socket.AF_INET, [group], port, iface="lo")
    return Calls(sock.__enter__().recvfrom, SMALL)
