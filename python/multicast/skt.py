"""Plain sockets of the standard library, set up for multicast: ``genSocket`` and ``endSocket``.

Joining a group is not done here: ``recv.joinstep`` does that.
"""

from __future__ import annotations

import logging
import socket
import sys

from ._common.constants import _MCAST_DEFAULT_TTL

__all__ = ["endSocket", "genSocket"]

module_logger = logging.getLogger(__name__)


def genSocket() -> socket.socket:
    """Return a new IPv4 datagram socket with address reuse on and the default multicast TTL, bound to nothing.

    Raises:
        OSError: the system has no socket to give; ``errno`` tells why.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "darwin" or "bsd" in sys.platform:
            # BSD systems share a port between sockets by this option only; on Linux it would also spread unicast
            # datagrams over the sharers.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _MCAST_DEFAULT_TTL)
    except OSError:
        sock.close()
        raise
    return sock


def endSocket(sock: socket.socket | None = None) -> None:
    """Close ``sock``, which may be None or closed already. A failure to close is logged, never raised."""
    if sock is None:
        return
    try:
        sock.close()
    except OSError as problem:
        # The descriptor is gone all the same; only what the system still had to say about it is lost.
        module_logger.warning("Closing a socket: %s", problem)
