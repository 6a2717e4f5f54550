"""Receive buffers of sockets that others opened: found by descriptor, so that all are treated alike."""

import os
import socket
from pathlib import Path

_SO_RCVBUFFORCE = getattr(socket, "SO_RCVBUFFORCE", 33)  # linux/socket.h; Python does not name it everywhere
_WANTED = 1 << 30


def sockets() -> set[int]:
    """The descriptors of this process's sockets."""
    # The listing's own descriptor is in the list, and is closed by the time it is looked at.
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return {int(link.name) for link in links if str(link.readlink()).startswith("socket:")}


def enlarge(descriptors: set[int]) -> int:
    """Give each datagram socket among `descriptors` 1 GiB, or what we may; return the least that one got."""
    granted = []
    for number in descriptors:
        with socket.socket(fileno=os.dup(number)) as borrowed:
            if borrowed.type != socket.SOCK_DGRAM:
                continue
            try:
                borrowed.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _WANTED)
            except PermissionError:
                borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED)
            granted.append(borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
    if not granted:
        raise RuntimeError("the contestant opened no datagram socket")
    return min(granted)
