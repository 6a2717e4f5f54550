"""multicast_expert: one `sendto` a datagram."""

import socket

import multicast_expert  # type: ignore[import-not-found]  # lives in the neighbours' environment only

from bench.senders.calls import Writer, repeated


def sender(group: str, port: int, size: int) -> Writer:
    """`McastTxSocket.sendto`; left open for the life of the process."""
    sock = multicast_expert.McastTxSocket(socket.AF_INET, [group], iface="lo")
    return repeated(sock.__enter__().sendto, group, port, size)
