"""multicast_expert: one `sendto` for each datagram."""

import socket

import multicast_expert  # type: ignore[import-not-found]  # installed in an environment of its own

from bench.senders.calls import Writer, repeated


def sender(group: str, port: int, size: int) -> Writer:
    """Return a writer with `McastTxSocket.sendto`; the socket stays open until the process ends."""
    sock = multicast_expert.McastTxSocket(socket.AF_INET, [group], iface="lo")
    return repeated(sock.__enter__().sendto, group, port, size)
