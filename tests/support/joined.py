"""Wait until a process has joined groups (Linux). A receiver binds its port before it joins."""

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from tests.support import waiting

_LIBC = ctypes.CDLL(None, use_errno=True)
# The same number on every architecture (Linux 5.6).
_PIDFD_GETFD = 438
_MCAST_MSFILTER = 48
# getsockopt of MCAST_MSFILTER fails with the first error if the socket has not joined the group on that interface, and
# with the others if the descriptor is no socket, or a socket of another family or protocol.
_NOT_JOINED = {
    errno.EADDRNOTAVAIL,
    errno.ENOTSOCK,
    errno.EBADF,
    errno.EOPNOTSUPP,
    errno.ENOPROTOOPT,
    errno.EINVAL,
}


def until_joined(*groups: str, pid: int, timeout: float = 10.0) -> None:
    """Wait until sockets of process ``pid`` or of its descendants have joined each of ``groups`` on any interface.

    Raises:
        TimeoutError: One of the groups was not joined within ``timeout`` seconds.
    """
    missing = set(groups)

    def look() -> bool:
        missing.difference_update([group for group in missing if is_joined(group, pid)])
        return not missing

    waiting.until(look, f"process {pid} to join {', '.join(groups)}", timeout)


def is_joined(group: str, pid: int) -> bool:
    """Return whether a socket of process ``pid`` or of a descendant has joined ``group`` on any interface."""
    return any(
        _has_joined(sock, group, index)
        for process in waiting.with_descendants(pid)
        for sock in _sockets(process)
        for index in _interfaces(process, group)
    )


def _sockets(pid: int) -> Iterator[int]:
    """Yield a duplicate of each socket of a process, which is closed after its use."""
    # The process may end, or close a descriptor, at any time: then there is nothing more to look at.
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        handle = os.pidfd_open(pid)
        try:
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if not os.fspath(entry.readlink()).startswith("socket:"):
                        continue
                    yield from _duplicate(handle, int(entry.name))
        finally:
            os.close(handle)


def _duplicate(handle: int, descriptor: int) -> Iterator[int]:
    duplicate = _LIBC.syscall(_PIDFD_GETFD, handle, descriptor, 0)
    if duplicate >= 0:
        try:
            yield duplicate
        finally:
            os.close(duplicate)
    elif ctypes.get_errno() not in {errno.EBADF, errno.ESRCH}:
        raise OSError(ctypes.get_errno(), "cannot examine a socket of another process (pidfd_getfd)")


def _interfaces(pid: int, group: str) -> list[int]:
    """Return the indexes of the interfaces with multicast, in the network namespace of a process."""
    name = "igmp6" if ":" in group else "igmp"
    try:
        lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    except OSError:
        # The process has ended, or the kernel has no IPv6.
        return []
    # In "igmp", the lines of the groups are indented below that of their interface, and the first line is a heading.
    return sorted({int(line.split()[0]) for line in lines if line[:1].isdigit()})


def _has_joined(sock: int, group: str, index: int) -> bool:
    """Return whether a socket has joined a group on the interface with this index."""
    is_ipv6 = ":" in group
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    address = socket.inet_pton(family, group)
    # struct sockaddr_in6 has the port and the flow label before the address, struct sockaddr_in only the port.
    storage = struct.pack("=H", family) + bytes(6 if is_ipv6 else 2) + address
    # struct group_filter: interface, group, mode, number of sources, room for one source.
    request = struct.pack("@I4x128sII128s", index, storage, 0, 0, b"")
    buffer = ctypes.create_string_buffer(request, len(request))
    size = ctypes.c_uint32(len(request))
    level = socket.IPPROTO_IPV6 if is_ipv6 else socket.IPPROTO_IP
    if _LIBC.getsockopt(sock, level, _MCAST_MSFILTER, buffer, ctypes.byref(size)) == 0:
        return True
    code = ctypes.get_errno()
    if code not in _NOT_JOINED:
        raise OSError(code, f"cannot read the membership of a socket: {os.strerror(code)}")
    return False
