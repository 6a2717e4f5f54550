"""Plain sockets of the standard library, prepared for multicast: ``genSocket`` and ``endSocket``.

``recv.joinstep`` joins groups.
"""

from __future__ import annotations

import logging
import socket
import sys

from ._common.constants import _MCAST_DEFAULT_TTL

__all__ = ["endSocket", "genSocket"]

module_logger = logging.getLogger(__name__)


def genSocket() -> socket.socket:
    """Return a new, unbound IPv4 datagram socket with address reuse on and the default multicast TTL.

    Raises:
        OSError: The system cannot open a socket; ``errno`` says why.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "darwin" or "bsd" in sys.platform:
            # BSD systems share a port between sockets with this option only. On Linux it would also distribute
            # unicast datagrams among the sockets.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _MCAST_DEFAULT_TTL)
    except OSError:
        sock.close()
        raise
    return sock


def endSocket(sock: socket.socket | None = None) -> None:
    """Close ``sock``, which may be None or closed already.

    A failure to close is logged and never raised.
    """
    if sock is None:
        return
    try:
        sock.close()
    except OSError as error:
        # The descriptor is released all the same.
        module_logger.warning("Cannot close a socket: %s", error)
